"""What stands in a landscape: trees of every season, a sailing boat, a cottage."""

from __future__ import annotations

import math

import torch

from storybook.world.landscape_parts import SNOW, Hour
from storybook.world.paints import Colour, Paint, gradient, hsv, mix, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import Pose, Shape, blend, box, ellipse, polygon

LEAVES = {
    "spring": (0.95, 0.66, 0.74),
    "summer": (0.35, 0.6, 0.27),
    "autumn": (0.87, 0.47, 0.18),
    "winter": (0.87, 0.91, 0.96),
}


def cone(apex: float, bottom: float, half: float) -> Shape:
    """An upright triangle in local coordinates, from its apex (0, apex) to a base of half width `half`."""
    h = bottom - apex
    n = math.hypot(h, half)
    return Shape(
        lambda u, v: torch.maximum((u.abs() * h - (v - apex) * half) / n, v - bottom), (-half, apex, half, bottom)
    )


def tree(
    canvas: Canvas,
    kind: str,
    foot: tuple[float, float],
    height: float,
    lean: float,
    season: str,
    hour: Hour,
    haze: float,
) -> None:
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
            ends = gradient(
                mix(dark, (0.05, 0.1, 0.15), 0.0 if season == "winter" else 0.25),
                light,
                pose(0.1, apex),
                pose(-0.05, bottom),
            )
            canvas.paint(shape, shaded(ends, shape, depth=0.25, rim=0.0))
    else:
        crown = blend(
            pose.ellipse(-0.17, -0.52, 0.2, 0.19),
            pose.ellipse(0.17, -0.54, 0.21, 0.2),
            pose.ellipse(0, -0.74, 0.25, 0.26),
            k=0.08 * k,
        )
        canvas.paint(
            crown, shaded(hour.lit(LEAVES[season], haze), crown, depth=0.3, rim=0.1, rim_width=0.05 * k + 0.004)
        )


def boat(canvas: Canvas, at: tuple[float, float], size: float, heel: float, hue: float, hour: Hour) -> None:
    """A sailing boat whose water line is at `at`, `size` the height of its mast, heeled by `heel` radians."""
    pose = Pose(at, heel, size)
    canvas.pool((at[0], at[1] + 0.1 * size), 0.46 * size, 0.1 * size, hour.lit((0.08, 0.2, 0.32)), 0.55)
    canvas.paint(pose.capsule((0, 0), (0, -1.0), 0.02), hour.lit((0.4, 0.28, 0.2)))
    for points, tone in (
        (((0.05, -0.97), (0.05, -0.22), (0.46, -0.22)), (0.98, 0.96, 0.9)),
        (((-0.05, -0.82), (-0.05, -0.22), (-0.34, -0.22)), hsv(hue, 0.5, 0.92)),
    ):
        sail = polygon([pose(*p) for p in points], 0.01 * size)
        canvas.paint(sail, shaded(hour.lit(tone), sail, depth=0.12, rim=0.06, rim_width=0.02))
    deck = Shape(lambda u, v: -0.15 - v, (-1.0, -0.15, 1.0, 1.0))
    hull = pose.place(ellipse((0, -0.15), 0.46, 0.26) & deck)
    canvas.paint(
        hull,
        shaded(
            gradient(hour.lit(hsv(hue, 0.6, 0.8)), hour.lit(hsv(hue, 0.65, 0.5)), pose(0, -0.15), pose(0, 0.1)), hull
        ),
    )


def cottage(canvas: Canvas, x: float, y: float, size: float, hue: float, hour: Hour, night: bool, snow: bool) -> None:
    """A cottage `size` wide whose door step is at (x, y)."""
    s = size
    canvas.pool((x + 0.1 * s, y), 0.62 * s, 0.12 * s, hour.lit((0.1, 0.13, 0.2)), 0.45)
    canvas.paint(box((x + 0.26 * s, y - 0.88 * s), 0.13 * s, 0.3 * s), hour.lit((0.6, 0.4, 0.34)))
    wall = box((x, y - 0.28 * s), 0.84 * s, 0.56 * s)
    canvas.paint(wall, shaded(hour.lit((0.97, 0.91, 0.8)), wall, depth=0.14, rim=0.0))
    roof_paint: Paint | Colour = hour.lit(SNOW if snow else hsv(hue, 0.55, 0.72))
    roof = polygon(
        [
            (x - 0.52 * s, y - 0.52 * s),
            (x + 0.52 * s, y - 0.52 * s),
            (x + 0.3 * s, y - 0.92 * s),
            (x - 0.3 * s, y - 0.92 * s),
        ],
        0.02 * s,
    )
    canvas.shadow(roof, 0.2, (0.0, 0.06 * s), 0.004)
    canvas.paint(roof, shaded(roof_paint, roof, depth=0.22, rim=0.1, rim_width=0.02))
    canvas.paint(box((x + 0.2 * s, y - 0.17 * s), 0.2 * s, 0.34 * s, 0.03 * s), hour.lit((0.45, 0.3, 0.22)))
    canvas.paint(
        box((x - 0.18 * s, y - 0.28 * s), 0.24 * s, 0.22 * s, 0.01),
        (1.0, 0.84, 0.45) if night else hour.lit((0.5, 0.66, 0.78)),
    )
