"""The U-Net passes that the loop asks for, and who makes them: the loop itself knows nothing of batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from gooddrag.model import DiffusionModel


@dataclass(frozen=True)
class Forward:
    """The U-Net's eps and features at z, with the way back to z."""

    z: Tensor


@dataclass(frozen=True)
class Backward:
    """The gradient of a loss with respect to z, the latent of the last forward pass."""

    loss: Tensor
    z: Tensor


Passes = Generator[Forward | Backward, tuple[Tensor, Tensor] | Tensor, None]
"""A part of the loop: yields what it needs, and is sent (eps, F) for a Forward, the gradient for a Backward."""

Rows = Callable[[Sequence[int]], None]
"""Told before every forward pass which edits its rows are; see `lora.applied_each`."""


SCALED_LOSS = 2.0**10
"""What a loss is scaled up to on its way back through a float16 U-Net, which rounds gradients below 6e-8 to zero."""


def nobody(rows: Sequence[int]) -> None:
    """For weights that are the same for every edit."""


def together(passes: dict[int, Passes], model: DiffusionModel, timestep: int, block: int, rows: Rows = nobody) -> None:
    """Make the passes that edits ask for, one batch at a time for all that go on; an edit that is done leaves.

    Args:
        passes: edit -> its part of the loop. All ask for the same kinds of passes in the same order.
    """
    answers: dict[int, tuple[Tensor, Tensor] | Tensor | None] = dict.fromkeys(passes)
    while answers:
        asked = {}
        for edit, answer in answers.items():
            with suppress(StopIteration):
                asked[edit] = passes[edit].send(answer)
        forward = {edit: a.z for edit, a in asked.items() if isinstance(a, Forward)}
        backward = {edit: a for edit, a in asked.items() if isinstance(a, Backward)}
        answers = {}
        if forward:
            rows([*forward])
            eps, F = model.eps_and_features(torch.cat([*forward.values()]), timestep, block)
            answers |= zip(forward, zip(eps.split(1), F.split(1), strict=True), strict=True)
        if backward:  # a loss knows its own row only: the gradient of their sum is each one's own
            latents = [a.z for a in backward.values()]
            scales = [_scale(a.loss) if model.dtype == torch.float16 else 1.0 for a in backward.values()]
            losses = [scale * a.loss for scale, a in zip(scales, backward.values(), strict=True)]
            gradients = torch.autograd.grad(losses, latents)
            answers |= {i: g / scale for i, g, scale in zip(backward, gradients, scales, strict=True)}


def _scale(loss: Tensor) -> float:
    """A power of two, so that scaling up and down again is exact; 1 for a loss that is large, zero or not finite."""
    size = float(loss.detach())
    return max(1.0, 2.0 ** math.floor(math.log2(SCALED_LOSS / size))) if 0 < size < SCALED_LOSS else 1.0
