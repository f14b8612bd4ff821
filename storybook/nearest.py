"""The nearest page: how far a picture is from all pages with the same identity, the *image manifold* of Fig. 1.

A page is a function of its numbers, so the distance can be computed. It needs the package `cma`.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import cma
import numpy as np
import torch.nn.functional as F
from PIL import Image
from scipy.optimize import least_squares

from storybook.world.scene import Drawn, Scene

SIZE = 64  # px a side at which picture and pages are compared
STEP = 0.03  # of CMA-ES's first generation, in ranges of the numbers
DIFFERENCE = 0.01  # for the derivatives of a page, in ranges of the numbers


def nearest(
    image: Image.Image, scene: Scene, start: Scene | None = None, *, evaluations: int = 300
) -> tuple[float, Scene]:
    """The page that looks most like a picture, of all pages with the same identity as `scene`.

    Identity is all that no edit changes: breed, coat, colours, backdrop, style. The numbers that edits change are
    searched within the ranges that pages are drawn from: first by CMA-ES, which leaves hollows, then by least squares.

    Args:
        image: the picture, square, at least 64 px a side.
        scene: the page before the edit, where the search starts.
        start: the page after the edit, with the same identity; a second search starts there.
        evaluations: about how many pages are drawn from each start.

    Returns:
        The mean squared difference between picture and page, of levels in [0, 1], and the page. The distance is an
        upper bound, since a search may miss the nearest page. The same arguments give the same result.
    """
    if image.width != image.height or image.width < SIZE:
        raise ValueError(f"image: {image.width} x {image.height} px; a square of at least {SIZE} px is expected")
    goal = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX), np.float64) / 255
    starts = np.array([[value for value, _ in _numbers(page)] for page in (scene, start) if page is not None])
    lo, hi = np.array([span for _, span in _numbers(scene)]).T
    lo, hi = np.minimum(lo, starts.min(0)), np.maximum(hi, starts.max(0))  # an edit may leave the range

    def page(u: np.ndarray) -> Scene:
        return _with_numbers(scene, lo + u * (hi - lo))

    def difference(u: np.ndarray) -> np.ndarray:
        drawn = F.avg_pool2d(page(u).render(2 * SIZE), 2)  # as exact as a picture made smaller
        return ((drawn.permute(1, 2, 0).double().numpy() + 1) / 2 - goal).ravel()

    found = [_search(difference, (numbers - lo) / (hi - lo), evaluations) for numbers in starts]
    distance, u = min(found, key=lambda each: each[0])
    return distance, page(u)


def _search(difference: Callable, u: np.ndarray, evaluations: int) -> tuple[float, np.ndarray]:
    """The smallest mean square found of `difference` from the start u in the unit cube, and where."""

    def distance(u: np.ndarray) -> float:
        return float(np.mean(difference(u) ** 2))

    draw = np.random.default_rng(0).standard_normal
    options = {"bounds": [0, 1], "maxfevals": evaluations // 2, "verbose": -9, "CMA_diagonal": True, "seed": np.nan}
    search = cma.CMAEvolutionStrategy(u, STEP, options | {"randn": lambda *shape: draw(shape)}).optimize(distance)
    found = [(distance(u), u), (search.result.fbest, search.result.xbest)]
    u = np.clip(min(found, key=lambda each: each[0])[1], 1e-6, 1 - 1e-6)
    steps = max(1, evaluations // 2 // (len(u) + 1))  # a step draws a page for every number
    u = least_squares(difference, u, bounds=(0, 1), diff_step=DIFFERENCE, max_nfev=steps).x
    return min([*found, (distance(u), u)], key=lambda each: each[0])


def _numbers(scene: Scene) -> list[tuple[float, tuple[float, float]]]:
    """The numbers of a page and their ranges."""
    found: list[tuple[float, tuple[float, float]]] = []

    def keep(value: float, span: tuple[float, float]) -> float:
        found.append((value, span))
        return value

    _replaced(scene, keep)
    return found


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
