"""The yardstick: one U-Net call by itself, of the shape that the edit makes, timed in the same run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from experiments.cost.meter import Part
from gooddrag.model import DiffusionModel


@dataclass(frozen=True)
class BareTimes:
    """Medians by batch size, as (seconds on the clock, CPU seconds of the process).

    Attributes:
        forward: a forward pass that nobody goes back from.
        there_and_back: a forward pass that keeps what the way back needs, and the way back.
    """

    forward: dict[int, tuple[float, float]]
    there_and_back: dict[int, tuple[float, float]]

    def of(self, part: Part) -> tuple[float, float]:
        """What a phase's passes would take if they were all it did."""
        return tuple(
            sum((n - part.backwards[b]) * self.forward[b][i] for b, n in part.forwards.items())
            + sum(n * self.there_and_back[b][i] for b, n in part.backwards.items())
            for i in (0, 1)
        )


def bare_times(model: DiffusionModel, z: Tensor, batches: Iterable[int], repeats: int = 5) -> BareTimes:
    """Time the frozen U-Net alone, without adapters: forward, and the way back to the latent.

    Args:
        z: (1, C, h, w), the shape of one latent.
        batches: which batch sizes.
        repeats: timed calls of each kind in turn, after one that is not timed.
    """
    forward, both = {}, {}
    for batch in sorted(set(batches)):
        times = [_once(model, z.expand(batch, -1, -1, -1)) for _ in range(repeats + 1)][1:]
        forward[batch], both[batch] = (
            tuple(median(t[kind][clock] for t in times) for clock in (0, 1)) for kind in (0, 1)
        )
    return BareTimes(forward, both)


def _once(model: DiffusionModel, z: Tensor) -> tuple[tuple[float, float], tuple[float, float]]:
    prompt, x = model.prompt.expand(len(z), -1, -1), z.to(model.dtype, copy=True)
    marks = [_clocks(model)]
    with torch.no_grad():
        model.unet(x, 741, encoder_hidden_states=prompt)
    marks.append(_clocks(model))
    with torch.enable_grad():
        x.requires_grad_()
        eps = model.unet(x, 741, encoder_hidden_states=prompt).sample
        torch.autograd.grad(eps, x, torch.ones_like(eps))
    marks.append(_clocks(model))
    return _between(marks[0], marks[1]), _between(marks[1], marks[2])


def _clocks(model: DiffusionModel) -> tuple[float, float]:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter(), time.process_time()


def _between(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return b[0] - a[0], b[1] - a[1]
