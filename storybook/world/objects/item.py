"""What all things share: how they are drawn, and their colours."""

import random
from dataclasses import dataclass
from typing import Any

from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.paints import Colour, hsv
from storybook.world.scene import Drawn, drawn
from storybook.world.shapes import Point

WHITE, GLASS, IRON, CREAM = (1.0, 1.0, 1.0), (0.66, 0.84, 0.93), (0.2, 0.21, 0.25), (0.97, 0.93, 0.84)
HUES = (0.0, 0.03, 0.08, 0.13, 0.36, 0.48, 0.56, 0.6, 0.94)  # reds, orange, yellow, greens, blues, pink


@dataclass(frozen=True)
class Item(Drawn):
    """A thing: numbers in, its picture in front of a backdrop and its anchors out."""

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        raise NotImplementedError

    def anchors(self) -> dict[str, Point]:
        raise NotImplementedError


def _toy_hue(rng: random.Random, made: dict[str, Any]) -> float:
    return rng.choice(HUES) + rng.uniform(-0.015, 0.015)


def toy_hue() -> Any:
    """A field that holds one of HUES, a little shifted."""
    return drawn(_toy_hue)


def toy(hue: float, light: float = 0.86) -> Colour:
    """A bright, not garish colour."""
    return hsv(hue, 0.62, light)
