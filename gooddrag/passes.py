"""The U-Net passes that the loop asks for, and who makes them: the loop itself knows nothing of batches."""

from __future__ import annotations

from collections.abc import Generator
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


def alone(passes: Passes, model: DiffusionModel, timestep: int, block: int) -> None:
    """Make the passes that one edit asks for, one by one."""
    answer = None
    try:
        while True:
            asked = passes.send(answer)
            if isinstance(asked, Forward):
                answer = model.eps_and_features(asked.z, timestep, block)
            else:
                (answer,) = torch.autograd.grad(asked.loss, asked.z)
    except StopIteration:
        return
