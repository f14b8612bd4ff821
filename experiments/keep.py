"""Experiments over many edits: computed once, kept in a file with the model that made it, and compared in pairs."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gooddrag.devices import machine
from gooddrag.files import atomic_file
from gooddrag.model import DiffusionModel


def kept(
    path: str | Path,
    model: DiffusionModel,
    settings: dict[str, Any],
    compute: Callable[[], Any],
    recompute: bool = False,
    seconds: Callable[[], float] | None = None,
) -> dict[str, Any]:
    """What `compute()` gave when it last ran with these settings on this model; it runs only where it must.

    Args:
        path: a JSON file. For a model other than the one it holds, a file of that model's own beside it is used
            ("fig04.json" -> "fig04-sd15.json").
        settings: everything that decides the outcome, as plain data: other settings compute anew.
        compute: returns plain data (dicts, lists, numbers, strings).
        recompute: compute in any case.
        seconds: asked after `compute()` for the time it took in all, if part of it was done earlier.

    Returns:
        {"model", "weights", "machine", "seconds", "settings", "data"}, as in the file. Weights that have changed since
        are warned about, not recomputed.

    Raises:
        ValueError: the file is there and is not a file of this kind.
    """
    path = Path(path)
    if (record := read(path)) is not None and record["model"] != model.label:
        path = path.with_name(f"{path.stem}-{model.label}{path.suffix}")
        record = read(path)
    settings = plain(settings)
    if record is not None and record["settings"] == settings and not recompute:
        if record["weights"] != model.fingerprint:
            warnings.warn(f"{path.name} was made with other weights ({record['weights']}); recompute it", stacklevel=2)
        return record
    start = time.perf_counter()
    data = compute()
    record = {
        "model": model.label,
        "weights": model.fingerprint,
        "machine": machine(),
        "seconds": round(seconds() if seconds else time.perf_counter() - start, 1),
        "settings": settings,
        "data": plain(data),
    }
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def latest(path: str | Path, model: DiffusionModel) -> dict[str, Any]:
    """What is kept, without computing: this model's own file if there is one, else the one that ships.

    Raises:
        ValueError: there is no such file, or it is not a file of this kind.
    """
    path = Path(path)
    record = read(path.with_name(f"{path.stem}-{model.label}{path.suffix}")) or read(path)
    if record is None:
        raise ValueError(f"path: {path.name} is not there; compute it first (GOODDRAG_RECOMPUTE=1)")
    if record["model"] == model.label and record["weights"] != model.fingerprint:
        warnings.warn(f"{path.name} was made with other weights ({record['weights']}); recompute it", stacklevel=2)
    return record


def plain(data: Any) -> Any:
    """Data as they come back from a file."""
    return json.loads(json.dumps(data))


def read(path: Path) -> dict[str, Any] | None:
    """A file of kept results as it is; None if there is none.

    Raises:
        ValueError: it is not a file of this kind.
    """
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {"model", "weights", "settings", "data"} - set(record)
    except (ValueError, TypeError) as error:
        raise ValueError(f"path: {str(path)!r} is not a file of kept results: {error}") from error
    if missing:
        raise ValueError(f"path: {str(path)!r} lacks {', '.join(sorted(missing))}; expected a file of kept results")
    return record


@dataclass(frozen=True)
class Paired:
    """How two ways compare on the same edits; lower is better.

    Attributes:
        n: pairs. wins: how many the first way wins outright; ties count half in `share`.
        share: of wins, with `low` and `high`, its 95 % Wilson interval.
        difference: median of first - second.
        p: of the two-sided Wilcoxon signed-rank test; 1 where nothing differs.
    """

    n: int
    wins: int
    share: float
    low: float
    high: float
    difference: float
    p: float

    def __str__(self) -> str:
        return (f"{self.wins} of {self.n} won ({self.share:.0%}, 95 % interval {self.low:.0%} to {self.high:.0%}), "
                f"median difference {self.difference:+.3g}, p = {self.p:.2g}")  # fmt: skip


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Compare two ways by their errors on the same edits, in the same order; lower is better.

    Raises:
        ValueError: lengths differ, nothing is there, or a value is not finite.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise ValueError(f"first, second: shapes {a.shape} and {b.shape}; expected two equally long lists")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("first, second: a value is not finite; expected errors of finished edits only")
    difference = a - b
    wins, ties = int((difference < 0).sum()), int((difference == 0).sum())
    share = (wins + ties / 2) / a.size
    z = stats.norm.ppf(0.975)
    centre = (share + z**2 / (2 * a.size)) / (1 + z**2 / a.size)
    half = z / (1 + z**2 / a.size) * np.sqrt(share * (1 - share) / a.size + z**2 / (4 * a.size**2))
    p = float(stats.wilcoxon(difference).pvalue) if ties < a.size else 1.0
    low, high = max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))  # rounding aside, as they are
    return Paired(a.size, wins, share, float(low), float(high), float(np.median(difference)), p)
