"""Things of the book: car, boat, balloon, house; mug, lamp, chair, clock, each in its place."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from storybook.world.backdrops import WALLS, Backdrop
from storybook.world.canvas import Canvas
from storybook.world.objects.furniture import Chair, Lamp
from storybook.world.objects.household import Clock, House, Mug
from storybook.world.objects.item import Item
from storybook.world.objects.vehicles import Balloon, Car, Ship
from storybook.world.scene import Change, Edit, Scene, shift
from storybook.world.shapes import Point

ITEMS: dict[str, type[Item]] = {
    "car": Car,
    "boat": Ship,
    "balloon": Balloon,
    "house": House,
    "mug": Mug,
    "lamp": Lamp,
    "chair": Chair,
    "clock": Clock,
}
INDOORS = {"mug", "lamp", "chair", "clock"}


@dataclass(frozen=True)
class Thing(Scene):
    """One thing in front of a calm background; its numbers are those of `item`."""

    item: Item
    backdrop: Backdrop

    @classmethod
    def sample(cls, rng: random.Random) -> "Thing":
        kind, backdrop = rng.choice(list(ITEMS)), Backdrop.sample(rng)
        if kind not in INDOORS:
            place = rng.choice(("meadow", "meadow", "snow"))
            hue = rng.uniform(0.52, 0.62) if place == "snow" else rng.uniform(0.22, 0.36)
            backdrop = replace(backdrop, kind=place, hue=hue)
        elif backdrop.kind not in ("room", "studio"):
            backdrop = replace(backdrop, kind=rng.choice(("room", "room", "studio")), hue=rng.choice(WALLS))
        return cls(ITEMS[kind].sample(rng), backdrop)

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        self.item.draw(canvas, self.backdrop)

    def anchors(self) -> dict[str, Point]:
        return self.item.anchors()


def _of(kind: type[Item], change: Change) -> Change:
    """A change of the numbers of one kind of item; other pages stay as they are."""

    def apply(scene: Thing, rng: random.Random) -> Thing:
        return replace(scene, item=change(scene.item, rng)) if isinstance(scene.item, kind) else scene

    return apply


def _redraw(kind: type[Item], name: str, fits: Callable[[Item, Item], bool] = lambda before, fresh: True) -> Change:
    """A change that takes a number from a fresh sample of the kind, if that sample fits."""

    def change(item: Item, rng: random.Random) -> Item:
        fresh = kind.sample(rng)
        return replace(item, **{name: getattr(fresh, name)}) if fits(item, fresh) else item

    return _of(kind, change)


def _move(kind: type[Item], dx: float, dy: float) -> Change:
    return _of(kind, shift(x=dx, y=dy))


_hoist = _redraw(Ship, "sail", lambda before, fresh: fresh.sail > before.sail)
_strike = _redraw(Ship, "sail", lambda before, fresh: fresh.sail < before.sail)
_build = _redraw(House, "chimney", lambda before, fresh: fresh.chimney > 0.25 > before.chimney)
_shrink = _redraw(House, "chimney", lambda before, fresh: fresh.chimney < 0.22 < before.chimney)

EDITS: dict[str, Edit] = {
    "move car": Edit("relocation", _move(Car, 0.17, 0.02), ("left_wheel", "right_wheel")),
    "move boat": Edit("relocation", _move(Ship, 0.16, 0.04), ("hull", "mast")),
    "move balloon": Edit("relocation", _move(Balloon, 0.14, 0.12), ("envelope", "basket")),
    "move house": Edit("relocation", _move(House, 0.14, 0.03), ("gable", "door")),
    "move mug": Edit("relocation", _move(Mug, 0.14, 0.03), ("mug", "handle")),
    "move wheels": Edit("relocation", _redraw(Car, "wheels"), ("left_wheel", "right_wheel")),
    "heel boat": Edit("rotation", _redraw(Ship, "heel"), ("mast",)),
    "swing basket": Edit("rotation", _redraw(Balloon, "swing"), ("basket",)),
    "turn lamp": Edit("rotation", _redraw(Lamp, "head"), ("left_shade", "right_shade")),
    "swing lamp arm": Edit("rotation", _redraw(Lamp, "elbow"), ("lamp_head",)),
    "recline chair": Edit("rotation", _redraw(Chair, "recline"), ("back",)),
    "turn hour hand": Edit("rotation", _of(Clock, shift(hour=1.6)), ("hour_hand",)),
    "turn minute hand": Edit("rotation", _of(Clock, shift(minute=1.0)), ("minute_hand",)),
    "raise or lower car roof": Edit("rescaling", _redraw(Car, "cabin"), ("roof",)),
    "raise or lower gable": Edit("rescaling", _redraw(House, "roof"), ("gable",)),
    "resize balloon": Edit("rescaling", _redraw(Balloon, "size"), ("left_side", "right_side")),
    "resize mug": Edit("rescaling", _redraw(Mug, "height"), ("rim",)),
    "resize handle": Edit("rescaling", _redraw(Mug, "handle"), ("handle",)),
    "resize chair back": Edit("rescaling", _redraw(Chair, "back"), ("back",)),
    "resize clock": Edit("rescaling", _redraw(Clock, "size"), ("left_rim", "right_rim")),
    "hoist sail": Edit("creation", _hoist, ("sail",)),
    "build chimney": Edit("creation", _build, ("chimney",)),
    "strike sail": Edit("removal", _strike, ("sail",)),
    "shrink chimney": Edit("removal", _shrink, ("chimney",)),
}
