"""The studio: a picker, the knobs, a run in a thread, and what came of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import ipywidgets as W
from numpy.typing import ArrayLike

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.images import ImageSource
from gooddrag.model import DiffusionModel
from gooddrag.picker import PointPicker
from gooddrag.picker.tools import says
from gooddrag.result import DragResult
from gooddrag.sample import Sample
from gooddrag.studio.knobs import Knobs
from gooddrag.studio.outcome import Outcome
from gooddrag.studio.runs import Order, Run, Runner, Step, Stopped, outcome_notes, remaining

EXAMPLE = 100  # the storybook's page that a studio without an image shows


class DragStudio(W.VBox):
    """Pick, mask, drag, look, drag again, save; the kernel stays free while a run goes on.

    Args:
        model: from `load_model`.
        image: anything that `load_image` takes, or a `Sample`; None = a page of the storybook.
        points, mask: preset, as for `PointPicker`.
        config: settings that the knobs begin with; None = the model's own preset.
        lora: how an image's LoRA is fitted (the default: as suits the preset); None = off until it is switched on.
        seed: of the LoRA's fit.
        longest: longest side of the two pictures in pixels of the screen.

    Attributes:
        picker: the `PointPicker`. runs: every finished `Run`, oldest first. result: of the run that is shown, or None.
        message: what the studio last had to say, or "".
    """

    def __init__(
        self,
        model: DiffusionModel,
        image: ImageSource | Sample | None = None,
        points: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        config: DragConfig | None = None,
        lora: LoraConfig | None = LoraConfig(),  # noqa: B008 (frozen)
        seed: int = 0,
        longest: int = 400,
    ):
        if image is None:
            from storybook import edit

            image = edit(EXAMPLE)
        self._lock = threading.RLock()  # the run's thread and the kernel's both write to the widgets
        self.message = ""
        self._first = (image, points, mask)
        self.picker = PointPicker(image, points, mask, longest)
        self.picker.layout.width = f"{longest + 240}px"
        self.knobs = Knobs(config, lora, seed, model.preset)
        self._runner = Runner(model, self._told, self._ended)
        self._outcome = Outcome(longest)
        self._outcome.clear(self.picker.image)
        self._says = W.HTML()
        self._build()
        pictures = W.HBox([self.picker, self._outcome.widget], layout=W.Layout(flex_flow="row wrap"))
        super().__init__([self._files, pictures, self.knobs.widget, self._actions, self._says, self._outcome.history])
        self.add_class("gooddrag-studio")

    @property
    def runs(self) -> list[Run]:
        return list(self._runner.runs)

    @property
    def busy(self) -> bool:
        """Whether a run is going."""
        return self._runner.busy

    @property
    def result(self) -> DragResult | None:
        run = self._outcome.run
        return run.result if run else None

    @property
    def config(self) -> DragConfig:
        """The settings that the knobs stand for."""
        return self.knobs.config

    def run(self) -> None:
        """Start dragging what is picked, and return at once.

        Raises:
            RuntimeError: a run is going. ValueError: no point is picked, or the settings do not go together.
        """
        knobs = self.knobs
        order = Order(self.picker.sample, knobs.config, knobs.lora_config, knobs.seed.value, knobs.keep.value)
        with self._lock:  # the thread waits with what it has to tell
            self._runner.start(order)
            self._going(True)

    def stop(self) -> None:
        """End the dragging within one update. What has been dragged is denoised, shown and kept."""
        self._runner.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no run is going; False if one still is after `timeout` seconds."""
        return self._runner.wait(timeout)

    def set_image(self, image: ImageSource | Sample, points: ArrayLike | None = None, mask: ArrayLike | None = None):
        """Take another image, as for `PointPicker.load`; Reset comes back to it."""
        self.picker.load(image, points, mask)
        self._first = (image, points, mask)
        with self._lock:
            self._outcome.clear(self.picker.image)

    def continue_from_here(self) -> None:
        """Edit the shown result further: it becomes the image, and the pairs that did not arrive go on from their
        handles. The LoRA is fitted to the new image.

        Raises:
            ValueError: there is no result yet.
        """
        result = self._need_result()
        points, mask = remaining(result), result.sample.mask
        self.picker.load(result.image, points, mask)

    def reset(self) -> None:
        """Image, points, mask and knobs as at the beginning; the history of runs stays."""
        self.picker.load(*self._first)
        self.knobs.reset()
        with self._lock:
            self._outcome.clear(self.picker.image)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the shown result as `DragResult.save` does: image, overview, trajectory as GIF, numbers, sample.

        Raises:
            ValueError: there is no result yet, or the folder cannot be written.
        """
        return self._need_result().save(folder)

    def act(self, action: Callable[[], object], done: str = "") -> None:
        """Run what a button asks for and show its error instead of raising it, since Jupyter swallows those."""
        error = ""
        try:
            action()
        except (ValueError, RuntimeError) as caught:
            error = str(caught)
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
        self._say(error, [] if error or not done else [done])

    def _need_result(self) -> DragResult:
        if self.result is None:
            raise ValueError("result: none is shown; expected a finished run")
        return self.result

    def _build(self) -> None:
        def button(label: str, icon: str, tooltip: str, action: Callable, style: str = "") -> W.Button:
            made = W.Button(description=label, icon=icon, tooltip=tooltip, button_style=style,
                            layout=W.Layout(width="auto", min_width="88px"))  # fmt: skip
            made.on_click(lambda _: self.act(action))
            return made

        self.run_button = button("Run", "play", "Drag what is picked", self.run, "success")
        self.stop_button = button("Stop", "stop", "Stop dragging and keep what there is", self.stop, "danger")
        self.stop_button.disabled = True
        self.reset_button = button("Reset", "refresh", "Image, points, mask and knobs as at the beginning", self.reset)
        self.continue_button = button("Continue from here", "forward", "Edit the shown result further",
                                      self.continue_from_here)  # fmt: skip
        self.progress = W.IntProgress(layout=W.Layout(width="200px", visibility="hidden"))
        self.stage = W.HTML(layout=W.Layout(margin="0 0 0 8px"))
        self.folder = W.Text("my_edit", tooltip="folder to write", layout=W.Layout(width="130px"))
        self.save_button = W.Button(description="Save", icon="download", tooltip="Image, GIF, numbers and points",
                                    layout=W.Layout(width="auto", min_width="88px"))  # fmt: skip
        self.save_button.on_click(
            lambda _: self.act(lambda: self.save(self.folder.value), f"Saved to {self.folder.value}/")
        )
        self.upload = W.FileUpload(accept="image/*", description="Your own image", layout=W.Layout(width="auto"))
        self.upload.observe(lambda change: change["new"] and self.act(self._uploaded), "value")
        wrap = W.Layout(flex_flow="row wrap", align_items="center")
        self._files = W.HBox([self.upload, self.reset_button, self.continue_button, self.folder, self.save_button],
                             layout=wrap)  # fmt: skip
        self._actions = W.HBox([self.run_button, self.stop_button, self.progress, self.stage], layout=wrap)

    def _uploaded(self) -> None:
        content = bytes(self.upload.value[0].content)
        self.upload.value = ()  # the same file can be chosen again
        self.set_image(content)

    def _say(self, error: str, notes: list[str] = ()) -> None:
        self.message = error or " ".join(notes)
        self._says.value = says(error, list(notes))

    def _going(self, going: bool) -> None:
        self.run_button.disabled, self.stop_button.disabled = going, not going
        self.progress.layout.visibility = "visible" if going else "hidden"
        if not going:
            self.stage.value = ""

    def _told(self, step: Step) -> None:
        """In the run's thread."""
        with self._lock:
            self.progress.max, self.progress.value = max(1, step.total), step.done
            self.stage.value = f"{step.stage} {step.done} of {step.total}"
            if step.preview is not None:
                self._outcome.preview(step)

    def _ended(self, outcome: Run | Exception) -> None:
        """In the run's thread, as its last act."""
        with self._lock:
            self._going(False)
            if isinstance(outcome, Run):
                self._outcome.add(outcome)
                self._say("", outcome_notes(outcome))
            elif isinstance(outcome, Stopped):
                self._say("", [f"{str(outcome)[0].upper()}{str(outcome)[1:]}."])
            else:
                kind = "" if isinstance(outcome, ValueError) else f"{type(outcome).__name__}: "
                self._say(f"{kind}{outcome}")
