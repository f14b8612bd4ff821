"""What a pass holds and does, counted tensor by tensor: on real data, or on paper, where nothing is computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Pass:
    """What one piece of work needs.

    Attributes:
        peak_bytes: most bytes of tensors alive at once, beside those that were there before (workspace that a kernel
            takes for itself is not seen).
        saved_bytes: what autograd kept of it for the way back, parameters not counted.
        flops: of matrix products, convolutions and attention, two for a multiplication and its addition.
        ops: tensor operations dispatched (on paper: more, as some are taken apart there).
    """

    peak_bytes: int
    saved_bytes: int
    flops: int
    ops: int


class _Live(TorchDispatchMode):
    """Bytes of all storages that came into being under this mode and are still referenced."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = self.ops = 0
        self._seen: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = {id(t.untyped_storage()) for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        self.ops += 1
        for t in tree_iter(out):
            if isinstance(t, Tensor) and id(t.untyped_storage()) not in before:
                self._add(t.untyped_storage())
        return out

    def _add(self, storage) -> None:
        key = id(storage)
        if key in self._seen and self._seen[key]() is storage:
            return
        size = storage.nbytes()

        def gone(_, key=key, size=size):
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def traced(work: Callable[[], object], parameters: tuple[Tensor, ...] = (), once: bool = False) -> Pass:
    """Do the work twice, slowly, and count: its FLOPs and what it saves, then its peak; `once`: the peak only."""
    if once:
        with _Live() as live:
            work()
        return Pass(live.peak, 0, 0, live.ops)
    own = {id(p.untyped_storage()) for p in parameters}
    saved: dict[int, tuple[object, int]] = {}  # holds the storages, so that no two share an id

    def keep(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if id(storage) not in own:
            saved[id(storage)] = (storage, storage.nbytes())
        return t

    live, flops = _Live(), FlopCounterMode(display=False)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), flops:
        work()
    saved_bytes = sum(size for _, size in saved.values())
    saved.clear()
    with live:
        work()
    return Pass(live.peak, saved_bytes, flops.get_total_flops(), live.ops)


def on_paper(make: Callable[[], tuple[Callable[[], object], tuple[Tensor, ...]]]) -> Pass:
    """The same for tensors that have a shape and a dtype but no contents: any model, on any machine, in seconds.

    Args:
        make: builds everything and returns the work and the parameters; called where tensors are on paper only.
    """
    with FakeTensorMode():
        work, parameters = make()
        return traced(work, parameters)
