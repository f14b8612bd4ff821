"""Sheets and charts of a benchmark: samples, results side by side, tables as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from gooddrag.plots.base import ARROW, HANDLE, TARGET, contact_sheet, figure
from gooddrag.sample import Sample

if TYPE_CHECKING:
    from pandas import DataFrame


def marked(sample: Sample, size: int = 128) -> Image.Image:
    """The picture as the user marked it, fitted into a square: frozen part darkened, handles red, targets blue."""
    scale = size / max(sample.image.size)
    picture = fitted(sample.image, size)
    if sample.mask is not None:
        editable = Image.fromarray(sample.mask).convert("L").resize(_scaled(sample.image, size))
        frozen = Image.new("L", picture.size, 0)
        frozen.paste(editable.point(lambda v: 115 if v < 128 else 0), _corner(sample.image, size))
        picture.paste((12, 12, 25), mask=frozen)
    big = picture.resize((4 * size, 4 * size), Image.Resampling.BICUBIC)  # drawn large, shrunk smooth
    draw, r, corner = ImageDraw.Draw(big), 0.028 * 4 * size, np.array(_corner(sample.image, size))
    for handle, target in (((sample.points + 0.5) * scale + corner) * 4).tolist():
        draw.line([*handle, *target], fill="black", width=round(r * 0.7))
        draw.line([*handle, *target], fill=ARROW, width=round(r * 0.4))
        for (x, y), colour in ((target, TARGET), (handle, HANDLE)):
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour, outline="white", width=max(1, round(r / 4)))
    return big.resize((size, size), Image.Resampling.LANCZOS)


def fitted(image: Image.Image, size: int) -> Image.Image:
    """The image scaled to fit a white square of `size` px, in its middle."""
    square = Image.new("RGB", (size, size), "white")
    square.paste(image.resize(_scaled(image, size), Image.Resampling.LANCZOS), _corner(image, size))
    return square


def _scaled(image: Image.Image, size: int) -> tuple[int, int]:
    scale = size / max(image.size)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _corner(image: Image.Image, size: int) -> tuple[int, int]:
    width, height = _scaled(image, size)
    return (size - width) // 2, (size - height) // 2


def edits_sheet(samples: Sequence[Sample], size: int = 96, columns: int = 10) -> Image.Image:
    """Edits as pairs: what the user marked, and the true result (or the picture itself where none is known)."""
    pairs = [image for s in samples for image in (marked(s, size), fitted(s.truth or s.image, size))]
    return contact_sheet(pairs, 2 * columns)


def picked_samples(names: Sequence[str], count: int = 12) -> list[str]:
    """Some of many by a rule and not by taste: every eighth of a hundred, from the fifth on; all of a few."""
    step = max(1, len(names) // count)
    return list(names[step // 2 :: step])[:count] if len(names) > count else list(names)


def results_sheet(folder: str | Path, table: DataFrame, count: int = 12, size: int = 128, seed: int = 0) -> Image.Image:
    """Rows of samples: what the user marked, each method's result, and the truth. A failed or missing edit is a grey
    square.

    Args:
        folder: of the results; table: `benchmark.load(folder)`. count: rows, picked by `picked_samples`.
    """
    methods = list(table["method"].unique())
    tiles, truth = _tiles(folder, table, methods, count, size, seed)
    titles = ["user edit", *methods, *truth]
    top = contact_sheet([_labelled(title, size, size // 4) for title in titles], len(titles))
    sheet = contact_sheet(tiles, len(titles))
    whole = Image.new("RGB", (sheet.width, top.height + sheet.height), "white")
    whole.paste(top, (0, 0))
    whole.paste(sheet, (0, top.height))
    return whole


def method_sheet(folder: str | Path, table: DataFrame, method: str, count: int = 24, size: int = 128,
                 seed: int = 0) -> Image.Image:  # fmt: skip
    """The same of one method, two samples a row, without heads.

    Raises:
        ValueError: the table has no such method.
    """
    if method not in (known := list(table["method"].unique())):
        raise ValueError(f"method: {method!r}; expected one of {', '.join(known)}")
    tiles, truth = _tiles(folder, table, [method], count, size, seed)
    return contact_sheet(tiles, 2 * (2 + len(truth)))


def _tiles(folder: str | Path, table: DataFrame, methods: Sequence[str], count: int, size: int,
           seed: int) -> tuple[list[Image.Image], list[str]]:  # fmt: skip
    """Per sample what the user marked, the results, and the truth if all have one (then ["truth"], else [])."""
    from gooddrag.benchmark.folder import Folder, slug
    from gooddrag.benchmark.pictures import images

    chosen = picked_samples(list(table["sample"].unique()), count)
    samples = {name: Folder(folder).sample(slug(name)) for name in chosen}
    truth = ["truth"] if all(s.truth for s in samples.values()) else []
    tiles, empty = [], _labelled("no result", size, size, "#c8c8c8")
    for name, sample in samples.items():
        found = images(folder, name, seed)
        results = [fitted(Image.open(found[m]), size) if m in found else empty for m in methods]
        tiles += [marked(sample, size), *results, *(fitted(sample.truth, size) for _ in truth)]
    return tiles, truth


def _labelled(text: str, width: int, height: int, colour: str = "white") -> Image.Image:
    """A small text in the middle of a box, in lines that fit."""
    box = Image.new("RGB", (width, height), colour)
    font = ImageFont.load_default(max(8, width // 11))
    lines = "\n".join(wrap(text, 16))
    ImageDraw.Draw(box).multiline_text((width / 2, height / 2), lines, fill="black", font=font, anchor="mm", spacing=2,
                                       align="center")  # fmt: skip
    return box


def composition(counts: dict[str, dict[str, int]], title: str = "") -> Figure:
    """Fig. 7: how many samples of each category and each task, for one or more data sets side by side.

    Args:
        counts: {"category": {"animal": 58, ...}, "task": {...}}; or the same with (name, count) of several data sets:
            one horizontal bar per name.
    """
    fig, axes = figure(len(counts), 1, size=3.4, aspect=0.62)
    for ax, (kind, found) in zip(axes[0], counts.items(), strict=True):
        names, values = list(found), list(found.values())
        bars = ax.barh(names, values, color="#4f7cac", height=0.7)
        ax.bar_label(bars, padding=3)
        ax.invert_yaxis()
        ax.set(title=f"{title} {kind}".strip(), xlabel="samples", xlim=(0, max(values) * 1.18))
    return fig


def dai_curves(table: DataFrame, published: dict[str, Sequence[float]] | None = None) -> Figure:
    """Table 1 as a picture: mean DAI over the patch radius; beside it, what was published.

    Args:
        table: of `benchmark.load` or `read`. published: {method: DAI at radius 1, 5, 10, 20}: these methods are drawn
            with bootstrap intervals, the others as thin lines without.
    """
    from gooddrag.benchmark.table import mean
    from gooddrag.metrics import GAMMAS

    fig, axes = figure(2 if published else 1, 1, size=3.6, aspect=0.8)
    methods = list(table["method"].unique())
    colours = dict(zip(methods, matplotlib.colormaps["tab10"].colors, strict=False))
    for i, method in enumerate(methods):
        found = [mean(table, method, f"dai_{g}") for g in GAMMAS]
        if None in found:
            continue  # it has failed or missing edits, and the table says so
        if published and method not in published:
            axes[0, 0].plot(range(len(GAMMAS)), [i.value for i in found], ":", lw=1.3, label=method,
                            color=colours.get(method, "grey"))  # fmt: skip
            continue
        y = np.array([[i.value, max(0, i.value - i.low), max(0, i.high - i.value)] for i in found]).T  # may round below
        x = np.arange(len(GAMMAS)) + 0.05 * (i - len(methods) / 2)  # side by side, so that intervals can be told apart
        axes[0, 0].errorbar(x, y[0], y[1:], marker="o", ms=3, capsize=2, lw=1.4, label=method,
                            color=colours.get(method, "grey"))  # fmt: skip
    for method, values in (published or {}).items():
        axes[0, 1].plot(range(len(GAMMAS)), values, marker="o", ms=3, lw=1.2, label=method,
                        color=colours.get(method, "grey"))  # fmt: skip
    for ax, title in zip(axes[0], ("measured here", "published (Table 1)"), strict=False):
        ax.set(title=title, xlabel="patch radius, px", ylabel="DAI", ylim=(0, 1.2 * ax.get_ylim()[1]))
        ax.set_xticks(range(len(GAMMAS)), GAMMAS)
        ax.legend(fontsize="x-small")
    return fig


def grouped_means(table: DataFrame, column: str, by: str, label: str = "") -> Figure:
    """A column's mean per method and category or task, as a coloured grid with the numbers in it; grey: incomplete."""
    from gooddrag.benchmark.table import summary

    grid = summary(table, [column], by)[column].unstack(by)
    grid = grid.loc[list(table["method"].unique())]
    width = 2.6 + 0.8 * len(grid.columns)
    fig, axes = figure(1, 1, size=width, aspect=(0.7 + 0.3 * len(grid)) / width)
    ax, values = axes[0, 0], np.ma.masked_invalid(grid.to_numpy())
    colours = matplotlib.colormaps["YlOrBr"].with_extremes(bad="#cccccc")
    ax.imshow(values, cmap=colours, aspect="auto")
    half = (values.max() + values.min()) / 2
    for (row, col), value in np.ndenumerate(values):
        shown = "-" if np.ma.is_masked(value) else f"{value:#.3g}"
        ax.text(col, row, shown, ha="center", va="center", fontsize="small",
                color="white" if shown != "-" and value > half else "black")  # fmt: skip
    counts = table.groupby(by)["sample"].nunique()
    ax.set_xticks(range(len(grid.columns)), [f"{name}\n(n = {counts[name]})" for name in grid.columns])
    ax.set_yticks(range(len(grid)), grid.index)
    ax.set_title(f"{label or column}, mean by {by}")
    ax.tick_params(length=0)
    ax.grid(False)
    return fig


def study_ranks(ranks: DataFrame) -> Figure:
    """Fig. 11: mean rank and its standard deviation of each method, one panel per question; 1 is the best.

    Args:
        ranks: columns question, method, rank.
    """
    questions = list(ranks["question"].unique())
    fig, axes = figure(len(questions), 1, size=3.2, aspect=0.75)
    for ax, question in zip(axes[0], questions, strict=True):
        stats = ranks[ranks["question"] == question].groupby("method", sort=False)["rank"].agg(["mean", "std"])
        ax.bar(stats.index, stats["mean"], yerr=stats["std"].fillna(0), color="#8fb3d9", capsize=4, width=0.6)
        for x, value in enumerate(stats["mean"]):
            ax.text(x, 0.08, f"{value:.2f}", ha="center", va="bottom")
        ax.set(title=question, ylabel="rank (1 = best)", ylim=(0, None))
        ax.set_xticks(range(len(stats)), stats.index, rotation=20, ha="right")
    return fig
