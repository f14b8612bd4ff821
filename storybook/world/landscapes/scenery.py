"""What landscapes are painted with: the light of an hour, sky, sun, clouds, mountains, hills, water, a path."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from storybook.world.canvas import Canvas
from storybook.world.landscapes.layout import Cloud, Peak, flank
from storybook.world.paints import Colour, downwards, gradient, mix, rgb
from storybook.world.shapes import Point, Shape, below, blend, ellipse, rolling

Line = Callable[[Tensor], Tensor]  # the height of a line as a function of x
SNOW = (0.95, 0.97, 1.0)
GRASS = {"spring": (0.56, 0.76, 0.36), "summer": (0.4, 0.66, 0.31), "autumn": (0.79, 0.64, 0.31), "winter": SNOW}


@dataclass(frozen=True)
class Hour:
    """The colours of an hour."""

    top: Colour  # the sky at the zenith
    middle: Colour  # half way
    low: Colour  # at the horizon
    sun: Colour  # sun or moon
    cloud: Colour
    tint: Colour  # of all that the light falls on

    def lit(self, colour: Colour, haze: float = 0.0) -> Colour:
        """A colour in this light, seen through `haze` in [0, 1] of air."""
        return mix(tuple(c * t for c, t in zip(colour, self.tint, strict=True)), mix(self.low, self.middle, 0.35), haze)


HOURS = {
    "dawn": Hour(
        (0.5, 0.62, 0.85), (0.82, 0.76, 0.86), (1.0, 0.83, 0.7), (1.0, 0.93, 0.72), (1.0, 0.9, 0.88), (1.0, 0.9, 0.88)
    ),
    "noon": Hour(
        (0.33, 0.62, 0.91), (0.56, 0.78, 0.95), (0.88, 0.95, 0.97), (1.0, 0.9, 0.42), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)
    ),
    "dusk": Hour(
        top=(0.33, 0.31, 0.58),
        middle=(0.82, 0.48, 0.55),
        low=(1.0, 0.74, 0.46),
        sun=(1.0, 0.78, 0.36),
        cloud=(0.98, 0.72, 0.66),
        tint=(0.86, 0.66, 0.66),
    ),
    "night": Hour(
        (0.07, 0.1, 0.25), (0.14, 0.2, 0.4), (0.3, 0.4, 0.6), (0.97, 0.95, 0.84), (0.42, 0.5, 0.7), (0.36, 0.43, 0.62)
    ),
}


def sky(canvas: Canvas, hour: Hour, horizon: float) -> None:
    def paint(x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        t = (y / horizon).clamp(0, 1) * 2
        upper = torch.lerp(rgb(hour.top), rgb(hour.middle), t.clamp_max(1))
        return torch.lerp(upper, rgb(hour.low), (t - 1).clamp_min(0))

    canvas.fill(paint)


def stars(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    for _ in range(10):
        spot = ellipse((rng.uniform(0.03, 0.97), rng.uniform(0.03, horizon - 0.2)), rng.uniform(0.004, 0.007))
        canvas.paint(spot, (0.95, 0.95, 0.85), alpha=rng.uniform(0.5, 0.9))


def sun(canvas: Canvas, centre: Point, r: float, hour: Hour, *, moon: bool) -> None:
    canvas.glow(centre, 2.0 * r, mix(hour.sun, (1.0, 1.0, 1.0), 0.3), 0.35 if moon else 0.6)
    canvas.paint(ellipse(centre, r), mix(hour.sun, (1.0, 1.0, 0.95), 0.15), soft=0.001)
    for dx, dy, k in ((-0.3, -0.25, 0.24), (0.3, 0.1, 0.3), (-0.15, 0.45, 0.18)) if moon else ():
        crater = ellipse((centre[0] + dx * r, centre[1] + dy * r), k * r)
        canvas.paint(crater, (0.8, 0.79, 0.74), alpha=0.6, soft=0.002)


def cloud(canvas: Canvas, cloud: Cloud, hour: Hour) -> None:
    """Three puffs, flat below."""
    x, y, s = cloud.x, cloud.y, cloud.size
    if s < 0.01:
        return
    left = ellipse((x - 0.5 * s, y + 0.08 * s), 0.5 * s, 0.26 * s)
    middle = ellipse((x - 0.08 * s, y - 0.14 * s), 0.46 * s, 0.42 * s)
    right = ellipse((x + 0.5 * s, y + 0.06 * s), 0.5 * s, 0.3 * s)
    shade = mix(hour.cloud, hour.top, 0.3)
    paint = gradient(hour.cloud, shade, (x - 0.1 * s, y - 0.4 * s), (x + 0.1 * s, y + 0.45 * s))
    canvas.paint(blend(left, middle, right, k=0.12 * s), paint, alpha=0.95, soft=0.003)


def mountain(canvas: Canvas, peak: Peak, base: float, hour: Hour, rock: Colour, snow: float) -> None:
    """A peak above the height `base`, lit from the left, with snow down to `snow` of its height."""
    x, height, width, phase = peak.x, peak.height, peak.width, peak.phase
    top = base - height
    slope = width / math.hypot(width, 1.2 * height)

    def sdf(px: Tensor, y: Tensor) -> Tensor:
        u = (px - x) / width
        t = torch.sqrt(u * u + 0.0016) - 0.04
        bumps = 0.035 * torch.sin(13 * u + phase) * (t * 3).clamp_max(1)
        return (base - height * (flank(t.clamp_max(1.5)) + bumps) - y) * slope

    def paint(px: Tensor, y: Tensor, d: Tensor) -> Tensor:
        u, v = (px - x) / width, (y - top) / height
        side = torch.sigmoid((u - 0.1 * v * torch.sin(6 * v + phase) - 0.02) * 14)
        colour = torch.lerp(rgb(hour.lit(rock)), rgb(hour.lit(mix(rock, (0.13, 0.16, 0.32), 0.5))), side)
        if snow > 0:
            edge = snow + 0.06 * torch.sin(15 * u + phase) + 0.05 * torch.sin(33 * u + 2 * phase)
            white = torch.lerp(rgb(hour.lit(SNOW)), rgb(hour.lit((0.7, 0.78, 0.92))), side)
            colour = torch.lerp(colour, white, torch.sigmoid((edge - v) * 30))
        return torch.lerp(colour, rgb(hour.lit(rock, 0.9)), (0.12 + 0.5 * v).clamp(0, 0.7))

    canvas.paint(Shape(sdf, (x - 1.5 * width, top - 0.02, x + 1.5 * width, base + 0.02)), paint)


def wave(rng: random.Random, top: float, swing: float, freq: float = 4.0) -> Line:
    """A rolling line about the height `top`."""
    return rolling(top, swing, rng.uniform(0, math.tau), rng.uniform(0.8, 1.2) * freq)


def hill(canvas: Canvas, line: Line, top: float, near: Colour, far: Colour, to: float = 1.0) -> None:
    """Ground below a line about the height `top`, from the colour `far` there to `near` at the height `to`."""
    canvas.paint(below(line, top - 0.05), downwards(far, near, top, to))


def water(canvas: Canvas, horizon: float, shore: float, hour: Hour, sun_x: float) -> None:
    """Water below the horizon: a dimmed mirror image of what is above it, ripples, a glitter below the sun."""
    y = canvas.y[:, 0]
    rows = torch.nonzero((y > horizon) & (y < shore + 0.05))[:, 0]
    if not len(rows):
        return
    source = (horizon - (y[rows] - horizon) * 1.1) * canvas.size - 0.5
    low = source.clamp(0, canvas.size - 2).floor().long()
    f = (source - low)[:, None].clamp(0, 1)
    mirror = torch.lerp(canvas.image[:, low], canvas.image[:, low + 1], f)
    depth = ((y[rows] - horizon) / (shore - horizon)).clamp(0, 1)[:, None]
    colour = torch.lerp(rgb(hour.lit((0.5, 0.72, 0.84), 0.25)), rgb(hour.lit((0.16, 0.42, 0.6))), depth)
    image = torch.lerp(mirror, colour, 0.45 + 0.35 * depth)
    ripple = torch.sin((y[rows][:, None] - horizon).sqrt() * 60 + 2 * torch.sin(canvas.x * 9)) * 0.018
    glitter = torch.exp(-(((canvas.x - sun_x) / (0.03 + 0.05 * depth)) ** 2)) * (0.28 + 9 * ripple)
    canvas.image[:, rows] = torch.lerp(image + ripple * 0.8, rgb(hour.sun), glitter.clamp(0, 1))


def path(canvas: Canvas, line: Line, top: float, x: float, colour: Colour, phase: float) -> None:
    """A path that winds from the front of the picture to the top of the ground."""

    def sdf(px: Tensor, y: Tensor) -> Tensor:
        t = ((y - top) / (1 - top)).clamp(0, 1.2)
        return ((px - x - 0.1 * torch.sin(4.5 * t.sqrt() + phase)).abs() - 0.012 - 0.08 * t * t) * 0.8

    way = Shape(sdf, (max(x - 0.3, 0), top - 0.02, min(x + 0.3, 1), 1.0))
    paint = downwards(mix(colour, (1.0, 1.0, 1.0), 0.15), colour, top, 1.0)
    canvas.paint(way, paint, alpha=0.85, clip=below(line, top - 0.05), soft=0.002)
