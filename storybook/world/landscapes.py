"""Landscapes of the book: an hour and a season, one sun or moon, clouds, peaks, water or meadow, trees, a boat."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, sin

from storybook.world import landscape_layout as layout
from storybook.world import landscape_parts as parts
from storybook.world import landscape_props as props
from storybook.world.landscape_layout import Boat, Cloud, Peak, Tree
from storybook.world.paints import mix
from storybook.world.render import Canvas
from storybook.world.scenes import Edit, Scene
from storybook.world.shapes import Point


@dataclass(frozen=True)
class Landscape(Scene):
    """A landscape. Lengths in picture sides.

    Attributes:
        hour: a key of HOURS; season: spring, summer, autumn or winter; ground: meadow, lake or sea.
        horizon: height where land or water begins, from the top; shore: where the nearest ground begins.
        sun_x, sun_y, sun_r: the sun's (by night the moon's) centre and radius.
        clouds, peaks, trees: up to two, one or two, up to three; the first of each is the one people look at.
        boat: on a lake or the sea, or None; cottage: (x, y, size, hue) on a meadow, or None; path: on a meadow.
        seed: of the lines of the hills, the stars and the path.
    """

    hour: str
    season: str
    ground: str
    horizon: float
    shore: float
    sun_x: float
    sun_y: float
    sun_r: float
    clouds: tuple[Cloud, ...]
    peaks: tuple[Peak, ...]
    trees: tuple[Tree, ...]
    boat: Boat | None
    cottage: tuple[float, float, float, float] | None
    path: bool
    seed: int

    @classmethod
    def sample(cls, rng: random.Random) -> Landscape:
        hour = rng.choices(list(parts.HOURS), (2, 4, 3, 2))[0]
        season = rng.choices(list(parts.GRASS), (2, 4, 2, 2))[0]
        ground = rng.choices(("meadow", "lake", "sea"), (5, 4, 2))[0]
        horizon = rng.uniform(0.5, 0.6)
        shore = horizon + rng.uniform(0.1, 0.16) if ground == "meadow" else rng.uniform(0.76, 0.88)
        peaks = layout.draw_peaks(rng)
        sun = layout.draw_sun(rng, peaks, horizon)
        clouds = []
        for _ in range(rng.choice((0, 1, 1, 2))):
            spot = Cloud(rng.uniform(*layout.CLOUD_X), rng.uniform(*layout.CLOUD_Y), rng.uniform(*layout.CLOUD))
            shown = (sun, *layout.summits(peaks, horizon), *((c.x, c.y) for c in clouds))
            if all(layout.apart(spot, p) for p in shown):
                clouds.append(spot)
        boat = None
        if ground != "meadow" and rng.random() < 0.65:
            size = rng.uniform(0.14, 0.26)
            boat = Boat(
                rng.uniform(0.15, 0.85),
                rng.uniform(horizon + 0.07, shore - 0.07),
                size,
                rng.uniform(*layout.HEEL) * 0.8,
                rng.random(),
            )
        cottage = None
        if ground == "meadow" and rng.random() < 0.35:
            cottage = (
                rng.uniform(0.2, 0.8),
                shore + rng.uniform(0.08, 0.16),
                rng.uniform(0.16, 0.24),
                rng.choice((0.0, 0.03, 0.06, 0.58)),
            )
        return cls(
            hour,
            season,
            ground,
            horizon,
            shore,
            *sun,
            rng.uniform(0.05, 0.085),
            tuple(clouds),
            peaks,
            layout.draw_trees(rng, shore, cottage),
            boat,
            cottage,
            ground == "meadow" and rng.random() < 0.5,
            rng.randrange(10**6),
        )

    def draw(self, canvas: Canvas) -> None:
        rng, hour, season = random.Random(self.seed), parts.HOURS[self.hour], self.season
        night, winter = self.hour == "night", season == "winter"
        parts.sky(canvas, hour, self.horizon)
        if night:
            parts.stars(canvas, rng, self.horizon)
        parts.sun(canvas, self.sun_x, self.sun_y, self.sun_r, hour, night)
        rock = rng.choice(((0.5, 0.5, 0.6), (0.55, 0.5, 0.52), (0.42, 0.53, 0.56), (0.5, 0.45, 0.58)))
        far = parts.wave(rng, self.horizon - 0.07, 0.025, 7.0)
        parts.hill(canvas, far, self.horizon - 0.07, hour.lit(rock, 0.75), hour.lit(rock, 0.62), self.horizon)
        snow = rng.uniform(0.22, 0.4) * (1.5 if winter else 1.0) * (season != "summer" or rng.random() < 0.7)
        for peak in self.peaks:
            parts.mountain(canvas, peak.x, peak.height, peak.width, self.horizon, peak.phase, hour, rock, snow)
        for cloud in self.clouds:
            parts.cloud(canvas, cloud.x, cloud.y, cloud.size, hour)
        grass = parts.GRASS[season] if self.ground != "sea" or winter else (0.94, 0.83, 0.62)
        wood = mix(parts.GRASS[season], (0.3, 0.5, 0.45), 0.15 if winter else 0.4)
        middle = parts.wave(rng, self.horizon - 0.015, 0.012, 5.0)
        parts.hill(canvas, middle, self.horizon - 0.015, hour.lit(wood, 0.15), hour.lit(wood, 0.4), self.shore)
        if self.ground != "meadow":
            parts.water(canvas, self.horizon + 0.015, self.shore, hour, self.sun_x)
        if self.boat:
            props.boat(canvas, (self.boat.x, self.boat.y), self.boat.size, self.boat.heel, self.boat.hue, hour)
        near = parts.wave(rng, self.shore, 0.018)
        parts.hill(
            canvas, near, self.shore, hour.lit(mix(grass, (0.16, 0.3, 0.2), 0.12 if winter else 0.3)), hour.lit(grass)
        )
        if self.path:
            earth = hour.lit((0.8, 0.83, 0.9) if winter else (0.86, 0.74, 0.54))
            parts.path(canvas, near, self.shore, rng.uniform(0.35, 0.65), earth, rng.uniform(0, 6))
        if self.cottage:
            props.cottage(canvas, *self.cottage, hour, night, winter)
        for tree in sorted(self.trees, key=lambda t: t.y):
            haze = max(0.0, 0.2 - 0.8 * (tree.y - self.shore))
            props.tree(canvas, tree.kind, (tree.x, tree.y), tree.height, tree.lean, season, hour, haze)

    def anchors(self) -> dict[str, Point]:
        found = {"sun": (self.sun_x, self.sun_y)}
        for end, cloud in zip(("", "_2"), self.clouds, strict=False):
            found |= {
                "cloud" + end: (cloud.x, cloud.y),
                "cloud_left" + end: (cloud.x - 0.85 * cloud.size, cloud.y),
                "cloud_right" + end: (cloud.x + 0.85 * cloud.size, cloud.y),
            }
        for end, peak in zip(("", "_2"), self.peaks, strict=False):
            found |= {"peak" + end: (peak.x, self.horizon - peak.height + 0.008)}
        for end, tree in zip(("", "_2", "_3"), self.trees, strict=False):
            up = (sin(tree.lean) * tree.height, cos(tree.lean) * tree.height)
            for name, k in (("tree_top", 0.95), ("tree", 0.45)):
                found[name + end] = (tree.x + k * up[0], tree.y - k * up[1])
        if self.boat:
            b = self.boat
            found |= {
                "boat": (b.x, b.y),
                "mast": (b.x + 0.95 * b.size * sin(b.heel), b.y - 0.95 * b.size * cos(b.heel)),
            }
        if self.cottage:
            x, y, size, _ = self.cottage
            found |= {"cottage": (x, y - 0.3 * size), "roof": (x, y - 0.85 * size)}
        return found


# A change that does not apply to a page gives the page back as it is, which the caller takes as "draw another page".


def _sun(scene: Landscape, rng: random.Random) -> Landscape:
    x, y = rng.uniform(*layout.SUN_X), rng.uniform(*layout.SUN_Y)
    shown = layout.clear((x, y), scene.peaks, scene.horizon) and all(layout.apart(c, (x, y)) for c in scene.clouds)
    return replace(scene, sun_x=x, sun_y=y) if shown else scene


def _part(field: str, at: int, change: Callable, when: Callable = lambda part: True) -> Callable:
    """A change of the part number `at` of a tuple (clouds, peaks, trees) if there is one and it is suitable."""

    def apply(scene: Landscape, rng: random.Random) -> Landscape:
        items = getattr(scene, field)
        if len(items) <= at or not when(items[at]):
            return scene
        after = replace(scene, **{field: (*items[:at], replace(items[at], **change(items[at], rng)), *items[at + 1 :])})
        sun = (after.sun_x, after.sun_y)  # no peak or cloud may come to cover it, or a cloud a summit
        shown = (sun, *layout.summits(after.peaks, after.horizon))
        fine = layout.clear(sun, after.peaks, after.horizon) and all(
            layout.apart(c, p) for c in after.clouds for p in shown
        )
        return after if fine else scene

    return apply


def _boat(change: Callable) -> Callable:
    return lambda scene, rng: replace(scene, boat=replace(scene.boat, **change(scene, rng))) if scene.boat else scene


def _cottage(scene: Landscape, rng: random.Random) -> Landscape:
    if scene.cottage is None:
        return scene
    x, y, size, hue = scene.cottage
    return replace(scene, cottage=(min(max(x + rng.uniform(-0.16, 0.16), 0.16), 0.84), y, size, hue))


EDITS: dict[str, Edit] = {
    "move sun": Edit("relocation", _sun, ("sun",)),
    "move cloud": Edit(
        "relocation",
        _part("clouds", 0, lambda c, r: dict(x=r.uniform(*layout.CLOUD_X), y=r.uniform(*layout.CLOUD_Y))),
        ("cloud_left", "cloud_right"),
    ),
    "move boat": Edit(
        "relocation",
        _boat(lambda s, r: dict(x=s.boat.x + r.uniform(-0.17, 0.17), y=r.uniform(s.horizon + 0.07, s.shore - 0.07))),
        ("boat", "mast"),
    ),
    "move tree": Edit(
        "relocation", _part("trees", 0, lambda t, r: dict(x=t.x + r.uniform(-0.16, 0.16))), ("tree", "tree_top")
    ),
    "move cottage": Edit("relocation", _cottage, ("cottage",)),
    "move peak": Edit("relocation", _part("peaks", 0, lambda p, r: dict(x=p.x + r.uniform(-0.16, 0.16))), ("peak",)),
    "heel boat": Edit("rotation", _boat(lambda s, r: dict(heel=r.uniform(*layout.HEEL))), ("mast",)),
    "bend tree": Edit("rotation", _part("trees", 0, lambda t, r: dict(lean=r.uniform(*layout.LEAN))), ("tree_top",)),
    "raise or lower peak": Edit(
        "rescaling", _part("peaks", 0, lambda p, r: dict(height=r.uniform(*layout.HEIGHT))), ("peak",)
    ),
    "resize tree": Edit(
        "rescaling",
        _part("trees", 0, lambda t, r: dict(height=r.uniform(*layout.TREE)), lambda t: t.height > layout.SAPLING[1]),
        ("tree_top",),
    ),
    "widen or narrow cloud": Edit(
        "rescaling", _part("clouds", 0, lambda c, r: dict(size=r.uniform(*layout.CLOUD))), ("cloud_left", "cloud_right")
    ),
    "resize boat": Edit("rescaling", _boat(lambda s, r: dict(size=r.uniform(0.14, 0.26))), ("mast",)),
    "new peak": Edit(
        "creation",
        _part("peaks", 1, lambda p, r: dict(height=r.uniform(0.14, 0.24)), lambda p: p.height < layout.LOW[1]),
        ("peak_2",),
    ),
    "tree grows": Edit(
        "creation",
        _part("trees", 0, lambda t, r: dict(height=r.uniform(0.2, 0.32)), lambda t: t.height < layout.SAPLING[1]),
        ("tree_top",),
    ),
    "level peak": Edit(
        "removal",
        _part("peaks", 1, lambda p, r: dict(height=r.uniform(*layout.LOW)), lambda p: p.height > layout.HEIGHT[0]),
        ("peak_2",),
    ),
    "cloud dissolves": Edit("removal", _part("clouds", 0, lambda c, r: dict(size=0.0)), ("cloud_left", "cloud_right")),
}
