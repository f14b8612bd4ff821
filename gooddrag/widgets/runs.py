"""Edits in a thread, one at a time: the model, its editor and a stop button, without any widget."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gooddrag.algorithm import State
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.lora import unet_lock
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample


@dataclass(eq=False)
class Run:
    """What decides a run (no LoRA where it is None), what its caller wants to remember, and what came of it: a number
    from 1, the result, seconds, and whether the stop button ended its dragging.
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
    stopped: bool = False

    def outcome(self) -> tuple[str, str]:
        """One sentence, and whether it is a "success" or a "warning"."""
        done, asked, frame = len(self.result.history), self.config.K, self.result.frame
        left = float(np.linalg.norm(self.sample.targets - self.result.handles, axis=1).max())
        count = f"{done} of {asked} operations"
        grid = frame.grid_size(tuple(self.result.latent.shape[-2:]), self.config.grid)
        near = 2 * frame.user[0] / frame.scaled[0] * frame.padded[0] / grid[1]  # 2 px of the supervision grid
        if self.stopped:
            return f"Run {self.number}: stopped after {count}; this is what had been dragged by then.", "warning"
        if not done:
            return "Nothing was dragged: every handle counts as arrived. Pull further.", "warning"
        if left < near:
            return f"Run {self.number}: arrived after {count}.", "success"
        stuck, kind = ("stuck after ", "warning") if done < asked else ("", "success")
        return f"Run {self.number}: {stuck}{count}, {left:.0f} px from the target.", kind


class Stopped(Exception):
    """The stop button was pressed before dragging began."""


class Runner:
    """Makes runs on a model, each in a thread of its own.

    An image's LoRA and inversion are kept for as long as the image and the LoRA's settings stay the same.

    Args:
        on_step: called in the thread with stage ("LoRA", "inversion", "drag", "denoising"), steps done, their total,
            the share of the whole run, seconds left or None, and at times a preview of the result, else None.
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
        lock = unet_lock(self.model.unet)
        try:
            while not lock.acquire(timeout=0.2):
                self.on_step("waiting for another run:", 0, 1, 0.0, None, None)
                if self._stop.is_set():
                    raise Stopped("Stopped while another run was going on this model.")
            try:
                self._drag(run)
            finally:
                lock.release()
        except Exception as error:  # the thread is an edge: nobody else would see it
            return self.on_end(error)
        self.runs.append(run)
        self.on_end(run)

    def _drag(self, run: Run) -> None:
        c, lora, image = run.config, run.lora, run.sample.image
        fit = 3 * lora.steps * lora.batch_size if lora else 0
        self._costs = {"LoRA": fit, "inversion": c.T, "drag": (3 * c.J + 1) * c.K, "denoising": 2 * c.T}  # in passes
        self._skipped, self._begun = None, time.perf_counter()
        key = (image.size, hash(image.tobytes()), lora, run.seed if lora else None)
        if self._editor is None or self._key != key:
            self._editor = None  # what it keeps may fill a GPU; fitted LoRAs are on disk
            self._editor = DragEditor(self.model, lora, seed=run.seed, progress=self._tell).set_image(image)
            self._key = key
        editor, z0_hat, last = self._editor, None, 0

        def watch(state: State) -> bool:
            nonlocal z0_hat, last
            if state.event == "update":
                z0_hat = state.z0_hat
            elif state.event == "track" and state.counted:
                seen = None if state.k % self.every else editor.frame.to_image(self.model.decode_image(z0_hat))
                self._tell("drag", state.k, c.K, seen)
            dragging = state.event != "denoise" or state.k > last
            if not dragging:
                self._tell("denoising", c.T - state.t, c.T)
            last = state.k if state.event == "denoise" else last
            run.stopped |= self._stop.is_set() and dragging and state.k < c.K
            return self._stop.is_set()

        run.result = editor.drag(run.sample, config=c, callback=watch, keep_outside=run.keep_outside)
        run.number, run.seconds = len(self.runs) + 1, time.perf_counter() - self._begun

    def _tell(self, stage: str, done: int, total: int, preview: Image.Image | None = None) -> None:
        """Add the share of the whole run, in forward passes, and an estimate of the rest.

        Raises:
            Stopped: which is how the LoRA's fit and the inversion are ended.
        """
        costs, whole, spent = list(self._costs.values()), sum(self._costs.values()), time.perf_counter() - self._begun
        before = sum(costs[: list(self._costs).index(stage)])
        if self._skipped is None:  # what is kept from an earlier run takes no time
            self._skipped = before
        now = before + self._costs[stage] * done / max(1, total)
        left = spent * (whole - now) / (now - self._skipped) if now > self._skipped else None
        self.on_step(stage, done, total, now / max(1, whole), left, preview)
        if self._stop.is_set() and stage in ("LoRA", "inversion"):
            raise Stopped(f"Stopped during the {stage}, before dragging began: there is nothing to keep.")
