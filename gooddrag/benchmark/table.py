"""The results as one tidy pandas table, and what is read off it: means with intervals, comparisons, the CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.keep import Paired, paired
from gooddrag.baselines import METHODS
from gooddrag.benchmark.folder import Folder, digest
from gooddrag.benchmark.measure import TRACKED
from gooddrag.files import atomic_file
from gooddrag.metrics import GAMMAS, LEARNED, Interval, mean_interval, ratio_interval

STATES = ("done", "failed", "missing")
TASK = ["sample", "seed", "method"]
ABOUT = ["sample", "category", "task", "pairs", "method", "seed", "state"]
SCORES = [*(f"dai_{g}" for g in GAMMAS), *(f"dai_released_{g}" for g in GAMMAS), "md", "md_truth",
          "truth_error_inside_mask", "truth_error_unedited", "truth_error_ratio", "damage_outside_mask", "ssim_truth",
          "psnr_truth", *LEARNED]  # fmt: skip
SECONDS = ["lora_seconds", "prepare_seconds", "edit_seconds", "score_seconds"]
COST = [*SECONDS, "unet_calls", "unet_images", "batch", "peak_memory_mib"]
IDENTITY = ["model", "weights", "vae", "dtype"]
ORIGIN = [*IDENTITY, "machine", "gooddrag", "torch", "settings", "key", "finished", "error"]
COLUMNS = [*ABOUT, *SCORES, *TRACKED, *COST, *ORIGIN]
TEXT = ["sample", "category", "task", "method", "state", "model", "weights", "vae", "dtype", "machine", "gooddrag",
        "torch", "settings", "key", "finished", "error"]  # fmt: skip
TABLE_1 = {
    "DragDiffusion": (0.1477, 0.1439, 0.1298, 0.1146),
    "DragDiffusion*": (0.1189, 0.1101, 0.0979, 0.0924),
    "SDE-Drag": (0.1571, 0.1437, 0.1291, 0.1143),
    "GoodDrag": (0.0696, 0.0673, 0.0642, 0.0623),
}
"""The paper's Table 1: DAI on Drag100 at gamma = 1, 5, 10, 20."""
TIMES = [*SECONDS, "peak_memory_mib", "machine", "finished"]
"""Columns that differ from run to run; everything else of two runs on one machine is equal."""


def load(path: str | Path) -> pd.DataFrame:
    """One row per planned task of a results folder, in the order samples, seeds, methods.

    Columns: what the task is (sample, category, task, pairs, method, seed); state: "done", "failed" (then `error`
    says why) or "missing"; the scores (see `scores`); what the drag's own tracking says (the largest distance of a
    sample's pairs, px); the cost (seconds are empty where the work was shared with another method; `batch` samples
    edited at once share the seconds, and the U-Net calls and the memory are those of all of them); and the origin
    (settings: a hash of the method's).
    """
    folder = Folder(path)
    folder.identity, folder.methods()  # or the error that says what is wrong with this folder  # noqa: B018
    samples, rows = {}, []
    for name, seed, method in folder.planned():
        record = folder.result(name, seed, method)
        if record is None:
            sample = samples.setdefault(name, folder.sample(name))
            record = {"state": "missing", "sample": sample.name, "category": sample.category, "task": sample.task,
                      "pairs": len(sample.points), "method": folder.method(method)["name"], "seed": seed}  # fmt: skip
        tracked = {k: np.max(v, initial=0) for k, v in record.get("tracked", {}).items()}
        hashed = {"settings": digest(record["settings"])} if "settings" in record else {}
        rows.append(record | record.get("scores", {}) | record.get("cost", {}) | tracked | hashed)
    return _typed(pd.DataFrame(rows, columns=COLUMNS))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """The same types whatever is missing, and methods in the order of the paper's tables."""
    table = table.astype(dict.fromkeys([*SCORES, *TRACKED, *COST], "float64") | {"pairs": "int64", "seed": "int64"})
    table[TEXT] = table[TEXT].astype(object).where(table[TEXT].notna(), "").astype(str)
    order = {name: i for i, name in enumerate(METHODS)}
    rank = table["method"].map(lambda m: (order.get(m, len(order)), m))
    return table.assign(_rank=rank).sort_values(["sample", "seed", "_rank"], ignore_index=True).drop(columns="_rank")


def save(table: pd.DataFrame, file: str | Path) -> None:
    """Write a table as CSV, numbers to six digits; `read` gives it back."""
    with atomic_file(file) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def read(file: str | Path) -> pd.DataFrame:
    """A table that `save` wrote.

    Raises:
        ValueError: no such file, or not such a table.
    """
    try:
        table = pd.read_csv(file, dtype=dict.fromkeys(TEXT, str), keep_default_na=True)
        if lacking := [c for c in COLUMNS if c not in table]:
            raise ValueError(f"it lacks {', '.join(lacking[:5])}")
        table = _typed(table[COLUMNS])
        if unknown := set(table["state"]) - set(STATES):
            raise ValueError(f"state {min(unknown)!r}")
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"file: {str(file)!r} cannot be read ({error}); expected a table of `gooddrag bench`"
        ) from error
    return table


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table from runs that could not share a folder: other sittings, other machines. A task that several of them
    have is taken from the first that finished it, else from the first where it failed. What only some methods have
    done is missing for the others, so that no mean is of a method's own choice of samples.

    Raises:
        ValueError: no table; or they differ in the model, in a method's settings, or in what one task is.
    """
    if not tables:
        raise ValueError("tables: none given; expected one or more")
    rows = pd.concat(tables, ignore_index=True)
    made = rows[rows["state"] != "missing"]
    _agree(made, [], IDENTITY)
    _agree(made, ["method"], ["settings"])
    _agree(made, TASK, ["key"])
    best_first = rows.assign(_state=rows["state"].map(STATES.index)).sort_values("_state", kind="stable")
    best = best_first.drop_duplicates(TASK)[COLUMNS]
    samples = best[["sample", "category", "task", "pairs", "seed"]].drop_duplicates()
    whole = samples.merge(best[["method"]].drop_duplicates(), how="cross")
    return _typed(whole.merge(best, how="left").fillna({"state": "missing"})[COLUMNS])


def _agree(rows: pd.DataFrame, groups: list[str], columns: list[str]) -> None:
    """Every group of rows must have one value in each column."""
    for column in columns:
        for group, part in rows.groupby(groups, sort=False) if groups else [((), rows)]:
            different = part[column].unique()
            if len(different) > 1:
                what = f"{column} of {', '.join(map(str, group))}" if groups else column
                raise ValueError(f"tables: {what} is {different[0]!r} and {different[1]!r}; expected runs of one "
                                 "model, one data set and the same methods")  # fmt: skip


def values(table: pd.DataFrame, method: str, column: str) -> dict[str, float | None]:
    """{sample: value} of a method, the mean over its seeds; None where a task failed or is missing."""
    rows = table[table["method"] == method]
    if rows.empty:
        raise ValueError(f"method: {method!r}; expected one of {', '.join(table['method'].unique())}")
    found = rows.groupby("sample", sort=False)[column].agg(lambda v: v.mean(skipna=False))
    return {name: None if pd.isna(v) else float(v) for name, v in found.items()}


def mean(table: pd.DataFrame, method: str, column: str) -> Interval | None:
    """The mean of a column over samples with its bootstrap interval; None unless every sample has a value: a mean over
    what happened to succeed would flatter the method that fails.
    """
    found = values(table, method, column)
    return None if None in found.values() else mean_interval(found)


def summary(table: pd.DataFrame, columns: list[str], by: str | None = None) -> pd.DataFrame:
    """Means over samples, one row per method (or per method and `by`: "category", "task"), with the number of tasks
    done, failed and missing. A mean is NaN unless all of its tasks are done and have the score.
    """
    groups = ["method", *([by] if by else [])]
    states = {state: (table["state"] == state).astype(int) for state in STATES}
    counts = table[groups].assign(**states).groupby(groups, sort=False).sum()
    means = table.groupby(groups, sort=False)[columns].agg(lambda v: v.mean(skipna=False))
    return counts.join(means)


def costs(table: pd.DataFrame) -> pd.DataFrame:
    """Medians per method: seconds of the LoRA and of the rest of the preparation where they were this method's own
    work, seconds of the edit, U-Net calls of the edit, memory. Failed tasks have none.
    """
    return table[table["state"] == "done"].groupby("method", sort=False)[COST].median()


def compare(table: pd.DataFrame, first: str, second: str, column: str) -> tuple[Paired, Interval]:
    """Two methods on the same samples, lower being better: shares of wins, and the ratio of the means (paired
    bootstrap).

    Raises:
        ValueError: one of them has a sample without a value.
    """
    a, b = values(table, first, column), values(table, second, column)
    names = list(a)
    ratio = ratio_interval(a, b, names)  # names what is missing
    return paired([a[n] for n in names], [b[n] for n in names]), ratio
