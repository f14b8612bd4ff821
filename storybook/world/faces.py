"""What animals and people share: the colours of a face, the turn of a head, the shadow it casts."""

import math

from torch import Tensor

from storybook.world.paints import Paint
from storybook.world.shapes import Point, Shape

INK, WHITE = (0.16, 0.1, 0.1), (1.0, 1.0, 1.0)
PINK, MOUTH, TONGUE = (0.95, 0.66, 0.64), (0.42, 0.12, 0.13), (0.9, 0.45, 0.47)
PUPIL, EYEBALL = (0.05, 0.04, 0.06), (0.99, 0.985, 0.97)
SIDES = (("left", -1), ("right", 1))


def turned(u: float, v: float, lift: float, yaw: float, pitch: float) -> Point:
    """A point (u, v) of a ball seen from the front, raised by `lift`, after the ball has turned (radians)."""
    z = 0.85 * math.sqrt(max(0.0, 1 - u * u - v * v)) + lift
    x, z = u * math.cos(yaw) + z * math.sin(yaw), z * math.cos(yaw) - u * math.sin(yaw)
    return x, v * math.cos(pitch) + z * math.sin(pitch)


def dimmed(paint: Paint, shape: Shape, strength: float, soft: float) -> Paint:
    """The paint in the soft shadow of a shape (cheaper than painting a shadow clipped to what it falls on)."""

    def paint_in_shadow(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return paint(x, y, d) * (1 - strength * (shape.sdf(x, y) * (-1 / soft)).sigmoid())

    return paint_in_shadow
