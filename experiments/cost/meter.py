"""Counts an edit's U-Net passes and its time, phase by phase, without touching the code that it measures."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from experiments.cost.counts import Counts, counting
from gooddrag.model import DiffusionModel
from gooddrag.phases import watched


@dataclass
class Part(Counts):
    """One phase: its own passes and its own time, phases inside it not counted.

    Attributes:
        seconds: on the clock. cpu_seconds: of this process, over all its threads.
        peak_bytes: most memory that the GPU's allocator held; 0 on a CPU.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


class Meter:
    """`with Meter(model) as meter:` fills `meter.parts`, a `Part` for every phase that ran in this thread."""

    def __init__(self, model: DiffusionModel):
        self.model, self.parts = model, {}
        self._stack: list[str] = []
        self._gpu = model.device if model.device.type == "cuda" else None

    def __enter__(self) -> Meter:
        self._contexts = ExitStack()
        self._contexts.enter_context(watched(self))
        self._contexts.enter_context(counting(self.model.unet, self._part))
        self._last = self._now()
        return self

    def __exit__(self, *error) -> None:
        self._contexts.close()

    def enter(self, name: str) -> None:
        self._account()
        self._stack.append(name)
        if self._gpu:
            torch.cuda.reset_peak_memory_stats(self._gpu)

    def leave(self, name: str) -> None:
        self._account()
        self._stack.pop()

    def _now(self) -> tuple[float, float]:
        if self._gpu:
            torch.cuda.synchronize(self._gpu)
        return time.perf_counter(), time.process_time()

    def _part(self) -> Part | None:
        """That of the innermost phase."""
        return self.parts.setdefault(self._stack[-1], Part()) if self._stack else None

    def _account(self) -> None:
        """What has passed since the last change belongs to the innermost phase."""
        now = self._now()
        if part := self._part():
            part.seconds += now[0] - self._last[0]
            part.cpu_seconds += now[1] - self._last[1]
            if self._gpu:
                part.peak_bytes = max(part.peak_bytes, torch.cuda.max_memory_allocated(self._gpu))
        self._last = now
