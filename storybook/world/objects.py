"""Things of the book: car, boat, balloon, house; mug, lamp, chair, clock, each in its place."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from storybook.world.backdrops import WALLS, Backdrop
from storybook.world.furniture import Chair, Lamp
from storybook.world.household import Clock, House, Mug
from storybook.world.render import Canvas
from storybook.world.scenes import Edit, Scene
from storybook.world.shapes import Point
from storybook.world.vehicles import Balloon, Car, Ship

Item = Car | Ship | Balloon | House | Mug | Lamp | Chair | Clock
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
    """One thing in front of a calm background; its parameters are those of `item`."""

    item: Item
    backdrop: Backdrop

    @classmethod
    def sample(cls, rng: random.Random) -> Thing:
        kind, backdrop = rng.choice(list(ITEMS)), Backdrop.sample(rng)
        if kind not in INDOORS:
            place = rng.choice(("meadow", "meadow", "snow"))
            hue = rng.uniform(0.52, 0.62) if place == "snow" else rng.uniform(0.22, 0.36)
            backdrop = replace(backdrop, kind=place, hue=hue)
        elif backdrop.kind not in ("room", "studio"):
            backdrop = replace(backdrop, kind=rng.choice(("room", "room", "studio")), hue=rng.choice(WALLS))
        return cls(ITEMS[kind].sample(rng), backdrop)

    @property
    def kind(self) -> str:
        return next(kind for kind, made in ITEMS.items() if made is type(self.item))

    def draw(self, canvas: Canvas) -> None:
        self.backdrop.draw(canvas)
        self.item.draw(canvas, self.backdrop)

    def anchors(self) -> dict[str, Point]:
        return self.item.anchors()


# Edits ----------------------------------------------------------------------------------------------------------------
# A change that does not apply to a page gives the page back as it is, which the caller takes as "draw another page".


def _part(kind: type, change: Callable[[Item, random.Random], dict]) -> Callable:
    """A change of the parameters of one kind of item."""

    def apply(scene: Thing, rng: random.Random) -> Thing:
        if not isinstance(scene.item, kind):
            return scene
        return replace(scene, item=replace(scene.item, **change(scene.item, rng)))

    return apply


def _redraw(kind: type, *names: str, when: Callable[[Item, Item], bool] = lambda before, after: True) -> Callable:
    """A change that takes parameters from a fresh sample of the kind (so that an edited page is a page)."""

    def change(item: Item, rng: random.Random) -> dict:
        fresh = kind.sample(rng)
        return {name: getattr(fresh, name) for name in names} if when(item, fresh) else {}

    return _part(kind, change)


def _move(kind: type, dx: float, dy: float) -> Callable:
    return _part(kind, lambda item, rng: dict(x=item.x + rng.uniform(-dx, dx), y=item.y + rng.uniform(-dy, dy)))


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
    "turn hour hand": Edit(
        "rotation", _part(Clock, lambda c, r: dict(hour=c.hour + r.uniform(-1.6, 1.6))), ("hour_hand",)
    ),
    "turn minute hand": Edit(
        "rotation", _part(Clock, lambda c, r: dict(minute=c.minute + r.uniform(-1.0, 1.0))), ("minute_hand",)
    ),
    "raise or lower car roof": Edit("rescaling", _redraw(Car, "cabin"), ("roof",)),
    "raise or lower gable": Edit("rescaling", _redraw(House, "roof"), ("gable",)),
    "resize balloon": Edit("rescaling", _redraw(Balloon, "size"), ("left_side", "right_side")),
    "resize mug": Edit("rescaling", _redraw(Mug, "height"), ("rim",)),
    "resize handle": Edit("rescaling", _redraw(Mug, "handle"), ("handle",)),
    "resize chair back": Edit("rescaling", _redraw(Chair, "back"), ("back",)),
    "resize clock": Edit("rescaling", _redraw(Clock, "size"), ("left_rim", "right_rim")),
    "hoist sail": Edit("creation", _redraw(Ship, "sail", when=lambda a, b: b.sail > a.sail), ("sail",)),
    "build chimney": Edit(
        "creation", _redraw(House, "chimney", when=lambda a, b: b.chimney > 0.25 > a.chimney), ("chimney",)
    ),
    "strike sail": Edit("removal", _redraw(Ship, "sail", when=lambda a, b: b.sail < a.sail), ("sail",)),
    "shrink chimney": Edit(
        "removal", _redraw(House, "chimney", when=lambda a, b: b.chimney < 0.22 < a.chimney), ("chimney",)
    ),
}
