"""Portraits of the book: people from the chest up, with hair, hats, glasses and expressions."""

import random
from dataclasses import replace
from typing import Self

from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.paints import from_hex, hsv
from storybook.world.people.bust import paint_person
from storybook.world.people.skeleton import HAIR, Skeleton
from storybook.world.scene import CLOSE_MOUTH, EYES, OPEN_MOUTH, Edit, redraw, shift, when

POSE = ("lean", "tilt", "turn", "nod", "smile", "brows", "look_x", "look_y")
SKINS = tuple(map(from_hex, "f6d3b8 eebf9b d9a178 b97d54 8d5a3a 6b4329".split()))
HAIRS = tuple(map(from_hex, "2b211f 4a2f22 7a4b2a a8672f d9a94e c4562b b9b4b0 ece4da".split()))
IRISES = ((0.28, 0.16, 0.08), (0.3, 0.45, 0.6), (0.34, 0.48, 0.25), (0.45, 0.28, 0.14))


class Person(Skeleton):
    """A person from the chest up."""

    @classmethod
    def sample(cls, rng: random.Random) -> Self:
        head = rng.uniform(*cls.range("head"))
        pose = {}
        for name in POSE:
            pose[name] = (rng.triangular if rng.random() < 0.5 else rng.uniform)(*cls.range(name))
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
        colours = (skin, rng.choice(dark), rng.choice(IRISES), cloth, trim)
        style = (rng.choice(HAIR), hat, rng.random() < 0.22, rng.choice(("plain", "stripes", "collar", "scarf")))
        backdrop, x = Backdrop.sample(rng), rng.uniform(0.42, 0.58) - 0.4 * pose["lean"]
        pose |= {"mouth": mouth, "lids": rng.choice((1.0, 1.0, rng.uniform(0.5, 1.0))), "length": rng.random()}
        pose["lift"] = rng.choice((0.0, 0.0, rng.uniform(0.5, 1.0))) if hat != "none" else 0.0
        return cls(*colours, *style, backdrop, x, y, head, neck, **pose)

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        paint_person(canvas, self)


def _move_head(scene: Person, rng: random.Random) -> Person:
    return shift(neck=0.03)(redraw("lean")(scene, rng), rng)


def _lift_hat(scene: Person, rng: random.Random) -> Person:
    return replace(scene, lift=rng.uniform(0.6, 1.0) if scene.lift == 0 else 0.0)


_raise_hat = when(lambda scene: scene.hat != "none", _lift_hat)
_resize = when(lambda scene: scene.hat == "none", redraw("head"))
_hair_length = when(lambda scene: scene.hair in ("long", "pigtails"), redraw("length"))

EDITS: dict[str, Edit] = {
    "move person": Edit("relocation", shift(x=0.12, y=0.04), ("nose", "collar"), EYES),
    "move head": Edit("relocation", _move_head, ("nose", "forehead"), EYES),
    "turn face": Edit("relocation", redraw("turn"), ("nose",), EYES),
    "nod": Edit("relocation", redraw("nod"), ("nose",), EYES),
    "tilt head": Edit("rotation", redraw("tilt"), ("forehead", "chin"), (*EYES, "nose")),
    "smile or frown": Edit("relocation", redraw("smile"), ("left_corner", "right_corner")),
    "raise or lower hat": Edit("relocation", _raise_hat, ("hat",)),
    "resize person": Edit("rescaling", _resize, ("crown", "chin"), EYES),
    "hair length": Edit("rescaling", _hair_length, ("left_hair_tip", "right_hair_tip")),
    "open mouth": Edit("creation", OPEN_MOUTH, ("mouth",), ("chin",)),
    "close mouth": Edit("removal", CLOSE_MOUTH, ("mouth",), ("chin",)),
}
