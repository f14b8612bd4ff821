"""Parts of a mask: brush strokes, boxes, ellipses, and the region around a set of drags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
AROUND = 0.18  # of the short side: the least radius of `around_drags`


@dataclass(frozen=True)
class Region:
    """Some pixels of an image, cut out so that a small stroke on a large photograph stays cheap.

    Attributes:
        rows, columns: where `inside` lies in the image.
        inside: bool (rows, columns), True where the region is.
    """

    rows: slice
    columns: slice
    inside: np.ndarray


def stroke(size: tuple[int, int], path: Sequence[Point], radius: float) -> Region:
    """What a round brush covers.

    Args:
        size: (W, H) of the image.
        path: its centre, one point or more, (x, y) in pixels.
        radius: in pixels; a pixel counts when its centre is inside, and the one under the brush always does.
    """

    def paint(draw: ImageDraw.ImageDraw, points: np.ndarray) -> None:
        if len(points) > 1 and radius >= 1:
            draw.line([tuple(p) for p in points.tolist()], fill=1, width=max(1, round(2 * radius)))
        for x, y in points.tolist():
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)

    return _drawn(size, _dense(path) if radius < 1 else np.array(path, float), radius, paint)


def box(size: tuple[int, int], corner: Point, opposite: Point) -> Region:
    """An upright rectangle between two corners (x, y), both inside."""
    return _drawn(size, np.array([corner, opposite], float), 0, lambda draw, p: draw.rectangle(_bounds(p), fill=1))


def ellipse(size: tuple[int, int], corner: Point, opposite: Point) -> Region:
    """The upright ellipse that touches the sides of that rectangle."""
    return _drawn(size, np.array([corner, opposite], float), 0, lambda draw, p: draw.ellipse(_bounds(p), fill=1))


def around_drags(size: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """A sensible mask for a set of drags: everything near the way from a handle to its target.

    "Near" is the length of the drag, but at least AROUND of the image's short side. Over the storybook's edits that
    covers about seven tenths of the true mask; notebook 07 measures it.

    Args:
        size: (W, H) of the image.
        points: (l, 2, 2), pairs of [handle (x, y), target (x, y)].

    Returns:
        bool (H, W), True = editable.
    """
    mask = np.zeros(size[::-1], bool)
    for handle, target in np.asarray(points, float):
        radius = max(float(np.linalg.norm(target - handle)), AROUND * min(size))
        region = stroke(size, [tuple(handle), tuple(target)], radius)
        mask[region.rows, region.columns] |= region.inside
    return mask


def _drawn(size: tuple[int, int], points: np.ndarray, margin: float, paint) -> Region:
    margin = int(np.ceil(margin)) + 1
    low = np.clip(np.floor(points.min(axis=0)) - margin, 0, size).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + margin + 1, 0, size).astype(int)
    width, height = np.maximum(high - low, 0).tolist()
    inside = np.zeros((height, width), bool)
    if inside.size:
        canvas = Image.new("L", (width, height))
        paint(ImageDraw.Draw(canvas), points - low)
        inside = np.array(canvas, dtype=bool)
    return Region(slice(low[1], low[1] + height), slice(low[0], low[0] + width), inside)


def _bounds(points: np.ndarray) -> list[int]:
    return [*np.rint(points.min(axis=0)).astype(int).tolist(), *np.rint(points.max(axis=0)).astype(int).tolist()]


def _dense(path: Sequence[Point]) -> np.ndarray:
    """A path with a point at every pixel, for brushes too thin for a line."""
    path = np.array(path, float)
    pieces = [path[:1]]
    for a, b in zip(path[:-1], path[1:], strict=True):
        n = int(np.ceil(np.abs(b - a).max()))
        pieces.append(a + (b - a) * np.linspace(0, 1, n + 1)[1:, None])
    return np.concatenate(pieces)
