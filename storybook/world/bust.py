"""The skeleton of a portrait: where every part sits, and the points a hand would grab."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from storybook.world.figure import SIDES, turned
from storybook.world.shapes import Point, Pose

if TYPE_CHECKING:
    from storybook.world.portraits import Person

WIDE, TALL = 0.84, 1.0  # half axes of the head, in head units


class Bust:
    """Poses of head and shoulders and the points of the face after the head has turned."""

    def __init__(self, person: Person):
        self.person = person
        self.head = Pose((person.x + person.lean, person.y - person.neck), person.tilt, person.head)
        self.chest = Pose((person.x, person.y), 0.0, person.head)
        self.yaw, self.pitch = 0.5 * person.turn, 0.38 * person.nod

    def face(self, u: float, v: float, lift: float = 0.0) -> Point:
        """A point of the face at rest, (u, v) in [-1, 1], as head coordinates after the turn."""
        x, y = turned(u, v, lift, self.yaw, self.pitch)
        return x * WIDE, y * TALL

    def mouth(self) -> tuple[Point, float, float, float]:
        """Middle between the corners (head coordinates), half width, sag of the lip line, depth of the opening."""
        p = self.person
        x, y = self.face(0, 0.5, 0.05)
        return (x, y - 0.13 * p.smile), 0.26 + 0.13 * p.smile - 0.05 * p.mouth, 0.2 * p.smile, 0.5 * p.mouth

    def hat(self) -> Pose:
        """Where the hat sits: its origin is the middle of its band."""
        x, _ = self.face(0, -0.5, -0.3)
        back = 0.55 * min(math.sin(self.pitch), 0.0) + 0.06 * max(
            math.sin(self.pitch), 0.0
        )  # who looks up tips it back
        y = -0.57 + back - 0.42 * self.person.lift
        return Pose(self.head(x * 0.4, y), self.head.angle, self.head.scale)

    def tress(self, side: int) -> tuple[Point, Point]:
        """Root and tip of the loose hair at one side, in head coordinates."""
        length = 0.35 + 0.65 * self.person.length
        if self.person.hair == "pigtails":
            return (side * 0.95, -0.1), (side * 1.3, -0.05 + 1.05 * length)
        return (side * 0.78, -0.1), (side * 0.92, 0.35 + 1.0 * length)

    def anchors(self) -> dict[str, Point]:
        head, p = self.head, self.person
        (x, y), w, sag, depth = self.mouth()
        points = {
            "nose": head(*self.face(0, 0.18, 0.2)),
            "mouth": head(x, y + max(sag, 0) + depth),
            "left_corner": head(x - w, y),
            "right_corner": head(x + w, y),
            "chin": head(0.35 * math.sin(self.yaw), TALL * (0.96 + 0.14 * p.mouth)),
            "forehead": head(*self.face(0, -0.45)),
            "crown": head(0.0, -TALL),
            "left_cheek": head(-0.8 * WIDE, 0.3),
            "right_cheek": head(0.8 * WIDE, 0.3),
            "collar": self.chest(0.0, 0.35),
        }
        for name, side in SIDES:
            points[name + "_eye"] = head(*self.face(side * 0.42, -0.04))
            points[name + "_brow"] = head(*self.brow(side))
            if p.hair in ("long", "pigtails"):
                points[name + "_hair_tip"] = head(*self.tress(side)[1])
        if p.hat != "none":
            points["hat"] = self.hat()(0.0, -0.35)
        return points

    def brow(self, side: int) -> Point:
        x, y = self.face(side * 0.42, -0.36)
        return x, y - 0.1 * self.person.brows
