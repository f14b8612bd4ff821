"""The picker: canvas, tools and a list of what was picked, in one widget."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import ipywidgets as W
import numpy as np
import traitlets
from numpy.typing import ArrayLike

from gooddrag.images import ImageSource, load_image
from gooddrag.picker import tools
from gooddrag.picker.canvas import PickerCanvas
from gooddrag.picker.gestures import Gestures
from gooddrag.picker.numbers import NumbersPanel
from gooddrag.picker.state import PickerState
from gooddrag.sample import Sample


class _Open:
    """`PointPicker.open(folder)` of the class, beside the `open()` of every widget, which ipywidgets calls."""

    def __get__(self, picker: PointPicker | None, cls: type[PointPicker]) -> Callable:
        return cls._from_folder if picker is None else super(PointPicker, picker).open


class PointPicker(W.VBox):
    """Pick drags and a mask on an image, with mouse, finger, keys or numbers.

    The state is plain Python, in pixels of the image as given, whatever the size on the screen. `points` and `mask`
    are traits: assign to them, or `observe` them.

    Args:
        image: anything that `load_image` takes, or a `Sample`, whose points and mask are then preset.
        points: (l, 2, 2), pairs of [handle (x, y), target (x, y)]; None = none yet.
        mask: (H, W), above 0 = editable; None = everything is editable.
        longest: longest side of the canvas in pixels of the screen.

    Attributes:
        image: PIL RGB. points: float64 (l, 2, 2), read-only. mask: bool (H, W), read-only, or None.
        sample: image, points and mask as a `Sample`. message: what the widget last had to say, or "".
    """

    points = traitlets.Any(help="(l, 2, 2), pairs of [handle (x, y), target (x, y)] in pixels of the image")
    mask = traitlets.Any(None, help="bool (H, W), True = editable; None = everything is editable")

    def __init__(
        self,
        image: ImageSource | Sample,
        points: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        longest: int = 512,
    ):
        self._syncing = False
        self.message = ""
        self._origin: Sample | None = None
        self._take(image, points, mask)
        self.canvas = PickerCanvas(self.image, self.gestures, longest, self.act)
        self._tools = tools.Toolbar(self)
        self._side = tools.SidePanel(self._tools.size)
        self._numbers = NumbersPanel(self)
        self._says = W.HTML()
        row = W.HBox([self.canvas.widget, self._side.widget], layout=W.Layout(flex_flow="row wrap"))
        super().__init__([self._tools.widget, row, self._says, self._numbers.widget])
        self.add_class("gooddrag-picker")
        self._follow()
        self.canvas.paint(everything=True)

    open = _Open()

    @classmethod
    def _from_folder(cls, folder: str | os.PathLike, longest: int = 512) -> PointPicker:
        """A picker with what `save` wrote, or with any folder of Drag100's layout."""
        return cls(Sample.open(folder), longest=longest)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write image, points and mask in Drag100's layout; `open` and `Sample.open` read them back exactly."""
        return self.sample.save(folder)

    @property
    def sample(self) -> Sample:
        """What was picked. The truth and the name of a sample that was given stay as long as nothing was changed.

        Raises:
            ValueError: no point was picked yet.
        """
        origin = self._origin
        if origin is not None and self.state.now == self._original:
            return origin
        return Sample(self.image, self.state.points, self.state.mask)

    def load(self, image: ImageSource | Sample, points: ArrayLike | None = None, mask: ArrayLike | None = None) -> None:
        """Take another image; points, mask and the history of undo start anew."""
        self._take(image, points, mask)
        self.canvas.gestures = self.gestures
        self.canvas.show(self.image)
        self.message = ""
        self._follow()
        self.canvas.paint(everything=True)

    def undo(self) -> None:
        """Take the last change back."""
        self.act(lambda: self.gestures.key("z", ctrl=True))

    def redo(self) -> None:
        """Make the last change that was taken back again."""
        self.act(lambda: self.gestures.key("y", ctrl=True))

    def clear(self) -> None:
        """No points, no mask; can be undone."""
        self.act(self.state.clear)

    def act(self, change: Callable[[], object]) -> None:
        """Run what a button, a gesture or a key asks for; show its error instead of raising it; paint.

        Jupyter swallows errors of callbacks, so the widget is the one place where they can be seen.
        """
        self.message = ""
        for action in (change, self.canvas.paint, self._follow):
            try:
                action()
            except ValueError as error:
                self.message = str(error)
            except Exception as error:  # not meant to happen, or raised by an observer of the traits
                self.message = f"{type(error).__name__}: {error}"
        self._says.value = tools.says(self.message, self.state.notes())

    def _take(self, image: ImageSource | Sample, points: ArrayLike | None, mask: ArrayLike | None) -> None:
        origin = image if isinstance(image, Sample) else None
        if origin is not None:
            if points is not None or mask is not None:
                raise ValueError("points, mask: given beside a Sample, which has its own; expected one of the two")
            image, points, mask = origin.image, origin.points, origin.mask
        image = load_image(image)
        state = PickerState(image.size, points, mask)
        old = getattr(self, "gestures", None)
        self.image, self.state, self._origin, self._original = image, state, origin, state.now
        self._seen = None
        self.gestures = Gestures(state, reach=1.0, radius=max(2.0, 0.06 * min(image.size)))
        self.gestures.mode = old.mode if old else "points"

    def _follow(self) -> None:
        """Everything around the canvas, and the traits, follow the state."""
        self._tools.show()
        if self.state.now is not self._seen:
            self._seen = self.state.now
            selected = self.gestures.selected
            self.gestures.selected = selected if selected is not None and selected < len(self.state.points) else None
            self._side.show(self.state)
            self._numbers.show()
            self._says.value = tools.says(self.message, self.state.notes())
            self._tell()

    def _tell(self) -> None:
        """The traits follow the state; whoever observes them is called."""
        self._syncing = True
        try:
            for name in ("points", "mask"):
                new, old = getattr(self.state, name), getattr(self, name)
                if new is not old and (new is None or old is None or not np.array_equal(new, old)):
                    self.set_trait(name, new)
        finally:
            self._syncing = False

    @traitlets.validate("points")
    def _valid_points(self, proposal: dict) -> np.ndarray:
        return proposal["value"] if self._syncing else PickerState(self.image.size, proposal["value"]).points

    @traitlets.validate("mask")
    def _valid_mask(self, proposal: dict) -> np.ndarray | None:
        return proposal["value"] if self._syncing else PickerState(self.image.size, None, proposal["value"]).mask

    @traitlets.observe("points", "mask")
    def _assigned(self, change: dict) -> None:
        if not self._syncing:
            getattr(self.state, f"set_{change['name']}")(change["new"])
            self.canvas.paint()
            self._follow()
