"""The right half of the studio: a picture with a slider between two runs, and the list of them all."""

from __future__ import annotations

from html import escape

import ipywidgets as W
import numpy as np
from PIL import Image

from gooddrag.studio import view
from gooddrag.studio.runs import Run, Step


class Outcome:
    """Shows a preview while a run goes on, then the run beside what it began with, or beside another run."""

    def __init__(self, longest: int):
        self.longest = longest
        self.runs: list[Run] = []
        self.picture = W.Image(format="jpeg", layout=W.Layout(max_width="100%"))
        self.picture.add_class("gooddrag-result")
        self.caption = W.HTML()
        self.slider = W.FloatSlider(0.5, min=0, max=1, step=0.01, readout=False, layout=W.Layout(width=f"{longest}px"))
        self.path = W.Checkbox(True, description="handles' path", indent=False, layout=W.Layout(width="120px"))
        choice = dict(layout=W.Layout(width="130px"), style={"description_width": "36px"})
        self.left = W.Dropdown(description="left", options=[("before", None)], **choice)
        self.right = W.Dropdown(description="right", options=[("none", None)], **choice)
        for control in (self.slider, self.path, self.left, self.right):
            control.observe(lambda _: self.show(), "value")
        row = W.HBox([self.left, self.right, self.path], layout=W.Layout(flex_flow="row wrap"))
        self.widget = W.VBox([row, self.caption, self.picture, self.slider], layout=W.Layout(width=f"{longest + 16}px"))
        self.history = W.HTML()

    @property
    def run(self) -> Run | None:
        """The run on the right, which Save and Continue mean."""
        number = self.right.value
        return self.runs[number - 1] if number else None

    def clear(self, image: Image.Image) -> None:
        """No run is shown: the image as it is."""
        self.right.value = None
        self._put(view.shown(image, view.fitted(image.size, self.longest)), "the image; its edit will be here")

    def add(self, run: Run) -> None:
        """One more run, and show it."""
        self.runs.append(run)
        numbers = [(f"run {r.number}", r.number) for r in self.runs]
        left = self.left.value
        self.left.options = [("before", None), *numbers]
        self.right.options = [("none", None), *numbers]
        self.left.value = left
        self.right.value = run.number
        self.history.value = history(self.runs)

    def preview(self, step: Step) -> None:
        """The guess of a run that goes on."""
        size = view.fitted(step.preview.size, self.longest)
        image = view.shown(step.preview, size)
        if self.path.value:
            image = view.with_path(image, step.handles[None], np.empty((0, 2)), step.preview.size)
        self._put(image, f"preview after {step.done} of {step.total} drag operations")

    def show(self) -> None:
        """The two sides and the divider between them."""
        run = self.run
        if run is None:
            return
        result, other = run.result, self.left.value
        size = view.fitted(result.image.size, self.longest)
        after = view.shown(result.image, size)
        if self.path.value:
            after = view.with_path(after, result.path, result.sample.targets, result.image.size)
        before = self.runs[other - 1].result.image if other else result.sample.image
        name = f"run {other}" if other else "before"
        self._put(view.wiped(view.shown(before, size), after, self.slider.value), f"{name} | run {run.number}")

    def _put(self, image: Image.Image, caption: str) -> None:
        self.picture.layout.width = f"{image.width}px"
        self.picture.value = view.jpeg(image)
        self.caption.value = f'<span style="font-size:13px">{escape(caption)}</span>'


def history(runs: list[Run]) -> str:
    """The runs as a table, newest first: picture, settings, seconds, how far the handles are from their targets."""
    heads = ("run", "", "settings", "drag operations", "px asked", "px left", "seconds")
    rows = []
    for run in reversed(runs):
        metrics = run.result.metrics
        cells = [
            f"<b>{run.number}</b>",
            view.thumbnail(run.result.image),
            str(run.order),
            f"{metrics['drag_operations']}{', stopped' if run.stopped else ''}",
            ", ".join(f"{px:.0f}" for px in metrics["distance_asked_px"]),
            ", ".join(f"{px:.0f}" for px in metrics["distance_left_px"]),
            f"{run.seconds:.0f}",
        ]
        rows.append("<tr>" + "".join(f'<td style="padding:2px 12px 2px 0">{cell}</td>' for cell in cells) + "</tr>")
    head = "".join(f'<th style="text-align:left;padding-right:12px">{name}</th>' for name in heads)
    return f'<table style="font-size:13px;line-height:1.4"><tr>{head}</tr>{"".join(rows)}</table>'
