"""What a user study says: mean ranks (Fig. 11), and how metrics agree with people (Table 3, Eq. 11-12)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gooddrag import metrics
from gooddrag.userstudy.ballots import QUESTIONS, read_answers

COLUMNS = ["participant", "question", "sample", "method", "rank"]
TRUTH = {"accuracy": ("truth_error_inside_mask", False), "quality": ("ssim_truth", True)}
"""What stands in for people where the truth is known: column, and whether higher is better."""


def read(folder: str | Path) -> pd.DataFrame:
    """All answers in a folder, one row per participant, question, sample and method; columns COLUMNS.

    Raises:
        ValueError: no file with answers there, or one of another kind.
    """
    rows = [(file.stem, answer["question"], answer["sample"], method, float(rank))
            for file in sorted(Path(folder).glob("[!.]*.json")) for answer in read_answers(file)
            for method, rank in answer["ranks"].items()]  # fmt: skip
    if not rows:
        raise ValueError(f"folder: {str(folder)!r} holds no answers; expected one JSON file per participant")
    return pd.DataFrame(rows, columns=COLUMNS)


def truth_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Rankings by the known truth in the shape of a study's: no people, and labelled as such.

    "accuracy" ranks by the squared error inside the mask, "quality" by the similarity (SSIM) of the whole images.

    Args:
        table: of `benchmark.load` or `read`, of samples with truths.
    """
    first = table[table["seed"] == table["seed"].min()]
    parts = []
    for question, (column, higher) in TRUTH.items():
        wide = _wide(first, column)
        ranks = pd.DataFrame(metrics.ranks(wide.to_numpy(), higher), wide.index, wide.columns)
        parts.append(ranks.rename_axis("sample").reset_index().melt("sample", var_name="method", value_name="rank")
                     .assign(participant="ground truth", question=question))  # fmt: skip
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def mean_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """Fig. 11: mean and standard deviation of the ranks, per question and method."""
    return ranks.groupby(["question", "method"], sort=False)["rank"].agg(["mean", "std", "count"])


def correlations(ranks: pd.DataFrame, table: pd.DataFrame, columns: Mapping[str, tuple[str, bool]],
                 question: str = "quality") -> pd.Series:  # fmt: skip
    """Table 3: rho of Eq. 11 between people's ranks and each metric's, over the samples and methods they share.

    Args:
        ranks: of a study; the mean over participants ranks the methods of a sample.
        table: one row per (sample, method) and the metrics as columns.
        columns: {shown name: (column, whether higher is better)}.

    Raises:
        ValueError: an unknown question, fewer than two methods shared, or a result without a metric's value.
    """
    if question not in set(ranks["question"]):
        raise ValueError(f"question: {question!r}; expected one of {', '.join(QUESTIONS)} that has answers")
    asked = ranks[ranks["question"] == question]
    people = asked.pivot_table("rank", "sample", "method", aggfunc="mean")
    methods = [m for m in people.columns if m in set(table["method"])]
    samples = [s for s in people.index if s in set(table["sample"])]
    if len(methods) < 2 or not samples:
        raise ValueError("ranks, table: fewer than two methods or no sample in both; expected results of one benchmark")
    people = metrics.ranks(people.loc[samples, methods].to_numpy(), higher_is_better=False)
    found = {}
    for name, (column, higher) in columns.items():
        wide = _wide(table[table["sample"].isin(samples) & table["method"].isin(methods)], column)
        found[name] = metrics.rank_correlation(people, metrics.ranks(wide.loc[samples, methods].to_numpy(), higher))
    return pd.Series(found, name="rho")


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Samples x methods of a column, the mean over seeds; every cell must be there."""
    wide = table.pivot_table(column, "sample", "method", aggfunc=lambda v: v.mean(skipna=False), dropna=False,
                             sort=False)  # fmt: skip
    if wide.isna().to_numpy().any():
        lacking = wide.isna().stack()
        sample, method = lacking[lacking].index[0]
        raise ValueError(f"table: no {column} of {method} on {sample!r}; expected a value for every result")
    return wide
