"""Counts an edit's U-Net passes and its time, phase by phase, without touching the code that it measures."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gooddrag.model import DiffusionModel
from gooddrag.phases import watched


@dataclass
class Part:
    """One phase: its own time, phases inside it not counted.

    Attributes:
        seconds: on the clock. cpu_seconds: of this process, over all its threads.
        forwards, backwards: U-Net passes by batch size.
        peak_bytes: most memory that the GPU's allocator held; 0 on a CPU.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    forwards: Counter = field(default_factory=Counter)
    backwards: Counter = field(default_factory=Counter)
    peak_bytes: int = 0


class Meter:
    """`with Meter(model) as meter:` fills `meter.parts`, a `Part` for every phase that ran in this thread."""

    def __init__(self, model: DiffusionModel):
        self.model, self.parts = model, {}
        self._stack: list[str] = []
        self._gpu = model.device if model.device.type == "cuda" else None

    def __enter__(self) -> Meter:
        self._watching = watched(self)
        self._watching.__enter__()
        self._hook = self.model.unet.register_forward_hook(self._passed, with_kwargs=True)
        self._last = self._now()
        return self

    def __exit__(self, *error) -> None:
        self._hook.remove()
        self._watching.__exit__(*error)

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

    def _account(self) -> None:
        """What has passed since the last change belongs to the innermost phase."""
        now = self._now()
        if self._stack:
            part = self.parts.setdefault(self._stack[-1], Part())
            part.seconds += now[0] - self._last[0]
            part.cpu_seconds += now[1] - self._last[1]
            if self._gpu:
                part.peak_bytes = max(part.peak_bytes, torch.cuda.max_memory_allocated(self._gpu))
        self._last = now

    def _passed(self, unet, args, kwargs, output) -> None:
        if not self._stack:
            return
        part, batch = self.parts.setdefault(self._stack[-1], Part()), len(output[0])
        part.forwards[batch] += 1
        seen: list[bool] = []

        def back(grad: Tensor) -> None:
            if not seen:  # once a pass, wherever the gradient came in
                part.backwards[batch] += 1
                seen.append(True)

        for tensor in (args[0], output[0]):
            if tensor.requires_grad:
                tensor.register_hook(back)
