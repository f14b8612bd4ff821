"""The whole book: a random page from all families, in the mix the model is trained on."""

from __future__ import annotations

import random

import importlib

from gooddrag.storybook.animals import Animal
from gooddrag.storybook.portraits import Person
from gooddrag.storybook.scenes import Scene


def _late(module: str, name: str):
    try:
        return getattr(importlib.import_module("gooddrag.storybook." + module), name)
    except (ImportError, AttributeError):
        return None


Landscape, Thing = _late("landscapes", "Landscape"), _late("objects", "Thing")
Painting, Plant = _late("paintings", "Painting"), _late("plants", "Plant")

WORLD_VERSION = "1"  # raised whenever the same seed would give another picture

FAMILIES: dict[str, type[Scene]] = {
    "animal": Animal,
    "painting": Painting,
    "landscape": Landscape,
    "plant": Plant,
    "portrait": Person,
    "object": Thing,
}
FAMILIES = {k: v for k, v in FAMILIES.items() if v}
MIX = {"animal": 50, "landscape": 18, "object": 12, "portrait": 9, "plant": 6, "painting": 5}  # of sample(), per cent


MIX = {k: v for k, v in MIX.items() if k in FAMILIES}


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
