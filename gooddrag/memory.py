"""Memory tiers: everything kept at hand, or as little as possible on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from gooddrag.alone import alone
from gooddrag.devices import free_bytes, release
from gooddrag.model import DiffusionModel

Memory = Literal["auto", "full", "low"]
ADVICE = "use a smaller image, LoraConfig(batch_size=1), dtype=torch.float16 or a smaller model"
STORE = {"full": None, "low": "cpu"}  # where what is kept of the source waits; None: where it was made
# Bytes that one weight stands for during a fit at batch 4, full: itself, and its share of the activations. Counted for
# Stable Diffusion's shape at 512 x 512: experiments.cost.memory_plan.
PER_WEIGHT = 3.3


def choose(memory: Memory, model: DiffusionModel) -> tuple[str, str]:
    """The tier, "full" or "low", and one line on why.

    Raises:
        ValueError: another word.
    """
    if memory not in ("auto", "full", "low"):
        raise ValueError(f"memory: {memory!r}; expected 'auto', 'full' or 'low'")
    if memory != "auto":
        return memory, f"{memory}: asked for"
    weight = next(model.unet.parameters())
    wanted = PER_WEIGHT * weight.element_size() * sum(p.numel() for p in model.unet.parameters())
    wanted -= sum(p.numel() * p.element_size() for p in model.unet.parameters())  # those are there already
    free = free_bytes(model.device)
    if free is None:
        return "full", f"full: how much memory is free on {model.device.type} is not known"
    tier = "full" if free > wanted else "low"
    return tier, f"{tier}: {free / 2**30:.1f} GiB free on {model.device.type}, about {wanted / 2**30:.1f} wanted"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the CPU's allocator, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextmanager
def checkpointed(model: DiffusionModel) -> Iterator[None]:
    """Passes with gradient keep block borders only and compute the rest again: the same values, less memory."""
    before = model.unet.is_gradient_checkpointing
    model.unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            model.unet.disable_gradient_checkpointing()


@contextmanager
def parked(part: nn.Module) -> Iterator[None]:
    """A part of the model waits in the host's memory while this context lasts."""
    home = next(part.parameters()).device
    if home.type == "cpu":
        yield
        return
    part.to("cpu")
    release(home)
    try:
        yield
    finally:
        part.to(home)


@contextmanager
def tier(name: str, model: DiffusionModel) -> Iterator[None]:
    """The U-Net works under a tier: "low" checkpoints, and parks the VAE, which is idle meanwhile."""
    with alone(model.unet):
        if name == "full":
            yield
            return
        with checkpointed(model), parked(model.vae):
            yield
