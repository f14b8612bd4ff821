"""NaN and infinity are named where they appear, and not where they end up."""

from __future__ import annotations

import torch
from torch import Tensor

CAUSE = ("half precision overflows so: try dtype=torch.float32; in float32, damaged weights, a LoRA of another model, "
         "or too large a step (lr)")  # fmt: skip


def check_finite(where: str, at: str, **tensors: Tensor) -> None:
    """Nothing, if every number is finite.

    Args:
        where: the phase, "inversion". at: how far it was, "t = 3 (time step 41)".
        tensors: what is looked at, by its name in the message.

    Raises:
        FloatingPointError: says what is not finite, where, and the likely cause.
    """
    for name, x in tensors.items():
        if not torch.isfinite(x).all():
            kind = "nan" if x.isnan().any() else "inf"
            raise FloatingPointError(f"{where}: {kind} in {name} at {at}; {CAUSE}")
