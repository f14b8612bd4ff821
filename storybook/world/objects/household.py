"""Things that stand: a mug, an alarm clock, a little house."""

import math
from dataclasses import dataclass

from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.objects.item import CREAM, GLASS, IRON, WHITE, Item, toy, toy_hue
from storybook.world.paints import cylinder, gradient, hsv, mix
from storybook.world.scene import drawn, number
from storybook.world.shapes import Point, Pose, box, ellipse, polyline


@dataclass(frozen=True)
class Mug(Item):
    """A mug."""

    x: float = number(0.38, 0.56)  # where it stands
    y: float = number(0.82, 0.92)
    width: float = number(0.13, 0.19)  # half its width
    height: float = number(0.26, 0.48)
    handle: float = number(0.5, 1.1)  # how far the handle reaches out, in half widths
    band: float = number(0.25, 0.75)  # height of a painted band, 0 to 1
    steam: float = drawn(lambda rng, made: rng.choice((0.0, rng.uniform(0.5, 1.0))))  # 0: cold
    hue: float = toy_hue()

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        x, w, h, top, tone = self.x, self.width, self.height, self.y - self.height, mix(toy(self.hue), WHITE, 0.12)
        canvas.pool((x + 0.04, self.y), 1.35 * w, 0.04, backdrop.ground(tone))
        reach, root = self.handle * w, (x + w, self.y - 0.52 * h)
        ring = ellipse(root, reach, 0.3 * h) - ellipse(root, reach - 0.05, 0.3 * h - 0.05)
        canvas.solid(ring, mix(tone, (0.1, 0.05, 0.15), 0.12), depth=0.2, rim=0.2, rim_width=0.012)
        body = box((x, self.y - 0.5 * h), 2 * w, h, 0.025) | ellipse((x, self.y - 0.02), w, 0.035)
        canvas.paint(body, cylinder(tone, x, w))
        band = box((x, top + (1 - self.band) * h), 2 * w, 0.16 * h)
        canvas.paint(band, cylinder(mix(CREAM, tone, 0.1), x, w), clip=body)
        canvas.paint(ellipse((x, top), w, 0.042), mix(tone, WHITE, 0.4))
        canvas.paint(ellipse((x, top), w - 0.016, 0.031), mix(tone, (0.1, 0.05, 0.1), 0.45))
        canvas.paint(ellipse((x, top + 0.008), w - 0.026, 0.024), (0.36, 0.2, 0.12))
        for dx, phase in ((-0.35, 0.0), (0.3, 2.0)) if self.steam > 0 else ():
            xs = [x + dx * w + 0.02 * math.sin(1.3 * i + phase) for i in range(5)]
            line = [(each, top - 0.03 - 0.04 * i * self.steam) for i, each in enumerate(xs)]
            canvas.paint(polyline(line, 0.014, 0.005), WHITE, alpha=0.45, soft=0.006)

    def anchors(self) -> dict[str, Point]:
        return {
            "mug": (self.x, self.y - 0.4 * self.height),
            "rim": (self.x, self.y - self.height),
            "handle": (self.x + self.width + self.handle * self.width - 0.025, self.y - 0.52 * self.height),
        }


@dataclass(frozen=True)
class Clock(Item):
    """An alarm clock."""

    size: float = number(0.21, 0.29)  # radius of the dial
    x: float = number(0.42, 0.58)  # its centre
    y: float = number(0.52, 0.6)
    hour: float = number(0, math.tau)  # angles of the hands from twelve
    minute: float = number(0, math.tau)
    ring: float = number(0.0, 1.0)  # how far the bells stand out
    hue: float = toy_hue()

    @property
    def pose(self) -> Pose:
        return Pose((self.x, self.y), 0.0, self.size)

    def bell(self, side: int) -> Pose:
        return Pose((self.x, self.y), side * 0.62, self.size)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, tone, far = self.pose, toy(self.hue), 1.12 + 0.32 * self.ring
        canvas.pool((self.x + 0.03, self.y + 1.2 * self.size), 1.05 * self.size, 0.04, backdrop.ground(tone))
        for side in (-1, 1):
            leg = pose.capsule((side * 0.55, 0.75), (side * 0.8, 1.18), 0.09, 0.06)
            canvas.solid(leg, mix(tone, (0.1, 0.05, 0.1), 0.35))
            bell = self.bell(side)
            canvas.paint(bell.capsule((0, -0.9), (0, -far), 0.05), IRON)
            canvas.solid(bell.ellipse(0, -far, 0.36, 0.24), (0.93, 0.76, 0.4), depth=0.35, rim=0.25, rim_width=0.015)
        case = pose.ellipse(0, 0, 1.1)
        canvas.shadow(case, 0.25, (0.015, 0.025), 0.015)
        canvas.solid(case, tone, depth=0.28, rim=0.15)
        canvas.solid(pose.ellipse(0, 0, 0.88), (0.99, 0.97, 0.91), depth=-0.05, rim=0.22, rim_width=0.02)
        for i in range(12):
            a, r = i * math.tau / 12, 0.045 if i % 3 else 0.08
            canvas.paint(pose.ellipse(0.72 * math.sin(a), -0.72 * math.cos(a), r), mix(tone, (0.1, 0.1, 0.15), 0.45))
        for a, long, wide in ((self.hour, 0.42, 0.06), (self.minute, 0.66, 0.045)):
            hand = pose.capsule((0, 0), (long * math.sin(a), -long * math.cos(a)), wide, 0.7 * wide)
            canvas.shadow(hand, 0.25, (0.006, 0.01), 0.004)
            canvas.paint(hand, (0.18, 0.17, 0.22))
        canvas.paint(pose.ellipse(0, 0, 0.1), hsv(self.hue + 0.5, 0.6, 0.8))

    def anchors(self) -> dict[str, Point]:
        far = -1.12 - 0.32 * self.ring
        found = {
            "dial": (self.x, self.y),
            "left_bell": self.bell(-1)(0, far),
            "right_bell": self.bell(1)(0, far),
            "left_rim": self.pose(-1.0, 0),
            "right_rim": self.pose(1.0, 0),
        }
        for name, a, long in (("hour_hand", self.hour, 0.4), ("minute_hand", self.minute, 0.64)):
            found[name] = self.pose(long * math.sin(a), -long * math.cos(a))
        return found


@dataclass(frozen=True)
class House(Item):
    """A little house seen from the front. Heights are relative to its size."""

    x: float = number(0.38, 0.62)  # its door step
    y: float = number(0.82, 0.92)
    size: float = number(0.38, 0.5)  # width of the wall
    hue: float = drawn(lambda rng, made: rng.choice((0.0, 0.03, 0.06, 0.56, 0.42)))  # of the roof
    roof: float = number(0.3, 0.72)  # height of the gable
    chimney: float = number(0.12, 0.5)  # height of the chimney
    door: float = drawn(lambda rng, made: rng.choice((-0.9, 0.9)) * rng.uniform(0.5, 1.0))  # how far to the right

    @property
    def pose(self) -> Pose:
        return Pose((self.x, self.y), 0.0, self.size)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, s = self.pose, self.size
        canvas.pool(pose(0.06, 0), 0.62 * s, 0.08 * s, strength=0.45)
        brick, tile = (0.7, 0.44, 0.36), toy(self.hue, 0.72)
        chimney = pose.box(0.27, -0.55 - 0.4 * self.roof - 0.5 * self.chimney, 0.15, self.chimney + 0.2)
        canvas.solid(chimney, brick, depth=0.3)
        canvas.paint(pose.box(0.27, -0.65 - 0.4 * self.roof - self.chimney, 0.21, 0.06, 0.01), mix(brick, WHITE, 0.35))
        plaster = gradient(CREAM, (0.9, 0.8, 0.68), pose(-0.4, -0.5), pose(0.4, 0.0))
        canvas.solid(pose.box(0, -0.3, 0.92, 0.6), plaster, rim=0.0)
        gable = pose.polygon([(-0.6, -0.56), (0.6, -0.56), (0, -0.58 - self.roof)], 0.025)
        canvas.shadow(gable, 0.28, (0.004, 0.02), 0.006)
        light, dark = mix(tile, WHITE, 0.14), mix(tile, (0.1, 0.05, 0.15), 0.22)
        canvas.solid(gable, gradient(light, dark, pose(-0.4, -0.8), pose(0.45, -0.6)), rim=0.14, rim_width=0.02)
        canvas.paint(pose.ellipse(0, -0.6 - 0.34 * self.roof, 0.085), mix(GLASS, WHITE, 0.2))
        light, dark = mix(GLASS, WHITE, 0.4), mix(GLASS, (0.2, 0.35, 0.5), 0.3)
        for side in (-1, 1):
            if side * self.door > 0:
                door = pose.box(0.24 * self.door, -0.19, 0.22, 0.38, 0.05)
                canvas.solid(door, toy(self.hue + 0.45, 0.6), rim=0.16, rim_width=0.012)
                canvas.paint(pose.ellipse(0.24 * self.door + 0.065, -0.18, 0.02), (0.95, 0.8, 0.4))
                continue
            canvas.paint(pose.box(side * 0.22, -0.32, 0.28, 0.26, 0.02), WHITE)
            for dx in (-0.062, 0.062):
                pane = pose.box(side * 0.22 + dx, -0.32, 0.1, 0.2)
                canvas.paint(pane, gradient(light, dark, pose(0, -0.4), pose(0, -0.2)))

    def anchors(self) -> dict[str, Point]:
        return {
            "gable": self.pose(0, -0.57 - self.roof),
            "chimney": self.pose(0.27, -0.63 - 0.4 * self.roof - self.chimney),
            "door": self.pose(0.24 * self.door, -0.2),
            "wall": self.pose(0, -0.45),
        }
