"""What Algorithm 1 is given beside latents, and what its observer sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Task:
    """What to drag where, on the supervision grid.

    Attributes:
        size: (H, W) of the grid.
        p_0, q: original handles and targets, (l, 2) float32, integer-valued (y, x).
        frozen: 1 - M, (1, 1, h, w) on the latent grid: 1 where nothing may change.
    """

    size: tuple[int, int]
    p_0: Tensor
    q: Tensor
    frozen: Tensor


@dataclass(frozen=True)
class State:
    """What an observer sees. Tensors are the loop's own: copy what you keep.

    Attributes:
        event: "update" (a gradient step was taken), "track" (handles were located) or "denoise" (t went to t - 1).
        t: level, T ... 0; the one reached after "denoise".
        timestep: what the U-Net was told at this event.
        k: drag operations finished; updates: gradient steps taken; both over the whole run.
        z: the edited latent after the event; source: the unedited one at the same level ("denoise" only).
        handles: (l, 2) (y, x) on the grid.
        z_before, grad, drag_loss, loss: of an "update".
        z0_hat: the clean latent that the last forward pass points to ("update").
        counted: whether a "track" was a drag operation's own (not the extra one at the start of a time step).
        maps: distance map of each handle ("track").
    """

    event: str
    t: int
    timestep: int
    k: int
    updates: int
    z: Tensor
    handles: Tensor
    source: Tensor | None = None
    z_before: Tensor | None = None
    grad: Tensor | None = None
    drag_loss: float | None = None
    loss: float | None = None
    z0_hat: Tensor | None = None
    counted: bool = True
    maps: list[Tensor] = field(default_factory=list)


Callback = Callable[[State], bool | None]
