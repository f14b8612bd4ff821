"""How every page of the book is drawn. Pixels are frozen: WORLD_VERSION 1.

`families` has all pages. Each folder, and `paintings`, is a family: its numbers, how it is painted, and the edits that
a person could make. `scene` has what all families share. They draw with `canvas`, `shapes` and `paints`: shapes are
signed distances, filled with colour and light.
"""
