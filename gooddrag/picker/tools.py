"""What stands around the canvas: the tools above it, the list beside it, the line below it."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as W

from gooddrag.picker.state import PickerState
from gooddrag.plots.base import HANDLE, TARGET

if TYPE_CHECKING:
    from gooddrag.picker.widget import PointPicker

TOOLS = {  # label: mode, icon, what it does
    "Points": ("points", "arrows", "Press at the handle, pull, release at the target. Press on an end to move it."),
    "Brush": ("brush", "paint-brush", "Paint what may change. [ and ] change the size."),
    "Eraser": ("eraser", "eraser", "Paint what may not change."),
    "Box": ("box", "square-o", "Pull a box: what is inside may change."),
    "Ellipse": ("ellipse", "circle-o", "Pull an ellipse: what is inside may change."),
}


def _legend_dot(colour: str) -> str:
    return (f'<svg width="14" height="14" style="vertical-align:-2px"><circle cx="7" cy="7" r="5" fill="{colour}" '
            f'stroke="#222"/></svg>')  # fmt: skip


LEGEND = f"""
<div style="font-size:12px;line-height:1.7">
{_legend_dot(HANDLE)} handle: what you take hold of<br>
{_legend_dot(TARGET)} target: where it should go<br>
<span style="display:inline-block;width:14px;height:12px;vertical-align:-1px;
background:repeating-linear-gradient(135deg, #556 0 3px, #99a 3px 4px)"></span> striped: may not change<br>
<span style="opacity:.7"><b>Del</b> deletes a pair, <b>Ctrl-Z</b> undoes,<br><b>[</b> and <b>]</b> size the brush,
<b>Esc</b> lets go</span></div>
"""


class Toolbar:
    """Modes, brush size, history, whole-mask actions."""

    def __init__(self, picker: PointPicker):
        self.picker = picker
        self.modes = W.ToggleButtons(
            options=[(f"{label}\u2002", mode) for label, (mode, _, _) in TOOLS.items()],  # the icon follows
            icons=[icon for _, icon, _ in TOOLS.values()],
            tooltips=[about for _, _, about in TOOLS.values()],
            style={"button_width": "88px"},
        )
        self.size = W.FloatLogSlider(
            base=2, description="brush", readout_format=".0f", step=0.1, layout=W.Layout(width="215px"),
            style={"description_width": "40px"},
        )  # fmt: skip
        self._sizes, self._showing = None, False
        self.undo = _button("", "undo", "Undo: Ctrl-Z", picker.undo)
        self.redo = _button("", "repeat", "Redo: Ctrl-Shift-Z", picker.redo)
        self.delete = _button("", "trash", "Delete the selected pair, or the last one: Del",
                              lambda: picker.act(picker.gestures.delete))  # fmt: skip
        self.clear = _button("", "times", "Clear: no points and no mask", picker.clear)
        self.whole = _button("Mask: all", "arrows-alt", "Everything may change",
                             lambda: picker.act(lambda: picker.state.set_mask(None)))  # fmt: skip
        self.around = _button("Mask: around points", "magic", "A region around the drags may change",
                              lambda: picker.act(lambda: picker.state.mask_from_points()))  # fmt: skip
        self.numbers = W.ToggleButton(
            description="Numbers",
            icon="table",
            tooltip="Points as a table and as JSON, for places where the mouse does not arrive",
            layout=W.Layout(width="auto"),
        )
        self.modes.observe(lambda change: picker.act(lambda: self._mode(change["new"])), "value")
        self.size.observe(lambda change: self._showing or picker.act(lambda: self._resized(change["new"])), "value")
        self.numbers.observe(lambda change: picker.act(lambda: picker._numbers.open(change["new"])), "value")
        wrap = W.Layout(flex_flow="row wrap")
        actions = [self.undo, self.redo, self.delete, self.clear, self.whole, self.around, self.numbers]
        self.widget = W.VBox([self.modes, W.HBox(actions, layout=wrap)])

    def show(self) -> None:
        """Bring it in step with the state."""
        g, state = self.picker.gestures, self.picker.state
        self.undo.disabled, self.redo.disabled = not (state.can_undo or g.live), not state.can_redo
        self.delete.disabled = self.around.disabled = not len(state.points)
        self.size.layout.visibility = "visible" if g.mode in ("brush", "eraser") else "hidden"
        self._showing = True  # our own changes of the slider are not the user's
        try:
            if self._sizes != state.size:
                self._sizes = state.size
                self.size.min, self.size.max = -1, math.log2(max(state.size))
            if abs(self.size.value - g.radius) > 0.01 * g.radius:
                self.size.value = g.radius
        finally:
            self._showing = False

    def _mode(self, mode: str) -> None:
        self.picker.gestures.cancel()
        self.picker.gestures.mode = mode

    def _resized(self, radius: float) -> None:
        self.picker.gestures.radius = radius


class SidePanel:
    """How many pairs, where they are, what the mask is."""

    def __init__(self, brush: W.Widget):
        self.list = W.HTML()
        self.widget = W.VBox([self.list, W.HTML(LEGEND), brush], layout=W.Layout(margin="0 0 0 12px", width="220px"))

    def show(self, state: PickerState) -> None:
        """Bring it in step with the state."""
        rows = "".join(
            f'<tr><td style="padding-right:8px"><b>{number}</b></td><td>{h[0]:g}, {h[1]:g}</td>'
            f'<td style="padding:0 6px">→</td><td>{t[0]:g}, {t[1]:g}</td></tr>'
            for number, (h, t) in enumerate(state.points, start=1)
        )
        count = len(state.points)
        mask = "everything may change" if state.mask is None else f"{state.mask.mean():.0%} may change"
        width, height = state.size
        self.list.value = (
            f'<div style="font-size:13px;line-height:1.5"><b>{count} {"pair" if count == 1 else "pairs"}</b> '
            f'<span style="opacity:.7">of points, in pixels of the {width} × {height} image</span>'
            f'<table style="font-variant-numeric:tabular-nums">{rows}</table><b>Mask</b>: {mask}</div>'
        )


def says(error: str, notes: list[str]) -> str:
    """The line below the canvas as HTML: an error in red, notes in amber."""
    lines = [(error, "#b3261e", "#fdeceb")] if error else []
    lines += [(note, "#7a5200", "#fff4dd") for note in notes]
    return "".join(
        f'<div style="color:{ink};background:{paper};padding:3px 8px;margin-top:3px;border-radius:4px;font-size:13px;'
        f'line-height:1.4">{escape(text)}</div>'
        for text, ink, paper in lines
    )


def _button(label: str, icon: str, tooltip: str, action: Callable[[], object]) -> W.Button:
    button = W.Button(description=label, icon=icon, tooltip=tooltip, layout=W.Layout(width="auto", min_width="40px"))
    button.on_click(lambda _: action())
    return button
