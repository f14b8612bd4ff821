"""Plants of the book: sunflowers, daisies, asters, tulips, lilies and cactuses, in a pot or in a meadow."""

import math
import random
from dataclasses import dataclass, replace
from typing import Self

from storybook.world.backdrops import Backdrop
from storybook.world.canvas import Canvas
from storybook.world.paints import Colour, hsv
from storybook.world.plants import parts
from storybook.world.scene import Edit, Scene, number, redraw, redraw_from, shift, when
from storybook.world.shapes import Point, Pose, polyline


@dataclass(frozen=True)
class Kind:
    """A kind of plant."""

    share: int  # of the pages
    size: tuple[float, float]  # range of the bloom's radius
    hue: tuple[float, float] = (0.0, 1.0)  # range
    petals: tuple[int, int] = (5, 5)  # range


KINDS = {
    "sunflower": Kind(4, (0.17, 0.24), (0.11, 0.14), (13, 16)),
    "daisy": Kind(3, (0.15, 0.22), petals=(9, 12)),
    "aster": Kind(3, (0.15, 0.21), (0.75, 1.06), (5, 8)),
    "tulip": Kind(4, (0.105, 0.14), (-0.08, 0.13)),
    "lily": Kind(2, (0.105, 0.135), (0.86, 1.1)),
    "cactus": Kind(3, (0.11, 0.15), (0.88, 1.03)),
}
POSE = ("bend", "nod", "left", "right", "leaf", "arm_left", "arm_right", "open")


@dataclass(frozen=True)
class Plant(Scene):
    """A plant seen from the front."""

    kind: str  # a key of KINDS
    backdrop: Backdrop
    potted: bool  # in a pot, else in a meadow
    pot_hue: float
    hue: float  # of the bloom
    petals: int  # their number
    pot: float = number(0.1, 0.135)  # half width of the pot
    x: float = number(0.4, 0.6)  # where it stands
    y: float = number(0.84, 0.95)
    height: float = number(0.24, 0.62)  # length of the stem (a cactus' trunk)
    size: float = number(0.1, 0.24)  # radius of the bloom
    bend: float = number(-0.75, 0.75)  # how far the stem has turned at its end
    nod: float = number(-0.5, 0.5)  # how far the bloom turns on
    left: float = number(-0.45, 0.7)  # how far the left leaf is raised (negative) or lowered from half way up
    right: float = number(-0.45, 0.7)
    leaf: float = number(0.13, 0.24)  # length of the leaves
    arm_left: float = number(0.05, 0.21)  # how far a cactus' arm reaches up
    arm_right: float = number(0.05, 0.21)
    open: float = number(0.0, 1.0)  # how far the bloom is open

    @classmethod
    def sample(cls, rng: random.Random) -> Self:
        kind = rng.choices(list(KINDS), [kind.share for kind in KINDS.values()])[0]
        cactus = kind == "cactus"
        potted = cactus or rng.random() < 0.6
        pot, size = rng.uniform(0.1, 0.135), rng.uniform(*KINDS[kind].size)
        if cactus:
            size = min(size, 0.95 * pot)
        indoors = ("room", "room", "studio", "beach") if cactus else ("room", "room", "room", "studio")
        backdrop = replace(Backdrop.sample(rng), kind=rng.choice(indoors if potted else ("meadow",)))
        if cactus or not potted:
            hues = {"beach": (0.48, 0.56), "meadow": (0.22, 0.36)}.get(backdrop.kind, (0.02, 0.16))
            backdrop = replace(backdrop, hue=rng.uniform(*hues))
        pose = {name: rng.uniform(*cls.range(name)) for name in POSE}
        for name in ("bend", "nod"):
            pose[name] *= rng.choice((0.4, 1.0))
        if cactus:
            pose["bend"] *= 0.25
        y = rng.uniform(0.86, 0.94) if potted else rng.uniform(0.84, 0.95)
        foot = y - 1.4 * pot if potted else y
        height = rng.uniform(0.34, 0.5) if potted else rng.uniform(0.44, 0.62)
        if cactus:
            height = rng.uniform(0.26, 0.38)
        height = min(height, foot - 0.06 - size * (1.0 if kind not in ("tulip", "lily", "cactus") else 1.4))
        hue, pot_hue = rng.uniform(*KINDS[kind].hue), rng.choice((0.04, 0.05, 0.06, 0.1, 0.48, 0.58, 0.62))
        x, petals = rng.uniform(0.4, 0.6) - 0.12 * pose["bend"], rng.randint(*KINDS[kind].petals)
        return cls(kind, backdrop, potted, pot_hue, hue, petals, pot, x, y, height, size, **pose)

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        ground = self.backdrop.ground((0.3, 0.3, 0.2))
        canvas.pool((self.x + 0.03, self.y), 1.25 * self.pot if self.potted else 0.09, 0.03, ground, 0.55)
        if self.kind == "cactus":
            self._draw_cactus(canvas)
        else:
            self._draw_flower(canvas)
        if self.potted:
            parts.pot(canvas, (self.x, self.y), self.pot, self.pot_hue)
        else:
            parts.tuft(canvas, self.x, self.y)

    def _draw_flower(self, canvas: Canvas) -> None:
        green, head = hsv(0.31 + 0.06 * math.sin(50 * self.hue), 0.55, 0.6), self.head()
        canvas.solid(polyline(self.line(), 0.019, 0.014), green, depth=0.1, rim=0.2, rim_width=0.008)
        for root, angle in self.leaves():
            parts.leaf(canvas, root, angle, self.leaf, green)
        if self.is_cup:
            parts.cup(canvas, head, self.kind, self.bloom(), self.open, green)
        else:
            parts.disc(canvas, head, self.kind, self.petals, self.bloom(), self.open)

    def _draw_cactus(self, canvas: Canvas) -> None:
        w, line = self.size * 0.62, self.line()
        parts.cactus(canvas, line, self.arms(), w, hsv(0.36 + 0.08 * math.sin(40 * self.hue), 0.45, 0.6))
        head = Pose((line[1][0], line[1][1] - 0.95 * w), self.bend, 0.65 * w)
        parts.cactus_bloom(canvas, head, self.bloom(), self.open)

    @property
    def is_cup(self) -> bool:
        """Whether the bloom is seen from the side."""
        return self.kind in ("tulip", "lily")

    def line(self) -> list[Point]:
        """Points along the stem (a cactus' trunk is straight and leans by `bend`)."""
        base = (self.x, self.y - 1.4 * self.pot) if self.potted else (self.x, self.y)
        if self.kind == "cactus":
            return [base, (base[0] + math.sin(self.bend) * self.height, base[1] - math.cos(self.bend) * self.height)]
        return parts.stem(base, self.height, self.bend)

    def head(self) -> Pose:
        """The bloom's own coordinates: its radius is 1."""
        x, y = self.line()[-1]
        turn = self.bend + self.nod
        if self.is_cup:  # it stands on the end of the stem
            return Pose((x + 0.6 * self.size * math.sin(turn), y - 0.6 * self.size * math.cos(turn)), turn, self.size)
        return Pose((x, y), turn, self.size)

    def leaves(self) -> list[tuple[Point, float]]:
        """Root and direction of the left and the right leaf."""
        line, along = self.line(), [0.55 * self.bend * t for t in (0.35, 0.55)]
        low, high, out = (1, 2, 0.8) if self.is_cup else (2, 4, 1.05)
        return [(line[low], along[0] - out - self.left), (line[high], along[1] + out + self.right)]

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
        return hsv(self.hue, 0.8, 0.97) if self.kind == "sunflower" else hsv(self.hue, 0.55, 0.9)

    def anchors(self) -> dict[str, Point]:
        found = self._cactus_anchors() if self.kind == "cactus" else self._flower_anchors()
        return found | {"pot": (self.x, self.y - 0.7 * self.pot)} if self.potted else found

    def _cactus_anchors(self) -> dict[str, Point]:
        (x, y), (left, right) = self.line()[-1], self.arms()
        bloom = (x, y - (0.8 + 0.75 * self.open) * 0.62 * self.size)
        return {"top": (x, y), "left_arm": left[-1], "right_arm": right[-1], "bloom": bloom}

    def _flower_anchors(self) -> dict[str, Point]:
        head, line = self.head(), self.line()
        found = {"bloom": head.centre, "stem_mid": line[len(line) // 2]}
        for name, (root, a) in zip(("left_leaf", "right_leaf"), self.leaves(), strict=True):
            found[name] = (root[0] + 0.9 * self.leaf * math.sin(a), root[1] - 0.9 * self.leaf * math.cos(a))
        x, y = 0.9 * (0.6 + 0.4 * self.open), 0.0
        if self.is_cup:
            a, long = 0.22 + 0.85 * self.open, 1.5
            x, y = long * math.sin(a), 0.7 - long * math.cos(a)
        return found | {"left_petal": head(-x, y), "right_petal": head(x, y)}


def _stretch(scene: Plant, rng: random.Random) -> Plant:
    return replace(scene, height=max(scene.height + rng.uniform(-0.14, 0.14), 0.24))


def _resize(scene: Plant, rng: random.Random) -> Plant:
    return replace(scene, size=rng.uniform(*KINDS[scene.kind].size))


def _is_cactus(scene: Plant) -> bool:
    return scene.kind == "cactus"


def _is_flower(scene: Plant) -> bool:
    return scene.kind != "cactus"


_resize_disc = when(lambda scene: _is_flower(scene) and not scene.is_cup, _resize)
_open = when(lambda scene: scene.open < 0.35, redraw_from("open", 0.7, 1.0))
_close = when(lambda scene: scene.open > 0.65, redraw_from("open", 0.0, 0.3))
_grow_arm = when(lambda scene: _is_cactus(scene) and scene.arm_left < 0.1, redraw_from("arm_left", 0.13, 0.21))
_shrink_arm = when(lambda scene: _is_cactus(scene) and scene.arm_right > 0.13, redraw_from("arm_right", 0.05, 0.08))
PETALS = ("left_petal", "right_petal")

EDITS: dict[str, Edit] = {
    "move pot": Edit("relocation", when(lambda scene: scene.potted, shift(x=0.15, y=0.02)), ("pot",)),
    "bend flower": Edit("rotation", when(_is_flower, redraw("bend")), ("bloom",)),
    "turn cup": Edit("rotation", when(lambda scene: scene.is_cup, redraw("nod")), PETALS),
    "swing left leaf": Edit("rotation", redraw("left"), ("left_leaf",)),
    "swing right leaf": Edit("rotation", redraw("right"), ("right_leaf",)),
    "stretch stem": Edit("rescaling", when(_is_flower, _stretch), ("bloom",)),
    "stretch cactus": Edit("rescaling", when(_is_cactus, _stretch), ("top", "bloom")),
    "resize bloom": Edit("rescaling", _resize_disc, PETALS),
    "resize leaves": Edit("rescaling", redraw("leaf"), ("left_leaf", "right_leaf")),
    "open bloom": Edit("creation", _open, PETALS),
    "grow arm": Edit("creation", _grow_arm, ("left_arm",)),
    "close bloom": Edit("removal", _close, PETALS),
    "shrink arm": Edit("removal", _shrink_arm, ("right_arm",)),
}
