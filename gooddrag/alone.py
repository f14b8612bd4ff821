"""One thread at a time works with a U-Net: LoRAs are written into its weights, and adapters are put into it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_lock = threading.Lock()


@contextmanager
def alone(unet: nn.Module) -> Iterator[None]:
    """Others wait until this context ends; a thread may enter it again."""
    with _lock:
        own = _locks.setdefault(unet, threading.RLock())
    with own:
        yield
