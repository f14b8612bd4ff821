"""What a press, a pull and a release mean. Positions are in pixels of the image; no widget here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gooddrag.picker import regions
from gooddrag.picker.state import HANDLE, TARGET, PickerState

MODES = ("points", "brush", "eraser", "box", "ellipse")
STEP = 1.25  # of the brush's radius, per press of [ or ]


@dataclass
class Live:
    """A gesture that goes on.

    Attributes:
        path: where the pointer has been, (x, y), the press first.
        pair, end: which end is being moved; pair = None for a new pair.
    """

    path: list[tuple[float, float]] = field(default_factory=list)
    pair: int | None = None
    end: int = TARGET


class Gestures:
    """Turns pointer and keys into changes of a `PickerState`: one change per gesture, made at its release.

    Attributes:
        mode: one of MODES. radius: of brush and eraser, pixels. reach: how near a press takes hold of an end, pixels.
        selected: the pair that Delete takes away, or None. live: the gesture that goes on, or None.
        pointer: where the pointer is, (x, y), or None.
    """

    def __init__(self, state: PickerState, reach: float, radius: float):
        self.state, self.reach, self.radius = state, reach, radius
        self.mode = "points"
        self.selected: int | None = None
        self.live: Live | None = None
        self.pointer: tuple[float, float] | None = None

    def press(self, x: float, y: float) -> None:
        """Take hold of the end under the pointer, or begin a new pair, stroke, box or ellipse."""
        self.pointer = (x, y)
        self.live = Live([(x, y)])
        if self.mode == "points":
            self.selected, self.live.end = self._end_at(x, y) or (None, TARGET)
            self.live.pair = self.selected

    def pull(self, x: float, y: float) -> None:
        """Follow the pointer; without a press before, it only hovers."""
        self.pointer = (x, y)
        if self.live:
            self.live.path.append((x, y))

    def release(self, x: float, y: float) -> None:
        """Finish the gesture: the one place where it changes the state.

        Raises:
            ValueError: what the gesture asks for is not possible; the state is as before.
        """
        self.pointer = (x, y)
        live, self.live = self.live, None
        if live is None:
            return
        live.path.append((x, y))
        if self.mode == "points":
            self._release_end(live)
        elif self.mode in ("brush", "eraser"):
            self.state.paint(regions.stroke(self.state.size, live.path, self.radius), self.mode == "brush")
        elif self.snap(*live.path[0]) != self.snap(x, y):
            shape = regions.box if self.mode == "box" else regions.ellipse
            self.state.paint(shape(self.state.size, self.snap(*live.path[0]), self.snap(x, y)), True)

    def cancel(self) -> None:
        """Forget the gesture that goes on."""
        self.live = None

    def key(self, key: str, shift: bool = False, ctrl: bool = False) -> bool:
        """Delete or Backspace, Ctrl-Z, Ctrl-Shift-Z or Ctrl-Y, [ and ], Escape; False for any other key."""
        plain = key.lower()
        if ctrl and plain in ("z", "y"):
            if self.live:  # what is half done is what "undo" means now
                self.cancel()
            elif plain == "y" or shift:
                self.state.redo()
            else:
                self.state.undo()
            self.selected = None
        elif plain in ("delete", "backspace"):
            self.delete()
        elif plain in ("[", "]"):
            self.radius = float(np.clip(self.radius * (STEP if plain == "]" else 1 / STEP), 0.5, max(self.state.size)))
        elif plain == "escape":
            self.cancel()
            self.selected = None
        else:
            return False
        return True

    def delete(self) -> None:
        """Take the selected pair away; the last one if none is selected."""
        self.cancel()
        if not len(self.state.points):
            raise ValueError("points: there is no pair to delete")
        selected, self.selected = self.selected, None
        self.state.delete(len(self.state.points) - 1 if selected is None else selected)

    @property
    def points(self) -> np.ndarray:
        """(l, 2, 2): the points as they would be if the pointer were released now."""
        points, live = self.state.points, self.live
        if self.mode != "points" or live is None:
            return points
        if live.pair is None:
            return np.concatenate([points, np.array([[self.snap(*live.path[0]), self.snap(*live.path[-1])]], float)])
        points = points.copy()
        points[live.pair, live.end] = self._moved(live)
        return points

    def snap(self, x: float, y: float) -> tuple[int, int]:
        """The nearest pixel of the image: whole numbers, clamped to its border."""
        width, height = self.state.size
        return round(min(max(x, 0), width - 1)), round(min(max(y, 0), height - 1))

    def _end_at(self, x: float, y: float) -> tuple[int, int] | None:
        points = self.state.points
        if not len(points):
            return None
        distances = np.linalg.norm(points - [x, y], axis=2)
        pair, end = np.unravel_index(distances.argmin(), distances.shape)
        return (int(pair), int(end)) if distances[pair, end] <= self.reach else None

    def _moved(self, live: Live) -> tuple[float, float]:
        """Where the end that is held goes: by as much as the pointer went, so that it does not jump at the press."""
        old = self.state.points[live.pair, live.end]
        (x0, y0), (x1, y1) = live.path[0], live.path[-1]
        return tuple(old) if (x0, y0) == (x1, y1) else self.snap(old[0] + x1 - x0, old[1] + y1 - y0)

    def _release_end(self, live: Live) -> None:
        if live.pair is not None:
            self.state.move(live.pair, live.end, self._moved(live))
            return
        handle, target = self.snap(*live.path[0]), self.snap(*live.path[-1])
        if handle == target:
            raise ValueError(f"points: handle and target are both at {handle}; press at the handle, pull, and release "
                             "at the target")  # fmt: skip
        self.state.add(handle, target)
        self.selected = len(self.state.points) - 1


__all__ = ["HANDLE", "MODES", "TARGET", "Gestures", "Live"]
