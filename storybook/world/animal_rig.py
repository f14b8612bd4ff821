"""The skeleton of an animal: where every part sits, and the points a hand would grab."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from storybook.world.figure import SIDES, turned
from storybook.world.shapes import Point, Pose

if TYPE_CHECKING:
    from storybook.world.animals import Animal


class Rig:
    """Poses of head and body and the points of the face after the head has turned."""

    def __init__(self, animal: Animal):
        self.animal, self.breed = animal, animal.breed
        self.body = Pose((animal.x, animal.y), 0.0, animal.body)
        self.head = Pose((animal.x + animal.lean, animal.y - animal.neck), animal.tilt, animal.head)
        self.yaw, self.pitch = 0.55 * animal.turn, 0.45 * animal.nod

    def face(self, u: float, v: float, lift: float = 0.0) -> Point:
        """A point of the face (u right, v down, at rest, in [-1, 1]) as head coordinates after the turn.

        The face is a ball seen from the front; `lift` raises the point above it (a snout), so it moves further.
        """
        x, y = turned(u, v, lift, self.yaw, self.pitch)
        return x * self.breed.head[0], y * self.breed.head[1]

    def narrow(self, u: float) -> float:
        """How much narrower something at u looks after the turn."""
        return min(max(math.cos(math.asin(max(-1.0, min(1.0, 0.8 * u))) + self.yaw) ** 0.6, 0.62), 1.0)

    def ear(self, side: int) -> tuple[Point, Point]:
        """Root and tip of an ear in head coordinates."""
        breed, animal = self.breed, self.animal
        u, v = breed.ear_at
        root = (side * u * breed.head[0] * math.cos(self.yaw) - 0.12 * math.sin(self.yaw), v * breed.head[1])
        share = {"long": 0.4, "tuft": 0.0}.get(breed.ear, 0.6)
        swing = breed.ear_angle + share * (animal.left if side < 0 else animal.right)
        length = breed.ear_length * animal.ear_length
        return root, (root[0] + side * length * math.sin(swing), root[1] - length * math.cos(swing))

    def wing(self, side: int) -> tuple[Point, Point]:
        """Shoulder and tip of a bird's wing in body coordinates."""
        swing = 0.75 + (self.animal.left if side < 0 else self.animal.right)
        return (side * 0.72, -0.35), (side * (0.72 + 1.15 * math.sin(swing)), -0.35 + 1.15 * math.cos(swing))

    def lip(self) -> tuple[Point, float, float]:
        """Middle of the upper lip (head coordinates), half width and depth of the open mouth."""
        m, breed = self.animal.mouth, self.breed
        v, width = breed.muzzle[2] + 0.55 * breed.muzzle[1], 0.62 * breed.muzzle[0]
        lift = 0.12
        if breed.nose_kind == "nostrils":
            v, width, lift = 0.24, 0.62 * self.narrow(0), -0.05
        elif breed.nose_kind == "trunk":
            v, width = 0.55, 0.3
        return self.face(0, v, lift), width * (0.8 + 0.2 * m), 0.04 + 0.46 * m

    def trunk(self) -> list[Point]:
        """The middle line of an elephant's trunk, in head coordinates."""
        x, y = self.face(0, 0.1, 0.25)
        angle, out = 0.25 * self.animal.bend, [(x, y)]
        for _ in range(6):
            x, y = x + 0.24 * math.sin(angle), y + 0.24 * math.cos(angle)
            angle += 0.36 * self.animal.bend
            out.append((x, y))
        return out

    def tail(self) -> list[Point]:
        """The middle line of the tail, in body coordinates (on the right of the picture)."""
        bend = 0.2 if self.breed.nose_kind == "trunk" else self.animal.bend  # an elephant's bend is its trunk's
        x, y, angle = 0.7, 0.75, 1.8 + 0.3 * bend
        out = [(x, y)]
        for _ in range(9):
            x, y = x + 0.167 * math.sin(angle), y + 0.167 * math.cos(angle)
            angle += 0.15 + 0.13 * bend
            out.append((x, y))
        return out

    def anchors(self) -> dict[str, Point]:
        head, breed = self.head, self.breed
        (lx, ly), width, depth = self.lip()
        nose = self.face(0, breed.nose[2], 0.28)
        points = {
            "nose": head(*nose),
            "mouth": head(lx, ly + depth),
            "chin": head(lx, max(ly + depth + 0.1, 0.9 * breed.head[1])),
            "forehead": head(*self.face(0, -0.72)),
            "crown": head(0.0, -breed.head[1]),
            "left_cheek": head(-0.9 * breed.head[0], 0.15),
            "right_cheek": head(0.9 * breed.head[0], 0.15),
            "body": self.body(0.0, 0.3),
        }
        if breed.nose_kind in ("beak", "bill"):
            points["mouth"] = head(nose[0], nose[1] + 0.16 + 0.42 * self.animal.mouth)
        for name, side in SIDES:
            points[name + "_eye"] = head(*self.eye_at(side))
            if breed.ear != "none":
                points[name + "_ear_tip"] = head(*self.ear(side)[1])
            if breed.nose_kind in ("beak", "bill"):
                points[name + "_wing_tip"] = self.body(*self.wing(side)[1])
        if breed.tail in ("thin", "bushy", "tuft"):
            points["tail_tip"] = self.body(*self.tail()[-1])
        if breed.nose_kind == "trunk":
            points["trunk_tip"] = head(*self.trunk()[-1])
        return points

    def eye_at(self, side: int) -> Point:
        u, v = self.breed.eye_at
        if v < -0.5:  # on top of the head (frog): rides on the outline
            return side * u + 0.18 * math.sin(self.yaw), v + 0.1 * math.sin(self.pitch)
        return self.face(side * u, v)
