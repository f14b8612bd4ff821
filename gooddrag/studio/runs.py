"""Edits in a thread, one at a time: the model, its editors and a stop button, without any widget."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
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
class Order:
    """Everything that decides a run. lora = None: without one; keep_outside: as for `DragEditor.drag`."""

    sample: Sample
    config: DragConfig
    lora: LoraConfig | None
    seed: int = 0
    keep_outside: bool = False

    def __str__(self) -> str:
        c = self.config
        lora = f"LoRA of {self.lora.steps} steps, seed {self.seed}" if self.lora else "no LoRA"
        keep = ", outside kept" * self.keep_outside
        return f"K {c.K}, J {c.J}, λ {c.lam:g}, strength {c.strength:g}, {lora}{keep}"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run; `stopped`: the stop button ended its dragging."""

    number: int
    order: Order
    result: DragResult
    seconds: float
    stopped: bool

    def __repr__(self) -> str:
        left = ", ".join(f"{px:.0f}" for px in self.result.metrics["distance_left_px"])
        return f"Run({self.number}: {self.order}; {left} px left, {self.seconds:.0f} s{', stopped' * self.stopped})"


@dataclass(frozen=True)
class Step:
    """How far a run is.

    Attributes:
        stage: "LoRA", "inversion", "drag" or "denoising".
        done, total: steps of this stage.
        preview: the decoded guess of the result (z_0), at the image's size; None where there is no new one.
        handles: (l, 2) where the handles are, (x, y) in pixels of the image; beside a preview.
    """

    stage: str
    done: int
    total: int
    preview: Image.Image | None = None
    handles: np.ndarray | None = None


class Stopped(Exception):
    """The stop button was pressed before dragging began."""


class Runner:
    """Runs orders on a model, each in a thread of its own.

    An image's LoRA and inversion are kept for as long as the image and the LoRA's settings stay the same.

    Args:
        model: from `load_model`.
        tell: called with each `Step`, in the thread.
        end: called in the thread with the `Run`, or with what went wrong (`Stopped`: nothing did).
        every: drag operations from one preview to the next.
    """

    def __init__(
        self,
        model: DiffusionModel,
        tell: Callable[[Step], None] = lambda step: None,
        end: Callable[[Run | Exception], None] = lambda outcome: None,
        every: int = 5,
    ):
        self.model, self.tell, self.end, self.every = model, tell, end, every
        self.runs: list[Run] = []
        self._editors: dict[tuple, DragEditor] = {}
        self._image: bytes | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is going."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, order: Order) -> None:
        """Begin a run and return at once.

        Raises:
            RuntimeError: one is going already, here or in another studio on the same model.
        """
        with _LOCK:
            if self.busy or self.model in _BUSY:
                raise RuntimeError("run: one is going on this model; expected to wait for it, or to stop it first")
            _BUSY.add(self.model)
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, args=(order,), name="gooddrag-run", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the dragging of the run that is going, within one update; what has been dragged is denoised and kept."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the run that is going; False if it still is after `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.busy

    def _work(self, order: Order) -> None:
        try:
            outcome: Run | Exception = self._run(order)
            self.runs.append(outcome)
        except Exception as error:  # whatever it is, the thread must tell it: nobody else sees it
            outcome = error
        finally:
            _BUSY.discard(self.model)
        self.end(outcome)

    def _run(self, order: Order) -> Run:
        start = time.perf_counter()
        editor = self._editor(order)
        watch = _Watch(self, editor, order.config)
        result = editor.drag(order.sample, None, order.config, watch, order.keep_outside)
        return Run(len(self.runs) + 1, order, result, time.perf_counter() - start, watch.stopped)

    def _editor(self, order: Order) -> DragEditor:
        image = hashlib.sha256(order.sample.image.tobytes() + repr(order.sample.image.size).encode()).digest()
        if image != self._image:
            self._image, self._editors = image, {}
        key = (order.lora, order.seed if order.lora else None)
        if key not in self._editors:
            self._editors = {}  # one at a time: what it keeps may fill a GPU, and fitted LoRAs are on disk
            editor = DragEditor(self.model, order.lora, order.seed, progress=self._prepared)
            self._editors[key] = editor.set_image(order.sample.image)
        return self._editors[key]

    def _prepared(self, stage: str, done: int, total: int) -> None:
        """Progress of the LoRA and of the inversion; raising is how both are stopped."""
        self.tell(Step(stage, done, total))
        if self._stop.is_set():
            raise Stopped(f"stopped during {stage}, before dragging began: there is nothing to keep")


class _Watch:
    """The observer of one drag: tells the steps, makes the previews, and asks for the stop."""

    def __init__(self, runner: Runner, editor: DragEditor, config: DragConfig):
        self.runner, self.editor, self.config = runner, editor, config
        self.z0_hat = None
        self.dragging, self.stopped = config.K > 0, False

    def __call__(self, state: State) -> bool:
        if state.event == "update":
            self.z0_hat = state.z0_hat
        elif state.event == "track" and state.counted:
            self.runner.tell(self._operation(state))
        elif state.event == "denoise" and state.t < self.config.T - len(self.config.schedule):
            self.runner.tell(Step("denoising", self.config.T - state.t, self.config.T))
        stop = self.runner._stop.is_set()
        self.stopped = self.stopped or (stop and state.k < self.config.K)
        return stop

    def _operation(self, state: State) -> Step:
        if self.z0_hat is None or state.k % self.runner.every:
            return Step("drag", state.k, self.config.K)
        frame = self.editor.frame
        grid = frame.grid(tuple(self.editor.z_0.shape[-2:]), self.config.grid)
        guess = frame.to_image(self.runner.model.decode_image(self.z0_hat))
        return Step("drag", state.k, self.config.K, guess, frame.from_grid(state.handles, grid))


def outcome_notes(run: Run) -> list[str]:
    """What to know about a run beside its picture."""
    if run.stopped:
        return ["Stopped: this is what had been dragged by then."]
    if not run.result.history:
        return ["Nothing was dragged: every handle counts as arrived. Pull further."]
    return []


def remaining(result: DragResult) -> np.ndarray:
    """(m, 2, 2): the pairs of a result that are still to go, from where their handles are now, in whole pixels.

    A handle counts as arrived within the stop distance (2 px of the supervision grid, brought to pixels of the image).
    """
    frame = result.frame
    grid = frame.grid(tuple(result.latent.shape[-2:]), result.config.grid)
    near = 2.0 * frame.user[0] / frame.scaled[0] * frame.padded[0] / grid[1]
    pairs, taken = [], set()
    for handle, target in zip(np.rint(result.handles), result.sample.targets, strict=True):
        if np.linalg.norm(handle - target) >= near and tuple(handle) not in taken:
            taken.add(tuple(handle))
            pairs.append([handle, target])
    return np.array(pairs).reshape(-1, 2, 2)
