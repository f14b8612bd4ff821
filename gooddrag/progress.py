"""Progress of the slow loops: a bar on stderr, or calls of a given function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
Progress = bool | Callable[[str, int, int], object]
"""True: a tqdm bar; False: nothing; a function: called with (stage, steps done, steps in all). What it raises ends the
loop, and whoever runs the loop puts everything back: that is how a stop button works."""


def tracked(steps: Iterable[T], stage: str, total: int, progress: Progress) -> Iterator[T]:
    """The same steps, and their progress told."""
    if not callable(progress):
        yield from tqdm(steps, desc=stage, total=total, disable=not progress, leave=False)
        return
    progress(stage, 0, total)
    for done, step in enumerate(steps, start=1):
        yield step
        progress(stage, done, total)
