"""The whole book: a random page from all families, in the mix that the model is trained on."""

import random

from storybook.world.animals.animal import Animal
from storybook.world.landscapes.landscape import Landscape
from storybook.world.objects.thing import Thing
from storybook.world.paintings import Painting
from storybook.world.people.person import Person
from storybook.world.plants.plant import Plant
from storybook.world.scene import Scene

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
