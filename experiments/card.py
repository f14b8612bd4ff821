"""The tables of the model card, and what every table is made of."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import gmean

from experiments.claims import compare
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
WAYS = {  # columns of a study of the preset
    "edits": len,
    "nearest page, geometric mean, thousandths": lambda rows: f"{1000 * gmean(rows['page']):.2f}",
    "way that the handles went, median": lambda rows: f"{rows['way_gone'].median():.0%}",
}


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [[*header], *([*row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def listed(first: str, groups: Iterable[tuple[str, pd.DataFrame]], columns: Mapping[str, Callable]) -> str:
    """A row for each group, with its name and a column for each function of it."""
    return markdown([first, *columns], [[name, *(of(rows) for of in columns.values())] for name, rows in groups])


@cache
def bench(name: str = "storybook100") -> pd.DataFrame:
    """A table of `gooddrag bench`."""
    return benchmark.read(RESULTS / f"{name}.csv")


@cache
def data(name: str) -> dict:
    return read_json(RESULTS / f"{name}.json")


def grouped(name: str, by: str = "way") -> list[tuple[str, pd.DataFrame]]:
    """The records of a study in groups."""
    return [*pd.DataFrame(data(name)["data"]).groupby(by, sort=False)]


def aims() -> str:
    """GoodDrag with the embedded model and with its first generation, beside other methods in the same run."""
    others = ("DragDiffusion", "GoodDrag without AlDD", "GoodDrag without IP")
    what = ["median error to the truth inside the mask, as a share of the unedited page's"]
    what += ["nearer to the truth than the unedited page", "damage outside the mask at most 0.001"]
    what += [f"all handles within {NEAR:.0%} of the side from their targets"]
    what += ["median squared distance to the nearest page", *(f"nearer to the truth than {other}" for other in others)]

    def cells(run: pd.DataFrame) -> Iterator[str]:
        own = run[run["method"] == "GoodDrag"]
        error, pages = own["truth_error_ratio"], own["nearest_page"]
        yield f"{error.median():.2f}"
        for reached in (error < 1, own["damage_outside_mask"] <= 0.001, own["distance_left_px"] <= NEAR * own["width"]):
            yield f"{reached.sum()} of {reached.size}"
        yield f"{pages.median():.5f} ({pages.count()} edits)" if pages.count() else "-"
        for other in others:
            known, key = (run["method"] == other).any(), "truth_error_inside_mask"
            yield compare(run, "GoodDrag", other, key).numbers.split(" (")[0] if known else "-"

    return markdown(["Storybook100", *AIMS], zip(what, *(cells(bench(name)) for name in AIMS.values()), strict=True))


def presets() -> str:
    """What the embedded model's preset was chosen among."""
    steps = [(f"25 levels, fresh noise, {way}", rows) for way, rows in grouped("preset_steps")]
    damage = {"largest damage, thousandths": lambda rows: f"{1000 * rows['damage'].max():.1f}"}
    return listed("settings", [*grouped("presets"), *steps], WAYS | damage)


def fits() -> str:
    """What the preset's LoRA was chosen among."""

    def ahead(key: str) -> Callable[[pd.DataFrame], str]:
        pairs = {way: both(data("preset_lora")["data"], way, FIRST_FIT, key) for way, _ in grouped("preset_lora")}
        cells = {way: wins(*pair) for way, pair in pairs.items()} | {FIRST_FIT: "-"}
        return lambda rows: cells[rows["way"].iloc[0]]

    columns = WAYS | {"nearer to a page than the first row": ahead("page"), "nearer to the truth": ahead("truth")}
    return listed("the LoRA's layers", grouped("preset_lora"), columns)


def samples() -> str:
    """What the U-Net's training brings to an edit, beside what the preset's fresh noise brings."""
    (fewest, first), *_, (most, last) = by_samples = grouped("edits_by_samples", "samples")
    ways = dict(grouped("presets"))
    doubled = (gmean(last["page"]) / gmean(first["page"])) ** (1 / np.log2(most / fewest))
    fresh = gmean(ways[PRESET]["page"]) / gmean(ways[WITHOUT]["page"])
    page = {"squared distance to the nearest page, geometric mean, thousandths": [*WAYS.values()][1], "edits": len}
    table = listed("the U-Net's samples", [(f"{n:,}", rows) for n, rows in by_samples], page)
    text = f"Twice the samples bring it down by {1 - doubled:.0%}, more levels and fresh noise by {1 - fresh:.0%}."
    return f"{table}\n\n{text}"


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
