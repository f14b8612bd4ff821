"""The picker: a canvas, the tools above it, and what was picked below it, in one widget."""

import os
from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets as W
import numpy as np
import traitlets
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.files import ImageSource, load_image
from gooddrag.marks import HANDLE, TARGET
from gooddrag.sample import Sample, parse_points
from gooddrag.widgets.canvas import PickerCanvas, render
from gooddrag.widgets.gestures import MODES, Gestures
from gooddrag.widgets.state import PickerState, around_drags

TOOLS = {  # mode: label, icon, what it does
    "points": ("Points", "arrows", "Press at the handle, pull, release at the target; or click on both"),
    "brush": ("Brush", "paint-brush", "Paint what may change"),
    "eraser": ("Eraser", "eraser", "Paint what may not change"),
    "box": ("Box", "square-o", "Pull a box: what is inside may change"),
    "ellipse": ("Ellipse", "circle-o", "Pull an ellipse: what is inside may change"),
}
BUSY = "The kernel is busy with another cell: what you do here comes after it."


class Toolbar:
    """Modes, brush size, undo and redo, what concerns the whole mask."""

    def __init__(self, act: Callable, gestures: Gestures):
        self._act, self._gestures, self._showing, g = act, gestures, False, gestures
        self.modes = W.ToggleButtons(
            options=[(f"{label}\u2002", mode) for mode, (label, *_) in TOOLS.items()],  # the icon follows
            icons=[icon for _, icon, _ in TOOLS.values()],
            tooltips=[about + f" ({MODES[mode].upper()})" * bool(MODES[mode]) for mode, (*_, about) in TOOLS.items()],
            style={"button_width": "auto"},
        )
        self.size = W.FloatLogSlider(base=2, min=-1, max=12, step=0.1, readout_format=".0f", layout={"width": "150px"})
        buttons = {  # name: icon, label, what it does, action
            "undo": ("undo", "", "Undo (Ctrl-Z)", lambda: g.key("z", ctrl=True)),
            "redo": ("repeat", "", "Redo (Ctrl-Shift-Z)", lambda: g.key("y", ctrl=True)),
            "delete": ("trash", "", "Delete the selected pair, or the last one (Del)", g.delete),
            "clear": ("times", "", "No points and no mask", lambda: g.state.set(points=None, mask=None)),
            "whole": ("", "Mask: all", "Everything may change", lambda: g.state.set(mask=None)),
            "around": ("", "around", "A region around the drags may change", self._around),
            "invert": ("", "invert", "What may change may not, and the reverse", lambda: g.state.invert_mask()),
        }
        self.buttons = {}
        for name, (icon, label, about, action) in buttons.items():
            button = W.Button(description=label, icon=icon, tooltip=about, layout={"width": "auto"})
            button.on_click(lambda _, action=action: act(action))
            self.buttons[name] = button
        self.modes.observe(lambda change: self._changed("mode", change["new"]), "value")
        self.size.observe(lambda change: self._shows(g.radius) or self._changed("radius", change["new"]), "value")
        self.widget = W.HBox([self.modes, *self.buttons.values(), self.size], layout={"flex_flow": "row wrap"})
        self.widget.add_class("gooddrag-tools")

    def show(self) -> None:
        """Bring it in step with the state."""
        g, empty = self._gestures, not len(self._gestures.state.points)
        disabled = {"undo": not (g.state.past or g.live), "redo": not g.state.future, "delete": empty, "around": empty}
        for name, value in disabled.items():
            self.buttons[name].disabled = value
        self.size.layout.visibility = "visible" if g.mode in ("brush", "eraser") else "hidden"
        self._showing = True  # our own changes are not the user's
        self.modes.value = g.mode
        if not self._shows(g.radius):
            self.size.value = min(g.radius, 4096)
        self._showing = False

    def _shows(self, radius: float) -> bool:
        """Whether the slider stands at it; the browser rounds to a step of 7 % and says so later."""
        return abs(self.size.value - radius) <= 0.04 * radius

    def _around(self) -> None:
        self._gestures.state.set(mask=around_drags(self._gestures.state.size, self._gestures.state.points))

    def _changed(self, name: str, value: object) -> None:
        if not self._showing:
            self._act(lambda: (self._gestures.cancel(), setattr(self._gestures, name, value)))


class PointPicker(W.VBox):
    """Pick drags and a mask on an image, with mouse, finger, keys or numbers.

    The state is plain Python, in pixels of the image as given, whatever the size on the screen. `points` and `mask`
    are traits: assign to them, or `observe` them.

    Args:
        image: anything that `load_image` takes, or a `Sample`, whose points and mask are then preset.
        points: (l, 2, 2), pairs of [handle (x, y), target (x, y)]; None = none yet.
        mask: (H, W), as for `Sample`; None = everything is editable.
        longest: longest side of the picture on the screen, in CSS pixels.

    Attributes:
        points: float64 (l, 2, 2), read-only. mask: bool (H, W), read-only, or None.
        message: what the widget last had to say, or "".
        on_pull: gets the points (l, 2, 2) while an arrow is being pulled, and None at its end.
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
        self._syncing, self._pulling, self._seen, self.message, self._kind = False, False, None, "", ""
        self.on_pull: Callable[[np.ndarray | None], object] = lambda points: None
        self.gestures = Gestures(self._taken(image, points, mask))
        self.canvas = PickerCanvas(self.gestures, longest, self.act)
        self.tools = Toolbar(self.act, self.gestures)
        self.notice, self.about = W.HTML(layout={"min_height": "30px"}), W.HTML()
        self.numbers = W.Text(
            description="points",
            continuous_update=False,
            placeholder="x,y>x,y; ... : handle > target, in pixels",
            layout={"width": "99%", "max_width": "600px"},
            style={"description_width": "initial"},
        )
        self.numbers.observe(self._typed, "value")
        self.details = W.VBox([self.about, self.numbers])
        super().__init__([self.tools.widget, self.canvas.widget, self.notice, self.details, self.canvas.script])
        self.add_class("gooddrag-picker")
        self._follow()
        self.canvas.paint(everything=True)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike, longest: int = 512) -> "PointPicker":
        """A picker with what `save` wrote, or with any folder of Drag100's layout."""
        return cls(Sample.open(folder), longest=longest)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write image, points and mask in Drag100's layout; `from_folder` and `Sample.open` read them back exactly."""
        return self.sample.save(folder)

    @property
    def state(self) -> PickerState:
        return self.gestures.state

    @property
    def image(self) -> Image.Image:
        """PIL RGB."""
        return self.state.now.image

    @property
    def sample(self) -> Sample:
        """What is picked. A sample that was given comes back, with its truth and name, as long as nothing was changed.

        Raises:
            ValueError: no point was picked yet.
        """
        unchanged = self._origin is not None and self.state.now == self._original
        return self._origin if unchanged else Sample(self.image, self.state.points, self.state.mask)

    def load(self, image: ImageSource | Sample, points: ArrayLike | None = None, mask: ArrayLike | None = None) -> None:
        """Take another image; points, mask and the history of undo start anew."""
        self.gestures.start(self._taken(image, points, mask))
        self.act()

    def undo(self) -> None:
        """Take the last change back."""
        self.act(lambda: self.gestures.key("z", ctrl=True))

    def redo(self) -> None:
        """Make the last change that was taken back again."""
        self.act(lambda: self.gestures.key("y", ctrl=True))

    def clear(self) -> None:
        """No points, no mask; can be undone."""
        self.act(lambda: self.state.set(points=None, mask=None))

    def act(self, change: Callable[[], object] = lambda: None, *, hover: bool = False) -> None:
        """Run what a button, a gesture or a key asks for; show its error instead of raising it; paint.

        Jupyter swallows errors of callbacks, so the widget is the one place where they can be seen. They stay until the
        next action; a pointer that only hovers is none.
        """
        if not hover:
            self.say("")
        for action in (change, self.canvas.paint, self._follow, self._tell_pull):
            try:
                action()
            except ValueError as error:
                self.say(str(error))
            except Exception as error:  # a callback is an edge: nobody else would see it
                self.say(f"{type(error).__name__}: {error}")

    def say(self, message: str, kind: str = "error") -> None:
        """Show one line below the canvas, a "success", a "warning" or an "error"; a note on the mask stays below it."""
        self.message, self._kind = message, kind
        lines = [(message, kind), (self.state.note(), "warning"), (BUSY, "warning gooddrag-busy")]
        line = '<div class="gooddrag-line gooddrag-{}">{}</div>'
        self.notice.value = "".join(line.format(kind, escape(text)) for text, kind in lines if text)

    def _taken(self, image: ImageSource | Sample, points: ArrayLike | None, mask: ArrayLike | None) -> PickerState:
        origin = image if isinstance(image, Sample) else None
        if origin is not None:
            if points is not None or mask is not None:
                raise ValueError("points, mask: given beside a Sample, which has its own; expected one of the two")
            image, points, mask = origin.image, origin.points, origin.mask
        state = PickerState(load_image(image), points, mask)
        self._origin, self._original = origin, state.now
        return state

    def _follow(self) -> None:
        """Everything around the canvas, and the traits, follow the state."""
        self.tools.show()
        if self.state.now is self._seen:
            return
        self._seen, count, mask = self.state.now, len(self.state.points), self.state.mask
        if self.gestures.selected is not None and self.gestures.selected >= count:
            self.gestures.selected = None
        share = "everything may change" if mask is None else f"{mask.mean():.0%} may change"
        self.about.value = render("legend.html", count=count, mask=share, size=self.state.size, red=HANDLE, blue=TARGET)
        self._syncing = True  # the traits follow the state; whoever observes them is called
        try:
            self.numbers.value = "; ".join("{:g},{:g}>{:g},{:g}".format(*p.ravel()) for p in self.state.points)
            for name in ("points", "mask"):
                new, old = getattr(self.state, name), getattr(self, name)
                if new is not old and (new is None or old is None or not np.array_equal(new, old)):
                    self.set_trait(name, new)
        finally:
            self._syncing = False
        self.say(self.message, self._kind)

    def _tell_pull(self) -> None:
        live = self.gestures.live
        pulling = self.gestures.mode == "points" and live is not None and len(live.path) > 1
        if pulling or self._pulling:
            self.on_pull(self.gestures.points if pulling else None)
        self._pulling = pulling

    def _typed(self, change: dict) -> None:
        if not self._syncing:
            text = change["new"].strip()
            self.act(lambda: self.state.set(points=parse_points(text) if text else None))

    @traitlets.validate("points", "mask")
    def _valid(self, proposal: dict) -> np.ndarray | None:
        name, value = proposal["trait"].name, proposal["value"]
        return value if self._syncing else getattr(PickerState(self.image, **{name: value}), name)

    @traitlets.observe("points", "mask")
    def _assigned(self, change: dict) -> None:
        if not self._syncing:
            self.state.set(**{change["name"]: change["new"]})
            self.act()
