"""How every page of the book is drawn. Pixels are frozen: WORLD_VERSION 1.

`families` has all pages; a folder (or `paintings`) a family: its numbers, how it is painted, and the edits a person
could make; `scene` what all have in common. Below them `canvas`, `shapes` and `paints`: signed distances, covered with
light.
"""
