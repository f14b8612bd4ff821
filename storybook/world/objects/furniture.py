"""Things with joints: a desk lamp and a chair."""

import math
from dataclasses import dataclass

from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.objects.item import IRON, WHITE, Item, toy, toy_hue
from storybook.world.paints import Colour, gradient, mix
from storybook.world.scene import drawn, number
from storybook.world.shapes import Point, Pose, box, capsule, ellipse, polygon

WOODS = ((0.78, 0.56, 0.34), (0.62, 0.4, 0.25), (0.9, 0.74, 0.52))


@dataclass(frozen=True)
class Lamp(Item):
    """A desk lamp."""

    x: float = number(0.3, 0.45)  # its foot
    y: float = number(0.86, 0.93)
    arm: float = number(0.27, 0.35)  # length of each half of the arm
    lean: float = number(-0.5, 0.1)  # of the lower half
    elbow: float = number(0.5, 1.4)  # turn between the halves
    head: float = number(-0.9, 0.6)  # direction of the shade (0: straight down, positive: to the left)
    size: float = number(0.24, 0.3)  # length of the shade
    hue: float = toy_hue()
    on: bool = drawn(lambda rng, made: rng.random() < 0.6)  # lit

    def joints(self) -> tuple[Point, Point, Point]:
        foot = (self.x, self.y - 0.03)
        elbow = (foot[0] + self.arm * math.sin(self.lean), foot[1] - self.arm * math.cos(self.lean))
        a = self.lean + self.elbow
        return foot, elbow, (elbow[0] + self.arm * math.sin(a), elbow[1] - self.arm * math.cos(a))

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        (foot, elbow, top), tone = self.joints(), toy(self.hue)
        canvas.pool((self.x + 0.03, self.y + 0.01), 0.18, 0.036, backdrop.ground(tone))
        canvas.solid(ellipse((self.x, self.y - 0.012), 0.13, 0.034), mix(tone, (0.1, 0.08, 0.15), 0.15), depth=0.3)
        for a, b in ((foot, elbow), (elbow, top)):
            rod = capsule(a, b, 0.014)
            canvas.shadow(rod, 0.15, (0.008, 0.012), 0.006)
            canvas.solid(rod, (0.72, 0.73, 0.76), depth=0.1, rim=0.25, rim_width=0.008)
        for joint in (elbow, top):
            canvas.solid(ellipse(joint, 0.026), IRON, depth=0.4)
        pose = Pose(top, self.head, self.size)
        if self.on:
            canvas.glow(pose(0, 0.95), 0.1, (1.0, 0.9, 0.6), 0.75)
        canvas.paint(pose.ellipse(0, 0.72, 0.2), (1.0, 0.95, 0.75) if self.on else (0.85, 0.86, 0.86))
        shade = pose.polygon([(-0.17, -0.12), (0.17, -0.12), (0.56, 0.68), (-0.56, 0.68)], 0.05)
        canvas.shadow(shade, 0.18, (0.01, 0.016), 0.01)
        light, dark = mix(tone, WHITE, 0.22), mix(tone, (0.1, 0.04, 0.15), 0.32)
        canvas.paint(shade, gradient(light, dark, pose(-0.45, 0.3), pose(0.5, 0.35)))
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
class Chair(Item):
    """A chair seen from the front."""

    x: float = number(0.4, 0.6)  # middle of its front feet
    y: float = number(0.87, 0.94)
    width: float = number(0.28, 0.38)  # of the seat
    seat: float = number(0.24, 0.34)  # its height
    back: float = number(0.2, 0.42)  # height of the back above the seat
    recline: float = number(-0.3, 0.12)  # lean of the back, positive to the right
    wood: Colour = drawn(lambda rng, made: rng.choice(WOODS))
    hue: float = toy_hue()  # of the cushion

    def back_pose(self) -> Pose:
        """The back's own coordinates: its foot at the rear of the seat, upwards -1."""
        return Pose((self.x - 0.02, self.y - self.seat - 0.045), self.recline, 1.0)

    def draw(self, canvas: Canvas, backdrop: Backdrop) -> None:
        x, w, top, back = self.x, self.width, self.y - self.seat, self.back_pose()
        dark = mix(self.wood, (0.1, 0.04, 0.05), 0.35)
        canvas.pool((x + 0.04, self.y - 0.02), 0.7 * w, 0.05, backdrop.ground(dark))
        for side in (-1, 1):
            foot = (x - 0.02 + side * 0.42 * w, self.y - 0.06)
            canvas.paint(capsule((x - 0.02 + side * 0.4 * w, top), foot, 0.018, 0.014), dark)
        for side in (-1, 1):
            post = back.capsule((side * 0.42 * w, 0.03), (side * 0.42 * w, -self.back), 0.02)
            canvas.solid(post, self.wood, depth=0.1, rim=0.2, rim_width=0.01)
        for k in (0.35, 0.62):
            slat = back.capsule((-0.4 * w, -k * self.back), (0.4 * w, -k * self.back), 0.013)
            canvas.paint(slat, mix(self.wood, dark, 0.35))
        canvas.solid(back.box(0, -self.back, 0.98 * w, 0.075, 0.03), self.wood, depth=0.2, rim=0.15, rim_width=0.012)
        for side in (-1, 1):
            leg = capsule((x + side * 0.46 * w, top + 0.02), (x + side * 0.49 * w, self.y), 0.022, 0.016)
            canvas.solid(leg, self.wood, depth=0.1, rim=0.2, rim_width=0.01)
        near, far = top + 0.03, top - 0.05
        seat = polygon([(x - 0.5 * w, near), (x + 0.5 * w, near), (x + 0.42 * w, far), (x - 0.46 * w, far)], 0.02)
        canvas.shadow(seat, 0.25, (0.0, 0.02), 0.01)
        canvas.solid(seat, mix(self.wood, dark, 0.2), depth=0.2)
        cushion = box((x - 0.01, top - 0.022), 0.94 * w, 0.075, 0.036)
        canvas.solid(cushion, mix(toy(self.hue), WHITE, 0.15), depth=0.2, rim=0.18, rim_width=0.015)

    def anchors(self) -> dict[str, Point]:
        return {
            "back": self.back_pose()(0, -self.back),
            "seat": (self.x, self.y - self.seat),
            "left_leg": (self.x - 0.48 * self.width, self.y - 0.04),
            "right_leg": (self.x + 0.48 * self.width, self.y - 0.04),
        }
