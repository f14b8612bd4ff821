"""Edits in a thread, one at a time: the model, its editor and a stop button, without any widget."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakSet

import numpy as np
from PIL import Image

from gooddrag.algorithm import State
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample

_BUSY: WeakSet[DiffusionModel] = WeakSet()  # a LoRA is written into the weights: two runs at once would mix them
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Request:
    """Everything that decides a run. lora = None: without one; keep_outside: as for `DragEditor.drag`."""

    sample: Sample
    config: DragConfig
    lora: LoraConfig | None
    seed: int = 0
    keep_outside: bool = False

    def __str__(self) -> str:
        c, lora = self.config, f"LoRA of {self.lora.steps} steps, seed {self.seed}" if self.lora else "no LoRA"
        return f"K {c.K}, J {c.J}, λ {c.lam:g}, strength {c.strength:g}, {lora}{', outside kept' * self.keep_outside}"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run; `stopped`: the stop button ended its dragging."""

    number: int
    request: Request
    result: DragResult
    seconds: float
    stopped: bool

    def outcome(self) -> tuple[str, str]:
        """One sentence, and whether it is a "success" or a "warning"."""
        done, asked = len(self.result.history), self.request.config.K
        count, left = f"{done} of {asked} operations", max(self.result.metrics["distance_left_px"])
        if self.stopped:
            return f"Run {self.number}: stopped after {count}; this is what had been dragged by then.", "warning"
        if not done:
            return "Nothing was dragged: every handle counts as arrived. Pull further.", "warning"
        if not len(remaining(self.result)):
            return f"Run {self.number}: arrived after {count}.", "success"
        if done < asked:
            return f"Run {self.number}: stuck after {count}, {left:.0f} px from the target.", "warning"
        return f"Run {self.number}: {count}, {left:.0f} px from the target.", "success"


class Step(NamedTuple):
    """How far a run is: steps of a stage ("LoRA", "inversion", "drag", "denoising"), the share of the whole run, and
    seconds left, or None. At times a preview of the result; handles (l, 2) in pixels of the image.
    """

    stage: str
    done: int
    total: int
    share: float
    seconds_left: float | None
    preview: Image.Image | None = None
    handles: np.ndarray | None = None


class Stopped(Exception):
    """The stop button was pressed before dragging began."""


class Runner:
    """Runs requests on a model, each in a thread of its own.

    An image's LoRA and inversion are kept for as long as the image and the LoRA's settings stay the same.

    Args:
        on_step: called with each `Step`, in the thread.
        on_end: called in the thread with the `Run`, or with what went wrong (`Stopped`: nothing did).
        every: drag operations from one preview to the next.
    """

    def __init__(
        self,
        model: DiffusionModel,
        on_step: Callable[[Step], object] = lambda step: None,
        on_end: Callable[[Run | Exception], object] = lambda outcome: None,
        every: int = 5,
    ):
        self.model, self.on_step, self.on_end, self.every = model, on_step, on_end, every
        self.runs: list[Run] = []
        self._editor: tuple[tuple, DragEditor] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is going."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, request: Request) -> None:
        """Begin a run and return at once.

        Raises:
            RuntimeError: one is going already, here or in another studio on the same model.
        """
        with _LOCK:
            if self.busy or self.model in _BUSY:
                raise RuntimeError("run: one is going on this model; expected to wait for it, or to stop it first")
            _BUSY.add(self.model)
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, args=(request,), name="gooddrag-run", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the dragging of the run that is going, within one update; what has been dragged is denoised and kept."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the run that is going; False if it still is after `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.busy

    def _work(self, request: Request) -> None:
        try:
            outcome: Run | Exception = self._run(request)
            self.runs.append(outcome)
        except Exception as error:  # the thread is an edge: nobody else would see it
            outcome = error
        finally:
            _BUSY.discard(self.model)
        self.on_end(outcome)

    def _run(self, request: Request) -> Run:
        c, lora, sample = request.config, request.lora, request.sample
        fit = 3 * lora.steps * lora.batch_size if lora else 0
        self._costs = {"LoRA": fit, "inversion": c.T, "drag": (3 * c.J + 1) * c.K, "denoising": 2 * c.T}  # in passes
        self._worked, self._last, self._begun = 0.0, ("", 0), time.perf_counter()
        key = (sample.image.size, hash(sample.image.tobytes()), lora, request.seed if lora else None)
        if self._editor is None or self._editor[0] != key:
            self._editor = None  # what it keeps may fill a GPU; fitted LoRAs are on disk
            editor = DragEditor(self.model, lora, seed=request.seed, progress=self._prepared)
            self._editor = key, editor.set_image(sample.image)
        editor, z0_hat, stopped, last = self._editor[1], None, False, 0

        def watch(state: State) -> bool:
            nonlocal z0_hat, stopped, last
            if state.event == "update":
                z0_hat = state.z0_hat
            elif state.event == "track" and state.counted:
                shown = None if state.k % self.every else editor.frame.to_image(self.model.decode_image(z0_hat))
                grid = editor.frame.grid(tuple(editor.z_0.shape[-2:]), c.grid)
                self._tell("drag", state.k, c.K, preview=shown, handles=editor.frame.from_grid(state.handles, grid))
            elif state.event == "denoise":
                if state.k == last:  # nothing was dragged at this level
                    self._tell("denoising", c.T - state.t, c.T)
                last = state.k
            stopped |= self._stop.is_set() and state.k < c.K
            return self._stop.is_set()

        result = editor.drag(sample, config=c, callback=watch, keep_outside=request.keep_outside)
        return Run(len(self.runs) + 1, request, result, time.perf_counter() - self._begun, stopped)

    def _prepared(self, stage: str, done: int, total: int) -> None:
        """Progress of the LoRA and of the inversion; raising is how both are stopped."""
        self._tell(stage, done, total)
        if self._stop.is_set():
            raise Stopped(f"Stopped during the {stage}, before dragging began: there is nothing to keep.")

    def _tell(self, stage: str, done: int, total: int, **more) -> None:
        """Add the share of the whole run, in forward passes, and an estimate of the rest."""
        stages, whole = list(self._costs), sum(self._costs.values())
        self._worked += self._costs[stage] * (done - self._last[1] * (self._last[0] == stage)) / max(1, total)
        self._last = (stage, done)
        finished = sum(self._costs[s] for s in stages[: stages.index(stage)]) + self._costs[stage] * done / max(
            1, total
        )
        spent = time.perf_counter() - self._begun
        left = spent * (whole - finished) / self._worked if self._worked else None
        self.on_step(Step(stage, done, total, finished / max(1, whole), left, **more))


def remaining(result: DragResult) -> np.ndarray:
    """(m, 2, 2): the pairs of a result that are still to go, from where their handles are now, in whole pixels.

    A handle counts as arrived within 2 px of the supervision grid, brought to pixels of the image.
    """
    frame = result.frame
    grid = frame.grid(tuple(result.latent.shape[-2:]), result.config.grid)
    near = 2.0 * frame.user[0] / frame.scaled[0] * frame.padded[0] / grid[1]
    pairs = {}
    for handle, target in zip(np.rint(result.handles), result.sample.targets, strict=True):
        if np.linalg.norm(handle - target) >= near:
            pairs.setdefault(tuple(handle), [handle, target])
    return np.array(list(pairs.values())).reshape(-1, 2, 2)
