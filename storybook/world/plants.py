"""Plants of the book: sunflowers, daisies, asters, tulips, lilies and cactuses, in a pot or in a meadow."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from storybook.world.backdrops import Backdrop
from storybook.world.paints import Colour, hsv
from storybook.world.plant_parts import paint_plant, stem
from storybook.world.render import Canvas
from storybook.world.scenes import Edit, Scene
from storybook.world.shapes import Point, Pose

# Every parameter an edit may change is drawn from the same range as in `sample`, so an edited page is a page.
RANGES: dict[str, tuple[float, float]] = {
    "bend": (-0.75, 0.75),
    "nod": (-0.5, 0.5),
    "left": (-0.45, 0.7),
    "right": (-0.45, 0.7),
    "leaf": (0.13, 0.24),
    "arm_left": (0.05, 0.21),
    "arm_right": (0.05, 0.21),
    "open": (0.0, 1.0),
}
SIZE = {
    "sunflower": (0.17, 0.24),
    "daisy": (0.15, 0.22),
    "aster": (0.15, 0.21),
    "tulip": (0.105, 0.14),
    "lily": (0.105, 0.135),
    "cactus": (0.11, 0.15),
}
PETALS = {"sunflower": (13, 16), "daisy": (9, 12), "aster": (5, 8)}
HUES = {
    "sunflower": (0.11, 0.14),
    "aster": (0.75, 1.06),
    "tulip": (-0.08, 0.13),
    "lily": (0.86, 1.1),
    "cactus": (0.88, 1.03),
}


@dataclass(frozen=True)
class Plant(Scene):
    """A plant seen from the front. Lengths in picture sides, angles in radians, positive clockwise.

    Attributes:
        kind: a key of SIZE.
        backdrop: what is behind it.
        potted: in a pot (else in a meadow); pot, pot_hue: half width and hue of the pot.
        x, y: where it stands.
        height: length of the stem (a cactus' trunk); size: radius of the bloom.
        hue: of the bloom; petals: their number.
        bend: how far the stem has turned at its end; nod: how far the bloom turns on.
        open: of the bloom, in [0, 1].
        leaf: length of the leaves; left, right: how far they are raised (negative) or lowered from half way up.
        arm_left, arm_right: how far a cactus' arms reach up.
    """

    kind: str
    backdrop: Backdrop
    potted: bool
    pot: float
    pot_hue: float
    x: float
    y: float
    height: float
    size: float
    hue: float
    petals: int
    bend: float
    nod: float
    open: float
    leaf: float
    left: float
    right: float
    arm_left: float
    arm_right: float

    @classmethod
    def sample(cls, rng: random.Random) -> Plant:
        kind = rng.choices(list(SIZE), (4, 3, 3, 4, 2, 3))[0]
        potted = kind == "cactus" or rng.random() < 0.6
        pot, size = rng.uniform(0.1, 0.135), rng.uniform(*SIZE[kind])
        if kind == "cactus":
            size = min(size, 0.95 * pot)
        indoors = ("room", "room", "studio", "beach") if kind == "cactus" else ("room", "room", "room", "studio")
        kinds = indoors if potted else ("meadow",)
        backdrop = replace(Backdrop.sample(rng), kind=rng.choice(kinds))
        if kind == "cactus" or not potted:
            hues = {"beach": (0.48, 0.56), "meadow": (0.22, 0.36)}.get(backdrop.kind, (0.02, 0.16))
            backdrop = replace(backdrop, hue=rng.uniform(*hues))
        pose = {name: rng.uniform(*span) for name, span in RANGES.items()}
        for name in ("bend", "nod"):
            pose[name] *= rng.choice((0.4, 1.0))
        if kind == "cactus":
            pose["bend"] *= 0.25
        y = rng.uniform(0.86, 0.94) if potted else rng.uniform(0.84, 0.95)
        foot = y - 1.4 * pot if potted else y
        height = rng.uniform(0.34, 0.5) if potted else rng.uniform(0.44, 0.62)
        if kind == "cactus":
            height = rng.uniform(0.26, 0.38)
        height = min(height, foot - 0.06 - size * (1.0 if kind not in ("tulip", "lily", "cactus") else 1.4))
        hue = rng.uniform(*HUES.get(kind, (0.0, 1.0)))
        return cls(
            kind,
            backdrop,
            potted,
            pot,
            rng.choice((0.04, 0.05, 0.06, 0.1, 0.48, 0.58, 0.62)),
            rng.uniform(0.4, 0.6) - 0.12 * pose["bend"],
            y,
            height,
            size,
            hue,
            rng.randint(*PETALS.get(kind, (5, 5))),
            **pose,
        )

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        paint_plant(canvas, self)

    def line(self) -> list[Point]:
        """Points along the stem (a cactus' trunk is straight and leans by `bend`)."""
        base = (self.x, self.y - 1.4 * self.pot) if self.potted else (self.x, self.y)
        if self.kind == "cactus":
            return [base, (base[0] + math.sin(self.bend) * self.height, base[1] - math.cos(self.bend) * self.height)]
        return stem(base, self.height, self.bend)

    def head(self) -> Pose:
        """The bloom's own frame: its radius is 1."""
        x, y = self.line()[-1]
        turn = self.bend + self.nod
        if self.kind in ("tulip", "lily"):  # seen from the side: it stands on the end of the stem
            return Pose((x + 0.6 * self.size * math.sin(turn), y - 0.6 * self.size * math.cos(turn)), turn, self.size)
        return Pose((x, y), turn, self.size)

    def leaves(self) -> list[tuple[Point, float]]:
        """Root and direction of the left and the right leaf."""
        line, low = self.line(), self.kind in ("tulip", "lily")
        along = [0.55 * self.bend * t for t in (0.35, 0.55)]
        return [
            (line[1 if low else 2], along[0] - (0.8 if low else 1.05) - self.left),
            (line[2 if low else 4], along[1] + (0.8 if low else 1.05) + self.right),
        ]

    def arms(self) -> list[list[Point]]:
        """A cactus' arms: out of the trunk, round the elbow, up."""
        (ax, ay), (bx, by) = self.line()
        found = []
        for side, t, up in ((-1, 0.32, self.arm_left), (1, 0.5, self.arm_right)):
            x, y = ax + t * (bx - ax), ay + t * (by - ay)
            out = side * 1.15 * self.size
            found.append([(x, y), (x + 0.85 * out, y - 0.02), (x + out, y - 0.05), (x + out, y - 0.05 - up)])
        return found

    def bloom(self) -> Colour:
        """Colour of the petals."""
        if self.kind == "daisy":
            return hsv(self.hue, 0.07, 0.98)
        return hsv(self.hue, 0.8 if self.kind == "sunflower" else 0.55, 0.97 if self.kind == "sunflower" else 0.9)

    def anchors(self) -> dict[str, Point]:
        head, line = self.head(), self.line()
        if self.kind == "cactus":
            arms = self.arms()
            found = {
                "top": line[-1],
                "left_arm": arms[0][-1],
                "right_arm": arms[1][-1],
                "bloom": (line[-1][0], line[-1][1] - (0.8 + 0.75 * self.open) * 0.62 * self.size),
            }
        else:
            found = {"bloom": head.centre, "stem_mid": line[len(line) // 2]}
            for name, (root, a) in zip(("left_leaf", "right_leaf"), self.leaves(), strict=True):
                found[name] = (root[0] + 0.9 * self.leaf * math.sin(a), root[1] - 0.9 * self.leaf * math.cos(a))
            if self.kind in ("tulip", "lily"):
                a, long = 0.22 + 0.85 * self.open, 1.5
                tips = ((-long * math.sin(a), 0.7 - long * math.cos(a)), (long * math.sin(a), 0.7 - long * math.cos(a)))
            else:
                reach = 0.9 * (0.6 + 0.4 * self.open)
                tips = ((-reach, 0.0), (reach, 0.0))
            found["left_petal"], found["right_petal"] = head(*tips[0]), head(*tips[1])
        if self.potted:
            found["pot"] = (self.x, self.y - 0.7 * self.pot)
        return found


# Edits ----------------------------------------------------------------------------------------------------------------
# A change that does not apply to a page gives the page back as it is, which the caller takes as "draw another page".


def _redraw(name: str, lo: float | None = None, hi: float | None = None):
    """A change that draws a parameter anew, from its range or from a part of it."""
    span = RANGES[name]
    return lambda scene, rng: replace(
        scene, **{name: rng.uniform(span[0] if lo is None else lo, span[1] if hi is None else hi)}
    )


def _when(fits, change):
    return lambda scene, rng: change(scene, rng) if fits(scene) else scene


def _bend(scene: Plant, rng: random.Random) -> Plant:
    return replace(scene, bend=rng.uniform(*RANGES["bend"]) * (0.25 if scene.kind == "cactus" else 1.0))


def _move(scene: Plant, rng: random.Random) -> Plant:
    return replace(scene, x=scene.x + rng.uniform(-0.15, 0.15), y=scene.y + rng.uniform(-0.02, 0.02))


def _stretch(scene: Plant, rng: random.Random) -> Plant:
    return replace(scene, height=max(scene.height + rng.uniform(-0.14, 0.14), 0.24))


def _bigger(scene: Plant, rng: random.Random) -> Plant:
    return replace(scene, size=rng.uniform(*SIZE[scene.kind]))


EDITS: dict[str, Edit] = {
    "move pot": Edit("relocation", _when(lambda s: s.potted, _move), ("pot",)),
    "bend flower": Edit("rotation", _when(lambda s: s.kind != "cactus", _bend), ("bloom",)),
    "turn cup": Edit(
        "rotation", _when(lambda s: s.kind in ("tulip", "lily"), _redraw("nod")), ("left_petal", "right_petal")
    ),
    "swing left leaf": Edit("rotation", _redraw("left"), ("left_leaf",)),
    "swing right leaf": Edit("rotation", _redraw("right"), ("right_leaf",)),
    "stretch stem": Edit("rescaling", _when(lambda s: s.kind != "cactus", _stretch), ("bloom",)),
    "stretch cactus": Edit("rescaling", _when(lambda s: s.kind == "cactus", _stretch), ("top", "bloom")),
    "resize bloom": Edit("rescaling", _when(lambda s: s.kind in PETALS, _bigger), ("left_petal", "right_petal")),
    "resize leaves": Edit("rescaling", _redraw("leaf"), ("left_leaf", "right_leaf")),
    "open bloom": Edit("creation", _when(lambda s: s.open < 0.35, _redraw("open", 0.7)), ("left_petal", "right_petal")),
    "grow arm": Edit(
        "creation", _when(lambda s: s.kind == "cactus" and s.arm_left < 0.1, _redraw("arm_left", 0.13)), ("left_arm",)
    ),
    "close bloom": Edit(
        "removal", _when(lambda s: s.open > 0.65, _redraw("open", hi=0.3)), ("left_petal", "right_petal")
    ),
    "shrink arm": Edit(
        "removal",
        _when(lambda s: s.kind == "cactus" and s.arm_right > 0.13, _redraw("arm_right", hi=0.08)),
        ("right_arm",),
    ),
}
