"""Portraits of the book: people from the chest up, with hair, hats, glasses and expressions."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from storybook.world.backdrops import Backdrop
from storybook.world.bust import Bust
from storybook.world.paints import Colour, hsv
from storybook.world.portrait_parts import HAIR, paint_person
from storybook.world.render import Canvas
from storybook.world.scenes import EYES, Edit, Scene
from storybook.world.shapes import Point

RANGES: dict[str, tuple[float, float]] = {
    "lean": (-0.07, 0.07),
    "tilt": (-0.36, 0.36),
    "turn": (-1.0, 1.0),
    "nod": (-0.7, 0.7),
    "smile": (-0.6, 1.0),
    "brows": (-0.5, 1.0),
    "look_x": (-1.0, 1.0),
    "look_y": (-0.5, 0.5),
}
HEAD = (0.18, 0.25)
SKINS = tuple(tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
              for code in ("f6d3b8", "eebf9b", "d9a178", "b97d54", "8d5a3a", "6b4329"))  # fmt: skip
HAIRS = tuple(tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
              for code in ("2b211f", "4a2f22", "7a4b2a", "a8672f", "d9a94e", "c4562b", "b9b4b0", "ece4da"))  # fmt: skip
IRISES = ((0.28, 0.16, 0.08), (0.3, 0.45, 0.6), (0.34, 0.48, 0.25), (0.45, 0.28, 0.14))


@dataclass(frozen=True)
class Person(Scene):
    """A person from the chest up. Left and right are the picture's.

    Attributes:
        skin, hair_colour, iris, cloth, trim: colours.
        hair: style, one of HAIR; hat: none, beanie, sunhat or cap; glasses; clothing: plain, stripes, collar, scarf.
        backdrop: what is behind.
        x, y: middle of the shoulder line, unit square; head: half height of the head, picture sides.
        lean, neck: the head's centre relative to (x, y): to the right, and up, picture sides.
        tilt: angle of the head, radians, clockwise; turn, nod: where the face looks, right and down, in [-1, 1].
        smile: from -0.6 (sad) to 1; mouth: opening in [0, 1]; brows: height in [-0.5, 1].
        lids: how far the eyes are open in [0.3, 1]; look_x, look_y: pupils in [-1, 1].
        lift: how far the hat is raised in [0, 1].
        length: length of loose hair in [0, 1].
    """

    skin: Colour
    hair_colour: Colour
    iris: Colour
    cloth: Colour
    trim: Colour
    hair: str
    hat: str
    glasses: bool
    clothing: str
    backdrop: Backdrop
    x: float
    y: float
    head: float
    lean: float
    neck: float
    tilt: float = 0.0
    turn: float = 0.0
    nod: float = 0.0
    smile: float = 0.5
    mouth: float = 0.0
    brows: float = 0.2
    lids: float = 1.0
    look_x: float = 0.0
    look_y: float = 0.0
    lift: float = 0.0
    length: float = 0.5

    @classmethod
    def sample(cls, rng: random.Random) -> Person:
        head = rng.uniform(*HEAD)
        pose = {}
        for name, span in RANGES.items():
            pose[name] = rng.triangular(*span) if rng.random() < 0.5 else rng.uniform(*span)
        hue = rng.random()
        cloth = hsv(hue, rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.85))
        trim = hsv(hue + rng.choice((0.0, 0.08, 0.5)), rng.uniform(0.1, 0.35), 0.93)
        hat = rng.choice(("none", "none", "none", "beanie", "sunhat", "cap"))
        neck = 1.3 * head + rng.uniform(-0.01, 0.04)
        top = head * (1.3 if hat == "none" else 1.6)
        y = max(rng.uniform(0.72, 0.86), 0.05 + top + neck)
        mouth = rng.choice((0.0, 0.0, rng.uniform(0.25, 1.0), rng.uniform(0.6, 1.0)))
        skin = rng.choice(SKINS)
        dark = (*HAIRS[:3], HAIRS[6]) if skin in SKINS[3:] else HAIRS
        return cls(skin, rng.choice(dark), rng.choice(IRISES), cloth, trim, rng.choice(HAIR), hat,
                   rng.random() < 0.22, rng.choice(("plain", "stripes", "collar", "scarf")), Backdrop.sample(rng),
                   rng.uniform(0.42, 0.58) - 0.4 * pose["lean"], y, head, neck=neck, mouth=mouth,
                   lids=rng.choice((1.0, 1.0, rng.uniform(0.5, 1.0))), length=rng.random(),
                   lift=rng.choice((0.0, 0.0, rng.uniform(0.5, 1.0))) if hat != "none" else 0.0, **pose)  # fmt: skip

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        paint_person(canvas, self)

    def anchors(self) -> dict[str, Point]:
        return Bust(self).anchors()


# Edits ----------------------------------------------------------------------------------------------------------------


def _redraw(*names: str):
    return lambda scene, rng: replace(scene, **{name: rng.uniform(*RANGES[name]) for name in names})


def _move_head(scene: Person, rng: random.Random) -> Person:
    return replace(scene, lean=rng.uniform(*RANGES["lean"]), neck=scene.neck + rng.uniform(-0.03, 0.03))


def _move(scene: Person, rng: random.Random) -> Person:
    return replace(scene, x=scene.x + rng.uniform(-0.12, 0.12), y=scene.y + rng.uniform(-0.04, 0.04))


def _resize(scene: Person, rng: random.Random) -> Person:
    return replace(scene, head=rng.uniform(*HEAD)) if scene.hat == "none" else scene


def _open(scene: Person, rng: random.Random) -> Person:
    return replace(scene, mouth=rng.uniform(0.6, 1.0)) if scene.mouth < 0.1 else scene


def _close(scene: Person, rng: random.Random) -> Person:
    return replace(scene, mouth=0.0) if scene.mouth > 0.55 else scene


def _lift_hat(scene: Person, rng: random.Random) -> Person:
    return replace(scene, lift=rng.uniform(0.6, 1.0) if scene.lift == 0 else 0.0) if scene.hat != "none" else scene


def _hair_length(scene: Person, rng: random.Random) -> Person:
    return replace(scene, length=rng.random()) if scene.hair in ("long", "pigtails") else scene


EDITS: dict[str, Edit] = {
    "move person": Edit("relocation", _move, ("nose", "collar"), EYES),
    "move head": Edit("relocation", _move_head, ("nose", "forehead"), EYES),
    "turn face": Edit("relocation", _redraw("turn"), ("nose",), EYES),
    "nod": Edit("relocation", _redraw("nod"), ("nose",), EYES),
    "tilt head": Edit("rotation", _redraw("tilt"), ("forehead", "chin"), (*EYES, "nose")),
    "smile or frown": Edit("relocation", _redraw("smile"), ("left_corner", "right_corner")),
    "raise or lower hat": Edit("relocation", _lift_hat, ("hat",)),
    "resize person": Edit("rescaling", _resize, ("crown", "chin"), EYES),
    "hair length": Edit("rescaling", _hair_length, ("left_hair_tip", "right_hair_tip")),
    "open mouth": Edit("creation", _open, ("mouth",), ("chin",)),
    "close mouth": Edit("removal", _close, ("mouth",), ("chin",)),
}
