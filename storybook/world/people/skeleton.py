"""The skeleton of a portrait: its numbers, where every part sits, and the points a hand would grab."""

import math
from dataclasses import dataclass

from storybook.world.backdrops import Backdrop
from storybook.world.faces import SIDES, turned
from storybook.world.paints import Colour
from storybook.world.scene import Scene, number
from storybook.world.shapes import Point, Pose

HAIR = ("short", "short", "bob", "long", "bun", "curly", "pigtails", "bald")
WIDE, TALL = 0.84, 1.0  # half axes of the head, in head units


@dataclass(frozen=True)
class Skeleton(Scene):
    """A person from the chest up, as numbers.

    Points of the head are in head coordinates: its half height is 1, x to the right, y down, and they ride with it.
    """

    skin: Colour
    hair_colour: Colour
    iris: Colour
    cloth: Colour
    trim: Colour
    hair: str  # one of HAIR
    hat: str  # none, beanie, sunhat or cap
    glasses: bool
    clothing: str  # plain, stripes, collar or scarf
    backdrop: Backdrop  # what is behind
    x: float = number(0.42, 0.58)  # middle of the shoulder line
    y: float = number(0.62, 0.86)
    head: float = number(0.18, 0.25)  # half height of the head
    neck: float = number(0.22, 0.37)  # how far the head's centre is above (x, y)
    lean: float = number(-0.07, 0.07)  # and to the right
    tilt: float = number(-0.36, 0.36)  # angle of the head
    turn: float = number(-1.0, 1.0)  # where the face looks: to the right
    nod: float = number(-0.7, 0.7)  # and down
    smile: float = number(-0.6, 1.0)  # from sad to happy
    brows: float = number(-0.5, 1.0)  # their height
    look_x: float = number(-1.0, 1.0)  # of the pupils
    look_y: float = number(-0.5, 0.5)
    mouth: float = number(0.0, 1.0)  # how far it is open
    lids: float = number(0.5, 1.0)  # how far the eyes are open
    lift: float = number(0.0, 1.0)  # how far the hat is raised
    length: float = number(0.0, 1.0)  # of loose hair

    @property
    def head_pose(self) -> Pose:
        return Pose((self.x + self.lean, self.y - self.neck), self.tilt, self.head)

    @property
    def chest_pose(self) -> Pose:
        return Pose((self.x, self.y), 0.0, self.head)

    @property
    def hat_pose(self) -> Pose:
        """Where the hat sits: its origin is the middle of its band."""
        x, _ = self.face(0, -0.5, -0.3)
        back = 0.55 * min(math.sin(self.pitch), 0.0) + 0.06 * max(math.sin(self.pitch), 0.0)  # who looks up tips it
        head = self.head_pose
        return Pose(head(x * 0.4, -0.57 + back - 0.42 * self.lift), head.angle, head.scale)

    @property
    def yaw(self) -> float:
        return 0.5 * self.turn

    @property
    def pitch(self) -> float:
        return 0.38 * self.nod

    def face(self, u: float, v: float, lift: float = 0.0) -> Point:
        """A point of the face at rest, (u, v) in [-1, 1], as head coordinates after the turn."""
        x, y = turned(u, v, lift, self.yaw, self.pitch)
        return x * WIDE, y * TALL

    def lips(self) -> tuple[Point, float, float, float]:
        """Middle between the corners (head coordinates), half width, sag of the lip line, depth of the opening."""
        x, y = self.face(0, 0.5, 0.05)
        width = 0.26 + 0.13 * self.smile - 0.05 * self.mouth
        return (x, y - 0.13 * self.smile), width, 0.2 * self.smile, 0.5 * self.mouth

    def brow(self, side: int) -> Point:
        """Middle of an eyebrow in head coordinates."""
        x, y = self.face(side * 0.42, -0.36)
        return x, y - 0.1 * self.brows

    def tress(self, side: int) -> tuple[Point, Point]:
        """Root and tip of the loose hair at one side, in head coordinates."""
        length = 0.35 + 0.65 * self.length
        if self.hair == "pigtails":
            return (side * 0.95, -0.1), (side * 1.3, -0.05 + 1.05 * length)
        return (side * 0.78, -0.1), (side * 0.92, 0.35 + 1.0 * length)

    def anchors(self) -> dict[str, Point]:
        head = self.head_pose
        (x, y), w, sag, depth = self.lips()
        points = {
            "nose": head(*self.face(0, 0.18, 0.2)),
            "mouth": head(x, y + max(sag, 0) + depth),
            "left_corner": head(x - w, y),
            "right_corner": head(x + w, y),
            "chin": head(0.35 * math.sin(self.yaw), TALL * (0.96 + 0.14 * self.mouth)),
            "forehead": head(*self.face(0, -0.45)),
            "crown": head(0.0, -TALL),
            "left_cheek": head(-0.8 * WIDE, 0.3),
            "right_cheek": head(0.8 * WIDE, 0.3),
            "collar": self.chest_pose(0.0, 0.35),
        }
        for name, side in SIDES:
            points[name + "_eye"] = head(*self.face(side * 0.42, -0.04))
            points[name + "_brow"] = head(*self.brow(side))
            if self.hair in ("long", "pigtails"):
                points[name + "_hair_tip"] = head(*self.tress(side)[1])
        if self.hat != "none":
            points["hat"] = self.hat_pose(0.0, -0.35)
        return points
