"""What notebooks share: the set-up cell, the kept results, and the rule that judges them."""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib import style

import storybook
from gooddrag.evaluation.metrics import percents, wilson
from gooddrag.files import expand
from gooddrag.model import choose_model
from gooddrag.plots import STYLE
from gooddrag.sample import Sample

RESULTS = Path("../experiments/results")  # beside notebooks/


class Notebook(NamedTuple):
    """Where a notebook runs, in one line, and the folder of README's figures: $GOODDRAG_FIGURES or ../figures."""

    about: str
    figures: Path

    def __str__(self) -> str:
        return self.about


def setup() -> Notebook:
    """Make figures and widgets work in whatever shows this notebook; say where, and what `load_model("auto")` takes."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    frontend = "Jupyter" if hasattr(shell, "kernel") else "Python"
    style.use(STYLE)
    if "google.colab" in sys.modules:
        frontend = "Colab"
        from google.colab import output

        output.enable_custom_widget_manager()  # its own one knows none but the standard widgets
    if frontend != "Python":
        shell.run_line_magic("matplotlib", "inline")
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")  # crisp on dense screens
    n = torch.get_num_threads()
    cpu = f"cpu with {n} thread{'s' if n > 1 else ''}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    figures = expand(os.environ.get("GOODDRAG_FIGURES") or "../figures")
    figures.mkdir(parents=True, exist_ok=True)
    return Notebook(f"{frontend}, {device}; model {choose_model()[1]}", figures)


def kept(name: str) -> Any:
    """What experiments/ computed over many edits and keeps as results/NAME.json, with the model that made it."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def drawn(record: dict, i: int, size: int) -> Sample:
    """The i-th edit of a kept study, `size` px a side."""
    category, task, seed = record["settings"]["edits"][i]
    return storybook.edit(seed, size, category, task)


def column(rows: list[dict], way: str, key: str) -> np.ndarray:
    """One number of one way, edit by edit."""
    return np.array([row[key] for row in rows if row["way"] == way])


def both(rows: list[dict], first: str, second: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The same number of two ways, on the edits that both have."""
    one, other = ({r["edit"]: r[key] for r in rows if r["way"] == way and key in r} for way in (first, second))
    return np.array([one[e] for e in one if e in other]), np.array([other[e] for e in one if e in other])


def wins(first: np.ndarray, second: np.ndarray, what: str = "edits") -> str:
    """How often the first is lower, with the 95 % Wilson interval of that share, and what the interval decides."""
    won, n = int(np.sum(first < second)), int(np.sum(first != second))
    if not n:
        return f"0 of 0 {what} (undecided here)"
    share = wilson(won, n)
    decided = "decided" if share.low > 0.5 else "decided, the other way round" if share.high < 0.5 else "undecided here"
    return f"{won} of {n} {what} ({percents(share.low, share.high)}: {decided})"


def say(sentence: str) -> None:
    """A result, in bold."""
    display(Markdown(f"**{sentence}**"))
