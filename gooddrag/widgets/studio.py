"""The studio: a picker, the settings, a run in a thread, and what came of it."""

import os
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from html import escape
from io import BytesIO
from itertools import count
from pathlib import Path

import ipywidgets as W
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.evaluation.methods.fastdrag import preview
from gooddrag.files import ImageSource
from gooddrag.frame import Frame
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from gooddrag.widgets.canvas import UPLOAD_LIMIT
from gooddrag.widgets.explorers import data_uri, path_svg
from gooddrag.widgets.panels import WRAP, Knobs, Outcome
from gooddrag.widgets.picker import PointPicker
from gooddrag.widgets.runs import Request, Run, Runner, Step, Stopped, remaining

EXAMPLE = 100  # the storybook's page that a studio without an image shows
PREVIEW_SIDE = 384  # pixels, about as many as are shown: what is warped while an arrow is pulled


class DragStudio(W.VBox):
    """Pick, mask, drag, look, drag again, save; the kernel stays free while a run goes on.

    Args:
        model: from `load_model`.
        image: anything that `load_image` takes, or a `Sample`; None = a page of the storybook.
        points, mask: preset, as for `PointPicker`.
        config: settings that the knobs begin with; None = the model's own preset.
        lora: how an image's LoRA is fitted (the default: as suits the preset); None = off until it is switched on.
        longest: longest side of each of the two pictures on the screen, in CSS pixels.

    Attributes:
        picker: the `PointPicker`.
        preview: what is shown while an arrow is pulled: a function of an image, points (l, 2, 2) and a mask (H, W) bool
            or None that returns an image; by default FastDrag's warp of the pixels.
    """

    def __init__(
        self,
        model: DiffusionModel,
        image: ImageSource | Sample | None = None,
        points: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        config: DragConfig | None = None,
        lora: LoraConfig | None = LoraConfig(),  # noqa: B008 (frozen)
        longest: int = 420,
    ):
        if image is None:
            from storybook import edit

            image = edit(EXAMPLE)
        self.model, self.preview, self._quiet = model, preview, 0.0
        self._lock = threading.RLock()  # the run's thread and the kernel's both write to the widgets
        self._runner = Runner(model, self._on_step, self._on_end)
        self.knobs, self.picker = Knobs(config, lora, model.preset), PointPicker(image, points, mask, longest)
        self.picker.on_pull, self.picker.canvas.on_news = self._preview_pull, lambda name, size: self._too_large(size)
        self.picker.observe(lambda _: self._undo_reset(), ["points", "mask"])
        self._first, self._before_reset, self._asked = self.picker.state.now, None, {}
        self._outcome, self.history = Outcome(longest), W.VBox()
        super().__init__(self._rows())
        self.add_class("gooddrag-picker")
        self.add_class("gooddrag-studio")
        self._begin()

    @property
    def runs(self) -> list[Run]:
        """Every finished run, oldest first."""
        return self._runner.runs

    @property
    def busy(self) -> bool:
        """Whether a run is going."""
        return self._runner.busy

    @property
    def result(self) -> DragResult | None:
        """Of the run that is shown, or None."""
        return self._outcome.run.result if self._outcome.run else None

    @property
    def config(self) -> DragConfig:
        """The settings that the knobs stand for."""
        return self.knobs.config

    @property
    def message(self) -> str:
        """What the studio last had to say, or ""."""
        return self.picker.message

    def run(self) -> None:
        """Start dragging what is picked, and return at once.

        Raises:
            RuntimeError: a run is going. ValueError: no point is picked, or the settings do not go together.
        """
        if not len(self.picker.state.points):
            raise ValueError("Pull an arrow on the picture first.")
        knobs = self.knobs
        request = Request(self.picker.sample, knobs.config, knobs.lora_config, knobs.seed.value, knobs.keep.value)
        with self._lock:  # the thread waits with what it has to tell
            self._runner.start(request)
            self._targets = request.sample.targets
            self._asked[len(self.runs) + 1] = self.picker.state.now, knobs.values
            self._show_going(True)

    def stop(self) -> None:
        """End the dragging within one update. What has been dragged is denoised, shown and kept."""
        self._runner.stop()
        self.stage.value = "stopping ..."

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no run is going; False if one still is after `timeout` seconds."""
        return self._runner.wait(timeout)

    def set_image(self, image: ImageSource | Sample, points: ArrayLike | None = None, mask: ArrayLike | None = None):
        """Take another image, as for `PointPicker.load`, with the knobs as at the start; Reset comes back to it."""
        self.picker.load(image, points, mask)
        self.knobs.values, self._first = self.knobs.first, self.picker.state.now
        self._begin()

    def continue_from_here(self) -> None:
        """Edit the shown result further: it becomes the image, and the pairs that did not arrive go on from their
        handles. The LoRA is fitted to the new image. Undo takes it back.

        Raises:
            ValueError: there is no result yet.
        """
        result = self._need_result()
        self.picker.state.set(image=result.image, points=remaining(result), mask=result.sample.mask)

    def use_again(self, run: Run) -> None:
        """Image, points, mask and knobs of an earlier run. Undo takes the first three back."""
        pick, self.knobs.values = self._asked[run.number]
        self.picker.state.take(pick)

    def reset(self) -> None:
        """Image, points, mask and knobs as at the beginning; the history of runs stays. Undo takes it back."""
        before = self.picker.state.now, self.knobs.values
        self.picker.state.take(self._first)
        self.knobs.values, self._before_reset = self.knobs.first, before
        self._begin()

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the shown result as `DragResult.save` does, to a folder of this name or, where there is something
        already, to the next free one: my_edit, my_edit-2, ...; returns it.

        Raises:
            ValueError: there is no result yet, or the folder cannot be written.
        """
        result, asked = self._need_result(), Path(folder).expanduser()
        folder, numbers = asked, count(2)
        while folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            folder = asked.with_name(f"{asked.name}-{next(numbers)}")
        return Path(result.save(folder))

    def download(self) -> None:
        """Hand the shown result to the browser as a PNG file.

        Raises:
            ValueError: there is no result yet.
        """
        buffer = BytesIO()
        self._need_result().image.save(buffer, "PNG")
        name, content = f"run {self._outcome.run.number}.png", b64encode(buffer.getvalue()).decode()
        link = f'<a download="{name}" href="data:image/png;base64,{content}">{name}</a>'
        self.link.value = f'{link}<style onload="this.previousSibling.click()"></style>'

    def _need_result(self) -> DragResult:
        if self.result is None:
            raise ValueError("There is no result yet. Press Run first.")
        return self.result

    def _rows(self) -> list[W.Widget]:
        def button(label: str, icon: str, tooltip: str, action: Callable, style: str = "") -> W.Button:
            made = W.Button(description=label, icon=icon, tooltip=tooltip, button_style=style, layout={"width": "auto"})
            made.on_click(lambda _: self.picker.act(action))
            return made

        self.run_button = button("Run", "play", "Drag what is picked", self.run, "success")
        self.stop_button = button("Stop", "stop", "Stop dragging and keep what there is", self.stop, "danger")
        self.stop_button.disabled = True
        self.bar = W.FloatProgress(max=1.0, layout={"flex": "1 1 60px", "visibility": "hidden"})
        self.stage = W.HTML(layout={"min_width": "165px"})
        self.upload = W.FileUpload(accept="image/*", description="Your own picture", layout={"width": "auto"})
        self.upload.observe(lambda change: change["new"] and self.picker.act(self._take_upload), "value")
        self.reset_button = button("Reset", "refresh", "Picture, points, mask and settings as at the start", self.reset)
        self.continue_button = button("Continue", "forward", "Edit the result further", self.continue_from_here)
        self.folder = W.Text("my_edit", tooltip="folder to write", layout={"width": "110px"})
        self.save_button = button("Save", "save", "Picture, animation, numbers and points", self._save)
        self.download_button = button("", "download", "Download the result as a PNG file", self.download)
        self.link, limit = W.HTML(), W.Label(f"up to {UPLOAD_LIMIT // 10**6} MB")
        actions = W.HBox([self.run_button, self.stop_button, self.bar, self.stage], layout=WRAP)
        own = [self.upload, limit, self.reset_button, self.continue_button]
        files = W.HBox([*own, self.folder, self.save_button, self.download_button, self.link], layout=WRAP)
        p, column = self.picker, {"flex": f"0 1 {self._outcome.longest}px", "min_width": "0"}
        columns = W.VBox([p.canvas.widget, actions], layout=column), W.VBox(self._outcome.parts, layout=column)
        pictures = W.HBox(columns, layout={"align_items": "flex-start", "grid_gap": "10px"})
        return [p.tools.widget, pictures, p.notice, self.knobs.widget, files, self.history, p.details, p.canvas.script]

    def _begin(self) -> None:
        """No run is shown; one line on a picture that the model was not made for."""
        image, model = self.picker.image, self.model
        with self._lock:
            self._outcome.right.value = None
            self._outcome.put(image, "The edit will be here.")
        if model.preset == "storybook" and image.size != (model.native_size, model.native_size):
            width, height = Frame.fit(image.size, model.vae_scale, model.native_size).scaled
            hint = 'This model knows picture books; for photographs use load_model("sd15"). Working at'
            self.picker.say(f"{hint} {width} x {height} pixels.", "warning")

    def _undo_reset(self) -> None:
        """Undo after Reset brings the knobs back, too."""
        if self._before_reset and self.picker.state.now is self._before_reset[0]:
            self.knobs.values, self._before_reset = self._before_reset[1], None

    def _take_upload(self) -> None:
        file, self.upload.value = self.upload.value[0], ()  # the same file can be chosen again
        if file.size > UPLOAD_LIMIT:
            self._too_large(file.size)
        else:
            self.set_image(bytes(file.content))

    def _too_large(self, size: float) -> None:
        where = (
            "Put it there in Colab's Files panel" if "google.colab" in sys.modules else "Save it beside the notebook"
        )
        limit = f"a notebook can upload {UPLOAD_LIMIT // 10**6} MB"
        self.picker.say(f'The file has {size / 1e6:.1f} MB; {limit}. {where} and write DragStudio(model, "file").')

    def _save(self) -> None:
        asked, written = Path(self.folder.value), self.save(self.folder.value)
        moved = written.name != asked.name
        note = f"; {asked} was there already" if moved else ""
        self.picker.say(f"Saved to {written}{os.sep}{note}.", "warning" if moved else "success")

    def _preview_pull(self, points: np.ndarray | None) -> None:
        """Show the pixels' warp while an arrow is pulled; it takes at most half of the kernel's time."""
        if self.busy or (points is not None and time.monotonic() < self._quiet):
            return
        if points is None:
            self._outcome.show(self.picker.image)
            return
        began, image, mask = time.monotonic(), self.picker.image.copy(), self.picker.state.mask
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        mask = None if mask is None else np.asarray(Image.fromarray(mask).resize(image.size))
        moved = points[(points[:, 0] != points[:, 1]).any(axis=1)] * (np.array(image.size) / self.picker.image.size)
        if len(moved):
            self._outcome.put(self.preview(image, moved, mask), "Preview: only warped pixels.")
        self._quiet = 2 * time.monotonic() - began

    def _show_going(self, going: bool) -> None:
        self.run_button.disabled, self.stop_button.disabled = going, not going
        self.bar.layout.visibility, self.bar.bar_style = "visible", "info" if going else "success"
        self.bar.value, self.stage.value = (0.0, "starting ...") if going else (1.0, "")

    def _on_step(self, step: Step) -> None:
        """In the run's thread."""
        with self._lock:
            self.bar.value = step.share
            if self.stage.value != "stopping ...":
                left = "" if step.seconds_left is None else f", {step.seconds_left:.0f} s left"
                self.stage.value = f"{step.stage} {step.done} of {step.total}{left}"
            if step.preview is not None:
                overlay = path_svg(step.handles[None], self._targets, step.preview.size)
                self._outcome.put(step.preview, f"Preview after {step.done} of {step.total} operations.", overlay)

    def _on_end(self, outcome: Run | Exception) -> None:
        """In the run's thread, as its last act."""
        with self._lock:
            self._show_going(False)
            if isinstance(outcome, Run):
                self._outcome.add(outcome)
                self.history.children = [self._row(outcome), *self.history.children]
                self.picker.say(*outcome.outcome())
            else:
                self.bar.bar_style = "warning" if isinstance(outcome, Stopped) else "danger"
                kind = "" if isinstance(outcome, ValueError | Stopped) else f"{type(outcome).__name__}: "
                self.picker.say(f"{kind}{outcome}", "warning" if isinstance(outcome, Stopped) else "error")

    def _row(self, run: Run) -> W.HBox:
        """A line of the history: picture, settings, outcome, and a button that brings all of it back."""
        again = W.Button(description="use again", tooltip="Its points, mask and settings", layout={"width": "auto"})
        again.on_click(lambda _: self.picker.act(lambda: self.use_again(run)))
        picture = f'<img src="{data_uri(run.result.image, 96)}" style="height:48px;display:block;border-radius:3px">'
        text = f"{escape(run.outcome()[0])} {run.seconds:.0f} s<br>{escape(str(run.request))}"
        return W.HBox([W.HTML(picture), again, W.HTML(text)], layout={"align_items": "center"})
