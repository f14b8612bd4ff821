"""What landscapes are painted with: the light of an hour, skies, mountains, hills, water, trees, a boat, a cottage."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gooddrag.storybook.render import (Canvas, Colour, Paint, Pose, Shape, below, blend, box, ellipse, gradient, hsv,
                                       mix, polygon, rgb, shaded)  # fmt: skip

SNOW = (0.95, 0.97, 1.0)


@dataclass(frozen=True)
class Hour:
    """The colours of an hour: sky at the zenith, half way and at the horizon, sun or moon, clouds; what it tints."""

    top: Colour
    middle: Colour
    low: Colour
    sun: Colour
    cloud: Colour
    tint: Colour

    def lit(self, colour: Colour, haze: float = 0.0) -> Colour:
        """A colour in this light, seen through `haze` in [0, 1] of air."""
        return mix(tuple(c * t for c, t in zip(colour, self.tint, strict=True)), mix(self.low, self.middle, 0.35), haze)


HOURS = {
    "dawn": Hour((0.5, 0.62, 0.85), (0.82, 0.76, 0.86), (1.0, 0.83, 0.7), (1.0, 0.93, 0.72), (1.0, 0.9, 0.88), (1.0, 0.9, 0.88)),
    "noon": Hour((0.33, 0.62, 0.91), (0.56, 0.78, 0.95), (0.88, 0.95, 0.97), (1.0, 0.9, 0.42), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "dusk": Hour((0.33, 0.31, 0.58), (0.82, 0.48, 0.55), (1.0, 0.74, 0.46), (1.0, 0.78, 0.36), (0.98, 0.72, 0.66), (0.86, 0.66, 0.66)),
    "night": Hour((0.07, 0.1, 0.25), (0.14, 0.2, 0.4), (0.3, 0.4, 0.6), (0.97, 0.95, 0.84), (0.42, 0.5, 0.7), (0.36, 0.43, 0.62)),
}  # fmt: skip
GRASS = {"spring": (0.56, 0.76, 0.36), "summer": (0.4, 0.66, 0.31), "autumn": (0.79, 0.64, 0.31), "winter": SNOW}
LEAVES = {"spring": (0.95, 0.66, 0.74), "summer": (0.35, 0.6, 0.27), "autumn": (0.87, 0.47, 0.18), "winter": (0.87, 0.91, 0.96)}


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


def sun(canvas: Canvas, x: float, y: float, r: float, hour: Hour, moon: bool) -> None:
    canvas.glow((x, y), 2.0 * r, mix(hour.sun, (1.0, 1.0, 1.0), 0.3), 0.35 if moon else 0.6)
    disc = ellipse((x, y), r)
    canvas.paint(disc, mix(hour.sun, (1.0, 1.0, 0.95), 0.15), soft=0.001)
    if moon:
        for dx, dy, k in ((-0.3, -0.25, 0.24), (0.3, 0.1, 0.3), (-0.15, 0.45, 0.18)):
            canvas.paint(ellipse((x + dx * r, y + dy * r), k * r), (0.8, 0.79, 0.74), alpha=0.6, soft=0.002)


def cloud(canvas: Canvas, x: float, y: float, size: float, hour: Hour) -> None:
    """A puff of half width `size` about (x, y), flat below."""
    s = size
    if s < 0.01:
        return
    puff = blend(ellipse((x - 0.5 * s, y + 0.08 * s), 0.5 * s, 0.26 * s), ellipse((x - 0.08 * s, y - 0.14 * s), 0.46 * s, 0.42 * s),
                 ellipse((x + 0.5 * s, y + 0.06 * s), 0.5 * s, 0.3 * s), k=0.12 * s)  # fmt: skip
    shade = mix(hour.cloud, hour.top, 0.3)
    canvas.paint(puff, gradient(hour.cloud, shade, (x - 0.1 * s, y - 0.4 * s), (x + 0.1 * s, y + 0.45 * s)), alpha=0.95,
                 soft=0.003)  # fmt: skip


def flank(t: Tensor | float) -> Tensor | float:
    """Height of a mountain at a distance t (its half widths) from the summit, in its heights: 1 to 0, hollow flanks."""
    return 1 - 1.25 * t + 0.25 * t * t


def mountain(canvas: Canvas, x: float, height: float, width: float, base: float, phase: float, hour: Hour, rock: Colour,
             snow: float) -> None:  # fmt: skip
    """A peak with its summit at (x, base - height), lit from the left, with snow down to `snow` of its height."""
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


def wave(rng: random.Random, top: float, swing: float, freq: float = 4.0) -> Callable[[Tensor], Tensor]:
    """A rolling line: height as a function of x."""
    p, f = rng.uniform(0, math.tau), rng.uniform(0.8, 1.2) * freq
    return lambda x: top + swing * torch.sin(x * f + p) + 0.3 * swing * torch.sin(x * f * 2.3 + 2 * p)


def hill(canvas: Canvas, line: Callable[[Tensor], Tensor], top: float, near: Colour, far: Colour, to: float = 1.0) -> None:
    canvas.paint(below(line, top - 0.05), gradient(far, near, (0.5, top), (0.5, to)))


def water(canvas: Canvas, horizon: float, shore: float, hour: Hour, sun_x: float) -> None:
    """Water below the horizon: a dimmed, stretched mirror image of what is above it, ripples, a glitter below the sun."""
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


def path(canvas: Canvas, line: Callable[[Tensor], Tensor], top: float, x: float, colour: Colour, phase: float) -> None:
    """A path that winds from the front of the picture to the top of the ground."""

    def sdf(px: Tensor, y: Tensor) -> Tensor:
        t = ((y - top) / (1 - top)).clamp(0, 1.2)
        return ((px - x - 0.1 * torch.sin(4.5 * t.sqrt() + phase)).abs() - 0.012 - 0.08 * t * t) * 0.8

    canvas.paint(Shape(sdf, (max(x - 0.3, 0), top - 0.02, min(x + 0.3, 1), 1.0)), gradient(
        mix(colour, (1.0, 1.0, 1.0), 0.15), colour, (x, top), (x, 1.0)), alpha=0.85, clip=below(line, top - 0.05), soft=0.002)  # fmt: skip


def cone(apex: float, bottom: float, half: float) -> Shape:
    """An upright triangle in local coordinates, from its apex (0, apex) to a base of half width `half`."""
    h = bottom - apex
    n = math.hypot(h, half)
    return Shape(lambda u, v: torch.maximum((u.abs() * h - (v - apex) * half) / n, v - bottom), (-half, apex, half, bottom))


def tree(canvas: Canvas, kind: str, foot: tuple[float, float], height: float, lean: float, season: str, hour: Hour,
         haze: float) -> None:  # fmt: skip
    """A tree of that height on its foot, leaning by `lean` radians."""
    pose, k = Pose(foot, lean, height), height
    canvas.pool((foot[0] + 0.08 * k, foot[1]), 0.3 * k, 0.07 * k, hour.lit((0.1, 0.13, 0.2)), 0.45)
    trunk = pose.capsule((0, -0.03), (0, -0.5), 0.05, 0.03)
    canvas.paint(trunk, shaded(hour.lit((0.45, 0.32, 0.22), haze), trunk, rim_width=0.01))
    if kind == "conifer":
        green = hour.lit((0.2, 0.42, 0.3) if season != "spring" else (0.28, 0.5, 0.32), haze)
        tip = hour.lit(SNOW, haze) if season == "winter" else mix(green, hour.lit((0.6, 0.75, 0.4)), 0.35)
        for apex, bottom, half in ((-0.62, -0.1, 0.32), (-0.82, -0.36, 0.26), (-1.0, -0.62, 0.19)):
            shape = pose.place(cone(apex, bottom, half))
            dark, light = (green, tip) if season != "winter" else (tip, green)
            ends = gradient(mix(dark, (0.05, 0.1, 0.15), 0.0 if season == "winter" else 0.25), light, pose(0.1, apex), pose(-0.05, bottom))
            canvas.paint(shape, shaded(ends, shape, depth=0.25, rim=0.0))
    else:
        crown = blend(pose.ellipse(-0.17, -0.52, 0.2, 0.19), pose.ellipse(0.17, -0.54, 0.21, 0.2), pose.ellipse(0, -0.74, 0.25, 0.26),
                      k=0.08 * k)  # fmt: skip
        canvas.paint(crown, shaded(hour.lit(LEAVES[season], haze), crown, depth=0.3, rim=0.1, rim_width=0.05 * k + 0.004))


def boat(canvas: Canvas, at: tuple[float, float], size: float, heel: float, hue: float, hour: Hour) -> None:
    """A sailing boat whose water line is at `at`, `size` the height of its mast, heeled by `heel` radians."""
    pose = Pose(at, heel, size)
    canvas.pool((at[0], at[1] + 0.1 * size), 0.46 * size, 0.1 * size, hour.lit((0.08, 0.2, 0.32)), 0.55)
    canvas.paint(pose.capsule((0, 0), (0, -1.0), 0.02), hour.lit((0.4, 0.28, 0.2)))
    for points, tone in ((((0.05, -0.97), (0.05, -0.22), (0.46, -0.22)), (0.98, 0.96, 0.9)), (((-0.05, -0.82), (-0.05, -0.22), (-0.34, -0.22)), hsv(hue, 0.5, 0.92))):
        sail = polygon([pose(*p) for p in points], 0.01 * size)
        canvas.paint(sail, shaded(hour.lit(tone), sail, depth=0.12, rim=0.06, rim_width=0.02))
    deck = Shape(lambda u, v: -0.15 - v, (-1.0, -0.15, 1.0, 1.0))
    hull = pose.place(ellipse((0, -0.15), 0.46, 0.26) & deck)
    canvas.paint(hull, shaded(gradient(hour.lit(hsv(hue, 0.6, 0.8)), hour.lit(hsv(hue, 0.65, 0.5)), pose(0, -0.15), pose(0, 0.1)), hull))


def cottage(canvas: Canvas, x: float, y: float, size: float, hue: float, hour: Hour, night: bool, snow: bool) -> None:
    """A cottage `size` wide whose door step is at (x, y)."""
    s = size
    canvas.pool((x + 0.1 * s, y), 0.62 * s, 0.12 * s, hour.lit((0.1, 0.13, 0.2)), 0.45)
    canvas.paint(box((x + 0.26 * s, y - 0.88 * s), 0.13 * s, 0.3 * s), hour.lit((0.6, 0.4, 0.34)))
    wall = box((x, y - 0.28 * s), 0.84 * s, 0.56 * s)
    canvas.paint(wall, shaded(hour.lit((0.97, 0.91, 0.8)), wall, depth=0.14, rim=0.0))
    roof_paint: Paint | Colour = hour.lit(SNOW if snow else hsv(hue, 0.55, 0.72))
    roof = polygon([(x - 0.52 * s, y - 0.52 * s), (x + 0.52 * s, y - 0.52 * s), (x + 0.3 * s, y - 0.92 * s), (x - 0.3 * s, y - 0.92 * s)], 0.02 * s)
    canvas.shadow(roof, 0.2, (0.0, 0.06 * s), 0.004)
    canvas.paint(roof, shaded(roof_paint, roof, depth=0.22, rim=0.1, rim_width=0.02))
    canvas.paint(box((x + 0.2 * s, y - 0.17 * s), 0.2 * s, 0.34 * s, 0.03 * s), hour.lit((0.45, 0.3, 0.22)))
    canvas.paint(box((x - 0.18 * s, y - 0.28 * s), 0.24 * s, 0.22 * s, 0.01), (1.0, 0.84, 0.45) if night else hour.lit((0.5, 0.66, 0.78)))
