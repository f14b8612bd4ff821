"""Landscapes of the book: an hour and a season, one sun or moon, clouds, peaks, water or meadow, trees, a boat."""

import random
from dataclasses import dataclass, replace
from math import cos, sin
from typing import Self

from storybook.world.canvas import Canvas
from storybook.world.landscapes import layout, props, scenery
from storybook.world.landscapes.layout import LOW, SAPLING, Boat, Cloud, Cottage, Peak, Tree
from storybook.world.paints import mix
from storybook.world.scene import Change, Edit, Scene, number, redraw, redraw_from, shift, when
from storybook.world.shapes import Point

ROCKS = ((0.5, 0.5, 0.6), (0.55, 0.5, 0.52), (0.42, 0.53, 0.56), (0.5, 0.45, 0.58))


@dataclass(frozen=True)
class Landscape(Scene):
    """A landscape. The first of the clouds, peaks and trees is the one that people look at."""

    hour: str  # a key of HOURS
    season: str  # a key of GRASS
    ground: str  # meadow, lake or sea
    horizon: float  # height where land or water begins, from the top
    shore: float  # where the nearest ground begins
    sun_x: float = number(0.12, 0.88)  # centre of the sun (by night of the moon)
    sun_y: float = number(0.1, 0.34)
    sun_r: float = number(0.05, 0.085)  # its radius
    clouds: tuple[Cloud, ...]  # up to two
    peaks: tuple[Peak, ...]  # one or two
    trees: tuple[Tree, ...]  # up to three
    boat: Boat | None  # on a lake or the sea
    cottage: Cottage | None  # on a meadow
    path: bool  # on a meadow
    seed: int  # of the lines of the hills, the stars and the path

    @classmethod
    def sample(cls, rng: random.Random) -> Self:
        hour = rng.choices(list(scenery.HOURS), (2, 4, 3, 2))[0]
        season = rng.choices(list(scenery.GRASS), (2, 4, 2, 2))[0]
        ground = rng.choices(("meadow", "lake", "sea"), (5, 4, 2))[0]
        meadow, horizon = ground == "meadow", rng.uniform(0.5, 0.6)
        shore = horizon + rng.uniform(0.1, 0.16) if meadow else rng.uniform(0.76, 0.88)
        peaks = layout.draw_peaks(rng)
        sun = (0.5, 1.0)
        while not layout.clear(sun, peaks, horizon):
            sun = rng.uniform(*cls.range("sun_x")), rng.uniform(*cls.range("sun_y"))
        clouds = layout.draw_clouds(rng, [sun, *layout.summits(peaks, horizon)])
        boat = cottage = None
        if not meadow and rng.random() < 0.65:
            size = rng.uniform(0.14, 0.26)
            x, y = rng.uniform(0.15, 0.85), rng.uniform(horizon + 0.07, shore - 0.07)
            boat = Boat(x, y, size, rng.uniform(-0.38, 0.38) * 0.8, rng.random())
        if meadow and rng.random() < 0.35:
            x, y, size = rng.uniform(0.2, 0.8), shore + rng.uniform(0.08, 0.16), rng.uniform(0.16, 0.24)
            cottage = Cottage(x, y, size, rng.choice((0.0, 0.03, 0.06, 0.58)))
        radius, trees = rng.uniform(0.05, 0.085), layout.draw_trees(rng, shore, cottage)
        path, seed = meadow and rng.random() < 0.5, rng.randrange(10**6)
        place, things = (hour, season, ground, horizon, shore), (clouds, peaks, trees, boat, cottage)
        return cls(*place, *sun, radius, *things, path, seed)

    def draw(self, canvas: Canvas) -> None:
        rng, hour, season = random.Random(self.seed), scenery.HOURS[self.hour], self.season
        night, winter = self.hour == "night", season == "winter"
        scenery.sky(canvas, hour, self.horizon)
        if night:
            scenery.stars(canvas, rng, self.horizon)
        scenery.sun(canvas, (self.sun_x, self.sun_y), self.sun_r, hour, moon=night)
        rock = rng.choice(ROCKS)
        far = scenery.wave(rng, self.horizon - 0.07, 0.025, 7.0)
        scenery.hill(canvas, far, self.horizon - 0.07, hour.lit(rock, 0.75), hour.lit(rock, 0.62), self.horizon)
        snow = rng.uniform(0.22, 0.4) * (1.5 if winter else 1.0) * (season != "summer" or rng.random() < 0.7)
        for peak in self.peaks:
            scenery.mountain(canvas, peak, self.horizon, hour, rock, snow)
        for cloud in self.clouds:
            scenery.cloud(canvas, cloud, hour)
        grass = scenery.GRASS[season] if self.ground != "sea" or winter else (0.94, 0.83, 0.62)
        wood = mix(scenery.GRASS[season], (0.3, 0.5, 0.45), 0.15 if winter else 0.4)
        middle = scenery.wave(rng, self.horizon - 0.015, 0.012, 5.0)
        scenery.hill(canvas, middle, self.horizon - 0.015, hour.lit(wood, 0.15), hour.lit(wood, 0.4), self.shore)
        if self.ground != "meadow":
            scenery.water(canvas, self.horizon + 0.015, self.shore, hour, self.sun_x)
        if self.boat:
            props.boat(canvas, self.boat, hour)
        near = scenery.wave(rng, self.shore, 0.018)
        shade = mix(grass, (0.16, 0.3, 0.2), 0.12 if winter else 0.3)
        scenery.hill(canvas, near, self.shore, hour.lit(shade), hour.lit(grass))
        if self.path:
            earth = hour.lit((0.8, 0.83, 0.9) if winter else (0.86, 0.74, 0.54))
            scenery.path(canvas, near, self.shore, rng.uniform(0.35, 0.65), earth, rng.uniform(0, 6))
        if self.cottage:
            props.cottage(canvas, self.cottage, hour, night=night, snow=winter)
        for tree in sorted(self.trees, key=lambda t: t.y):
            props.tree(canvas, tree, season, hour, haze=max(0.0, 0.2 - 0.8 * (tree.y - self.shore)))

    def anchors(self) -> dict[str, Point]:
        found = {"sun": (self.sun_x, self.sun_y)}
        for end, cloud in zip(("", "_2"), self.clouds, strict=False):
            for name, side in (("cloud", 0), ("cloud_left", -0.85), ("cloud_right", 0.85)):
                found[name + end] = (cloud.x + side * cloud.size, cloud.y)
        for end, peak in zip(("", "_2"), self.peaks, strict=False):
            found["peak" + end] = (peak.x, self.horizon - peak.height + 0.008)
        for end, tree in zip(("", "_2", "_3"), self.trees, strict=False):
            up = (sin(tree.lean) * tree.height, cos(tree.lean) * tree.height)
            for name, k in (("tree_top", 0.95), ("tree", 0.45)):
                found[name + end] = (tree.x + k * up[0], tree.y - k * up[1])
        if self.boat:
            b, mast = self.boat, 0.95 * self.boat.size
            found |= {"boat": (b.x, b.y), "mast": (b.x + mast * sin(b.heel), b.y - mast * cos(b.heel))}
        if self.cottage:
            c = self.cottage
            found |= {"cottage": (c.x, c.y - 0.3 * c.size), "roof": (c.x, c.y - 0.85 * c.size)}
        return found


def _if_all_is_seen(before: Landscape, after: Landscape) -> Landscape:
    """The page after if no peak or cloud covers the sun there, and no cloud a summit."""
    sun = (after.sun_x, after.sun_y)
    shown = (sun, *layout.summits(after.peaks, after.horizon))
    free = all(layout.apart(cloud, point) for cloud in after.clouds for point in shown)
    return after if free and layout.clear(sun, after.peaks, after.horizon) else before


def _move_sun(scene: Landscape, rng: random.Random) -> Landscape:
    return _if_all_is_seen(scene, redraw("sun_x", "sun_y")(scene, rng))


def _part(field: str, at: int, change: Change) -> Change:
    """A change of the part number `at` of a tuple (clouds, peaks, trees), if there is one."""

    def apply(scene: Landscape, rng: random.Random) -> Landscape:
        parts = list(getattr(scene, field))
        if len(parts) <= at:
            return scene
        parts[at] = change(parts[at], rng)
        return _if_all_is_seen(scene, replace(scene, **{field: tuple(parts)}))

    return apply


def _boat(change: Change) -> Change:
    return when(lambda scene: scene.boat, lambda scene, rng: replace(scene, boat=change(scene.boat, rng)))


def _move_boat(scene: Landscape, rng: random.Random) -> Landscape:
    if scene.boat is None:
        return scene
    x, y = scene.boat.x + rng.uniform(-0.17, 0.17), rng.uniform(scene.horizon + 0.07, scene.shore - 0.07)
    return replace(scene, boat=replace(scene.boat, x=x, y=y))


def _move_cottage(scene: Landscape, rng: random.Random) -> Landscape:
    if scene.cottage is None:
        return scene
    x = min(max(scene.cottage.x + rng.uniform(-0.16, 0.16), 0.16), 0.84)
    return replace(scene, cottage=replace(scene.cottage, x=x))


_size_tree = when(lambda tree: tree.height > SAPLING[1], redraw("height"))
_grow_tree = when(lambda tree: tree.height < SAPLING[1], redraw_from("height", 0.2, 0.32))
_raise_peak = when(lambda peak: peak.height < LOW[1], redraw_from("height", 0.14, 0.24))
_level_peak = when(lambda peak: peak.height > 0.14, redraw_from("height", *LOW))

EDITS: dict[str, Edit] = {
    "move sun": Edit("relocation", _move_sun, ("sun",)),
    "move cloud": Edit("relocation", _part("clouds", 0, redraw("x", "y")), ("cloud_left", "cloud_right")),
    "move boat": Edit("relocation", _move_boat, ("boat", "mast")),
    "move tree": Edit("relocation", _part("trees", 0, shift(x=0.16)), ("tree", "tree_top")),
    "move cottage": Edit("relocation", _move_cottage, ("cottage",)),
    "move peak": Edit("relocation", _part("peaks", 0, shift(x=0.16)), ("peak",)),
    "heel boat": Edit("rotation", _boat(redraw("heel")), ("mast",)),
    "bend tree": Edit("rotation", _part("trees", 0, redraw("lean")), ("tree_top",)),
    "raise or lower peak": Edit("rescaling", _part("peaks", 0, redraw("height")), ("peak",)),
    "resize tree": Edit("rescaling", _part("trees", 0, _size_tree), ("tree_top",)),
    "widen or narrow cloud": Edit("rescaling", _part("clouds", 0, redraw("size")), ("cloud_left", "cloud_right")),
    "resize boat": Edit("rescaling", _boat(redraw("size")), ("mast",)),
    "new peak": Edit("creation", _part("peaks", 1, _raise_peak), ("peak_2",)),
    "tree grows": Edit("creation", _part("trees", 0, _grow_tree), ("tree_top",)),
    "level peak": Edit("removal", _part("peaks", 1, _level_peak), ("peak_2",)),
    "cloud dissolves": Edit(
        "removal", _part("clouds", 0, lambda cloud, rng: replace(cloud, size=0.0)), ("cloud_left", "cloud_right")
    ),
}
