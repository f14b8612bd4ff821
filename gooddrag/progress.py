"""Progress of the slow loops: a bar on stderr, or calls of a given function."""

from collections.abc import Callable, Iterable, Iterator

from tqdm import tqdm  # as text: a bar of widgets is an error message where a saved notebook is opened again

Progress = bool | Callable[[str, int, int], object]
"""True: a tqdm bar; False: nothing; a function: called with (stage, steps done, steps in all). What it raises ends the
loop, and whoever runs the loop puts everything back: that is how a stop button works."""


def tracked(steps: Iterable, stage: str, total: int, progress: Progress) -> Iterator:
    """The same steps, and their progress told."""
    if not callable(progress):
        yield from tqdm(steps, desc=stage, total=total, disable=not progress)
        return
    progress(stage, 0, total)
    for done, step in enumerate(steps, start=1):
        yield step
        progress(stage, done, total)
