"""Paintings of the book: a page of another family in oils, as a poster, in coloured chalk or in big pixels."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F

from storybook.world.animals import animal
from storybook.world.canvas import Canvas
from storybook.world.landscapes import landscape
from storybook.world.objects import thing
from storybook.world.paints import noise, rgb
from storybook.world.people import person
from storybook.world.plants import plant
from storybook.world.scene import Edit, Scene
from storybook.world.shapes import Point

SUBJECTS: dict[str, tuple[type[Scene], dict[str, Edit], int]] = {  # family, its edits, its share
    "landscape": (landscape.Landscape, landscape.EDITS, 9),
    "animal": (animal.Animal, animal.EDITS, 5),
    "plant": (plant.Plant, plant.EDITS, 4),
    "object": (thing.Thing, thing.EDITS, 3),
    "portrait": (person.Person, person.EDITS, 3),
}


def _brush(canvas: Canvas, seed: int) -> None:
    """Oils: every place takes its colour from nearby along a slanted stroke; the strokes stand out in relief."""
    x, y = torch.broadcast_tensors(canvas.x, canvas.y)
    u, v = 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x  # along and across the strokes
    wobble = noise(u * 0.45, v, seed, 26.0) - 0.5
    other = noise(u, v * 0.6, seed + 1, 14.0) - 0.5
    grid = torch.stack([2 * (x + 0.018 * wobble) - 1, 2 * (y + 0.022 * other) - 1], dim=-1)
    moved = F.grid_sample(canvas.image[None], grid[None], padding_mode="border", align_corners=False)[0]
    relief = noise(u * 0.3, v, seed + 2, 60.0) - 0.5
    canvas.image = moved * (1 + 0.16 * relief + 0.1 * wobble) + 0.05 * wobble * rgb((1.0, 0.8, 0.4))


def _poster(canvas: Canvas, seed: int) -> None:
    """A screen print: few levels of ink, full colours, cream paper."""
    grey = canvas.image.mean(0)
    ink = grey + 1.35 * (canvas.image - grey)
    levels = 4.0 * ink.clamp(0, 1)
    step = levels.floor()
    flat = (step + torch.sigmoid((levels - step - 0.5) * 14)) / 4.0
    paper = 1 - 0.05 * noise(canvas.x, canvas.y, seed, 30.0)
    canvas.image = (0.1 + 0.9 * flat) * rgb((1.0, 0.97, 0.9)) * paper


def _chalk(canvas: Canvas, seed: int) -> None:
    """Coloured chalk on a slate: grain and hatching let the board show through, more so where the page is dark."""
    x, y = torch.broadcast_tensors(canvas.x, canvas.y)
    grain = noise(x, y, seed, 48.0)
    hatch = noise(0.2 * (x + y), 0.8 * (y - x), seed + 1, 34.0)
    cover = (0.68 + 0.22 * canvas.image.mean(0) + 0.22 * (grain - 0.5) + 0.4 * (hatch - 0.5)).clamp(0.3, 1.0)
    board = rgb((0.2, 0.25, 0.27)) * (0.9 + 0.2 * noise(x, y, seed + 2, 4.0))
    canvas.image = torch.lerp(board, 0.14 + 0.86 * canvas.image, cover)


def _pixel(canvas: Canvas, seed: int) -> None:
    """Thirty-two big pixels a side, in a reduced set of colours."""
    small = F.interpolate(canvas.image[None], size=(32, 32), mode="area")
    small = (small.clamp(0, 1) * 10).round() / 10
    canvas.image = F.interpolate(small, size=(canvas.size, canvas.size), mode="nearest")[0]


STYLES: dict[str, Callable[[Canvas, int], None]] = {
    "brush": _brush,
    "poster": _poster,
    "chalk": _chalk,
    "pixel": _pixel,
}


@dataclass(frozen=True)
class Painting(Scene):
    """A page painted in another manner."""

    inner: Scene  # what is painted: a page of another family
    style: str  # a key of STYLES
    seed: int  # of brush strokes, paper and grain

    @classmethod
    def sample(cls, rng: random.Random) -> Self:
        family = rng.choices(list(SUBJECTS), [share for *_, share in SUBJECTS.values()])[0]
        return cls(SUBJECTS[family][0].sample(rng), rng.choices(list(STYLES), (4, 3, 3, 2))[0], rng.randrange(1000))

    def draw(self, canvas: Canvas) -> None:
        self.inner.draw(canvas)
        STYLES[self.style](canvas, self.seed)

    def anchors(self) -> dict[str, Point]:
        return self.inner.anchors()


def _within(family: type[Scene], edit: Edit) -> Edit:
    """The edit of a family, done to the page inside a painting (a painting of anything else stays as it is)."""

    def change(scene: Painting, rng: random.Random) -> Painting:
        return replace(scene, inner=edit.change(scene.inner, rng)) if isinstance(scene.inner, family) else scene

    return replace(edit, change=change)


EDITS: dict[str, Edit] = {
    f"{kind}: {name}": _within(family, edit)
    for kind, (family, edits, _) in SUBJECTS.items()
    for name, edit in edits.items()
}
