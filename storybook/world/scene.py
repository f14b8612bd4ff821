"""What all pages have in common: numbers in, a picture and named anchors out; and the changes that edits consist of."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from torch import Tensor

from storybook.world.canvas import Canvas
from storybook.world.shapes import Point

Draw = Callable[[random.Random, dict[str, Any]], Any]  # (rng, the fields before) -> the value of a field


def number(lo: float, hi: float, draw: Draw | None = None) -> Any:
    """A field that edits may change and that the search for the nearest page does; drawn evenly from [lo, hi]."""
    return field(metadata={"range": (lo, hi), "draw": draw or (lambda rng, made: rng.uniform(lo, hi))})


def drawn(draw: Draw) -> Any:
    """A field that is part of a thing's identity."""
    return field(metadata={"draw": draw})


class Drawn:
    """Base of the frozen dataclasses whose fields say how they are drawn, by `number` and `drawn`."""

    @classmethod
    def sample(cls, rng: random.Random) -> Self:
        """A random instance: its fields are drawn one after the other."""
        made: dict[str, Any] = {}
        for each in fields(cls):
            made[each.name] = each.metadata["draw"](rng, made)
        return cls(**made)

    @classmethod
    def range(cls, name: str) -> tuple[float, float]:
        """The range of a field made by `number`."""
        return cls.__dataclass_fields__[name].metadata["range"]


@dataclass(frozen=True)
class Scene(Drawn):
    """A page of the book. Subclasses are frozen dataclasses of plain numbers; all of the picture follows from them.

    `draw` paints back to front on a canvas of any resolution; `anchors` names the points a hand would grab, in the
    unit square (x to the right, y down). An edit is `dataclasses.replace(scene, mouth=0.9)`: the anchors before are
    the handles, the anchors after are the targets, and the picture after is the truth.

    In all scenes and their parts, lengths are in picture sides, angles in radians (positive: clockwise), hues in turns,
    colours (r, g, b) in [0, 1]; left and right are the picture's.
    """

    def draw(self, canvas: Canvas) -> None:
        raise NotImplementedError

    def anchors(self) -> dict[str, Point]:
        raise NotImplementedError

    def render(self, size: int = 128) -> Tensor:
        """The picture, (3, size, size), float32 in [-1, 1]."""
        canvas = Canvas(size)
        self.draw(canvas)
        return canvas.tensor()


# (scene, rng) -> the scene after. A change that does not apply to a page gives the page back as it is, which the caller
# takes as "draw another page".
Change = Callable[[Scene, random.Random], Scene]


@dataclass(frozen=True)
class Edit:
    """One kind of change a person could drag.

    Attributes:
        task: "relocation", "rotation", "rescaling", "removal" or "creation" (the paper's five).
        change: (scene, rng) -> the scene after the edit.
        anchors: the points dragged: where they are before are the handles, where they are after the targets.
        also: further points of what moves, for edits that the anchors alone leave open (a nose that goes left may mean
            a turned face, or a longer nose). Each is dragged too if it moves far enough to be.
    """

    task: str
    change: Change
    anchors: tuple[str, ...]
    also: tuple[str, ...] = ()


EYES = ("left_eye", "right_eye")  # anchors of every face


def redraw(*names: str) -> Change:
    """Draws numbers anew from the ranges that the pages are sampled from, so that an edited page is a page."""
    return lambda scene, rng: replace(scene, **{name: rng.uniform(*scene.range(name)) for name in names})


def redraw_from(name: str, lo: float, hi: float) -> Change:
    """Draws a number anew from [lo, hi]."""
    return lambda scene, rng: replace(scene, **{name: rng.uniform(lo, hi)})


def shift(**by: float | tuple[float, float]) -> Change:
    """Adds to each named number a number from [-by, by], or from the given range."""
    ranges = {name: span if isinstance(span, tuple) else (-span, span) for name, span in by.items()}
    return lambda scene, rng: replace(scene, **{n: getattr(scene, n) + rng.uniform(*ranges[n]) for n in ranges})


def when(fits: Callable[[Any], bool], change: Change) -> Change:
    """The change on the pages that fit it."""
    return lambda scene, rng: change(scene, rng) if fits(scene) else scene


OPEN_MOUTH = when(lambda scene: scene.mouth < 0.1, redraw_from("mouth", 0.6, 1.0))
CLOSE_MOUTH = when(lambda scene: scene.mouth > 0.55, lambda scene, rng: replace(scene, mouth=0.0))
