"""The storybook world: a picture book drawn by a program, at any size, whose every edit has a known truth.

`sample(7)` is a page: `sample(7).render(512)` its picture. `edit(7)` is an editing task, a `gooddrag.sample.Sample`:
picture, handles and targets, mask, and the true edited picture. `storybook100` has a hundred fixed ones, `nearest` the
distance of a picture to all pages with the same identity, `world` how pages are drawn, `training` how the embedded
model is trained on them.
"""

from storybook.edits import edit
from storybook.world.families import FAMILIES, WORLD_VERSION, sample
from storybook.world.scene import Edit, Scene

__all__ = ["FAMILIES", "WORLD_VERSION", "Edit", "Scene", "edit", "sample"]
