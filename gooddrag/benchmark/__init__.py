"""Methods x samples x seeds: run, resume, distribute, score, and read the table.

table = gooddrag.benchmark.run("out", gooddrag.storybook100(), model="storybook")
gooddrag.benchmark.summary(table, ["dai_1", "truth_error_inside_mask"])
"""

try:
    import pandas  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError('the benchmark needs pandas: pip install "gooddrag[bench]"') from error

from gooddrag.benchmark.pictures import edited, images
from gooddrag.benchmark.runner import run
from gooddrag.benchmark.scores import score
from gooddrag.benchmark.table import (
    COLUMNS,
    TABLE_1,
    TIMES,
    compare,
    costs,
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
