"""The whole book: a random page from all families, in the mix the model is trained on."""

from __future__ import annotations

import random

from gooddrag.storybook.animals import Animal
from gooddrag.storybook.landscapes import Landscape
from gooddrag.storybook.objects import Thing
from gooddrag.storybook.paintings import Painting
from gooddrag.storybook.plants import Plant
from gooddrag.storybook.portraits import Person
from gooddrag.storybook.scenes import Scene

WORLD_VERSION = "1"  # raised whenever the same seed would give another picture

FAMILIES: dict[str, type[Scene]] = {
    "animal": Animal,
    "painting": Painting,
    "landscape": Landscape,
    "plant": Plant,
    "portrait": Person,
    "object": Thing,
}
MIX = {"animal": 50, "landscape": 18, "object": 12, "portrait": 9, "plant": 6, "painting": 5}  # of sample(), per cent


def sample(seed: int, family: str | None = None) -> Scene:
    """Page number `seed` of the book (training uses 0 <= seed < 10**9; everything else lies above).

    Args:
        seed: any whole number >= 0; the same seed gives the same page.
        family: a key of FAMILIES, to have pages of one family only.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family: {family!r}; one of {', '.join(FAMILIES)} is expected")
    rng = random.Random(seed)
    drawn = rng.choices(list(MIX), list(MIX.values()))[0]
    return FAMILIES[family or drawn].sample(rng)
