"""Things that travel: a car, a toy sailing boat, a hot-air balloon."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.objects.item import CREAM, GLASS, IRON, WHITE, Item, toy, toy_hue
from storybook.world.paints import downwards, gradient, mix, rgb
from storybook.world.scene import number
from storybook.world.shapes import Point, Pose, Shape, below, box, capsule, ellipse


@dataclass(frozen=True)
class Car(Item):
    """A little car seen from its right side, on a road."""

    x: float = number(0.36, 0.64)  # where it stands
    y: float = number(0.78, 0.88)
    size: float = number(0.5, 0.68)  # its length
    hue: float = toy_hue()
    cabin: float = number(0.14, 0.34)  # height of the roof above the body, relative to the size
    wheels: float = number(0.22, 0.34)  # how far each is from the middle, relative to the size

    @property
    def pose(self) -> Pose:
        return Pose((self.x, self.y), 0.0, self.size)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        s, pose, paint, roof = self.size, self.pose, toy(self.hue), -0.28 - self.cabin
        road = downwards((0.6, 0.59, 0.61), (0.48, 0.47, 0.5), self.y - 0.05, self.y + 0.09)
        canvas.paint(box((0.5, self.y + 0.02), 1.4, 0.13), road)
        canvas.pool(pose(0.03, 0.01), 0.56 * s, 0.06 * s)
        cabin = pose.polygon([(-0.34, -0.26), (-0.21, roof), (0.13, roof), (0.29, -0.26)], 0.03)
        canvas.solid(cabin, paint, depth=0.2, rim=0.1)
        light, dark = mix(GLASS, WHITE, 0.5), mix(GLASS, (0.2, 0.35, 0.5), 0.35)
        glass = gradient(light, dark, pose(-0.1, roof), pose(0.1, -0.28))
        for low, high, end, corner in ((-0.27, -0.17, -0.05, -0.05), (0.0, 0.0, 0.1, 0.21)):
            pane = [(low, -0.29), (high, roof + 0.04), (end, roof + 0.04), (corner, -0.29)]
            canvas.paint(pose.polygon(pane, 0.008), glass)
        light, dark = mix(paint, WHITE, 0.16), mix(paint, (0.1, 0.05, 0.15), 0.3)
        shade = gradient(light, dark, pose(-0.05, -0.3), pose(0.05, -0.08))
        canvas.solid(body := pose.box(0, -0.19, 1.0, 0.21, 0.085), shade, depth=0.08, rim=0.08, rim_width=0.015)
        canvas.paint(pose.capsule((-0.44, -0.185), (0.42, -0.185), 0.01), mix(paint, WHITE, 0.45))
        canvas.paint(pose.ellipse(0.455, -0.22, 0.035, 0.045), (1.0, 0.93, 0.66))
        canvas.paint(pose.ellipse(-0.47, -0.22, 0.025, 0.04), (0.8, 0.2, 0.18))
        for x in (-self.wheels, self.wheels):
            canvas.paint(pose.ellipse(x, -0.1, 0.125), mix(paint, (0.05, 0.05, 0.1), 0.55), clip=body)
            canvas.solid(pose.ellipse(x, -0.085, 0.105), IRON, depth=0.3)
            canvas.solid(pose.ellipse(x, -0.085, 0.055), (0.85, 0.86, 0.88), rim=0.2, rim_width=0.008)

    def anchors(self) -> dict[str, Point]:
        return {
            "roof": self.pose(-0.04, -0.28 - self.cabin),
            "left_wheel": self.pose(-self.wheels, -0.085),
            "door": self.pose(0, -0.19),
            "right_wheel": self.pose(self.wheels, -0.085),
        }


@dataclass(frozen=True)
class Ship(Item):
    """A toy sailing boat on the water."""

    x: float = number(0.36, 0.64)  # its water line
    y: float = number(0.74, 0.84)
    size: float = number(0.42, 0.56)  # height of the mast
    hue: float = toy_hue()
    heel: float = number(-0.3, 0.3)
    sail: float = number(0.35, 1.0, lambda rng, made: rng.choice((1.0, rng.uniform(0.35, 1.0))))  # how far it is up

    @property
    def pose(self) -> Pose:
        return Pose((self.x, self.y), self.heel, self.size)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, s, top = self.pose, self.size, backdrop.horizon - 0.04
        tint = 0.45 + 0.55 * backdrop.light
        near, far = (tuple(c * tint for c in colour) for colour in ((0.16, 0.42, 0.6), (0.52, 0.78, 0.86)))
        canvas.paint(below(lambda x: top + 0.003 * torch.sin(x * 30), top), downwards(far, near, top, 1.0))
        for dy, w, dx in ((0.07, 0.24, 0.16), (0.12, 0.3, -0.14), (0.17, 0.2, 0.1)):
            canvas.paint(box((self.x + dx, self.y + dy), w, 0.008, 0.004), mix(far, WHITE, 0.3), alpha=0.5, soft=0.003)
        canvas.pool((self.x + 0.02, self.y + 0.08 * s), 0.55 * s, 0.09 * s, (0.04, 0.16, 0.28))
        canvas.paint(pose.capsule((0, 0), (0, -1.0), 0.018), (0.5, 0.35, 0.24))
        canvas.paint(pose.polygon([(0, -1.02), (0, -0.93), (-0.13, -0.97)]).grow(0.004), toy(self.hue + 0.5))
        head = -0.24 - 0.68 * self.sail
        for points, tone in (
            ([(0.05, head), (0.05, -0.2), (0.46, -0.2)], CREAM),
            ([(-0.05, 0.88 * head), (-0.05, -0.2), (-0.36, -0.2)], toy(self.hue, 0.92)),
        ):
            canvas.solid(pose.polygon(points, 0.014), tone, depth=0.14, rim=0.08, rim_width=0.02)
        deck = Shape(lambda u, v: -0.13 - v, (-1.0, -0.13, 1.0, 1.0))
        hull = pose.place(ellipse((0, -0.13), 0.48, 0.24) & deck)
        canvas.solid(hull, gradient(toy(self.hue), toy(self.hue, 0.5), pose(0, -0.13), pose(0, 0.1)))
        canvas.paint(pose.capsule((-0.46, -0.12), (0.46, -0.12), 0.022), mix(toy(self.hue), WHITE, 0.55))

    def anchors(self) -> dict[str, Point]:
        return {
            "hull": self.pose(0, -0.04),
            "mast": self.pose(0, -0.97),
            "sail": self.pose(0.07, -0.24 - 0.66 * self.sail),
            "bow": self.pose(0.42, -0.11),
        }


@dataclass(frozen=True)
class Balloon(Item):
    """A hot-air balloon."""

    size: float = number(0.15, 0.23)  # radius of the envelope
    x: float = number(0.3, 0.7)  # its centre
    y: float = number(0.21, 0.42, lambda rng, made: rng.uniform(made["size"] + 0.06, 0.42))
    hue: float = toy_hue()
    rope: float = number(0.5, 1.1)  # length of the ropes, in radii
    swing: float = number(-0.5, 0.5)  # of the basket

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        pose, hang, tone = Pose((self.x, self.y), 0.0, self.size), self._basket(), toy(self.hue, 0.9)
        canvas.pool((self.x + 0.05, 0.92), 0.85 * self.size, 0.035, strength=0.3)
        for side in (-1, 1):
            canvas.paint(capsule(pose(side * 0.3, 1.05), hang(side * 0.17, -0.1), 0.006), (0.35, 0.26, 0.2))
        canvas.solid(hang.box(0, 0.08, 0.42, 0.34, 0.06), (0.72, 0.5, 0.3), depth=0.25, rim=0.15)
        canvas.paint(hang.box(0, -0.08, 0.48, 0.08, 0.04), (0.5, 0.33, 0.2))
        cone = pose.polygon([(-0.694, 0.72), (0.694, 0.72), (0.3, 1.1), (-0.3, 1.1)])  # tangent to the ball

        def stripes(x: Tensor, y: Tensor, d: Tensor) -> Tensor:  # gores: meridians of a ball, pinched below
            u, v = pose.local(x, y)
            t = u / ((1 - v * v).clamp_min(0.05).sqrt() * (v < 0.72) + (v >= 0.72) * (1.44 - 1.037 * v)).clamp_min(0.2)
            band = torch.sigmoid(torch.sin(t.clamp(-1, 1).asin() * 4.0 + 0.4) * 12)
            return torch.lerp(rgb(tone), rgb(CREAM), band) * (1.0 - 0.28 * (u * 0.8 + 0.35 * v + 0.1).clamp(-0.4, 1))

        canvas.paint(pose.ellipse(0, 0, 1.0) | cone, stripes)

    def _basket(self) -> Pose:
        a, r = self.swing, self.rope * self.size
        return Pose((self.x - math.sin(a) * r, self.y + 1.1 * self.size + math.cos(a) * r), a, self.size)

    def anchors(self) -> dict[str, Point]:
        s = self.size
        return {
            "envelope": (self.x, self.y),
            "crown": (self.x, self.y - 0.95 * s),
            "basket": self._basket()(0, 0.08),
            "left_side": (self.x - 0.95 * s, self.y),
            "right_side": (self.x + 0.95 * s, self.y),
        }
