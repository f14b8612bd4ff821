"""Paints: a colour for every point of a shape, with light and grain."""

import colorsys
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from storybook.world.shapes import Point, Shape

Colour = tuple[float, float, float]
Paint = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, y, distance), each (h, w) -> (3, h, w) in [0, 1]

LIGHT = (-0.55, -0.83)  # unit vector towards the light: above, a little to the left, in every scene


def hsv(h: float, s: float, v: float) -> Colour:
    """Hue (turns, any real number), saturation and value in [0, 1] -> RGB in [0, 1]."""
    return colorsys.hsv_to_rgb(h % 1.0, min(max(s, 0.0), 1.0), min(max(v, 0.0), 1.0))


def from_hex(code: str) -> Colour:
    """Six hexadecimal digits -> RGB in [0, 1]."""
    return tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))


def mix(a: Colour, b: Colour, t: float) -> Colour:
    return tuple(u + (v - u) * t for u, v in zip(a, b, strict=True))


@lru_cache(maxsize=1024)
def rgb(colour: Colour) -> Tensor:
    """A colour as a (3, 1, 1) tensor (shared: never change it in place)."""
    return torch.tensor(colour, dtype=torch.float32)[:, None, None]


@lru_cache(maxsize=256)
def _lattice(seed: int, n: int) -> Tensor:
    return torch.rand(1, 1, n, n, generator=torch.Generator().manual_seed(seed))


def noise(x: Tensor, y: Tensor, seed: int, freq: float) -> Tensor:
    """Smooth noise in about [0, 1] (bicubic value noise), `freq` bumps per picture side; the same at any resolution."""
    n = int(freq) + 4
    grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)[None]
    grid = grid * (2 * freq / (n - 1)) - (freq / (n - 1))  # unit square -> centre of lattice
    return F.grid_sample(_lattice(seed, n), grid, mode="bicubic", align_corners=True, padding_mode="reflection")[0, 0]


def flat(colour: Colour) -> Paint:
    return lambda x, y, d: rgb(colour)


def gradient(a: Colour, b: Colour, start: Point, end: Point) -> Paint:
    """From colour a at `start` to colour b at `end`, linear in between."""
    (ax, ay), dx, dy = start, end[0] - start[0], end[1] - start[1]
    n = dx * dx + dy * dy

    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return torch.lerp(rgb(a), rgb(b), ((((x - ax) * dx + (y - ay) * dy) / n).clamp(0, 1)))

    return paint


def downwards(a: Colour, b: Colour, top: float, bottom: float) -> Paint:
    """From colour a at the height `top` to colour b at `bottom`."""
    return gradient(a, b, (0.5, top), (0.5, bottom))


def shaded(
    paint: Paint | Colour,
    shape: Shape,
    depth: float = 0.18,
    rim: float = 0.12,
    rim_width: float = 0.03,
    grain: float = 0.0,
    seed: int = 0,
) -> Paint:
    """Light on a round body.

    Args:
        paint, shape: what is lit.
        depth: how much lighter it is towards LIGHT, relative.
        rim, rim_width: how much darker its rim is, relative, and how wide the rim, picture sides.
        grain, seed: strength and seed of the grain (fur, cloth).
    """
    inner = paint if callable(paint) else flat(paint)
    x0, y0, x1, y1 = shape.box
    cx, cy, r = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0) / 2 + 1e-6

    def lit(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        light = 1 + depth * (((x - cx) * LIGHT[0] + (y - cy) * LIGHT[1]) / r).clamp(-1, 1)
        light = light - rim * torch.exp(d.clamp_max(0) / rim_width)
        if grain:
            light = light + grain * (noise(x, y, seed, 40.0) - 0.5)
        return inner(x, y, d) * light

    return lit


def cylinder(tone: Colour, x: float, w: float) -> Paint:
    """Paint of an upright cylinder of half width w about x: light on its left, shade on its right."""

    def paint(px: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u = (px - x) / w
        return rgb(tone) * (1.08 - 0.3 * (u + 0.35) ** 2 + 0 * y)

    return paint
