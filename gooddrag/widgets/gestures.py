"""What a press, a pull, a release and a key mean. Positions are in pixels of the image; no widget here."""

import math
from dataclasses import dataclass

import numpy as np

from gooddrag.widgets.state import PickerState

MODES = {"points": "p", "brush": "b", "eraser": "e", "box": "", "ellipse": ""}  # and the key that chooses each
STEP = 1.25  # of the brush's radius, per press of [ or ]
HANDLE, TARGET = 0, 1  # the ends of a pair


@dataclass
class Live:
    """A gesture that goes on.

    Attributes:
        path: where the pointer has been, (x, y), the press first.
        pair, end: which end is being moved; pair = None for a new pair. clicked: its handle was clicked, not pulled.
    """

    path: list[tuple[float, float]]
    pair: int | None = None
    end: int = TARGET
    clicked: bool = False


class Gestures:
    """Turns pointer and keys into changes of a `PickerState`: one change per gesture, made at its release.

    Attributes:
        mode: a key of MODES. radius: of brush and eraser. selected: the pair that Delete takes away, or None.
        reach, click: how near a press takes hold of an end; how short a pull is a click.
        live: the gesture that goes on, or None. pointer: where the pointer is, (x, y), or None.
    """

    def __init__(self, state: PickerState):
        self.reach, self.click, self.mode = 1.0, 0.5, "points"
        self.start(state)

    def start(self, state: PickerState) -> None:
        """Begin with another state; the mode stays."""
        self.state, self.radius = state, max(2.0, 0.06 * min(state.size))
        self.selected: int | None = None
        self.live: Live | None = None
        self.pointer: tuple[float, float] | None = None

    def press(self, x: float, y: float) -> None:
        """Take hold of the end under the pointer, or begin a new pair, stroke, box or ellipse."""
        self.pointer = (x, y)
        if self.live is None:  # else the target of a handle that was clicked, or a release that never arrived
            self.live = Live([(x, y)], *(self._end_at(x, y) if self.mode == "points" else ()))

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
        self.pull(x, y)
        if self.live is None:
            return
        path, points, selected, live = self.live.path, self.points, self.selected, self.live
        self.live = None
        short = self.snap(*path[0]) == self.snap(x, y) or math.dist(path[0], path[-1]) <= self.click
        if self.mode == "points":
            self.selected = live.pair
            if not short:
                self.state.set(points=points)
            elif live.pair is None and selected is None and not live.clicked:  # else a click deselects, or cancels
                self.live, live.clicked = live, True
        elif self.mode in ("brush", "eraser"):
            self.state.paint("stroke", path, self.mode == "brush", self.radius)
        elif not short:
            self.state.paint(self.mode, [self.snap(*path[0]), self.snap(x, y)], True)

    def leave(self) -> None:
        """The pointer is outside; a gesture goes on when it comes back."""
        self.pointer = None

    def cancel(self) -> None:
        """Forget the gesture that goes on."""
        self.live = None

    def key(self, key: str, ctrl: bool = False, shift: bool = False) -> None:
        """P, B, E, Delete or Backspace, Ctrl-Z, Ctrl-Shift-Z or Ctrl-Y, [ and ], Escape; others do nothing."""
        key = key.lower()
        if ctrl and key in ("z", "y"):
            if self.live:  # what is half done is what "undo" means now
                self.cancel()
            elif key == "y" or shift:
                self.state.redo()
            else:
                self.state.undo()
            self.selected = None
        elif key in ("delete", "backspace"):
            self.delete()
        elif key in ("[", "]"):
            self.radius = float(np.clip(self.radius * (STEP if key == "]" else 1 / STEP), 0.5, max(self.state.size)))
        elif key == "escape":
            self.live = self.selected = None
        elif key and not ctrl and key in MODES.values():
            self.live, self.mode = None, next(mode for mode, chosen in MODES.items() if chosen == key)

    def delete(self) -> None:
        """Take the selected pair away; the last one if none is selected."""
        if not (count := len(self.state.points)):
            raise ValueError("points: there is no pair to delete")
        number = count - 1 if self.selected is None else self.selected
        self.live = self.selected = None
        self.state.set(points=np.delete(self.state.points, number, axis=0))

    @property
    def points(self) -> np.ndarray:
        """(l, 2, 2): the points as they would be if the pointer were released now."""
        points, live = self.state.points, self.live
        if self.mode != "points" or live is None or (live.pair is not None and live.path[0] == live.path[-1]):
            return points
        if live.pair is None:
            return np.concatenate([points, np.array([[self.snap(*live.path[0]), self.snap(*live.path[-1])]], float)])
        points = points.copy()  # the end goes by as much as the pointer went, so that it does not jump at the press
        points[live.pair, live.end] = self.snap(
            *(points[live.pair, live.end] + np.subtract(live.path[-1], live.path[0]))
        )
        return points

    def snap(self, x: float, y: float) -> tuple[int, int]:
        """The nearest pixel of the image: whole numbers, clamped to its border."""
        width, height = self.state.size
        return round(min(max(x, 0), width - 1)), round(min(max(y, 0), height - 1))

    def _end_at(self, x: float, y: float) -> tuple[int, int] | tuple[()]:
        """The pair and the end within reach of a place, or nothing."""
        distances = np.linalg.norm(self.state.points - [x, y], axis=2)
        if not distances.size or distances.min() > self.reach:
            return ()
        return divmod(int(distances.argmin()), 2)
