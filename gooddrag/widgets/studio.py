"""The studio: a picker, the settings, a run in a thread, and what came of it."""

import os
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as W
import numpy as np
from PIL import Image

from gooddrag.algorithm import State
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation.methods.fastdrag import preview
from gooddrag.files import ImageSource, expand
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from gooddrag.widgets.canvas import UPLOAD_LIMIT, data_uri, render
from gooddrag.widgets.explorers import page, path_svg
from gooddrag.widgets.knobs import WRAP, Knobs
from gooddrag.widgets.picker import PointPicker, reason
from gooddrag.widgets.state import Pick

PREVIEW_SIDE = 384  # pixels, about as many as are shown: what is warped while an arrow is pulled
PREVIEW_EVERY = 5  # drag operations from one look at the result to the next


@dataclass(eq=False)
class Run:
    """A finished run: its number from 1, what it gave, after how many seconds, and with what."""

    number: int
    result: DragResult
    seconds: float
    pick: Pick
    knobs: dict

    def outcome(self) -> tuple[str, str]:
        """One sentence, and whether it is a "success" or a "warning"."""
        sample, done, asked = self.result.sample, len(self.result.history), self.result.config.K
        left = float(np.linalg.norm(sample.targets - self.result.handles, axis=1).max())
        if not done:
            return "Nothing was dragged: every handle counts as arrived. Pull further.", "warning"
        if left < max(sample.image.size) / 64:  # as near as the supervision's grid can tell
            return f"Run {self.number}: arrived after {done} of {asked} operations.", "success"
        ended, kind = ("ended after ", "warning") if done < asked else ("", "success")
        return f"Run {self.number}: {ended}{done} of {asked} operations, {left:.0f} px from the target.", kind


class DragStudio(W.VBox):
    """Pick, mask, drag, look, drag again, save; the kernel stays free while a run goes on.

    An image's LoRA and inversion are kept for as long as the image and the LoRA's settings stay the same.

    Args:
        image: anything that `load_image` takes, or a `Sample`, whose points and mask are then preset.
        config: settings that the knobs begin with; None = the model's own preset.
        lora: how an image's LoRA is fitted (True: as suits the preset); None = off until it is switched on.
        longest: longest side of each of the two pictures on the screen, in CSS pixels.

    Attributes:
        picker: the `PointPicker`. knobs: the settings. runs: every finished `Run`, oldest first.
        shown: the `Run` that is shown, or None. result: its `DragResult`, or None.
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
        self.model, self.longest, self.runs, self._quiet = model, longest, [], 0.0
        self._editor, self._key, self._stop, self._thread = None, None, threading.Event(), threading.Thread()
        self.knobs, self.picker = Knobs(config, model.preset, lora=lora), PointPicker(image, longest=longest)
        self.picker.on_pull = self._preview_pull
        super().__init__(self._rows())
        self.add_class("gooddrag-picker").add_class("gooddrag-studio")
        self._begin()

    @property
    def result(self) -> DragResult | None:
        return self.shown.result if self.shown else None

    @property
    def busy(self) -> bool:
        """Whether a run is going."""
        return self._thread.is_alive()

    def run(self) -> None:
        """Start a run and return at once. ValueError: no points, or bad settings. RuntimeError: one is going on."""
        picker, knobs = self.picker, self.knobs
        if self.busy:
            raise RuntimeError("run: one is going; expected to wait for it, or to stop it first")
        if not len(picker.points):
            raise ValueError("Pull an arrow on the picture first.")
        asked = picker.sample, knobs.config, knobs.lora_config, picker.state.now, knobs.values
        self._stop.clear()
        self._tell("start", 0, 1)
        self._thread = threading.Thread(target=self._work, args=asked, name="gooddrag-run", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the dragging within one update. What has been dragged is denoised, shown and kept."""
        self._stop.set()
        self.stage.value = "stopping ..."

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no run is going; False if one still is after `timeout` seconds."""
        if self.busy:
            self._thread.join(timeout)
        return not self.busy

    def set_image(self, image: ImageSource | Sample) -> None:
        """Take another image, as for `PointPicker.load`; Reset comes back to it."""
        self.picker.load(image)
        self._begin()

    def use_again(self, run: Run) -> None:
        """Show an earlier run, with its image, points, mask and knobs. Undo takes the first three back."""
        self.knobs.values = run.knobs
        self.picker.act(lambda: self.picker.state.take(run.pick))
        self._show(run)

    def reset(self) -> None:
        """Image, points and mask as at the beginning; the history of runs stays. Undo takes it back."""
        self.picker.act(lambda: self.picker.state.take(self.picker.state.first))
        self._begin()

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the shown result as `DragResult.save` does. ValueError: there is none yet, or the folder is in use."""
        result, folder = self._need_result(), expand(folder)
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"folder: {folder}; expected a new or an empty one")
        folder = result.save(folder)
        self.picker.say(f"Saved to {folder.resolve()}.", "success")
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
        sample, labels = run.result.sample, ("before", f"run {run.number}")
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
            self._put(preview(image, moved, mask), "Preview: only warped pixels.")
        self._quiet = 2 * time.monotonic() - began

    def _work(self, *asked) -> None:
        """A whole run, in its thread: an edge, as nobody else would see its errors."""
        try:
            run = self._drag(*asked)
            self.runs.append(run)
            self._show(run)
            self.history.children = [self._row(run), *self.history.children]
            self.picker.say(*run.outcome())
        except CancelledError as stopped:
            self.picker.say(str(stopped), "warning")
        except Exception as error:
            self.picker.say(reason(error))
        finally:
            self.run_button.disabled, self.stop_button.disabled = False, True
            self.bar.value, self.stage.value = 1.0, ""

    def _drag(self, sample: Sample, config: DragConfig, lora: LoraConfig | None, pick: Pick, knobs: dict) -> Run:
        began, key = time.perf_counter(), (pick.image, lora, knobs["seed"])
        if self._editor is None or self._key != key:
            self._editor = None  # what it keeps may fill a GPU; fitted LoRAs are on disk
            self._editor = DragEditor(self.model, lora, seed=knobs["seed"], progress=self._tell).set_image(pick.image)
            self._key = key
        editor, z0_hat, done = self._editor, None, 0

        def watch(state: State) -> bool:
            nonlocal z0_hat, done
            if state.event == "update":
                z0_hat = state.z0_hat
            elif state.counted:  # a drag operation or a denoising step
                look, done = state.event == "track" and state.k % PREVIEW_EVERY == 0, done + 1
                seen = editor.frame.to_image(self.model.decode_image(z0_hat)) if look else None
                self._tell("drag", done, config.K + config.T, seen)
            return self._stop.is_set()

        result = editor.drag(sample, config=config, callback=watch, keep_outside=knobs["keep"])
        return Run(len(self.runs) + 1, result, time.perf_counter() - began, pick, knobs)

    def _tell(self, stage: str, done: int, total: int, seen: Image.Image | None = None) -> None:
        """Show how far a run is. CancelledError where asked to stop, which ends the LoRA's fit and the inversion."""
        self.run_button.disabled, self.stop_button.disabled = True, False
        self.bar.layout.visibility, self.bar.value = "visible", done / max(1, total)
        if not self._stop.is_set():
            self.stage.value = f"{stage} {done} of {total}"
        elif stage != "drag":
            raise CancelledError(f"Stopped during the {stage}, before dragging began: there is nothing to keep.")
        if seen is not None:
            self._put(seen, f"Preview after {done} of {total} steps.")

    def _row(self, run: Run) -> W.HBox:
        """A line of the history: picture, settings, outcome, and a button that brings all of it back."""
        again = self.picker.button("use again", "", "Its points, mask and settings", lambda: self.use_again(run))
        content = {"picture": data_uri(run.result.image, 96), "outcome": run.outcome()[0], "run": run}
        return W.HBox([again, W.HTML(render("row.html", **content))], layout={"align_items": "center"})
