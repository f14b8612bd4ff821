"""Things that travel: a car, a toy sailing boat, a hot-air balloon. Lengths in picture sides, angles in radians."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch

from storybook.world.backdrops import Backdrop
from storybook.world.paints import gradient, mix, rgb, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import Point, Pose, Shape, below, box, capsule, ellipse, polygon
from storybook.world.toys import CREAM, GLASS, IRON, WHITE, toy, toy_hue


@dataclass(frozen=True)
class Car:
    """A little car seen from its right side, on a road. (x, y): where it stands; size: its length; cabin: height of the
    roof above the body, relative to the size; wheels: how far each is from the middle, relative to the size."""

    x: float
    y: float
    size: float
    hue: float
    cabin: float
    wheels: float

    @classmethod
    def sample(cls, rng: random.Random) -> Car:
        return cls(
            rng.uniform(0.36, 0.64),
            rng.uniform(0.78, 0.88),
            rng.uniform(0.5, 0.68),
            toy_hue(rng),
            rng.uniform(0.14, 0.34),
            rng.uniform(0.22, 0.34),
        )

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        s, pose = self.size, Pose((self.x, self.y), 0.0, self.size)
        canvas.paint(
            box((0.5, self.y + 0.02), 1.4, 0.13),
            gradient((0.6, 0.59, 0.61), (0.48, 0.47, 0.5), (0, self.y - 0.05), (0, self.y + 0.09)),
        )
        canvas.pool(pose(0.03, 0.01), 0.56 * s, 0.06 * s)
        paint, roof = toy(self.hue), -0.28 - self.cabin
        cabin = polygon([pose(-0.34, -0.26), pose(-0.21, roof), pose(0.13, roof), pose(0.29, -0.26)], 0.03 * s)
        canvas.paint(cabin, shaded(paint, cabin, depth=0.2, rim=0.1))
        for a, b, c, d in (
            ((-0.27, -0.29), (-0.17, roof + 0.04), (-0.05, roof + 0.04), (-0.05, -0.29)),
            ((0.0, -0.29), (0.0, roof + 0.04), (0.1, roof + 0.04), (0.21, -0.29)),
        ):
            pane = polygon([pose(*a), pose(*b), pose(*c), pose(*d)], 0.008 * s)
            canvas.paint(
                pane,
                gradient(
                    mix(GLASS, WHITE, 0.5), mix(GLASS, (0.2, 0.35, 0.5), 0.35), pose(-0.1, roof), pose(0.1, -0.28)
                ),
            )
        body = pose.box(0, -0.19, 1.0, 0.21, 0.085)
        shade = gradient(
            mix(paint, WHITE, 0.16), mix(paint, (0.1, 0.05, 0.15), 0.3), pose(-0.05, -0.3), pose(0.05, -0.08)
        )
        canvas.paint(body, shaded(shade, body, depth=0.08, rim=0.08, rim_width=0.015))
        canvas.paint(pose.capsule((-0.44, -0.185), (0.42, -0.185), 0.01), mix(paint, WHITE, 0.45))
        canvas.paint(pose.ellipse(0.455, -0.22, 0.035, 0.045), (1.0, 0.93, 0.66))
        canvas.paint(pose.ellipse(-0.47, -0.22, 0.025, 0.04), (0.8, 0.2, 0.18))
        for side in (-1, 1):
            canvas.paint(pose.ellipse(side * self.wheels, -0.1, 0.125), mix(paint, (0.05, 0.05, 0.1), 0.55), clip=body)
            tyre = pose.ellipse(side * self.wheels, -0.085, 0.105)
            canvas.paint(tyre, shaded(IRON, tyre, depth=0.3))
            hub = pose.ellipse(side * self.wheels, -0.085, 0.055)
            canvas.paint(hub, shaded((0.85, 0.86, 0.88), hub, rim=0.2, rim_width=0.008))

    def anchors(self) -> dict[str, Point]:
        pose = Pose((self.x, self.y), 0.0, self.size)
        return {
            "roof": pose(-0.04, -0.28 - self.cabin),
            "left_wheel": pose(-self.wheels, -0.085),
            "door": pose(0, -0.19),
            "right_wheel": pose(self.wheels, -0.085),
        }


@dataclass(frozen=True)
class Ship:
    """A toy sailing boat on the water. (x, y): its water line; size: height of the mast; heel: lean, radians;
    sail: how high the sail is hoisted, 0 to 1."""

    x: float
    y: float
    size: float
    hue: float
    heel: float
    sail: float

    @classmethod
    def sample(cls, rng: random.Random) -> Ship:
        return cls(
            rng.uniform(0.36, 0.64),
            rng.uniform(0.74, 0.84),
            rng.uniform(0.42, 0.56),
            toy_hue(rng),
            rng.uniform(-0.3, 0.3),
            rng.choice((1.0, rng.uniform(0.35, 1.0))),
        )

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, s, top = Pose((self.x, self.y), self.heel, self.size), self.size, backdrop.horizon - 0.04
        line = lambda x: top + 0.003 * torch.sin(x * 30)  # noqa: E731
        tint = 0.45 + 0.55 * backdrop.light
        near, far = (tuple(c * tint for c in colour) for colour in ((0.16, 0.42, 0.6), (0.52, 0.78, 0.86)))
        canvas.paint(below(line, top), gradient(far, near, (0.5, top), (0.5, 1.0)))
        for dy, w, dx in ((0.07, 0.24, 0.16), (0.12, 0.3, -0.14), (0.17, 0.2, 0.1)):
            canvas.paint(box((self.x + dx, self.y + dy), w, 0.008, 0.004), mix(far, WHITE, 0.3), alpha=0.5, soft=0.003)
        canvas.pool((self.x + 0.02, self.y + 0.08 * s), 0.55 * s, 0.09 * s, (0.04, 0.16, 0.28))
        canvas.paint(pose.capsule((0, 0), (0, -1.0), 0.018), (0.5, 0.35, 0.24))
        flag = polygon([pose(0, -1.02), pose(0, -0.93), pose(-0.13, -0.97)], 0.004)
        canvas.paint(flag, toy(self.hue + 0.5))
        head = -0.24 - 0.68 * self.sail
        for points, tone in (
            (((0.05, head), (0.05, -0.2), (0.46, -0.2)), CREAM),
            (((-0.05, 0.88 * head), (-0.05, -0.2), (-0.36, -0.2)), toy(self.hue, 0.92)),
        ):
            sail = polygon([pose(*p) for p in points], 0.014 * s)
            canvas.paint(sail, shaded(tone, sail, depth=0.14, rim=0.08, rim_width=0.02))
        deck = Shape(lambda u, v: -0.13 - v, (-1.0, -0.13, 1.0, 1.0))
        hull = pose.place(ellipse((0, -0.13), 0.48, 0.24) & deck)
        canvas.paint(hull, shaded(gradient(toy(self.hue), toy(self.hue, 0.5), pose(0, -0.13), pose(0, 0.1)), hull))
        canvas.paint(pose.capsule((-0.46, -0.12), (0.46, -0.12), 0.022), mix(toy(self.hue), WHITE, 0.55))

    def anchors(self) -> dict[str, Point]:
        pose = Pose((self.x, self.y), self.heel, self.size)
        return {
            "hull": pose(0, -0.04),
            "mast": pose(0, -0.97),
            "sail": pose(0.07, -0.24 - 0.66 * self.sail),
            "bow": pose(0.42, -0.11),
        }


@dataclass(frozen=True)
class Balloon:
    """A hot-air balloon. (x, y): centre of the envelope; size: its radius; rope: length of the ropes, in radii;
    swing: of the basket, radians."""

    x: float
    y: float
    size: float
    hue: float
    rope: float
    swing: float

    @classmethod
    def sample(cls, rng: random.Random) -> Balloon:
        size = rng.uniform(0.15, 0.23)
        return cls(
            rng.uniform(0.3, 0.7),
            rng.uniform(size + 0.06, 0.42),
            size,
            toy_hue(rng),
            rng.uniform(0.5, 1.1),
            rng.uniform(-0.5, 0.5),
        )

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, hang, tone = Pose((self.x, self.y), 0.0, self.size), self._hang(), toy(self.hue, 0.9)
        canvas.pool((self.x + 0.05, 0.92), 0.85 * self.size, 0.035, strength=0.3)
        for side in (-1, 1):
            canvas.paint(capsule(pose(side * 0.3, 1.05), hang(side * 0.17, -0.1), 0.006), (0.35, 0.26, 0.2))
        basket = hang.box(0, 0.08, 0.42, 0.34, 0.06)
        canvas.paint(basket, shaded((0.72, 0.5, 0.3), basket, depth=0.25, rim=0.15))
        canvas.paint(hang.box(0, -0.08, 0.48, 0.08, 0.04), (0.5, 0.33, 0.2))
        cone = polygon([pose(-0.694, 0.72), pose(0.694, 0.72), pose(0.3, 1.1), pose(-0.3, 1.1)])  # tangent to the ball
        envelope = pose.ellipse(0, 0, 1.0) | cone

        def stripes(x, y, d):  # gores: meridians of a ball, pinched below
            u, v = pose.local(x, y)
            t = u / ((1 - v * v).clamp_min(0.05).sqrt() * (v < 0.72) + (v >= 0.72) * (1.44 - 1.037 * v)).clamp_min(0.2)
            band = torch.sigmoid(torch.sin(t.clamp(-1, 1).asin() * 4.0 + 0.4) * 12)
            return torch.lerp(rgb(tone), rgb(CREAM), band) * (1.0 - 0.28 * (u * 0.8 + 0.35 * v + 0.1).clamp(-0.4, 1))

        canvas.paint(envelope, stripes)

    def _hang(self) -> Pose:
        a, r = self.swing, self.rope * self.size
        return Pose((self.x - math.sin(a) * r, self.y + 1.1 * self.size + math.cos(a) * r), a, self.size)

    def anchors(self) -> dict[str, Point]:
        s = self.size
        return {
            "envelope": (self.x, self.y),
            "crown": (self.x, self.y - 0.95 * s),
            "basket": self._hang()(0, 0.08),
            "left_side": (self.x - 0.95 * s, self.y),
            "right_side": (self.x + 0.95 * s, self.y),
        }
