"""The second way in: the same points and mask as a table of numbers, as JSON, and as a still picture."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING

import ipywidgets as W
import numpy as np
from PIL import Image

from gooddrag import plots
from gooddrag.picker.canvas import display_bytes
from gooddrag.picker.regions import around_drags, box
from gooddrag.picker.state import PickerState

if TYPE_CHECKING:
    from gooddrag.picker.widget import PointPicker

HELP = """<div style="font-size:12px;opacity:.8;line-height:1.4">The same points as in Drag100's points.json: handle and
target in turn, [x, y] in pixels. <code>"mask"</code> may be <code>"all"</code>, <code>"around points"</code>, or boxes
<code>[[left, top, right, bottom], ...]</code> inside which the picture may change; without it the mask stays.</div>"""
COLUMNS = ("handle x", "handle y", "target x", "target y")


class NumbersPanel:
    """Works where canvas events do not arrive; hidden, and idle, until it is opened."""

    def __init__(self, picker: PointPicker):
        self.picker = picker
        self._filling = False
        self.rows: list[list[W.FloatText]] = []
        self.table = W.VBox()
        self.add = W.Button(description="Add pair", icon="plus", layout=W.Layout(width="110px"))
        self.json = W.Textarea(layout=W.Layout(width="430px", height="80px"))
        self.apply = W.Button(description="Apply JSON", icon="check", layout=W.Layout(width="110px"))
        self.preview = W.Image(format="png", layout=W.Layout(max_width="300px"))
        self.add.on_click(lambda _: picker.act(self._add))
        self.apply.on_click(lambda _: picker.act(self._apply))
        left = W.VBox([self.table, self.add, self.json, self.apply, W.HTML(HELP)], layout=W.Layout(width="450px"))
        self.widget = W.HBox([left, self.preview], layout=W.Layout(display="none", flex_flow="row wrap"))

    @property
    def is_open(self) -> bool:
        return self.widget.layout.display != "none"

    def open(self, shown: bool) -> None:
        """Show or hide it."""
        self.widget.layout.display = "flex" if shown else "none"
        self.show()

    def show(self) -> None:
        """Bring it in step with the state."""
        if not self.is_open:
            return
        state = self.picker.state
        self._fill_table(state.points)
        points = [[int(v) if v == int(v) else v for v in point] for point in state.points.reshape(-1, 2).tolist()]
        self.json.value = json.dumps({"points": points, **({"mask": "all"} if state.mask is None else {})})
        self.preview.value = _preview(self.picker)

    def _fill_table(self, points: np.ndarray) -> None:
        self._filling = True  # our own changes of the fields are not the user's
        try:
            if len(self.rows) != len(points):
                self.rows = [[W.FloatText(layout=W.Layout(width="84px")) for _ in COLUMNS] for _ in points]
                for number, fields in enumerate(self.rows):
                    for field in fields:
                        field.observe(lambda _, n=number: self._edited(n), "value")
                heads = W.HBox([W.HTML(f"<small>{head}</small>", layout=W.Layout(width="84px")) for head in COLUMNS])
                self.table.children = [heads, *(self._row(number) for number in range(len(points)))]
            for fields, pair in zip(self.rows, points.reshape(-1, 4), strict=True):
                for field, value in zip(fields, pair, strict=True):
                    field.value = value
        finally:
            self._filling = False

    def _row(self, number: int) -> W.HBox:
        remove = W.Button(icon="trash", tooltip="Delete this pair", layout=W.Layout(width="40px"))
        remove.on_click(lambda _: self.picker.act(lambda: self.picker.state.delete(number)))
        return W.HBox([*self.rows[number], remove])

    def _edited(self, number: int) -> None:
        if not self._filling:
            points = self.picker.state.points.copy()
            points[number] = np.array([field.value for field in self.rows[number]]).reshape(2, 2)
            self.picker.act(lambda: self.picker.state.set_points(points))
            self._fill_table(self.picker.state.points)  # where it was refused, the field shows what is

    def _add(self) -> None:
        """A pair somewhere free near the middle, to be moved by its numbers."""
        width, height = self.picker.state.size
        handle, step = np.array([width // 2, height // 2]), max(1, min(width, height) // 8)
        taken = {tuple(h) for h in self.picker.state.points[:, 0].tolist()}
        while tuple(handle.tolist()) in taken:
            handle = (handle + [0, 1]) % [width, height]
        self.picker.state.add(handle, [(handle[0] + step) % width, handle[1]])

    def _apply(self) -> None:
        state, (points, mask) = self.picker.state, _parse(self.json.value)
        if mask is None:
            mask = state.mask
        elif mask == "all":
            mask = None
        elif mask == "around points":
            mask = around_drags(state.size, PickerState(state.size, points).points)
        else:
            boxes, mask = mask, np.zeros(state.size[::-1], bool)
            for left, top, right, bottom in boxes:
                region = box(state.size, (left, top), (right, bottom))
                mask[region.rows, region.columns] |= region.inside
        state.set(points, mask)


def _parse(text: str) -> tuple[list, str | list | None]:
    expected = 'expected {"points": [[x, y], [x, y], ...], "mask": "all", "around points" or boxes}'
    try:
        content = json.loads(text)
        points, mask = content["points"], content.get("mask")
        if mask not in (None, "all", "around points"):
            mask = [tuple(float(v) for v in corners) for corners in mask]
            if any(len(corners) != 4 or not np.isfinite(corners).all() for corners in mask):
                raise ValueError("a box has four numbers")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"JSON: {error}; {expected}") from error
    return points, mask


def _preview(picker: PointPicker) -> bytes:
    """PNG of the picture as it is marked, drawn by matplotlib at the canvas' size."""
    size, state = picker.canvas.size, picker.state
    shown = Image.open(BytesIO(display_bytes(picker.image, size)))
    fig, axes = plots.figure(1, size=3.6, aspect=size[1] / size[0])
    plots.draw_image(axes[0, 0], shown)
    if state.mask is not None:
        plots.draw_mask(axes[0, 0], np.array(Image.fromarray(state.mask).resize(size, Image.Resampling.NEAREST)))
    plots.draw_points(axes[0, 0], picker.canvas.to_canvas(state.points) - 0.5)
    buffer = BytesIO()
    fig.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
