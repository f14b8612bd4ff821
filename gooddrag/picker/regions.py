"""Parts of a mask: brush strokes, boxes, ellipses, and the region around a set of drags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        path: its centre, one point or more, (x, y) in pixels; rounded to whole ones.
        radius: in pixels; a pixel counts when its centre is inside, and the one under the brush always does.
    """
    points = np.rint(_dense(path) if radius < 1 else path).astype(int).reshape(-1, 2)
    n = int(radius)
    low = points.min(axis=0) - n
    width, height = (points.max(axis=0) - low + n + 1).tolist()
    canvas = Image.new("L", (width, height))
    if len(points) > 1 and radius >= 1:
        ImageDraw.Draw(canvas).line([tuple(p) for p in (points - low).tolist()], fill=1, width=round(2 * radius))
    inside = np.array(canvas, dtype=bool)
    y, x = np.ogrid[-n : n + 1, -n : n + 1]
    disc = x**2 + y**2 <= radius**2
    for x, y in np.unique(points - low, axis=0).tolist():
        inside[y - n : y + n + 1, x - n : x + n + 1] |= disc
    return _cropped(size, low, inside)


def box(size: tuple[int, int], corner: Point, opposite: Point) -> Region:
    """An upright rectangle between two corners (x, y), both inside."""
    return _drawn(size, np.array([corner, opposite], float), lambda draw, p: draw.rectangle(_bounds(p), fill=1))


def ellipse(size: tuple[int, int], corner: Point, opposite: Point) -> Region:
    """The upright ellipse that touches the sides of that rectangle."""
    return _drawn(size, np.array([corner, opposite], float), lambda draw, p: draw.ellipse(_bounds(p), fill=1))


def around_drags(size: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """A sensible mask for a set of drags: everything near the way from a handle to its target.

    "Near" is the length of the drag, but at least AROUND of the image's short side. Over the storybook's edits that
    covers most of what has to change; notebook 07 measures how much.

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


def _drawn(size: tuple[int, int], corners: np.ndarray, paint: Callable) -> Region:
    """What `paint(draw, corners)` paints between two corners, given from the upper left of the part that is cut out."""
    corners = np.clip(np.rint(corners), -1, size).astype(int)
    low = corners.min(axis=0)
    canvas = Image.new("L", tuple((corners.max(axis=0) - low + 1).tolist()))
    paint(ImageDraw.Draw(canvas), corners - low)
    return _cropped(size, low, np.array(canvas, dtype=bool))


def _cropped(size: tuple[int, int], low: np.ndarray, inside: np.ndarray) -> Region:
    """The part of an array at `low` (x, y) that lies in the image."""
    start = np.clip(low, 0, size)
    stop = np.clip(low + inside.shape[::-1], start, size)
    (left, top), (right, bottom) = start - low, stop - low
    return Region(slice(start[1], stop[1]), slice(start[0], stop[0]), inside[top:bottom, left:right])


def _bounds(points: np.ndarray) -> list[int]:
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _dense(path: Sequence[Point]) -> np.ndarray:
    """A path with a point at every pixel, for brushes too thin for a line."""
    path = np.array(path, float)
    pieces = [path[:1]]
    for a, b in zip(path[:-1], path[1:], strict=True):
        n = int(np.ceil(np.abs(b - a).max()))
        pieces.append(a + (b - a) * np.linspace(0, 1, n + 1)[1:, None])
    return np.concatenate(pieces)
