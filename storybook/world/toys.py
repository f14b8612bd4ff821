"""Colours of toys and household things, and the paint of round upright ones."""

from __future__ import annotations

import random

from torch import Tensor

from storybook.world.paints import Colour, Paint, hsv, rgb

WHITE, GLASS, IRON, CREAM = (1.0, 1.0, 1.0), (0.66, 0.84, 0.93), (0.2, 0.21, 0.25), (0.97, 0.93, 0.84)
PAINTS = (0.0, 0.03, 0.08, 0.13, 0.36, 0.48, 0.56, 0.6, 0.94)  # hues of toys: reds, orange, yellow, greens, blues, pink


def toy_hue(rng: random.Random) -> float:
    """A hue of PAINTS, a little shifted."""
    return rng.choice(PAINTS) + rng.uniform(-0.015, 0.015)


def toy(hue: float, light: float = 0.86) -> Colour:
    """A bright, not garish colour."""
    return hsv(hue, 0.62, light)


def cylinder(tone: Colour, x: float, w: float) -> Paint:
    """Paint of an upright cylinder of half width w about x: light on its left, shade on its right."""

    def paint(px: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u = (px - x) / w
        return rgb(tone) * (1.08 - 0.3 * (u + 0.35) ** 2 + 0 * y)

    return paint
