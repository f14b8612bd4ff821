"""What is picked on an image: pairs of points and a mask, with undo and redo. Plain Python and numpy, no widget."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from gooddrag.files import load_mask
from gooddrag.sample import check_points, mask_note

UNDO_STEPS = 300
AROUND = 0.18  # of the short side: the least radius of `around_drags`


class Pick(NamedTuple):
    """One moment of the state, small enough to keep many: the mask is packed and compressed."""

    image: Image.Image
    points: tuple[float, ...]
    mask: bytes | None


class PickerState:
    """Image, points and mask. Every change is checked, and can be undone.

    Args:
        image: PIL RGB.
        points: (l, 2, 2), pairs of [handle (x, y), target (x, y)] in pixels; None or empty = none yet.
        mask: (H, W), as for `Sample`; None = everything is editable.

    Attributes:
        points: float64 (l, 2, 2), read-only; l may be 0.
        mask: bool (H, W), read-only, True = editable; None = everything is.
        now, past, future: all of it as `Pick`s.
    """

    def __init__(self, image: Image.Image, points: ArrayLike | None = None, mask: ArrayLike | None = None):
        self.past: list[Pick] = []
        self.future: list[Pick] = []
        self._show(Pick(image, _flat(points, image.size), _packed(mask, image.size)))

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the image."""
        return self.now.image.size

    def set(self, **changes) -> None:
        """Take another `image`, other `points` or another `mask`, together as one change; what is not named stays.

        Raises:
            ValueError: as `check_points` and `check_mask`: outside the image, two handles on a spot, ...
        """
        image, points, mask = changes.get("image", self.now.image), self.now.points, self.now.mask
        if "points" in changes:
            points = _flat(changes["points"], image.size)
        if "mask" in changes:
            mask = _packed(changes["mask"], image.size)
        self.take(Pick(image, points, mask))

    def take(self, pick: Pick) -> None:
        """Go to a moment of this state or another one, as one change."""
        if pick != self.now:
            self.past = [*self.past, self.now][-UNDO_STEPS:]
            self.future = []
            self._show(pick)

    def paint(self, shape: str, path: Sequence[tuple[float, float]], editable: bool, radius: float = 0) -> None:
        """Make a shape editable, or not; see `painted`.

        The first paint on "everything is editable" starts from nothing, an eraser from everything.
        """
        mask = np.full(self.size[::-1], not editable) if self.mask is None else self.mask
        self.set(mask=painted(mask, shape, path, editable, radius))

    def invert_mask(self) -> None:
        """What may change may not, and the reverse."""
        self.set(mask=np.zeros(self.size[::-1], bool) if self.mask is None else ~self.mask)

    def undo(self) -> bool:
        """Back by one change; False if there is none."""
        return self._travel(self.past, self.future)

    def redo(self) -> bool:
        """Forward by one change that was undone; False if there is none."""
        return self._travel(self.future, self.past)

    def note(self) -> str:
        """What is odd about the mask, in one line; "" where nothing is."""
        return mask_note(self.points, self.mask)

    def _travel(self, source: list[Pick], other: list[Pick]) -> bool:
        if not source:
            return False
        other.append(self.now)
        self._show(source.pop())
        return True

    def _show(self, pick: Pick) -> None:
        if not hasattr(self, "now") or pick.mask != self.now.mask:
            self.mask = None if pick.mask is None else _unpacked(pick.mask, pick.image.size)
        self.now, self.points = pick, np.array(pick.points, float).reshape(-1, 2, 2)
        self.points.flags.writeable = False


def painted(
    mask: np.ndarray, shape: str, path: Sequence[tuple[float, float]], editable: bool, radius: float = 0
) -> np.ndarray:
    """A copy of a mask, bool (H, W), with a shape painted on it.

    Args:
        shape: "stroke" (a round brush along the path), or "box" or "ellipse" between the path's first and last point.
        path: (x, y) in pixels; may leave the image. radius: of the brush, in pixels; it covers at least one.
    """
    canvas = Image.fromarray(mask.astype(np.uint8) * 255)
    draw, fill, path = ImageDraw.Draw(canvas), 255 * editable, np.rint(path)
    if shape == "stroke":
        draw.line(path.ravel().tolist(), fill=fill, width=max(1, round(2 * radius)))
        draw.point(path.ravel().tolist(), fill=fill)
        for x, y in path.tolist():
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)
    else:
        ends = path[[0, -1]]
        (draw.rectangle if shape == "box" else draw.ellipse)([*ends.min(axis=0), *ends.max(axis=0)], fill=fill)
    return np.asarray(canvas) > 0


def around_drags(size: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """A mask for a set of drags: everything near the way from a handle to its target, bool (H, W).

    "Near" is the length of the drag, but at least AROUND of the image's short side.

    Args:
        size: (W, H) of the image. points: (l, 2, 2), pairs of [handle (x, y), target (x, y)].
    """
    mask = np.zeros(size[::-1], bool)
    for pair in np.asarray(points, float):
        radius = max(float(np.linalg.norm(pair[1] - pair[0])), AROUND * min(size))
        mask = painted(mask, "stroke", pair, True, radius)
    return mask


def _flat(points: ArrayLike | None, size: tuple[int, int]) -> tuple[float, ...]:
    empty = points is None or (hasattr(points, "__len__") and len(points) == 0)
    return () if empty else tuple(check_points(points, size).ravel().tolist())


def _packed(mask: ArrayLike | None, size: tuple[int, int]) -> bytes | None:
    mask = load_mask(mask, size)
    return None if mask is None else zlib.compress(np.packbits(mask).tobytes(), 1)


def _unpacked(mask: bytes, size: tuple[int, int]) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(zlib.decompress(mask), np.uint8), count=size[0] * size[1])
    array = bits.astype(bool).reshape(size[::-1])
    array.flags.writeable = False
    return array
