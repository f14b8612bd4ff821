"""The tables of the model card, and what every table is made of."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import gmean

from experiments.claims import method_wins
from experiments.keep import RESULTS, read_json
from gooddrag.evaluation import benchmark
from gooddrag.notebook import both, wins

AIMS = {  # column -> run of `gooddrag bench storybook100`
    "its preset": "storybook100_preset",
    "as released": "storybook100",
    "first generation, its preset": "storybook100_first_preset",
    "first generation, as released": "storybook100_first",
}
PRESET, WITHOUT = "25 levels, fresh noise, lr 0.02", "fast, wide patch"  # of results/presets.json
FIRST_FIT = "attention"  # of results/preset_lora.json
NEAR = 0.02  # of the picture's width


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [[*header], *([*row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


@cache
def bench(name: str = "storybook100") -> pd.DataFrame:
    """A table of `gooddrag bench`."""
    return benchmark.read(RESULTS / f"{name}.csv")


@cache
def data(name: str) -> dict:
    return read_json(RESULTS / f"{name}.json")


def aims() -> str:
    """GoodDrag with the embedded model and with its first generation, beside other methods in the same run."""
    runs = {title: bench(name) for title, name in AIMS.items()}
    own = {title: run[run["method"] == "GoodDrag"] for title, run in runs.items()}

    def count(of: pd.Series) -> str:
        return f"{of.sum()} of {of.size}"

    lines = {
        "median error to the truth inside the mask, as a share of the unedited page's": lambda x: (
            f"{x['truth_error_ratio'].median():.2f}"
        ),
        "nearer to the truth than the unedited page": lambda x: count(x["truth_error_ratio"] < 1),
        "damage outside the mask at most 0.001": lambda x: count(x["damage_outside_mask"] <= 0.001),
        f"all handles within {NEAR:.0%} of the side from their targets": lambda x: count(
            x["distance_left_px"] <= NEAR * x["width"]
        ),
        "median squared distance to the nearest page": lambda x: (
            f"{x['nearest_page'].median():.5f} ({n} edits)" if (n := x["nearest_page"].count()) else "-"
        ),
    }
    rows = [[what, *(of(rows) for rows in own.values())] for what, of in lines.items()]
    for other in ("DragDiffusion", "GoodDrag without AlDD", "GoodDrag without IP"):
        wins = [
            method_wins(run, "GoodDrag", other, "truth_error_inside_mask") if (run["method"] == other).any() else None
            for run in runs.values()
        ]
        rows.append([f"nearer to the truth than {other}", *(f"{w.wins} of {w.n - w.ties}" if w else "-" for w in wins)])
    return markdown(["Storybook100", *runs], rows)


def presets() -> str:
    """What the embedded model's preset was chosen among."""
    rows = []
    for name, prefix in (("presets", ""), ("preset_steps", "25 levels, fresh noise, ")):
        for way, of in pd.DataFrame(data(name)["data"]).groupby("way", sort=False):
            page, gone = f"{1000 * gmean(of['page']):.2f}", f"{of['way_gone'].median():.0%}"
            rows.append([prefix + way, len(of), page, gone, f"{1000 * of['damage'].max():.1f}"])
    header = ["settings", "edits", "nearest page, geometric mean, thousandths", "way that the handles went, median"]
    return markdown([*header, "largest damage, thousandths"], rows)


def fits() -> str:
    """What the preset's LoRA was chosen among."""
    rows, table = [], pd.DataFrame(data("preset_lora")["data"])
    for way, of in table.groupby("way", sort=False):
        page, gone = f"{1000 * gmean(of['page']):.2f}", f"{of['way_gone'].median():.0%}"
        cells = [wins(*both(data("preset_lora")["data"], way, FIRST_FIT, key)) for key in ("page", "truth")]
        rows.append([way, len(of), page, gone, *(cells if way != FIRST_FIT else ["-", "-"])])
    header = [
        "the LoRA's layers",
        "edits",
        "nearest page, geometric mean, thousandths",
        "way that the handles went, median",
    ]
    return markdown([*header, "nearer to a page than the first row", "nearer to the truth"], rows)


def samples() -> str:
    """What the U-Net's training brings to an edit, beside what the preset's fresh noise brings."""
    table, ways = pd.DataFrame(data("edits_by_samples")["data"]), pd.DataFrame(data("presets")["data"])
    means, chosen = table.groupby("samples")["page"].agg(gmean), ways.groupby("way")["page"].agg(gmean)
    rows = [[f"{n:,}", f"{1000 * mean:.2f}", (table["samples"] == n).sum()] for n, mean in means.items()]
    doublings = np.log2(means.index[-1] / means.index[0])
    less = 1 - (means.iloc[-1] / means.iloc[0]) ** (1 / doublings), 1 - chosen[PRESET] / chosen[WITHOUT]
    text = "Twice the samples bring it down by {:.0%}, more levels and fresh noise by {:.0%}.".format(*less)
    header = ["the U-Net's samples", "squared distance to the nearest page, geometric mean, thousandths", "edits"]
    return f"{markdown(header, rows)}\n\n{text}"


def model() -> str:
    """What the embedded model does by itself, in dB."""
    return markdown(["measure", "dB"], [[k, f"{v:.2f}"] for k, v in data("storybook_model")["data"].items()])


def generator() -> str:
    """What DragGAN's generator was trained with."""
    about = data("generator")
    rows = {
        "parameters": f"{about['parameters'] / 1e6:.1f} M, matrices in 8 bits",
        "training": f"{about['step']:,} steps of 16 pages at 32, 64, then 128 px; {about['drawn']:,} pages drawn",
        "time": f"{about['seconds'] / 60:.0f} min on one CPU core",
        "mean absolute error on 64 held-out pages, values in [-1, 1]": f"{about['l1']:.3f}",
    }
    return markdown(["the generator", ""], rows.items())
