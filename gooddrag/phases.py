"""Names for the parts of an edit, for whoever wants to know where time and memory go (`gooddrag profile`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

PHASES = ("encode", "LoRA", "inversion", "reference", "drag", "denoise", "decode")


class Watcher(Protocol):
    """Told when a phase begins and ends; phases may nest."""

    def enter(self, name: str) -> None: ...

    def leave(self, name: str) -> None: ...


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)  # of this thread and task only


@contextmanager
def phase(name: str) -> Iterator[None]:
    """What happens in this context belongs to the phase `name`, one of PHASES. Without a watcher it does nothing."""
    watcher = _watcher.get()
    if watcher is None:
        yield
        return
    watcher.enter(name)
    try:
        yield
    finally:
        watcher.leave(name)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """In this context, and in this thread, `watcher` is told of every phase."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
