"""Things that stand: a mug, an alarm clock, a little house. Lengths in picture sides, angles in radians."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from storybook.world.backdrops import Backdrop
from storybook.world.paints import gradient, hsv, mix, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import Point, Pose, box, ellipse, polygon, polyline
from storybook.world.toys import CREAM, GLASS, IRON, WHITE, cylinder, toy, toy_hue


@dataclass(frozen=True)
class Mug:
    """A mug. (x, y): where it stands; width: half its width; height; handle: how far the handle reaches out, in half
    widths; band: a painted band's height, 0 to 1; steam: 0 (cold) to 1."""

    x: float
    y: float
    width: float
    height: float
    handle: float
    band: float
    steam: float
    hue: float

    @classmethod
    def sample(cls, rng: random.Random) -> Mug:
        return cls(
            rng.uniform(0.38, 0.56),
            rng.uniform(0.82, 0.92),
            rng.uniform(0.13, 0.19),
            rng.uniform(0.26, 0.48),
            rng.uniform(0.5, 1.1),
            rng.uniform(0.25, 0.75),
            rng.choice((0.0, rng.uniform(0.5, 1.0))),
            toy_hue(rng),
        )

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        x, w, h, top, tone = self.x, self.width, self.height, self.y - self.height, mix(toy(self.hue), WHITE, 0.12)
        canvas.pool((x + 0.04, self.y), 1.35 * w, 0.04, backdrop.ground(tone))
        reach = self.handle * w
        ring = ellipse((x + w, self.y - 0.52 * h), reach, 0.3 * h) - ellipse(
            (x + w, self.y - 0.52 * h), reach - 0.05, 0.3 * h - 0.05
        )
        canvas.paint(ring, shaded(mix(tone, (0.1, 0.05, 0.15), 0.12), ring, depth=0.2, rim=0.2, rim_width=0.012))
        body = box((x, self.y - 0.5 * h), 2 * w, h, 0.025) | ellipse((x, self.y - 0.02), w, 0.035)
        canvas.paint(body, cylinder(tone, x, w))
        canvas.paint(
            box((x, top + (1 - self.band) * h), 2 * w, 0.16 * h), cylinder(mix(CREAM, tone, 0.1), x, w), clip=body
        )
        canvas.paint(ellipse((x, top), w, 0.042), mix(tone, WHITE, 0.4))
        canvas.paint(ellipse((x, top), w - 0.016, 0.031), mix(tone, (0.1, 0.05, 0.1), 0.45))
        canvas.paint(ellipse((x, top + 0.008), w - 0.026, 0.024), (0.36, 0.2, 0.12))
        if self.steam > 0:
            for dx, phase in ((-0.35, 0.0), (0.3, 2.0)):
                line = [
                    (x + dx * w + 0.02 * math.sin(1.3 * i + phase), top - 0.03 - 0.04 * i * self.steam)
                    for i in range(5)
                ]
                canvas.paint(polyline(line, 0.014, 0.005), WHITE, alpha=0.45, soft=0.006)

    def anchors(self) -> dict[str, Point]:
        return {
            "mug": (self.x, self.y - 0.4 * self.height),
            "rim": (self.x, self.y - self.height),
            "handle": (self.x + self.width + self.handle * self.width - 0.025, self.y - 0.52 * self.height),
        }


@dataclass(frozen=True)
class Clock:
    """An alarm clock. (x, y): centre of the dial; size: its radius; hour, minute: the hands' angles from twelve;
    ring: how far the bells stand out, 0 to 1."""

    x: float
    y: float
    size: float
    hour: float
    minute: float
    ring: float
    hue: float

    @classmethod
    def sample(cls, rng: random.Random) -> Clock:
        size = rng.uniform(0.21, 0.29)
        return cls(
            rng.uniform(0.42, 0.58),
            rng.uniform(0.52, 0.6),
            size,
            rng.uniform(0, math.tau),
            rng.uniform(0, math.tau),
            rng.uniform(0.0, 1.0),
            toy_hue(rng),
        )

    def bell(self, side: int) -> Pose:
        return Pose((self.x, self.y), side * 0.62, self.size)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, tone = Pose((self.x, self.y), 0.0, self.size), toy(self.hue)
        canvas.pool((self.x + 0.03, self.y + 1.2 * self.size), 1.05 * self.size, 0.04, backdrop.ground(tone))
        for side in (-1, 1):
            leg = pose.capsule((side * 0.55, 0.75), (side * 0.8, 1.18), 0.09, 0.06)
            canvas.paint(leg, shaded(mix(tone, (0.1, 0.05, 0.1), 0.35), leg))
            out = self.bell(side)
            far = 1.12 + 0.32 * self.ring
            canvas.paint(out.capsule((0, -0.9), (0, -far), 0.05), IRON)
            dome = out.ellipse(0, -far, 0.36, 0.24)
            canvas.paint(dome, shaded((0.93, 0.76, 0.4), dome, depth=0.35, rim=0.25, rim_width=0.015))
        case = pose.ellipse(0, 0, 1.1)
        canvas.shadow(case, 0.25, (0.015, 0.025), 0.015)
        canvas.paint(case, shaded(tone, case, depth=0.28, rim=0.15))
        dial = pose.ellipse(0, 0, 0.88)
        canvas.paint(dial, shaded((0.99, 0.97, 0.91), dial, depth=-0.05, rim=0.22, rim_width=0.02))
        for i in range(12):
            a, r = i * math.tau / 12, 0.045 if i % 3 else 0.08
            canvas.paint(pose.ellipse(0.72 * math.sin(a), -0.72 * math.cos(a), r), mix(tone, (0.1, 0.1, 0.15), 0.45))
        for a, long, wide in ((self.hour, 0.42, 0.06), (self.minute, 0.66, 0.045)):
            hand = pose.capsule((0, 0), (long * math.sin(a), -long * math.cos(a)), wide, 0.7 * wide)
            canvas.shadow(hand, 0.25, (0.006, 0.01), 0.004)
            canvas.paint(hand, (0.18, 0.17, 0.22))
        canvas.paint(pose.ellipse(0, 0, 0.1), hsv(self.hue + 0.5, 0.6, 0.8))

    def anchors(self) -> dict[str, Point]:
        pose = Pose((self.x, self.y), 0.0, self.size)
        found = {
            "dial": (self.x, self.y),
            "left_bell": self.bell(-1)(0, -1.12 - 0.32 * self.ring),
            "right_bell": self.bell(1)(0, -1.12 - 0.32 * self.ring),
            "left_rim": pose(-1.0, 0),
            "right_rim": pose(1.0, 0),
        }
        for name, a, long in (("hour_hand", self.hour, 0.4), ("minute_hand", self.minute, 0.64)):
            found[name] = pose(long * math.sin(a), -long * math.cos(a))
        return found


@dataclass(frozen=True)
class House:
    """A little house seen from the front. (x, y): its door step; size: width of the wall; roof: height of the gable
    and chimney: of the chimney, relative to the width; door: how far it is to the right, -1 to 1."""

    x: float
    y: float
    size: float
    hue: float
    roof: float
    chimney: float
    door: float

    @classmethod
    def sample(cls, rng: random.Random) -> House:
        return cls(
            rng.uniform(0.38, 0.62),
            rng.uniform(0.82, 0.92),
            rng.uniform(0.38, 0.5),
            rng.choice((0.0, 0.03, 0.06, 0.56, 0.42)),
            rng.uniform(0.3, 0.72),
            rng.uniform(0.12, 0.5),
            rng.choice((-0.9, 0.9)) * rng.uniform(0.5, 1.0),
        )

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, s = Pose((self.x, self.y), 0.0, self.size), self.size
        canvas.pool(pose(0.06, 0), 0.62 * s, 0.08 * s, strength=0.45)
        brick, tile = (0.7, 0.44, 0.36), toy(self.hue, 0.72)
        chimney = pose.box(0.27, -0.55 - 0.4 * self.roof - 0.5 * self.chimney, 0.15, self.chimney + 0.2)
        canvas.paint(chimney, shaded(brick, chimney, depth=0.3))
        canvas.paint(pose.box(0.27, -0.65 - 0.4 * self.roof - self.chimney, 0.21, 0.06, 0.01), mix(brick, WHITE, 0.35))
        wall = pose.box(0, -0.3, 0.92, 0.6)
        canvas.paint(wall, shaded(gradient(CREAM, (0.9, 0.8, 0.68), pose(-0.4, -0.5), pose(0.4, 0.0)), wall, rim=0.0))
        gable = polygon([pose(-0.6, -0.56), pose(0.6, -0.56), pose(0, -0.58 - self.roof)], 0.025 * s)
        canvas.shadow(gable, 0.28, (0.004, 0.02), 0.006)
        canvas.paint(
            gable,
            shaded(
                gradient(
                    mix(tile, WHITE, 0.14), mix(tile, (0.1, 0.05, 0.15), 0.22), pose(-0.4, -0.8), pose(0.45, -0.6)
                ),
                gable,
                rim=0.14,
                rim_width=0.02,
            ),
        )
        canvas.paint(pose.ellipse(0, -0.6 - 0.34 * self.roof, 0.085), mix(GLASS, WHITE, 0.2))
        for side in (-1, 1):
            if side * self.door > 0:
                door = pose.box(0.24 * self.door, -0.19, 0.22, 0.38, 0.05)
                canvas.paint(door, shaded(toy(self.hue + 0.45, 0.6), door, rim=0.16, rim_width=0.012))
                canvas.paint(pose.ellipse(0.24 * self.door + 0.065, -0.18, 0.02), (0.95, 0.8, 0.4))
            else:
                canvas.paint(pose.box(side * 0.22, -0.32, 0.28, 0.26, 0.02), WHITE)
                for dx in (-0.062, 0.062):
                    canvas.paint(
                        pose.box(side * 0.22 + dx, -0.32, 0.1, 0.2),
                        gradient(
                            mix(GLASS, WHITE, 0.4), mix(GLASS, (0.2, 0.35, 0.5), 0.3), pose(0, -0.4), pose(0, -0.2)
                        ),
                    )

    def anchors(self) -> dict[str, Point]:
        pose = Pose((self.x, self.y), 0.0, self.size)
        return {
            "gable": pose(0, -0.57 - self.roof),
            "chimney": pose(0.27, -0.63 - 0.4 * self.roof - self.chimney),
            "door": pose(0.24 * self.door, -0.2),
            "wall": pose(0, -0.45),
        }
