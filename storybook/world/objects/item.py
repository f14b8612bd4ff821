"""What all things share: how they are drawn, and their colours."""

from dataclasses import dataclass
from typing import Any

from storybook.world.paints import Colour, hsv
from storybook.world.scene import Drawn, drawn

WHITE, GLASS, IRON, CREAM = (1.0, 1.0, 1.0), (0.66, 0.84, 0.93), (0.2, 0.21, 0.25), (0.97, 0.93, 0.84)
HUES = (0.0, 0.03, 0.08, 0.13, 0.36, 0.48, 0.56, 0.6, 0.94)  # reds, orange, yellow, greens, blues, pink


@dataclass(frozen=True)
class Item(Drawn):
    """A thing: numbers in, `draw(canvas, backdrop)` and `anchors()` out, as a scene's."""


def toy_hue() -> Any:
    """A field that holds one of HUES, a little shifted."""
    return drawn(lambda rng, made: rng.choice(HUES) + rng.uniform(-0.015, 0.015))


def toy(hue: float, light: float = 0.86) -> Colour:
    """A bright, not garish colour."""
    return hsv(hue, 0.62, light)
