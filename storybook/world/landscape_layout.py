"""Where things are in a landscape: clouds, peaks, trees and boat, and that none of them hides another."""

from __future__ import annotations

import random
from dataclasses import dataclass

from storybook.world import landscape_parts as parts
from storybook.world.shapes import Point

# Every parameter an edit may change is drawn from the same range as in `sample`, so an edited page is a page.
SUN_X, SUN_Y = (0.12, 0.88), (0.1, 0.34)
CLOUD_X, CLOUD_Y, CLOUD = (0.12, 0.88), (0.08, 0.32), (0.08, 0.17)
HEIGHT, LOW = (0.14, 0.4), (0.035, 0.09)  # of a peak that matters, and of one that is still (or no longer) a hump
TREE, SAPLING = (0.18, 0.4), (0.06, 0.14)
LEAN, HEEL = (-0.32, 0.32), (-0.38, 0.38)


@dataclass(frozen=True)
class Cloud:
    """Centre and half width; a half width of zero is a clear sky."""

    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Peak:
    """Place of the summit, height above the horizon, half width at the foot; `phase` shapes ridge and snow line."""

    x: float
    height: float
    width: float
    phase: float


@dataclass(frozen=True)
class Tree:
    """Kind ("conifer" or "round"), foot, height, and lean, radians, positive to the right."""

    kind: str
    x: float
    y: float
    height: float
    lean: float


@dataclass(frozen=True)
class Boat:
    """Water line, height of the mast, heel, radians, positive to the right, hue."""

    x: float
    y: float
    size: float
    heel: float
    hue: float


def draw_sun(rng: random.Random, peaks: tuple[Peak, ...], horizon: float) -> Point:
    """A place in the open sky."""
    while True:
        place = rng.uniform(*SUN_X), rng.uniform(*SUN_Y)
        if clear(place, peaks, horizon):
            return place


def draw_peaks(rng: random.Random) -> tuple[Peak, ...]:
    """One peak, or two that leave each other room; the second may be no more than a hump."""
    first = Peak(rng.uniform(0.16, 0.84), rng.uniform(*HEIGHT), rng.uniform(0.22, 0.34), rng.uniform(0, 6.3))
    places = [x for x in (rng.uniform(0.1, 0.9) for _ in range(8)) if abs(x - first.x) > 0.28]
    if rng.random() < 0.2 or not places:
        return (first,)
    height = rng.uniform(*LOW) if rng.random() < 0.3 else rng.uniform(HEIGHT[0], max(first.height, 0.2))
    return first, Peak(places[0], height, rng.uniform(0.18, 0.28), rng.uniform(0, 6.3))


def draw_trees(rng: random.Random, shore: float, cottage: tuple[float, ...] | None) -> tuple[Tree, ...]:
    """Up to three trees on the near ground, apart from each other and from the cottage; saplings among them."""
    kind, trees = rng.choice(("conifer", "round")), []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        x, y = rng.uniform(0.1, 0.9), rng.uniform(min(shore + 0.05, 0.93), 0.95)
        height = rng.uniform(*SAPLING) if rng.random() < 0.15 else rng.uniform(*TREE)
        if all(abs(x - t.x) > 0.18 for t in trees) and (cottage is None or abs(x - cottage[0]) > 0.2):
            trees.append(
                Tree(kind if rng.random() < 0.8 else "round", x, y, height, rng.uniform(*LEAN) * rng.choice((0.3, 1.0)))
            )
    return tuple(trees)


def clear(sun: Point, peaks: tuple[Peak, ...], horizon: float) -> bool:
    """Whether the sun's centre stands in the open sky."""
    return all(sun[1] < horizon - p.height * parts.flank(min(abs(sun[0] - p.x) / p.width, 1.5)) - 0.03 for p in peaks)


def summits(peaks: tuple[Peak, ...], horizon: float) -> list[Point]:
    """Tips of the peaks, unit square."""
    return [(p.x, horizon - p.height) for p in peaks]


def apart(cloud: Cloud, point: Point) -> bool:
    """Whether the cloud leaves this point (the sun, another cloud's centre) uncovered."""
    return abs(cloud.x - point[0]) > cloud.size + 0.05 or abs(cloud.y - point[1]) > 0.5 * cloud.size + 0.05
