"""Edits in a thread, one at a time: the model, its editor and a stop button, without any widget."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gooddrag.algorithm import State
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample


@dataclass(eq=False)
class Run:
    """What decides a run (no LoRA where it is None), what its caller wants to remember, and what came of it: a number
    from 1, the result and seconds.
    """

    sample: Sample
    config: DragConfig
    lora: LoraConfig | None
    seed: int = 0
    keep_outside: bool = False
    origin: object = None
    number: int = 0
    result: DragResult | None = None
    seconds: float = 0.0

    def outcome(self) -> tuple[str, str]:
        """One sentence, and whether it is a "success" or a "warning"."""
        done, asked = len(self.result.history), self.config.K
        left = float(np.linalg.norm(self.sample.targets - self.result.handles, axis=1).max())
        if not done:
            return "Nothing was dragged: every handle counts as arrived. Pull further.", "warning"
        if left < max(self.sample.image.size) / 64:  # as near as the supervision's grid can tell
            return f"Run {self.number}: arrived after {done} of {asked} operations.", "success"
        ended, kind = ("ended after ", "warning") if done < asked else ("", "success")
        return f"Run {self.number}: {ended}{done} of {asked} operations, {left:.0f} px from the target.", kind


class Stopped(Exception):
    """The stop button was pressed before dragging began."""


class Runner:
    """Makes runs on a model, each in a thread of its own.

    An image's LoRA and inversion are kept for as long as the image and the LoRA's settings stay the same.

    Args:
        on_step: called with stage ("start", then in the thread "LoRA", "inversion", "drag"), steps done, their total,
            and at times a preview of the result, else None. A step of "drag" is a drag operation or a denoising step.
        on_end: called in the thread with the `Run`, or with what went wrong (`Stopped`: nothing did).

    Attributes:
        runs: every finished run, oldest first. every: drag operations from one preview to the next.
    """

    def __init__(self, model: DiffusionModel, on_step: Callable, on_end: Callable[[Run | Exception], object]):
        self.model, self.on_step, self.on_end, self.every, self.runs = model, on_step, on_end, 5, []
        self._editor, self._stop, self._thread = None, threading.Event(), threading.Thread()

    @property
    def busy(self) -> bool:
        """Whether a run is going."""
        return self._thread.is_alive()

    def start(self, run: Run) -> None:
        """Begin a run and return at once. RuntimeError where one is going already."""
        if self.busy:
            raise RuntimeError("run: one is going; expected to wait for it, or to stop it first")
        self._stop.clear()
        self.on_step("start", 0, 1, None)
        self._thread = threading.Thread(target=self._work, args=(run,), name="gooddrag-run", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the dragging within one update; what has been dragged is denoised and kept."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no run is going; False if one still is after `timeout` seconds."""
        if self.busy:
            self._thread.join(timeout)
        return not self.busy

    def _work(self, run: Run) -> None:
        try:
            self._drag(run)
        except Exception as error:  # the thread is an edge: nobody else would see it
            return self.on_end(error)
        self.runs.append(run)
        self.on_end(run)

    def _drag(self, run: Run) -> None:
        began, c, image = time.perf_counter(), run.config, run.sample.image
        key = (image.size, hash(image.tobytes()), run.lora, run.seed if run.lora else None)
        if self._editor is None or self._key != key:
            self._editor = None  # what it keeps may fill a GPU; fitted LoRAs are on disk
            self._editor = DragEditor(self.model, run.lora, seed=run.seed, progress=self._tell).set_image(image)
            self._key = key
        editor, z0_hat, done = self._editor, None, 0

        def watch(state: State) -> bool:
            nonlocal z0_hat, done
            if state.event == "update":
                z0_hat = state.z0_hat
            elif state.counted:
                show, done = state.event == "track" and state.k % self.every == 0, done + 1
                preview = editor.frame.to_image(self.model.decode_image(z0_hat)) if show else None
                self.on_step("drag", done, c.K + c.T, preview)
            return self._stop.is_set()

        run.result = editor.drag(run.sample, config=c, callback=watch, keep_outside=run.keep_outside)
        run.number, run.seconds = len(self.runs) + 1, time.perf_counter() - began

    def _tell(self, stage: str, done: int, total: int) -> None:
        """Raise `Stopped` where asked to, which ends the LoRA's fit and the inversion."""
        self.on_step(stage, done, total, None)
        if self._stop.is_set():
            raise Stopped(f"Stopped during the {stage}, before dragging began: there is nothing to keep.")
