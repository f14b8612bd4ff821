"""The storybook world: a picture book drawn by a program, at any size, whose every edit has a known truth.

    page = storybook.sample(7)            # a scene; page.render(512) is its picture
    task = storybook.edit(7)              # a Sample: picture, handles and targets, mask, and the true edited picture
"""

from gooddrag.storybook.book import FAMILIES, WORLD_VERSION, sample
from gooddrag.storybook.edits import edit
from gooddrag.storybook.scenes import Edit, Scene

__all__ = ["FAMILIES", "WORLD_VERSION", "Edit", "Scene", "edit", "sample"]
