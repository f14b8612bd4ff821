"""What every page of the book has in common: parameters in, a picture and named anchors out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from storybook.world.render import Canvas
from storybook.world.shapes import Point


@dataclass(frozen=True)
class Scene:
    """A page of the book. Subclasses are frozen dataclasses of plain numbers; all of the picture follows from them.

    `draw` paints back to front on a canvas of any resolution; `anchors` names the points a hand would grab, in the
    unit square (x to the right, y down). An edit is `dataclasses.replace(scene, mouth=0.9)`: the anchors before are
    the handles, the anchors after are the targets, and the rendering after is the truth.
    """

    @classmethod
    def sample(cls, rng: random.Random) -> Scene:
        """A random page of this family."""
        raise NotImplementedError

    def draw(self, canvas: Canvas) -> None:
        raise NotImplementedError

    def anchors(self) -> dict[str, Point]:
        raise NotImplementedError

    def render(self, size: int = 128) -> Tensor:
        """The picture, (3, size, size), float32 in [-1, 1]."""
        canvas = Canvas(size)
        self.draw(canvas)
        return canvas.tensor()


EYES = ("left_eye", "right_eye")  # anchors of every face


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
    change: Callable[[Scene, random.Random], Scene]
    anchors: tuple[str, ...]
    also: tuple[str, ...] = ()
