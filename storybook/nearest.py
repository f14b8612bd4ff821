"""The nearest page: how far a picture is from all pictures of the same animal, person, plant, thing or landscape.

All pages with the same identity are a family of a few dozen numbers, so the distance of an edited picture to the *image
manifold* of the paper's Fig. 1 can be computed. It needs the package `cma`.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import cma
import numpy as np
from PIL import Image

from storybook.world.scene import Drawn, Scene

STEP = 0.05  # of the first generation, in ranges of the numbers
DIAG = True


def nearest(
    image: Image.Image, scene: Scene, start: Scene | None = None, *, size: int = 64, evaluations: int = 300
) -> tuple[float, Scene]:
    """The page with the same identity as `scene` that looks most like a picture, found by CMA-ES.

    Identity is all that no edit changes: breed, coat, colours, background, style. The numbers that edits change are
    searched within the ranges that pages are drawn from.

    Args:
        image: the picture, square, at least size x size px.
        scene: a page to start from: that before the edit.
        start: another one: that after the edit. It has the identity of `scene`.
        size: side at which picture and pages are compared, px.
        evaluations: pages drawn from each start.

    Returns:
        The mean squared difference between picture and page, of levels in [0, 1], and the page. Distances are upper
        bounds: the search may miss the nearest page. The same arguments give the same result.
    """
    if image.width != image.height or image.width < size:
        raise ValueError(f"image: {image.width} x {image.height} px; a square of at least {size} px is expected")
    goal = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX), np.float32) / 255
    starts = [scene] if start is None else [scene, start]
    values = np.array([_numbers(page)[0] for page in starts])
    lo, hi = np.array(_numbers(scene)[1]).T
    lo, hi = np.minimum(lo, values.min(0)), np.maximum(hi, values.max(0))  # edits may leave the range

    def page(u: np.ndarray) -> Scene:
        return _with_numbers(scene, lo + u * (hi - lo))

    def distance(u: np.ndarray) -> float:
        picture = page(u).render(size).permute(1, 2, 0).numpy() / 2 + 0.5
        return float(np.mean((picture - goal) ** 2))

    found = [_search(distance, (value - lo) / (hi - lo), evaluations) for value in values]
    best, u = min(found, key=lambda each: each[0])
    return best, page(u)


def _search(distance: Callable[[np.ndarray], float], u: np.ndarray, evaluations: int) -> tuple[float, np.ndarray]:
    """The smallest distance found from the start u in the unit cube, and where."""
    draw = np.random.default_rng(0).standard_normal
    options = {"bounds": [0, 1], "maxfevals": evaluations, "verbose": -9, "seed": np.nan, "CMA_diagonal": DIAG}
    search = cma.CMAEvolutionStrategy(u, STEP, options | {"randn": lambda *shape: draw(shape)})
    best = (distance(u), u)
    while not search.stop():
        drawn = search.ask()
        distances = [distance(each) for each in drawn]
        search.tell(drawn, distances)
        best = min(best, (min(distances), drawn[int(np.argmin(distances))]), key=lambda each: each[0])
    return best


def _numbers(scene: Scene) -> tuple[list[float], list[tuple[float, float]]]:
    """The numbers of a page and their ranges."""
    found: list[tuple[float, tuple[float, float]]] = []

    def keep(value: float, span: tuple[float, float]) -> float:
        found.append((value, span))
        return value

    _replaced(scene, keep)
    values, spans = zip(*found, strict=True)
    return list(values), list(spans)


def _with_numbers(scene: Scene, values: np.ndarray) -> Scene:
    left = iter(values.tolist())
    return _replaced(scene, lambda value, span: next(left))


def _replaced(part: Drawn, change: Callable[[float, tuple[float, float]], float]) -> Any:
    """The page or the part of a page with `change(value, range)` in the place of every number, in a fixed order."""
    new: dict[str, Any] = {}
    for each in fields(part):
        value = getattr(part, each.name)
        if "range" in each.metadata:
            new[each.name] = change(value, each.metadata["range"])
        elif isinstance(value, Drawn):
            new[each.name] = _replaced(value, change)
        elif isinstance(value, tuple) and value and isinstance(value[0], Drawn):
            new[each.name] = tuple(_replaced(one, change) for one in value)
    return replace(part, **new)
