"""From one number per sample to a table: means with intervals, ratios, ranks and their correlation (Eq. 11-12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A value over n samples, and its bootstrap interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] (n = {self.n})"


def mean_interval(values: Mapping[str, float | None] | Iterable[float | None], names: Iterable[str] | None = None,
                  confidence: float = 0.95, resamples: int = 9999, seed: int = 0) -> Interval:  # fmt: skip
    """The mean over samples with its bootstrap percentile interval. A sample without a value is an error: a mean over
    what happened to succeed flatters the method that fails.

    Args:
        values: one number per sample; a mapping of sample names, or a sequence.
        names: the samples that must all be there (with a mapping).

    Raises:
        ValueError: no values; a missing, None or non-finite one, named.
    """
    x = _complete(values, names, "values")
    return _bootstrap((x,), lambda x, axis: np.mean(x, axis=axis), confidence, resamples, seed)


def ratio_interval(first: Mapping[str, float | None], second: Mapping[str, float | None],
                   names: Iterable[str] | None = None, confidence: float = 0.95, resamples: int = 9999,
                   seed: int = 0) -> Interval:  # fmt: skip
    """mean(first) / mean(second) over the same samples, resampled together (paired bootstrap).

    Raises:
        ValueError: as `mean_interval`; the two are not of the same samples; the second mean is 0.
    """
    if set(first) != set(second):
        lonely = sorted(set(first) ^ set(second))
        raise ValueError(f"first, second: {', '.join(lonely[:5])} in only one of them; expected the same samples")
    names = list(first) if names is None else list(names)
    a, b = _complete(first, names, "first"), _complete(second, names, "second")
    if b.mean() == 0:
        raise ValueError("second: its mean is 0; expected a mean to divide by")
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of zeros alone is possible
        return _bootstrap((a, b), lambda a, b, axis: np.mean(a, axis=axis) / np.mean(b, axis=axis), confidence,
                          resamples, seed)  # fmt: skip


def ranks(values: ArrayLike, higher_is_better: bool) -> np.ndarray:
    """Ranks along the last axis, 1 = best; equal values share the mean of their ranks.

    Raises:
        ValueError: a value is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("values: one is not finite; expected a number for every result")
    return stats.rankdata(-values if higher_is_better else values, axis=-1)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """rho_i (Eq. 12): Spearman's rank correlation of two rankings of the same N_m >= 2 results (scipy).

    Without ties it equals the printed formula 1 - 6 sum d^2 / (N_m (N_m^2 - 1)). With ties it is Pearson's correlation
    of the mean ranks, which the printed formula no longer gives. If one side ranks everything equal, it says nothing
    about the order: 0 by convention here (scipy: NaN).

    Raises:
        ValueError: not two equally long lists of 2 or more finite values.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size < 2:
        raise ValueError(f"first, second: shapes {a.shape} and {b.shape}; expected two equally long lists, 2 or more")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("first, second: a value is not finite; expected a rank or score for every result")
    if (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    return float(stats.spearmanr(a, b).statistic)


def rank_correlation(people: ArrayLike, metric: ArrayLike) -> float:
    """rho (Eq. 11): the mean over images of `spearman` between people's ranks and a metric's.

    Args:
        people, metric: (N_s, N_m) rank (or score in the same direction) of the j-th method's result on the i-th image.

    Raises:
        ValueError: their shapes differ or are others; else as `spearman`.
    """
    U, R = np.asarray(people, dtype=np.float64), np.asarray(metric, dtype=np.float64)
    if U.shape != R.shape or U.ndim != 2 or not U.size:
        raise ValueError(f"people, metric: shapes {U.shape} and {R.shape}; expected both (images, methods)")
    return float(np.mean([spearman(u, r) for u, r in zip(U, R, strict=True)]))


def _complete(values: Mapping[str, float | None] | Iterable[float | None], names: Iterable[str] | None,
              argument: str) -> np.ndarray:  # fmt: skip
    if not isinstance(values, Mapping):
        if names is not None:
            raise ValueError(f"names: given, but {argument} is no mapping; expected {{name: value}}")
        values = {str(i): value for i, value in enumerate(values)}
    names = list(values) if names is None else list(names)
    if not names:
        raise ValueError(f"{argument}: none given; expected at least one")
    bad = [name for name in names if values.get(name) is None or not np.isfinite(values[name])]
    if bad:
        raise ValueError(f"{argument}: {len(bad)} of {len(names)} missing or not finite ({', '.join(bad[:5])}"
                         f"{', ...' if len(bad) > 5 else ''}); expected a number for every sample")  # fmt: skip
    return np.array([values[name] for name in names], dtype=np.float64)


def _bootstrap(data: tuple[np.ndarray, ...], statistic: Callable, confidence: float, resamples: int,
               seed: int) -> Interval:  # fmt: skip
    value, n = float(statistic(*data, axis=-1)), data[0].size
    if n == 1:
        return Interval(value, value, value, 1)  # one sample says nothing about the spread
    interval = stats.bootstrap(data, statistic, n_resamples=resamples, paired=len(data) > 1, vectorized=True,
                               confidence_level=confidence, method="percentile",
                               rng=np.random.default_rng(seed)).confidence_interval  # fmt: skip
    return Interval(value, float(interval.low), float(interval.high), n)
