"""What is picked on an image, and what a press, a pull, a release and a key do to it. No widget here."""

import math
import zlib
from collections.abc import Sequence, Sized
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from gooddrag.files import load_mask
from gooddrag.sample import check_points

MODES = {"points": "p", "brush": "b", "eraser": "e", "box": "", "ellipse": ""}  # and the key that chooses each
STEP = 1.25  # of the brush's radius, per press of [ or ]


class Pick(NamedTuple):
    """Image, points and mask at one moment; the mask is compressed, so that many moments can be kept."""

    image: Image.Image
    points: tuple[float, ...]
    mask: bytes | None


class PickerState:
    """Points and a mask on an image, with undo and redo, and the gesture that goes on.

    A gesture makes one change, at its release. Every change is checked. Positions are (x, y) in pixels of the image;
    image, points and mask are given as to `PointPicker`.

    Attributes:
        points: float64 (l, 2, 2), read-only; l may be 0. mask: bool (H, W), read-only, True = editable; or None.
        now, first, past, future: all of it as `Pick`s: now, at the beginning, before, and what undo took back.
        mode: a key of MODES. radius, largest: of brush and eraser. selected: the pair that Delete takes away, or None.
        reach, click: how near a press takes hold of an end; how short a pull is a click.
        pointer: where it is, or None. path: where it has been in the gesture that goes on, the press first; or empty.
    """

    def __init__(self, image: Image.Image, points: ArrayLike | None = None, mask: ArrayLike | None = None):
        self.mode, self.reach, self.click = "points", 1.0, 0.5
        self.load(image, points, mask)

    def load(self, image: Image.Image, points: ArrayLike | None = None, mask: ArrayLike | None = None) -> None:
        """Begin anew with another image; the mode stays. ValueError as `set`, and nothing changes."""
        self.first = _pick(image, points, mask)
        self.past: list[Pick] = []
        self.future: list[Pick] = []
        self.path: list[tuple[float, float]] = []
        self.pointer = self._end = None
        self._clicked = False  # the handle was clicked, not pulled: the next click is the target
        self._show(self.first)
        self.radius, self.largest = max(2, round(0.06 * min(self.size))), max(2, max(self.size) // 4)

    def set(self, **changes: ArrayLike | None) -> None:
        """Take other `points` or another `mask`, together as one change; what is not named stays. ValueError as of
        `check_points` and `load_mask`: outside the image, two handles on a spot, another size, ...
        """
        self.take(_pick(self.image, **({"points": self.points, "mask": self.mask} | changes)))

    def take(self, pick: Pick) -> None:
        """Go to a moment of this state or another one, as one change."""
        if pick != self.now:
            self.past.append(self.now)
            self.future = []
            self._show(pick)

    def paint(self, shape: str, path: Sequence[tuple[float, float]], *, editable: bool) -> None:
        """Make a shape editable, or not; from "everything is editable", the first brush starts with nothing.

        Args:
            shape: "stroke" (the brush along the path), or "box" or "ellipse" between the path's first and last point.
            path: (x, y) in pixels; may leave the image.
        """
        mask = np.full(self.size[::-1], not editable) if self.mask is None else self.mask
        canvas = Image.fromarray(mask.astype(np.uint8) * 255)
        draw, fill, path, r = ImageDraw.Draw(canvas), 255 * editable, np.rint(path), self.radius
        if shape == "stroke":
            draw.line(path.ravel().tolist(), fill, 2 * r)
            for x, y in path.tolist():
                draw.ellipse([x - r, y - r, x + r, y + r], fill)
        else:
            ends = path[[0, -1]]
            (draw.rectangle if shape == "box" else draw.ellipse)([*ends.min(axis=0), *ends.max(axis=0)], fill)
        self.set(mask=np.asarray(canvas) > 0)

    def invert_mask(self) -> None:
        """What may change may not, and the reverse."""
        self.set(mask=np.zeros(self.size[::-1]) if self.mask is None else ~self.mask)

    def undo(self, *, forward: bool = False) -> None:
        """Back by one change, or forward again; without one nothing happens."""
        source, other = (self.future, self.past) if forward else (self.past, self.future)
        if source:
            other.append(self.now)
            self._show(source.pop())

    def press(self, x: float, y: float) -> None:
        """Take hold of the end under the pointer, or begin a new pair, stroke, box or ellipse."""
        self.pointer = (x, y)
        if not self.path:  # else the target of a handle that was clicked, or a release that never arrived
            self.path, self._clicked = [(x, y)], False
            distances = np.linalg.norm(self.points - [x, y], axis=2)
            near = self.mode == "points" and distances.size and distances.min() <= self.reach
            self._end = divmod(int(distances.argmin()), 2) if near else None  # the pair, and the end

    def pull(self, x: float, y: float) -> None:
        """Follow the pointer; without a press before, it only hovers."""
        self.pointer = (x, y)
        if self.path:
            self.path.append((x, y))

    def release(self, x: float, y: float) -> None:
        """Finish the gesture. ValueError where what it asks for is not possible; the points and the mask stay."""
        self.pull(x, y)
        if not self.path:
            return
        path, points = self.path, self.pulled
        self.path = []
        ends = [self.snap(*path[0]), self.snap(x, y)]
        short = ends[0] == ends[1] or math.dist(path[0], path[-1]) <= self.click
        if self.mode == "points":
            if not short:
                self.set(points=points)
            elif self._end is None and self.selected is None and not self._clicked:  # else it deselects, or cancels
                self.path, self._clicked = path, True
            self.selected = self._end and self._end[0]
        elif self.mode in ("brush", "eraser"):
            self.paint("stroke", path, editable=self.mode == "brush")
        elif not short:
            self.paint(self.mode, ends, editable=True)

    def key(self, key: str, *, ctrl: bool = False, shift: bool = False) -> None:
        """P, B, E, Delete or Backspace, Ctrl-Z, Ctrl-Shift-Z or Ctrl-Y, [ and ], Escape; others do nothing."""
        key = key.lower()
        if ctrl and key in ("z", "y"):
            if self.path:  # what is half done is what "undo" means now
                self.path = []
            else:
                self.undo(forward=key == "y" or shift)
        elif key in ("delete", "backspace"):
            self.delete()
        elif key in ("[", "]"):
            wanted = math.ceil(self.radius * STEP) if key == "]" else math.floor(self.radius / STEP)
            self.radius = min(max(1, wanted), self.largest)
        elif key == "escape":
            self.path, self.selected = [], None
        elif key and not ctrl and key in MODES.values():
            self.path, self.mode = [], next(mode for mode, chosen in MODES.items() if chosen == key)

    def delete(self) -> None:
        """Take the selected pair away; the last one if none is selected."""
        self.path = []
        if len(self.points):
            self.set(points=np.delete(self.points, -1 if self.selected is None else self.selected, axis=0))

    @property
    def pulled(self) -> np.ndarray:
        """(l, 2, 2): the points as they would be if the pointer were released now."""
        points, path = self.points, self.path
        if self.mode != "points" or not path or (self._end and path[0] == path[-1]):
            return points
        if self._end is None:
            return np.concatenate([points, np.array([[self.snap(*path[0]), self.snap(*path[-1])]], float)])
        points = points.copy()  # the end goes by as much as the pointer went, so that it does not jump at the press
        points[self._end] = self.snap(*(points[self._end] + np.subtract(path[-1], path[0])))
        return points

    def snap(self, x: float, y: float) -> tuple[int, int]:
        """The nearest pixel of the image: whole numbers, clamped to its border."""
        return tuple(round(min(max(v, 0), side - 1)) for v, side in zip((x, y), self.size, strict=True))

    def _show(self, pick: Pick) -> None:
        self.now, self.image, self.size, self.selected = pick, pick.image, pick.image.size, None
        self.mask = pick.mask and np.frombuffer(zlib.decompress(pick.mask), bool).reshape(self.size[::-1])
        self.points = np.array(pick.points, float).reshape(-1, 2, 2)
        self.points.flags.writeable = False


def _pick(image: Image.Image, points: ArrayLike | None, mask: ArrayLike | None) -> Pick:
    empty = points is None or (isinstance(points, Sized) and len(points) == 0)
    points = () if empty else check_points(points, image.size).ravel().tolist()
    mask = load_mask(mask, image.size)
    return Pick(image, tuple(points), None if mask is None else zlib.compress(mask.tobytes(), 1))
