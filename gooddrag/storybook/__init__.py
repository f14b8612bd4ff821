"""The storybook world: a picture book drawn by a program, at any size, whose every edit has a known truth."""

from gooddrag.storybook.book import FAMILIES, WORLD_VERSION, sample

try:  # interim: until every family is written
    from gooddrag.storybook.edits import edit
except ImportError:
    pass
