"""A sitting of training: when to stop, when to save, what to log. Progress is counted over all sittings."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

from gooddrag.storybook.training_files import LOG, append_log


class Sitting:
    """Ends each phase when its budget is spent, and everything at SIGTERM or SIGINT, after a checkpoint.

    Args:
        work: folder of checkpoints and log.
        minutes: budget of each phase by name, over all sittings; a phase without one goes on until it is stopped.
        steps: the same in steps, which a test prefers.
    """

    def __init__(self, work: Path, seed: int, save_seconds: float, minutes: dict[str, float], steps: dict[str, int]):
        self.work, self.seed, self.save_seconds = work, seed, save_seconds
        self.minutes, self.step_budget = minutes, steps
        self._from: dict[str, float] = {}
        self._over = False
        self._stop = False
        self._saved = time.monotonic()

    @contextmanager
    def watching_signals(self) -> Iterator[None]:
        """Turn SIGTERM and SIGINT into a tidy end."""
        if threading.current_thread() is not threading.main_thread():  # Python allows it there only
            yield
            return
        before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)

    def _on_signal(self, *_: object) -> None:
        self._stop = True

    def stopped(self) -> bool:
        return self._stop

    def begin(self, phase: str, seconds: float, minutes: float) -> None:
        """Give a phase a budget of its own: the time between `seconds` and `minutes` of its progress."""
        self.minutes, self._from[phase] = self.minutes | {phase: minutes}, seconds

    def fraction(self, phase: str, progress: dict) -> float:
        """How much of the phase's budget is spent, 0 to 1; 0 without a budget."""
        if phase in self.step_budget:
            return min(1.0, progress["step"] / max(1, self.step_budget[phase]))
        if phase in self.minutes:
            start = self._from.get(phase, 0.0)
            return min(1.0, (progress["seconds"] - start) / max(1e-9, 60 * self.minutes[phase] - start))
        return 0.0

    def over(self, phase: str, progress: dict) -> bool:
        """The budget is spent: ask after every step, so that the last one is known as such."""
        now = time.monotonic()
        progress["seconds"], self._clock = progress["seconds"] + now - self._clock, now
        self._over = self.fraction(phase, progress) >= 1
        return self._over

    def steps(self, phase: str, progress: dict) -> Iterator[float]:
        """Yield the fraction of the budget before every step, until `over` or a signal. Counts the seconds."""
        self._clock = self._saved = time.monotonic()
        with tqdm(desc=phase, unit=" steps", initial=progress["step"], mininterval=2) as bar:
            self.over(phase, progress)
            while not self._stop and not self._over:
                yield self.fraction(phase, progress)
                bar.update(progress["step"] - bar.n)
                bar.set_postfix(
                    {"budget": f"{self.fraction(phase, progress):.0%}"}
                    | {name: f"{value:.4g}" for name, value in progress["held_out"].items()},
                    refresh=False,
                )

    def must_save(self) -> bool:
        """It is time for a checkpoint: `save_seconds` have passed since the last."""
        due = time.monotonic() - self._saved >= self.save_seconds
        if due:
            self._saved = time.monotonic()
        return due

    def log(self, phase: str, progress: dict, **more: float) -> None:
        """Append a line to metrics.jsonl: phase, step, samples, seconds, held-out measures, and `more`."""
        counts = {k: progress[k] for k in ("step", "samples", "seconds") if k in progress}
        append_log(self.work / LOG, phase=phase, **counts, **more, **progress["held_out"])
