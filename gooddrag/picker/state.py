"""What has been picked: pairs of points and a mask, with undo and redo. Plain Python and numpy, no widget."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gooddrag.picker.regions import Region, around_drags
from gooddrag.sample import check_mask, check_points

UNDO_STEPS = 500
HANDLE, TARGET = 0, 1  # the ends of a pair


@dataclass(frozen=True)
class Pick:
    """One moment of the state, small enough to keep many.

    Attributes:
        points: handle x, y, target x, y of each pair in turn, in pixels of the image.
        mask: the editable pixels, packed and compressed; None = everything is editable.
    """

    points: tuple[float, ...] = ()
    mask: bytes | None = None


class PickerState:
    """Points and mask of one image. Every change is checked, and can be undone.

    Args:
        size: (W, H) of the image in pixels.
        points: (l, 2, 2), pairs of [handle (x, y), target (x, y)]; None or empty = none yet.
        mask: (H, W), above 0 = editable; None = everything is editable.
    """

    def __init__(self, size: tuple[int, int], points: ArrayLike | None = None, mask: ArrayLike | None = None):
        self.size = tuple(size)
        self._points, self._mask = self._checked(points), self._checked_mask(mask)
        self._past: list[Pick] = []
        self._future: list[Pick] = []
        self.now = Pick(_flat(self._points), self._pack(self._mask))

    @property
    def points(self) -> np.ndarray:
        """float64 (l, 2, 2), read-only; l may be 0."""
        return self._points

    @property
    def mask(self) -> np.ndarray | None:
        """bool (H, W), read-only, True = editable; None = everything is."""
        return self._mask

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def set(self, points: ArrayLike | None, mask: ArrayLike | None) -> None:
        """Take other points (None or empty = none) and another mask (None = everything), as one change.

        Raises:
            ValueError: as `gooddrag.sample.check_points` and `check_mask`: outside the image, two handles on a spot...
        """
        points = points if points is self._points else self._checked(points)
        same = mask is self._mask
        mask = mask if same else self._checked_mask(mask)
        to = Pick(_flat(points), self.now.mask if same else self._pack(mask))
        if to == self.now:
            return
        self._past = [*self._past, self.now][-UNDO_STEPS:]
        self._future = []
        self.now, self._points, self._mask = to, points, mask

    def set_points(self, points: ArrayLike | None) -> None:
        """`set` with the mask as it is."""
        self.set(points, self._mask)

    def set_mask(self, mask: ArrayLike | None) -> None:
        """`set` with the points as they are."""
        self.set(self._points, mask)

    def add(self, handle: ArrayLike, target: ArrayLike) -> None:
        """One more pair, at the end."""
        self.set_points([*self._points, check_points([[handle, target]], self.size)[0]])

    def move(self, pair: int, end: int, to: ArrayLike) -> None:
        """Put one end (HANDLE or TARGET) of a pair elsewhere."""
        if end not in (HANDLE, TARGET):
            raise ValueError(f"end: {end}; expected {HANDLE}, the handle, or {TARGET}, the target")
        points = self._points.tolist()
        points[self._index(pair)][end] = to
        self.set_points(points)

    def delete(self, pair: int) -> None:
        """Take a pair away."""
        self.set_points(np.delete(self._points, self._index(pair), axis=0))

    def paint(self, region: Region, editable: bool) -> None:
        """Make a region editable, or not. The first paint on "everything" starts from nothing, an eraser from all."""
        mask = np.full(self.size[::-1], not editable) if self._mask is None else self._mask.copy()
        mask[region.rows, region.columns][region.inside] = editable
        self.set_mask(mask)

    def mask_from_points(self) -> None:
        """The mask that `regions.around_drags` suggests."""
        if not len(self._points):
            raise ValueError("mask: there are no points to draw it around; expected at least one pair")
        self.set_mask(around_drags(self.size, self._points))

    def clear(self) -> None:
        """No points, no mask."""
        self.set(None, None)

    def undo(self) -> bool:
        """Back by one change; False if there is none."""
        return self._travel(self._past, self._future)

    def redo(self) -> bool:
        """Forward by one change that was undone; False if there is none."""
        return self._travel(self._future, self._past)

    def notes(self) -> list[str]:
        """What is allowed but hardly meant, one sentence each."""
        if self._mask is None:
            return []
        if not self._mask.any():
            return ["The mask is empty, so nothing may change."]
        notes = []
        for number, (x, y) in enumerate(np.rint(self._points[:, HANDLE]).astype(int), start=1):
            if not self._mask[y, x]:
                notes.append(f"Handle {number} at ({x}, {y}) is outside the mask: what it holds may not change.")
        return notes

    def _index(self, pair: int) -> int:
        if not 0 <= pair < len(self._points):
            raise ValueError(f"pair: {pair}; expected 0 to {len(self._points) - 1}")
        return pair

    def _checked(self, points: ArrayLike | None) -> np.ndarray:
        empty = points is None or (hasattr(points, "__len__") and len(points) == 0)
        points = np.empty((0, 2, 2)) if empty else check_points(points, self.size)
        return _read_only(points)

    def _checked_mask(self, mask: ArrayLike | None) -> np.ndarray | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty mask: `notes` says so
            mask = check_mask(mask, self.size)
        return None if mask is None else _read_only(mask)

    def _travel(self, source: list[Pick], other: list[Pick]) -> bool:
        if not source:
            return False
        other.append(self.now)
        to = source.pop()
        if to.mask != self.now.mask:
            self._mask = self._unpack(to.mask)
        self.now, self._points = to, _read_only(np.array(to.points, float).reshape(-1, 2, 2))
        return True

    @staticmethod
    def _pack(mask: np.ndarray | None) -> bytes | None:
        return None if mask is None else zlib.compress(np.packbits(mask).tobytes(), 1)

    def _unpack(self, packed: bytes | None) -> np.ndarray | None:
        if packed is None:
            return None
        width, height = self.size
        bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=width * height)
        return _read_only(bits.astype(bool).reshape(height, width))


def _flat(points: np.ndarray) -> tuple[float, ...]:
    return tuple(points.ravel().tolist())


def _read_only(array: np.ndarray) -> np.ndarray:
    """The array itself, which nobody else holds, closed."""
    array.flags.writeable = False
    return array
