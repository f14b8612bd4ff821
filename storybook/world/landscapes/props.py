"""What stands in a landscape: trees of every season, a sailing boat, a cottage."""

import math

import torch

from storybook.world.canvas import Canvas
from storybook.world.landscapes.layout import Boat, Cottage, Tree
from storybook.world.landscapes.scenery import SNOW, Hour
from storybook.world.paints import gradient, hsv, mix
from storybook.world.shapes import Pose, Shape, blend, box, ellipse

LEAVES = {
    "spring": (0.95, 0.66, 0.74),
    "summer": (0.35, 0.6, 0.27),
    "autumn": (0.87, 0.47, 0.18),
    "winter": (0.87, 0.91, 0.96),
}


def _cone(apex: float, bottom: float, half: float) -> Shape:
    """An upright triangle in local coordinates, from its apex (0, apex) to a base of half width `half`."""
    h = bottom - apex
    n = math.hypot(h, half)
    return Shape(
        lambda u, v: torch.maximum((u.abs() * h - (v - apex) * half) / n, v - bottom), (-half, apex, half, bottom)
    )


def tree(canvas: Canvas, tree: Tree, season: str, hour: Hour, haze: float) -> None:
    """A tree in the light of an hour, seen through `haze` in [0, 1] of air."""
    k, winter = tree.height, season == "winter"
    pose = Pose((tree.x, tree.y), tree.lean, k)
    canvas.pool((tree.x + 0.08 * k, tree.y), 0.3 * k, 0.07 * k, hour.lit((0.1, 0.13, 0.2)), 0.45)
    trunk = pose.capsule((0, -0.03), (0, -0.5), 0.05, 0.03)
    canvas.solid(trunk, hour.lit((0.45, 0.32, 0.22), haze), rim_width=0.01)
    if tree.kind == "conifer":
        green = hour.lit((0.2, 0.42, 0.3) if season != "spring" else (0.28, 0.5, 0.32), haze)
        tip = hour.lit(SNOW, haze) if winter else mix(green, hour.lit((0.6, 0.75, 0.4)), 0.35)
        dark, light = (tip, green) if winter else (green, tip)
        dark = mix(dark, (0.05, 0.1, 0.15), 0.0 if winter else 0.25)
        for apex, bottom, half in ((-0.62, -0.1, 0.32), (-0.82, -0.36, 0.26), (-1.0, -0.62, 0.19)):
            tier = pose.place(_cone(apex, bottom, half))
            canvas.solid(tier, gradient(dark, light, pose(0.1, apex), pose(-0.05, bottom)), depth=0.25, rim=0.0)
        return
    left, right = pose.ellipse(-0.17, -0.52, 0.2, 0.19), pose.ellipse(0.17, -0.54, 0.21, 0.2)
    crown = blend(left, right, pose.ellipse(0, -0.74, 0.25, 0.26), k=0.08 * k)
    canvas.solid(crown, hour.lit(LEAVES[season], haze), depth=0.3, rim=0.1, rim_width=0.05 * k + 0.004)


def boat(canvas: Canvas, boat: Boat, hour: Hour) -> None:
    """A sailing boat on the water."""
    x, y, size, hue = boat.x, boat.y, boat.size, boat.hue
    pose = Pose((x, y), boat.heel, size)
    canvas.pool((x, y + 0.1 * size), 0.46 * size, 0.1 * size, hour.lit((0.08, 0.2, 0.32)), 0.55)
    canvas.paint(pose.capsule((0, 0), (0, -1.0), 0.02), hour.lit((0.4, 0.28, 0.2)))
    for points, tone in (
        ([(0.05, -0.97), (0.05, -0.22), (0.46, -0.22)], (0.98, 0.96, 0.9)),
        ([(-0.05, -0.82), (-0.05, -0.22), (-0.34, -0.22)], hsv(hue, 0.5, 0.92)),
    ):
        canvas.solid(pose.polygon(points, 0.01), hour.lit(tone), depth=0.12, rim=0.06, rim_width=0.02)
    deck = Shape(lambda u, v: -0.15 - v, (-1.0, -0.15, 1.0, 1.0))
    hull = pose.place(ellipse((0, -0.15), 0.46, 0.26) & deck)
    light, dark = hour.lit(hsv(hue, 0.6, 0.8)), hour.lit(hsv(hue, 0.65, 0.5))
    canvas.solid(hull, gradient(light, dark, pose(0, -0.15), pose(0, 0.1)))


def cottage(canvas: Canvas, cottage: Cottage, hour: Hour, *, night: bool, snow: bool) -> None:
    """A cottage with a lit window by night, and with snow on its roof."""
    x, y, s = cottage.x, cottage.y, cottage.size
    pose = Pose((x, y), 0.0, s)
    canvas.pool((x + 0.1 * s, y), 0.62 * s, 0.12 * s, hour.lit((0.1, 0.13, 0.2)), 0.45)
    canvas.paint(pose.box(0.26, -0.88, 0.13, 0.3), hour.lit((0.6, 0.4, 0.34)))
    canvas.solid(pose.box(0, -0.28, 0.84, 0.56), hour.lit((0.97, 0.91, 0.8)), depth=0.14, rim=0.0)
    roof = pose.polygon([(-0.52, -0.52), (0.52, -0.52), (0.3, -0.92), (-0.3, -0.92)], 0.02)
    canvas.shadow(roof, 0.2, (0.0, 0.06 * s), 0.004)
    canvas.solid(roof, hour.lit(SNOW if snow else hsv(cottage.hue, 0.55, 0.72)), depth=0.22, rim=0.1, rim_width=0.02)
    canvas.paint(pose.box(0.2, -0.17, 0.2, 0.34, 0.03), hour.lit((0.45, 0.3, 0.22)))
    window = box(pose(-0.18, -0.28), 0.24 * s, 0.22 * s, 0.01)
    canvas.paint(window, (1.0, 0.84, 0.45) if night else hour.lit((0.5, 0.66, 0.78)))
