"""Animals of the book: twelve breeds, one skeleton, one way to paint them."""

import math
import random
from dataclasses import replace
from typing import Self

from storybook.world.animals.body import paint_animal
from storybook.world.animals.breeds import BREEDS, PANDA, Breed, Coat
from storybook.world.animals.skeleton import Skeleton
from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.paints import hsv
from storybook.world.scene import CLOSE_MOUTH, EYES, OPEN_MOUTH, Change, Edit, redraw, shift, when

POSE = ("lean", "tilt", "turn", "nod", "left", "right", "bend", "ear_length", "look_x", "look_y")


class Animal(Skeleton):
    """A sitting animal, seen from the front."""

    @classmethod
    def sample(cls, rng: random.Random) -> Self:
        kind = rng.choices(list(BREEDS), [breed.share for breed in BREEDS.values()])[0]
        breed = BREEDS[kind]
        pattern = rng.choice(breed.patterns)
        coat = _jitter(PANDA if pattern == "panda" else rng.choice(breed.coats), rng)
        head = rng.uniform(*_head_range(breed))
        body = head * rng.uniform(0.82, 1.06)
        pose = {name: _draw(rng, *cls.range(name)) for name in POSE}
        neck = 0.5 * head + 0.85 * body + rng.uniform(-0.03, 0.045)
        x = rng.uniform(0.38, 0.62)
        y = rng.uniform(0.86, 1.05) - 1.22 * body  # from the feet, which may be cut by the frame
        y = min(max(y, 0.05 + head * _crown(breed) + neck), 1.15 - 0.9 * body)
        mouth = rng.choice((0.0, 0.0, rng.uniform(0.25, 1.0), rng.uniform(0.6, 1.0)))
        look = (kind, coat, rng.choice(breed.irises), pattern, rng.randrange(10**6), Backdrop.sample(rng))
        eye, lids = rng.uniform(0.95, 1.2), rng.choice((1.0, 1.0, rng.uniform(0.45, 1.0)))
        return cls(*look, x - 0.5 * pose["lean"], y, body, head, neck, eye=eye, lids=lids, mouth=mouth, **pose)

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        paint_animal(canvas, self)


def _head_range(breed: Breed) -> tuple[float, float]:
    """Radii of the head that leave room for long ears."""
    return (0.17, 0.215) if breed.ear.kind in ("long", "fan") else (0.19, 0.255)


def _crown(breed: Breed) -> float:
    """Height of the topmost part above the head's centre, in head radii."""
    ear = breed.ear
    if "mane" in breed.patterns:
        return 1.45
    if ear.kind in ("none", "fan", "flop"):
        return 1.1 if breed.eye.at[1] > -0.5 else 1.15
    reach = ear.length * math.cos(ear.angle) * 1.1 + (0.6 * ear.width if ear.kind == "round" else 0.0)
    return max(reach - ear.at[1], 1.0)


def _draw(rng: random.Random, lo: float, hi: float) -> float:
    """A number of the range, more often near its middle."""
    return rng.uniform(lo, hi) if rng.random() < 0.6 else rng.triangular(lo, hi, (lo + hi) / 2)


def _jitter(coat: Coat, rng: random.Random) -> Coat:
    """A coat a little warmer or cooler, lighter or darker; now and then a picture-book colour."""
    if rng.random() < 0.08:
        hue = rng.random()
        return Coat(hsv(hue, 0.42, 0.78), hsv(hue + 0.03, 0.14, 0.97), hsv(hue - 0.03, 0.55, 0.5))
    value, warm = rng.uniform(0.93, 1.05), rng.uniform(0.97, 1.035)
    gain = (value * warm, value, value / warm)
    colours = (coat.main, coat.light, coat.dark)
    return Coat(*(tuple(min(c * g, 1.0) for c, g in zip(colour, gain, strict=True)) for colour in colours))


def _only(kinds: set[str], change: Change) -> Change:
    return when(lambda scene: scene.kind in kinds, change)


def _resize_head(scene: Animal, rng: random.Random) -> Animal:
    return replace(scene, head=rng.uniform(*_head_range(scene.breed)))


def _move_head(scene: Animal, rng: random.Random) -> Animal:
    return shift(neck=(-0.05, 0.03))(redraw("lean")(scene, rng), rng)


WINGED, TRUNKED = {"owl", "penguin"}, {"elephant"}
EARED = {kind for kind, breed in BREEDS.items() if breed.ear.kind != "none"}
TAILED = {kind for kind, breed in BREEDS.items() if breed.tail in ("thin", "bushy", "tuft")} - TRUNKED

EDITS: dict[str, Edit] = {
    "move animal": Edit("relocation", shift(x=0.14, y=0.05), ("nose", "body"), EYES),
    "move head": Edit("relocation", _move_head, ("nose", "forehead"), EYES),
    "turn face": Edit("relocation", redraw("turn"), ("nose",), EYES),
    "nod": Edit("relocation", redraw("nod"), ("nose",), EYES),
    "look round": Edit("relocation", redraw("turn", "nod"), ("nose", *EYES)),
    "tilt head": Edit("rotation", redraw("tilt"), ("forehead", "chin"), (*EYES, "nose")),
    "swing left ear": Edit("rotation", _only(EARED - WINGED, redraw("left")), ("left_ear_tip",)),
    "swing right ear": Edit("rotation", _only(EARED - WINGED, redraw("right")), ("right_ear_tip",)),
    "raise wing": Edit("rotation", _only(WINGED, redraw("left")), ("left_wing_tip",)),
    "swing tail": Edit("rotation", _only(TAILED, redraw("bend")), ("tail_tip",)),
    "swing trunk": Edit("rotation", _only(TRUNKED, redraw("bend")), ("trunk_tip",)),
    "resize head": Edit("rescaling", _resize_head, ("crown", "left_cheek", "right_cheek"), EYES),
    "resize ears": Edit("rescaling", _only(EARED, redraw("ear_length")), ("left_ear_tip", "right_ear_tip")),
    "open mouth": Edit("creation", OPEN_MOUTH, ("mouth",)),
    "close mouth": Edit("removal", CLOSE_MOUTH, ("mouth",)),
}
