"""The studio: a picker, the settings, a run in a thread, and what came of it."""

import os
import time
from itertools import count
from pathlib import Path

import ipywidgets as W
import numpy as np
from PIL import Image

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.evaluation.methods.fastdrag import preview
from gooddrag.files import ImageSource, expand
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from gooddrag.widgets.canvas import UPLOAD_LIMIT, data_uri, render
from gooddrag.widgets.explorers import page, path_svg
from gooddrag.widgets.knobs import WRAP, Knobs
from gooddrag.widgets.picker import PointPicker, reason
from gooddrag.widgets.runs import Run, Runner, Stopped

PREVIEW_SIDE = 384  # pixels, about as many as are shown: what is warped while an arrow is pulled


class DragStudio(Runner, W.VBox):
    """Pick, mask, drag, look, drag again, save; the kernel stays free while a run goes on.

    Args:
        model: from `load_model`.
        image: anything that `load_image` takes, or a `Sample`, whose points and mask are then preset.
        config: settings that the knobs begin with; None = the model's own preset.
        lora: how an image's LoRA is fitted (True: as suits the preset); None = off until it is switched on.
        longest: longest side of each of the two pictures on the screen, in CSS pixels.

    Attributes:
        picker: the `PointPicker`. knobs: the settings. runs: every finished `Run`, oldest first.
        shown: the `Run` that is shown, or None. result: its `DragResult`, or None.
        preview: what is shown while an arrow is pulled, a function (image, points, mask) -> image.
    """

    def __init__(
        self,
        model: DiffusionModel,
        image: ImageSource | Sample,
        config: DragConfig | None = None,
        *,
        lora: LoraConfig | bool | None = True,
        longest: int = 420,
    ):
        Runner.__init__(self, model, self._on_step, self._on_end)
        self.preview, self.longest, self._quiet = preview, longest, 0.0
        self.knobs, self.picker = Knobs(config, model.preset, lora=lora), PointPicker(image, longest=longest)
        self.picker.on_pull = self._preview_pull
        W.VBox.__init__(self, self._rows())
        self.add_class("gooddrag-picker").add_class("gooddrag-studio")
        self._begin()

    @property
    def result(self) -> DragResult | None:
        return self.shown.result if self.shown else None

    def run(self) -> None:
        """Start dragging what is picked, and return at once. ValueError where no point is, or the settings are bad."""
        picker, knobs, values = self.picker, self.knobs, self.knobs.values
        if not len(picker.points):
            raise ValueError("Pull an arrow on the picture first.")
        origin = picker.state.now, values
        run = Run(picker.sample, knobs.config, knobs.lora_config, values["seed"], values["keep"], origin)
        self.start(run)

    def stop(self) -> None:
        """End the dragging within one update. What has been dragged is denoised, shown and kept."""
        super().stop()
        self.stage.value = "stopping ..."

    def set_image(self, image: ImageSource | Sample) -> None:
        """Take another image, as for `PointPicker.load`; Reset comes back to it."""
        self.picker.load(image)
        self._begin()

    def use_again(self, run: Run) -> None:
        """Show an earlier run, with its image, points, mask and knobs. Undo takes the first three back."""
        pick, self.knobs.values = run.origin
        self.picker.state.take(pick)
        self.picker.act()
        self._show(run)

    def reset(self) -> None:
        """Image, points and mask as at the beginning; the history of runs stays. Undo takes it back."""
        self.picker.state.take(self.picker.state.first)
        self.picker.act()
        self._begin()

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the shown result as `DragResult.save` does, to a folder of this name or, where there is something
        already, to the next free one: my_edit, my_edit-2, ...; returns it. ValueError where there is no result yet.
        """
        result, asked = self._need_result(), expand(folder).resolve()
        if not str(folder).strip() or not asked.name:
            raise ValueError(f"folder: {str(folder)!r}; expected a name")
        folder, numbers = asked, count(2)
        while folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            folder = asked.with_name(f"{asked.name}-{next(numbers)}")
        result.save(folder)
        self.picker.say(f"Saved to {folder}{os.sep}.", "success")
        return folder

    def download(self) -> None:
        """Hand the shown result to the browser as a PNG file; ValueError where there is none yet."""
        content, name = data_uri(self._need_result().image, kind="PNG"), f"run {self.shown.number}.png"
        link = f'<a download="{name}" href="{content}">{name}</a>'
        self.link.value = f'{link}<style onload="this.previousSibling.click()"></style>'

    def _need_result(self) -> DragResult:
        if self.result is None:
            raise ValueError("There is no result yet. Press Run first.")
        return self.result

    def _rows(self) -> list[W.Widget]:
        p, button = self.picker, self.picker.button
        self.run_button = button("Run", "play", "Drag what is picked", self.run, "success")
        self.stop_button = button("Stop", "stop", "Stop dragging and keep what there is", self.stop, "danger")
        self.stop_button.disabled = True
        self.bar = W.FloatProgress(max=1.0, bar_style="success", layout={"flex": "1 1 60px", "visibility": "hidden"})
        self.stage = W.HTML(layout={"min_width": "165px"})
        self.picture, self.caption = W.HTML(layout={"width": "100%"}).add_class("gooddrag-result"), W.Label()
        self.path = W.Checkbox(True, description="path", indent=False, layout={"width": "60px"})
        self.path.observe(lambda _: self._show(self.shown), "value")
        self.upload = W.FileUpload(accept="image/*", description="Your own picture", layout={"width": "auto"})
        self.upload.observe(lambda change: change["new"] and p.act(self._take_upload), "value")
        larger = 'put a larger file beside the notebook and write DragStudio(model, "file")'
        limit = W.HTML(f'up to {UPLOAD_LIMIT // 10**6} MB <b class="gooddrag-large">: {larger}</b>')
        self.reset_button = button("Reset", "refresh", "Picture, points and mask as at the start", self.reset)
        self.folder = W.Text("my_edit", tooltip="folder to write", layout={"width": "110px"})
        about, save = "Picture, animation, numbers and points", lambda: self.save(self.folder.value)
        self.save_button = button("Save", "save", about, save)
        self.download_button = button("", "download", "Download the result as a PNG file", self.download)
        self.link, self.history = W.HTML(), W.VBox()
        actions = W.HBox([self.run_button, self.stop_button, self.bar, self.stage], layout=WRAP)
        column = {"flex": f"0 1 {self.longest}px", "min_width": "0"}
        left = W.VBox([p.canvas.widget, actions], layout=column)
        right = W.VBox([self.picture, W.HBox([self.path, self.caption], layout=WRAP)], layout=column)
        pictures = W.HBox([left, right], layout={"align_items": "flex-start", "grid_gap": "10px"})
        files = [self.upload, limit, self.reset_button, self.folder, self.save_button, self.download_button, self.link]
        below = [p.notice, self.knobs, W.HBox(files, layout=WRAP), self.history, p.about]
        return [p.tools, pictures, *below, p.canvas.script]

    def _begin(self) -> None:
        """No run is shown; one line on a picture that is no page of the model's book, as its size tells."""
        self._show(None)
        side = self.model.native_size
        if self.model.preset == "storybook" and self.picker.image.size != (side, side):
            self.picker.say('This model knows picture books; for photographs use load_model("sd15").', "warning")

    def _show(self, run: Run | None) -> None:
        """The run's result, whole, with a divider to pull over it; without a run, the image."""
        self.shown = run
        if run is None:
            return self._put(self.picker.image, "The edit will be here.")
        sample, labels = run.sample, ("before", f"run {run.number}")
        overlay = path_svg(run.result.path, sample.targets, sample.image.size) if self.path.value else ""
        self._put(run.result.image, "Pull the divider.", before=sample.image, labels=labels, overlay=overlay)

    def _put(self, image: Image.Image, caption: str, **values) -> None:
        self.picture.value, self.caption.value = page(image, self.longest, **values), caption

    def _take_upload(self) -> None:
        file, self.upload.value = self.upload.value[0], ()  # the same file can be chosen again
        self.set_image(bytes(file.content))

    def _preview_pull(self, points: np.ndarray | None) -> None:
        """Show the pixels' warp while an arrow is pulled; it takes at most half of the kernel's time."""
        if self.busy or (points is not None and time.monotonic() < self._quiet):
            return
        if points is None:
            return self._show(self.shown)
        began, image, mask = time.monotonic(), self.picker.image.copy(), self.picker.state.mask
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        mask = None if mask is None else np.asarray(Image.fromarray(mask).resize(image.size))
        moved = points[(points[:, 0] != points[:, 1]).any(axis=1)] * (np.array(image.size) / self.picker.image.size)
        if len(moved):
            self._put(self.preview(image, moved, mask), "Preview: only warped pixels.")
        self._quiet = 2 * time.monotonic() - began

    def _on_step(self, stage: str, done: int, total: int, seen: Image.Image | None) -> None:
        """In the run's thread, or before it begins."""
        self.run_button.disabled, self.stop_button.disabled = True, False
        self.bar.layout.visibility, self.bar.value = "visible", done / max(1, total)
        if self.stage.value != "stopping ...":
            self.stage.value = f"{stage} {done} of {total}"
        if seen is not None:
            self._put(seen, f"Preview after {done} of {total} steps.")

    def _on_end(self, outcome: Run | Exception) -> None:
        """In the run's thread, as its last act."""
        self.run_button.disabled, self.stop_button.disabled = False, True
        self.bar.value, self.stage.value = 1.0, ""
        if isinstance(outcome, Run):
            self._show(outcome)
            self.history.children = [self._row(outcome), *self.history.children]
            self.picker.say(*outcome.outcome())
        elif isinstance(outcome, Stopped):
            self.picker.say(str(outcome), "warning")
        else:
            self.picker.say(reason(outcome))

    def _row(self, run: Run) -> W.HBox:
        """A line of the history: picture, settings, outcome, and a button that brings all of it back."""
        again = self.picker.button("use again", "", "Its points, mask and settings", lambda: self.use_again(run))
        content = {"picture": data_uri(run.result.image, 96), "outcome": run.outcome()[0], "run": run}
        return W.HBox([again, W.HTML(render("row.html", **content))], layout={"align_items": "center"})
