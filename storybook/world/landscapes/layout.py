"""Where things are in a landscape: clouds, peaks, trees, boat and cottage, and that none of them hides another."""

import random
from dataclasses import dataclass

from torch import Tensor

from storybook.world.scene import Drawn, drawn, number
from storybook.world.shapes import Point

LOW, SAPLING = (0.035, 0.09), (0.06, 0.14)  # heights of a peak that is no more than a hump, of a tree that is young


@dataclass(frozen=True)
class Cloud(Drawn):
    """A cloud; half a width of zero is a clear sky."""

    x: float = number(0.12, 0.88)  # centre
    y: float = number(0.08, 0.32)
    size: float = number(0.08, 0.17)  # half its width


@dataclass(frozen=True)
class Peak(Drawn):
    """A mountain."""

    x: float = number(0.16, 0.84)  # of the summit
    height: float = number(0.14, 0.4)  # above the horizon
    width: float = number(0.22, 0.34)  # half of it, at the foot
    phase: float = drawn(lambda rng, made: rng.uniform(0, 6.3))  # shapes ridge and snow line


@dataclass(frozen=True)
class Tree(Drawn):
    """A tree."""

    kind: str  # "conifer" or "round"
    x: float = number(0.1, 0.9)  # foot
    y: float = number(0.66, 0.95)
    height: float = number(0.18, 0.4)
    lean: float = number(-0.32, 0.32)


@dataclass(frozen=True)
class Boat(Drawn):
    """A sailing boat."""

    x: float = number(0.15, 0.85)  # water line
    y: float = number(0.57, 0.81)
    size: float = number(0.14, 0.26)  # height of the mast
    heel: float = number(-0.38, 0.38)
    hue: float = drawn(lambda rng, made: rng.random())


@dataclass(frozen=True)
class Cottage(Drawn):
    """A cottage."""

    x: float = number(0.16, 0.84)  # door step
    y: float = number(0.66, 0.92)
    size: float = number(0.16, 0.24)  # its width
    hue: float = drawn(lambda rng, made: rng.choice((0.0, 0.03, 0.06, 0.58)))  # of its roof


def draw_peaks(rng: random.Random) -> tuple[Peak, ...]:
    """One peak, or two that leave each other room; the second may be no more than a hump."""
    first = Peak.sample(rng)
    places = [x for x in (rng.uniform(0.1, 0.9) for _ in range(8)) if abs(x - first.x) > 0.28]
    if rng.random() < 0.2 or not places:
        return (first,)
    height = rng.uniform(*LOW) if rng.random() < 0.3 else rng.uniform(0.14, max(first.height, 0.2))
    return first, Peak(places[0], height, rng.uniform(0.18, 0.28), rng.uniform(0, 6.3))


def draw_clouds(rng: random.Random, shown: list[Point]) -> tuple[Cloud, ...]:
    """Up to two clouds that cover neither each other nor the points shown."""
    clouds: list[Cloud] = []
    for _ in range(rng.choice((0, 1, 1, 2))):
        cloud = Cloud.sample(rng)
        if all(apart(cloud, p) for p in (*shown, *((c.x, c.y) for c in clouds))):
            clouds.append(cloud)
    return tuple(clouds)


def draw_trees(rng: random.Random, shore: float, cottage: Cottage | None) -> tuple[Tree, ...]:
    """Up to three trees on the near ground, apart from each other and from the cottage; saplings among them."""
    kind, trees = rng.choice(("conifer", "round")), []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        x, y = rng.uniform(0.1, 0.9), rng.uniform(min(shore + 0.05, 0.93), 0.95)
        height = rng.uniform(*SAPLING) if rng.random() < 0.15 else rng.uniform(0.18, 0.4)
        if all(abs(x - t.x) > 0.18 for t in trees) and (cottage is None or abs(x - cottage.x) > 0.2):
            grown = kind if rng.random() < 0.8 else "round"
            trees.append(Tree(grown, x, y, height, rng.uniform(-0.32, 0.32) * rng.choice((0.3, 1.0))))
    return tuple(trees)


def flank(t: Tensor | float) -> Tensor | float:
    """Height of a mountain at a distance t (its half widths) from the summit, in its heights: 1 to 0, hollow flanks."""
    return 1 - 1.25 * t + 0.25 * t * t


def clear(sun: Point, peaks: tuple[Peak, ...], horizon: float) -> bool:
    """Whether the sun's centre stands in the open sky."""
    return all(sun[1] < horizon - p.height * flank(min(abs(sun[0] - p.x) / p.width, 1.5)) - 0.03 for p in peaks)


def summits(peaks: tuple[Peak, ...], horizon: float) -> list[Point]:
    """Tips of the peaks, unit square."""
    return [(p.x, horizon - p.height) for p in peaks]


def apart(cloud: Cloud, point: Point) -> bool:
    """Whether the cloud leaves this point (the sun, another cloud's centre) uncovered."""
    return abs(cloud.x - point[0]) > cloud.size + 0.05 or abs(cloud.y - point[1]) > 0.5 * cloud.size + 0.05
