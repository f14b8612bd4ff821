"""The picker: a canvas, the tools above it, and what was picked below it, in one widget."""

from collections.abc import Callable

import ipywidgets as W
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.files import ImageSource, load_image
from gooddrag.marks import HANDLE, TARGET
from gooddrag.sample import Sample, mask_note
from gooddrag.widgets.canvas import PickerCanvas, render
from gooddrag.widgets.state import MODES, PickerState

TOOLS = {  # mode: label, icon, what it does
    "points": ("Points", "arrows", "Press at the handle, pull, release at the target; or click on both"),
    "brush": ("Brush", "paint-brush", "Paint what may change"),
    "eraser": ("Eraser", "eraser", "Paint what may not change"),
    "box": ("Box", "square-o", "Pull a box: what is inside may change"),
    "ellipse": ("Ellipse", "circle-o", "Pull an ellipse: what is inside may change"),
}


class PointPicker(W.VBox):
    """Pick drags and a mask on an image, with mouse, finger or keys.

    The state is in pixels of the image as given, whatever the size on the screen. `points` and `mask` can be assigned.

    Args:
        image: anything that `load_image` takes, or a `Sample`, whose points and mask are then preset.
        longest: longest side of the picture on the screen, in CSS pixels.

    Attributes:
        message: what the widget last had to say, or "".
        on_pull: gets the points (l, 2, 2) while an arrow is being pulled, and None at its end.
    """

    def __init__(self, image: ImageSource | Sample, longest: int = 512):
        self._pulling, self._seen, self.message = False, None, ""
        self.on_pull: Callable[[np.ndarray | None], object] = lambda points: None
        self.state, self._given = PickerState(*_parts(image)), image
        self.canvas = PickerCanvas(self.state, longest, self.act)
        self.tools, self.notice, self.about = self._toolbar(), W.HTML(layout={"min_height": "30px"}), W.HTML()
        super().__init__([self.tools, self.canvas.widget, self.notice, self.about, self.canvas.script])
        self.add_class("gooddrag-picker")
        self._follow()

    @property
    def points(self) -> np.ndarray:
        """Float64 (l, 2, 2), read-only; ValueError where others are assigned that do not fit the image."""
        return self.state.points

    @points.setter
    def points(self, points: ArrayLike | None) -> None:
        self.state.set(points=points)
        self.act()

    @property
    def mask(self) -> np.ndarray | None:
        """Bool (H, W), read-only, True = editable; None = everything is."""
        return self.state.mask

    @mask.setter
    def mask(self, mask: ArrayLike | None) -> None:
        self.state.set(mask=mask)
        self.act()

    @property
    def image(self) -> Image.Image:
        """PIL RGB."""
        return self.state.image

    @property
    def sample(self) -> Sample:
        """What is picked; ValueError where no point is. A sample that was given comes back, with its truth and name, as
        long as nothing was changed.
        """
        unchanged = isinstance(self._given, Sample) and self.state.now == self.state.first
        return self._given if unchanged else Sample(self.image, self.state.points, self.state.mask)

    def load(self, image: ImageSource | Sample) -> None:
        """Take another image; points, mask and the history of undo start anew."""
        self.state.load(*_parts(image))
        self._given = image
        self.act()

    def undo(self) -> None:
        """Take the last change back."""
        self.act(lambda: self.state.key("z", ctrl=True))

    def act(self, change: Callable[[], object] = lambda: None, *, hover: bool = False) -> None:
        """Run what a button, a gesture or a key asks for, and paint. Its error is shown (Jupyter swallows those of
        callbacks) until the next action; a pointer that only hovers is none.
        """
        if not hover:
            self.say("")
        for action in (change, self.canvas.paint, self._follow, self._tell_pull):
            try:
                action()
            except Exception as error:  # a callback is an edge: nobody else would see it
                self.say(reason(error))

    def say(self, message: str, kind: str = "error") -> None:
        """Show one line below the canvas, a "success", a "warning" or an "error"."""
        self.message = message
        self.notice.value = render("line.html", text=message, kind=kind)

    def _toolbar(self) -> W.HBox:
        """Modes, what concerns the whole mask, undo and redo, the size of the brush."""
        self.modes = W.ToggleButtons(
            options=[(f"{label}\u2002", mode) for mode, (label, *_) in TOOLS.items()],  # the icon follows
            icons=[icon for _, icon, _ in TOOLS.values()],
            tooltips=[about + f" ({MODES[mode].upper()})" * bool(MODES[mode]) for mode, (*_, about) in TOOLS.items()],
            style={"button_width": "auto"},
        )
        self.radius = W.IntSlider(2, 1, layout={"width": "150px"})
        for control, name in ((self.modes, "mode"), (self.radius, "radius")):
            control.observe(lambda change, name=name: self._chosen(name, change["new"]), "value")
        buttons = {  # name: label, icon, what it does, action
            "undo": ("", "undo", "Undo (Ctrl-Z)", lambda: self.state.key("z", ctrl=True)),
            "redo": ("", "repeat", "Redo (Ctrl-Shift-Z)", lambda: self.state.key("y", ctrl=True)),
            "delete": ("", "trash", "Delete the selected pair, or the last one (Del)", self.state.delete),
            "clear": ("", "times", "No points and no mask", lambda: self.state.set(points=None, mask=None)),
            "whole": ("Mask: all", "", "Everything may change", lambda: self.state.set(mask=None)),
            "invert": ("invert", "", "What may change may not, and the reverse", self.state.invert_mask),
        }
        self.buttons = {name: self.button(*about) for name, about in buttons.items()}
        row = W.HBox([self.modes, *self.buttons.values(), self.radius], layout={"flex_flow": "row wrap"})
        return row.add_class("gooddrag-tools")

    def button(self, label: str, icon: str, about: str, action: Callable, style: str = "") -> W.Button:
        """A button whose errors are shown."""
        made = W.Button(description=label, icon=icon, tooltip=about, button_style=style, layout={"width": "auto"})
        made.on_click(lambda _: self.act(action))
        return made

    def _chosen(self, name: str, value: object) -> None:
        if value != getattr(self.state, name):  # else the tools follow the state
            self.act(lambda: (self.state.key("Escape"), setattr(self.state, name, value)))

    def _follow(self) -> None:
        """Everything around the canvas, and the traits, follow the state."""
        s = self.state
        for name, possible in (("undo", s.past or s.path), ("redo", s.future), ("delete", len(s.points))):
            self.buttons[name].disabled = not possible
        self.modes.value = s.mode
        self.radius.layout.visibility = "visible" if s.mode in ("brush", "eraser") else "hidden"
        with self.radius.hold_trait_notifications():
            self.radius.max, self.radius.value = s.largest, s.radius
        if s.now is self._seen:
            return
        self._seen = s.now
        share = "everything may change" if s.mask is None else f"{s.mask.mean():.0%} may change"
        values = {"count": len(s.points), "mask": share, "size": s.size, "red": HANDLE, "blue": TARGET}
        self.about.value = render("legend.html", **values)
        if not self.message:
            self.say(mask_note(s.points, s.mask), "warning")

    def _tell_pull(self) -> None:
        pulling = self.state.mode == "points" and len(self.state.path) > 1
        if pulling or self._pulling:
            self.on_pull(self.state.pulled if pulling else None)
        self._pulling = pulling


def reason(error: Exception) -> str:
    """What went wrong, for the one who looks at the widget."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _parts(image: ImageSource | Sample) -> tuple:
    """PIL image, points and mask of what was given."""
    return (image.image, image.points, image.mask) if isinstance(image, Sample) else (load_image(image), None, None)
