"""The skeleton of an animal: its numbers, where every part sits, and the points a hand would grab."""

import math
from dataclasses import dataclass

from storybook.world.animals.breeds import BREEDS, Breed, Coat
from storybook.world.backdrops import Backdrop
from storybook.world.faces import SIDES, turned
from storybook.world.paints import Colour
from storybook.world.scene import Scene, number
from storybook.world.shapes import Point, Pose


@dataclass(frozen=True)
class Skeleton(Scene):
    """A sitting animal, seen from the front, as numbers.

    Head coordinates ride with the head, whose radius is 1: x to the right, y down. Body coordinates are the same for
    the body, whose half width is 1.
    """

    kind: str  # a key of BREEDS
    coat: Coat
    iris: Colour
    pattern: str  # one of the breed's
    spots: int  # seed of the pattern
    backdrop: Backdrop  # what is behind it
    x: float = number(0.38, 0.62)  # centre of the body
    y: float = number(0.45, 0.85)
    body: float = number(0.14, 0.27)  # half width of the body
    head: float = number(0.16, 0.255)  # radius of the head
    neck: float = number(0.2, 0.37)  # how far the head's centre is above the body's
    lean: float = number(-0.09, 0.09)  # and to the right
    tilt: float = number(-0.42, 0.42)  # angle of the head
    turn: float = number(-1.0, 1.0)  # where the face looks: to the right
    nod: float = number(-0.8, 0.8)  # and down
    left: float = number(-0.75, 0.75)  # how far the left ear (a bird's wing) is swung outwards from its usual angle
    right: float = number(-0.75, 0.75)
    bend: float = number(-1.0, 1.0)  # curl of the tail (an elephant's trunk)
    ear_length: float = number(0.75, 1.3)  # relative to the breed's
    look_x: float = number(-1.0, 1.0)  # of the pupils
    look_y: float = number(-0.6, 0.6)
    eye: float = number(0.95, 1.2)  # size relative to the breed's
    lids: float = number(0.45, 1.0)  # how far the eyes are open
    mouth: float = number(0.0, 1.0)  # how far it is open

    @property
    def breed(self) -> Breed:
        return BREEDS[self.kind]

    @property
    def body_pose(self) -> Pose:
        return Pose((self.x, self.y), 0.0, self.body)

    @property
    def head_pose(self) -> Pose:
        return Pose((self.x + self.lean, self.y - self.neck), self.tilt, self.head)

    @property
    def yaw(self) -> float:
        return 0.55 * self.turn

    @property
    def pitch(self) -> float:
        return 0.45 * self.nod

    @property
    def is_bird(self) -> bool:
        return self.breed.nose.kind in ("beak", "bill")

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
        ear = self.breed.ear
        u, v = ear.at
        x = side * u * self.breed.head[0] * math.cos(self.yaw) - 0.12 * math.sin(self.yaw)
        y = v * self.breed.head[1]
        share = {"long": 0.4, "tuft": 0.0}.get(ear.kind, 0.6)
        swing = ear.angle + share * (self.left if side < 0 else self.right)
        length = ear.length * self.ear_length
        return (x, y), (x + side * length * math.sin(swing), y - length * math.cos(swing))

    def wing(self, side: int) -> tuple[Point, Point]:
        """Shoulder and tip of a bird's wing in body coordinates."""
        swing = 0.75 + (self.left if side < 0 else self.right)
        return (side * 0.72, -0.35), (side * (0.72 + 1.15 * math.sin(swing)), -0.35 + 1.15 * math.cos(swing))

    def eye_at(self, side: int) -> Point:
        """Centre of an eye in head coordinates."""
        u, v = self.breed.eye.at
        if v < -0.5:  # on top of the head (frog): rides on the outline
            return side * u + 0.18 * math.sin(self.yaw), v + 0.1 * math.sin(self.pitch)
        return self.face(side * u, v)

    def lip(self) -> tuple[Point, float, float]:
        """Middle of the upper lip (head coordinates), half width and depth of the open mouth."""
        muzzle, nose = self.breed.muzzle, self.breed.nose.kind
        v, width, lift = muzzle.v + 0.55 * muzzle.height, 0.62 * muzzle.width, 0.12
        if nose == "nostrils":
            v, width, lift = 0.24, 0.62 * self.narrow(0), -0.05
        elif nose == "trunk":
            v, width = 0.55, 0.3
        return self.face(0, v, lift), width * (0.8 + 0.2 * self.mouth), 0.04 + 0.46 * self.mouth

    def trunk(self) -> list[Point]:
        """The middle line of an elephant's trunk, in head coordinates."""
        return _curl(self.face(0, 0.1, 0.25), 0.25 * self.bend, 0.36 * self.bend, 0.24, 6)

    def tail(self) -> list[Point]:
        """The middle line of the tail, in body coordinates (on the right of the picture)."""
        bend = 0.2 if self.breed.nose.kind == "trunk" else self.bend  # an elephant's bend is its trunk's
        return _curl((0.7, 0.75), 1.8 + 0.3 * bend, 0.15 + 0.13 * bend, 0.167, 9)

    def anchors(self) -> dict[str, Point]:
        head, breed = self.head_pose, self.breed
        (lx, ly), _, depth = self.lip()
        nose = self.face(0, breed.nose.v, 0.28)
        points = {
            "nose": head(*nose),
            "mouth": head(lx, ly + depth),
            "chin": head(lx, max(ly + depth + 0.1, 0.9 * breed.head[1])),
            "forehead": head(*self.face(0, -0.72)),
            "crown": head(0.0, -breed.head[1]),
            "left_cheek": head(-0.9 * breed.head[0], 0.15),
            "right_cheek": head(0.9 * breed.head[0], 0.15),
            "body": self.body_pose(0.0, 0.3),
        }
        if self.is_bird:
            points["mouth"] = head(nose[0], nose[1] + 0.16 + 0.42 * self.mouth)
        for name, side in SIDES:
            points[name + "_eye"] = head(*self.eye_at(side))
            if breed.ear.kind != "none":
                points[name + "_ear_tip"] = head(*self.ear(side)[1])
            if self.is_bird:
                points[name + "_wing_tip"] = self.body_pose(*self.wing(side)[1])
        if breed.tail in ("thin", "bushy", "tuft"):
            points["tail_tip"] = self.body_pose(*self.tail()[-1])
        if breed.nose.kind == "trunk":
            points["trunk_tip"] = head(*self.trunk()[-1])
        return points


def _curl(start: Point, angle: float, turn: float, step: float, n: int) -> list[Point]:
    """Points along a line that sets out at `angle` from straight down and turns after each of its n steps."""
    (x, y), out = start, [start]
    for _ in range(n):
        x, y = x + step * math.sin(angle), y + step * math.cos(angle)
        angle += turn
        out.append((x, y))
    return out
