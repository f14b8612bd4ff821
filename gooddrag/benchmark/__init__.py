"""Methods x samples x seeds: run, resume, distribute, score, and read the table.

table = gooddrag.benchmark.run("out", gooddrag.storybook100(), model="storybook")
gooddrag.benchmark.summary(table, ["dai_1", "truth_error_inside_mask"])
"""

from gooddrag.benchmark.runner import run
from gooddrag.benchmark.scores import score
from gooddrag.benchmark.table import (
    COLUMNS,
    TABLE_1,
    TIMES,
    compare,
    costs,
    edited,
    images,
    join,
    load,
    mean,
    read,
    save,
    summary,
    values,
)

__all__ = ["COLUMNS", "TABLE_1", "TIMES", "compare", "costs", "edited", "images", "join", "load", "mean", "read", "run",
           "save", "score", "summary", "values"]  # fmt: skip
