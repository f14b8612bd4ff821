"""Things with joints: a desk lamp and a chair. Lengths in picture sides, angles in radians."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from storybook.world.backdrops import Backdrop
from storybook.world.paints import Colour, gradient, mix, shaded
from storybook.world.render import Canvas
from storybook.world.shapes import Point, Pose, box, capsule, ellipse, polygon
from storybook.world.toys import IRON, WHITE, toy, toy_hue

WOODS = ((0.78, 0.56, 0.34), (0.62, 0.4, 0.25), (0.9, 0.74, 0.52))


@dataclass(frozen=True)
class Lamp:
    """A desk lamp.

    Attributes:
        x, y: its foot; arm: length of each half of the arm; lean: of the lower half; elbow: turn between the halves.
        head: direction of the shade (0: straight down, positive: to the left); size: length of the shade; on: lit.
        hue: colour, turns.
    """

    x: float
    y: float
    arm: float
    lean: float
    elbow: float
    head: float
    size: float
    hue: float
    on: bool

    @classmethod
    def sample(cls, rng: random.Random) -> Lamp:
        return cls(
            rng.uniform(0.3, 0.45),
            rng.uniform(0.86, 0.93),
            rng.uniform(0.27, 0.35),
            rng.uniform(-0.5, 0.1),
            rng.uniform(0.5, 1.4),
            rng.uniform(-0.9, 0.6),
            rng.uniform(0.24, 0.3),
            toy_hue(rng),
            rng.random() < 0.6,
        )

    def joints(self) -> tuple[Point, Point, Point]:
        foot = (self.x, self.y - 0.03)
        elbow = (foot[0] + self.arm * math.sin(self.lean), foot[1] - self.arm * math.cos(self.lean))
        a = self.lean + self.elbow
        return foot, elbow, (elbow[0] + self.arm * math.sin(a), elbow[1] - self.arm * math.cos(a))

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        (foot, elbow, top), tone = self.joints(), toy(self.hue)
        canvas.pool((self.x + 0.03, self.y + 0.01), 0.18, 0.036, backdrop.ground(tone))
        base = ellipse((self.x, self.y - 0.012), 0.13, 0.034)
        canvas.paint(base, shaded(mix(tone, (0.1, 0.08, 0.15), 0.15), base, depth=0.3))
        for a, b in ((foot, elbow), (elbow, top)):
            rod = capsule(a, b, 0.014)
            canvas.shadow(rod, 0.15, (0.008, 0.012), 0.006)
            canvas.paint(rod, shaded((0.72, 0.73, 0.76), rod, depth=0.1, rim=0.25, rim_width=0.008))
        for joint in (elbow, top):
            canvas.paint(knob := ellipse(joint, 0.026), shaded(IRON, knob, depth=0.4))
        pose, s = Pose(top, self.head, self.size), self.size
        if self.on:
            canvas.glow(pose(0, 0.95), 0.1, (1.0, 0.9, 0.6), 0.75)
        bulb = pose.ellipse(0, 0.72, 0.2)
        canvas.paint(bulb, (1.0, 0.95, 0.75) if self.on else (0.85, 0.86, 0.86))
        shade = polygon([pose(-0.17, -0.12), pose(0.17, -0.12), pose(0.56, 0.68), pose(-0.56, 0.68)], 0.05 * s)
        canvas.shadow(shade, 0.18, (0.01, 0.016), 0.01)
        canvas.paint(
            shade,
            gradient(mix(tone, WHITE, 0.22), mix(tone, (0.1, 0.04, 0.15), 0.32), pose(-0.45, 0.3), pose(0.5, 0.35)),
        )
        canvas.paint(pose.capsule((-0.56, 0.68), (0.56, 0.68), 0.055), mix(tone, WHITE, 0.45 if self.on else 0.2))

    def anchors(self) -> dict[str, Point]:
        _, elbow, top = self.joints()
        pose = Pose(top, self.head, self.size)
        return {
            "lamp_head": pose(0, 0.3),
            "elbow": elbow,
            "left_shade": pose(-0.5, 0.62),
            "right_shade": pose(0.5, 0.62),
            "foot": (self.x, self.y - 0.012),
        }


@dataclass(frozen=True)
class Chair:
    """A chair seen from the front.

    Attributes:
        x, y: middle of its front feet; width: of the seat; seat: its height.
        back: height of the back above the seat; recline: lean of the back, positive to the right.
        wood: colour; hue: of the cushion, turns.
    """

    x: float
    y: float
    width: float
    seat: float
    back: float
    recline: float
    wood: Colour
    hue: float

    @classmethod
    def sample(cls, rng: random.Random) -> Chair:
        return cls(
            rng.uniform(0.4, 0.6),
            rng.uniform(0.87, 0.94),
            rng.uniform(0.28, 0.38),
            rng.uniform(0.24, 0.34),
            rng.uniform(0.2, 0.42),
            rng.uniform(-0.3, 0.12),
            rng.choice(WOODS),
            toy_hue(rng),
        )

    def frame(self) -> Pose:
        """The back's own frame: its foot at the rear of the seat, upwards -1."""
        return Pose((self.x - 0.02, self.y - self.seat - 0.045), self.recline, 1.0)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        x, w, top, back = self.x, self.width, self.y - self.seat, self.frame()
        dark = mix(self.wood, (0.1, 0.04, 0.05), 0.35)
        canvas.pool((x + 0.04, self.y - 0.02), 0.7 * w, 0.05, backdrop.ground(dark))
        for side in (-1, 1):
            canvas.paint(
                capsule((x - 0.02 + side * 0.4 * w, top), (x - 0.02 + side * 0.42 * w, self.y - 0.06), 0.018, 0.014),
                dark,
            )
        for side in (-1, 1):
            post = back.capsule((side * 0.42 * w, 0.03), (side * 0.42 * w, -self.back), 0.02)
            canvas.paint(post, shaded(self.wood, post, depth=0.1, rim=0.2, rim_width=0.01))
        for k in (0.35, 0.62):
            slat = back.capsule((-0.4 * w, -k * self.back), (0.4 * w, -k * self.back), 0.013)
            canvas.paint(slat, mix(self.wood, dark, 0.35))
        rail = back.box(0, -self.back, 0.98 * w, 0.075, 0.03)
        canvas.paint(rail, shaded(self.wood, rail, depth=0.2, rim=0.15, rim_width=0.012))
        for side in (-1, 1):
            leg = capsule((x + side * 0.46 * w, top + 0.02), (x + side * 0.49 * w, self.y), 0.022, 0.016)
            canvas.paint(leg, shaded(self.wood, leg, depth=0.1, rim=0.2, rim_width=0.01))
        seat = polygon(
            [
                (x - 0.5 * w, top + 0.03),
                (x + 0.5 * w, top + 0.03),
                (x + 0.42 * w, top - 0.05),
                (x - 0.46 * w, top - 0.05),
            ],
            0.02,
        )
        canvas.shadow(seat, 0.25, (0.0, 0.02), 0.01)
        canvas.paint(seat, shaded(mix(self.wood, dark, 0.2), seat, depth=0.2))
        cushion = box((x - 0.01, top - 0.022), 0.94 * w, 0.075, 0.036)
        canvas.paint(cushion, shaded(mix(toy(self.hue), WHITE, 0.15), cushion, depth=0.2, rim=0.18, rim_width=0.015))

    def anchors(self) -> dict[str, Point]:
        back = self.frame()
        return {
            "back": back(0, -self.back),
            "seat": (self.x, self.y - self.seat),
            "left_leg": (self.x - 0.48 * self.width, self.y - 0.04),
            "right_leg": (self.x + 0.48 * self.width, self.y - 0.04),
        }
