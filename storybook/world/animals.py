"""Animals of the book: twelve families, one pose model, one drawing routine (animal_parts)."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from storybook.world.animal_parts import paint_animal
from storybook.world.animal_rig import Rig
from storybook.world.backdrops import Backdrop
from storybook.world.breeds import BREEDS, PANDA, Breed, Coat
from storybook.world.paints import Colour, hsv
from storybook.world.render import Canvas
from storybook.world.scenes import EYES, Edit, Scene
from storybook.world.shapes import Point

# Every parameter an edit may change is drawn from the same range as in `sample`, so an edited page is a page.
RANGES: dict[str, tuple[float, float]] = {
    "lean": (-0.09, 0.09),
    "tilt": (-0.42, 0.42),
    "turn": (-1.0, 1.0),
    "nod": (-0.8, 0.8),
    "left": (-0.75, 0.75),
    "right": (-0.75, 0.75),
    "bend": (-1.0, 1.0),
    "ear_length": (0.75, 1.3),
    "look_x": (-1.0, 1.0),
    "look_y": (-0.6, 0.6),
}
WEIGHTS = {"cat": 5, "dog": 5, "bear": 4, "rabbit": 4, "fox": 4, "owl": 2, "penguin": 2, "mouse": 3, "elephant": 3,
           "pig": 3, "lion": 3, "frog": 2}  # fmt: skip


@dataclass(frozen=True)
class Animal(Scene):
    """A sitting animal, seen from the front. Left and right are the picture's.

    Attributes:
        kind: a key of BREEDS.
        coat, iris, pattern, spots: colours, pattern name and the pattern's seed.
        backdrop: what is behind it.
        x, y: centre of the body, unit square; body: its half width, picture sides.
        head: radius of the head, picture sides (0.16 to 0.25).
        lean, neck: the head's centre relative to the body's: to the right, and up, picture sides.
        tilt: angle of the head, radians, positive clockwise.
        turn, nod: where the face looks, in [-1, 1]: right, down.
        left, right: how far the ears (a bird's wings) are swung outwards from their usual angle, radians.
        ear_length: length of the ears relative to the breed's.
        eye: size relative to the breed's; lids: how far the eyes are open in [0.3, 1]; look_x, look_y: pupils, [-1, 1].
        mouth: opening in [0, 1].
        bend: curl of the tail (an elephant's trunk), in [-1, 1].
    """

    kind: str
    coat: Coat
    iris: Colour
    pattern: str
    spots: int
    backdrop: Backdrop
    x: float
    y: float
    body: float
    head: float
    lean: float
    neck: float
    tilt: float = 0.0
    turn: float = 0.0
    nod: float = 0.0
    left: float = 0.0
    right: float = 0.0
    ear_length: float = 1.0
    eye: float = 1.0
    lids: float = 1.0
    look_x: float = 0.0
    look_y: float = 0.0
    mouth: float = 0.0
    bend: float = 0.0

    @property
    def breed(self) -> Breed:
        return BREEDS[self.kind]

    @classmethod
    def sample(cls, rng: random.Random) -> Animal:
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        breed = BREEDS[kind]
        pattern = rng.choice(breed.patterns)
        coat = _jitter(PANDA if pattern == "panda" else rng.choice(breed.coats), rng)
        head = rng.uniform(*_head_range(breed))
        body = head * rng.uniform(0.82, 1.06)
        pose = {name: _draw(rng, name) for name in RANGES}
        neck = 0.5 * head + 0.85 * body + rng.uniform(-0.03, 0.045)
        x = rng.uniform(0.38, 0.62)
        y = rng.uniform(0.86, 1.05) - 1.22 * body  # from the feet, which may be cut by the frame
        y = min(max(y, 0.05 + head * _crown(breed) + neck), 1.15 - 0.9 * body)
        mouth = rng.choice((0.0, 0.0, rng.uniform(0.25, 1.0), rng.uniform(0.6, 1.0)))
        return cls(kind, coat, rng.choice(breed.irises), pattern, rng.randrange(10**6),
                   Backdrop.sample(rng), x - 0.5 * pose["lean"], y, body, head, neck=neck, mouth=mouth,
                   eye=rng.uniform(0.95, 1.2), lids=rng.choice((1.0, 1.0, rng.uniform(0.45, 1.0))), **pose)  # fmt: skip

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        paint_animal(canvas, self)

    def anchors(self) -> dict[str, Point]:
        return Rig(self).anchors()


def _head_range(breed: Breed) -> tuple[float, float]:
    """Radii of the head that leave room for long ears."""
    return {"long": (0.17, 0.215), "fan": (0.17, 0.215)}.get(breed.ear, (0.19, 0.255))


def _crown(breed: Breed) -> float:
    """Height of the topmost part above the head's centre, in head radii."""
    if "mane" in breed.patterns:
        return 1.45
    if breed.ear in ("none", "fan", "flop"):
        return 1.1 if breed.eye_at[1] > -0.5 else 1.15
    reach = breed.ear_length * math.cos(breed.ear_angle) * 1.1
    if breed.ear == "round":
        reach += 0.6 * breed.ear_width
    return max(reach - breed.ear_at[1], 1.0)


def _draw(rng: random.Random, name: str) -> float:
    """A value of a pose parameter, more often near the middle of its range."""
    lo, hi = RANGES[name]
    return rng.uniform(lo, hi) if rng.random() < 0.6 else rng.triangular(lo, hi, (lo + hi) / 2)


def _jitter(coat: Coat, rng: random.Random) -> Coat:
    """A coat a little warmer or cooler, lighter or darker; now and then a picture-book colour."""
    if rng.random() < 0.08:
        hue = rng.random()
        return Coat(hsv(hue, 0.42, 0.78), hsv(hue + 0.03, 0.14, 0.97), hsv(hue - 0.03, 0.55, 0.5))
    value, warm = rng.uniform(0.93, 1.05), rng.uniform(0.97, 1.035)
    gain = (value * warm, value, value / warm)
    return Coat(*(tuple(min(c * g, 1.0) for c, g in zip(colour, gain, strict=True))
                  for colour in (coat.main, coat.light, coat.dark)))  # fmt: skip


# Edits ----------------------------------------------------------------------------------------------------------------


def _redraw(*names: str):
    """A change that draws parameters anew from the ranges the pages are sampled from."""
    return lambda scene, rng: replace(scene, **{name: rng.uniform(*RANGES[name]) for name in names})


def _only(kinds: set[str], change):
    """The change for some kinds only (others stay as they are, which the caller takes as not applicable)."""
    return lambda scene, rng: change(scene, rng) if scene.kind in kinds else scene


EARED = {kind for kind, breed in BREEDS.items() if breed.ear != "none"}
WINGED = {"owl", "penguin"}
TAILED = {kind for kind, breed in BREEDS.items() if breed.tail in ("thin", "bushy", "tuft")} - {"elephant"}


def _step(scene: Animal, rng: random.Random) -> Animal:
    return replace(scene, x=scene.x + rng.uniform(-0.14, 0.14), y=scene.y + rng.uniform(-0.05, 0.05))


def _head_size(scene: Animal, rng: random.Random) -> Animal:
    return replace(scene, head=rng.uniform(*_head_range(scene.breed)))


def _open(scene: Animal, rng: random.Random) -> Animal:
    return replace(scene, mouth=rng.uniform(0.6, 1.0)) if scene.mouth < 0.1 else scene


def _close(scene: Animal, rng: random.Random) -> Animal:
    return replace(scene, mouth=0.0) if scene.mouth > 0.55 else scene


def _move_head(scene: Animal, rng: random.Random) -> Animal:
    return replace(scene, lean=rng.uniform(*RANGES["lean"]), neck=scene.neck + rng.uniform(-0.05, 0.03))


EDITS: dict[str, Edit] = {
    "move animal": Edit("relocation", _step, ("nose", "body"), EYES),
    "move head": Edit("relocation", _move_head, ("nose", "forehead"), EYES),
    "turn face": Edit("relocation", _redraw("turn"), ("nose",), EYES),
    "nod": Edit("relocation", _redraw("nod"), ("nose",), EYES),
    "look round": Edit("relocation", _redraw("turn", "nod"), ("nose", *EYES)),
    "tilt head": Edit("rotation", _redraw("tilt"), ("forehead", "chin"), (*EYES, "nose")),
    "swing left ear": Edit("rotation", _only(EARED - WINGED, _redraw("left")), ("left_ear_tip",)),
    "swing right ear": Edit("rotation", _only(EARED - WINGED, _redraw("right")), ("right_ear_tip",)),
    "raise wing": Edit("rotation", _only(WINGED, _redraw("left")), ("left_wing_tip",)),
    "swing tail": Edit("rotation", _only(TAILED, _redraw("bend")), ("tail_tip",)),
    "swing trunk": Edit("rotation", _only({"elephant"}, _redraw("bend")), ("trunk_tip",)),
    "resize head": Edit("rescaling", _head_size, ("crown", "left_cheek", "right_cheek"), EYES),
    "resize ears": Edit("rescaling", _only(EARED, _redraw("ear_length")), ("left_ear_tip", "right_ear_tip")),
    "open mouth": Edit("creation", _open, ("mouth",)),
    "close mouth": Edit("removal", _close, ("mouth",)),
}
