"""Counts the passes that a U-Net makes, without touching the code that asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass
class Counts:
    """U-Net passes by batch size.

    Attributes:
        forwards, backwards: {latents in a pass: number of such passes}.
    """

    forwards: Counter[int] = field(default_factory=Counter)
    backwards: Counter[int] = field(default_factory=Counter)

    @property
    def latents(self) -> int:
        """Those of all forward passes."""
        return sum(batch * n for batch, n in self.forwards.items())


@contextmanager
def counting(unet: nn.Module, current: Callable[[], Counts | None]) -> Iterator[None]:
    """In this context every pass is counted in what `current()` gives when it has been made; None: it is not counted.

    The way back counts where its forward pass did, once, wherever the gradient comes in.
    """

    def passed(module: nn.Module, args: tuple, kwargs: dict, output: tuple) -> None:
        counts, z, eps = current(), args[0] if args else kwargs["sample"], output[0]
        if counts is None:
            return
        batch, pending = len(z), [True]
        counts.forwards[batch] += 1

        def back(grad: Tensor) -> None:
            if pending:
                counts.backwards[batch] += 1
                pending.clear()

        for tensor in (z, eps):
            if tensor.requires_grad:
                tensor.register_hook(back)

    hook = unet.register_forward_hook(passed, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
