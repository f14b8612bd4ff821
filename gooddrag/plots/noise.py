"""Pictures of the noise experiment (Fig. 4): pairs, and how far the effect reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gooddrag.plots.base import STYLE, draw_image, draw_quartiles


def draw_pairs(ax: Axes, first: np.ndarray, second: np.ndarray) -> None:
    """One dot per pair, the same noise both ways; above the diagonal the second way is better."""
    low, high = min(first.min(), second.min()) - 1, max(first.max(), second.max()) + 1
    ax.plot([low, high], [low, high], color="0.4", lw=1, ls="--")
    ax.plot(first, second, "o", ms=3.5, alpha=0.6, mew=0)
    share = (second > first).mean()
    ax.text(low + 0.04 * (high - low), high, f"above the line:\n{share:.0%} of {len(first)}", va="top", fontsize=8)
    ax.set(
        xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="at once, PSNR in dB", ylabel="spread, PSNR in dB"
    )


def draw_gain(ax: Axes, gains: Mapping[float, np.ndarray]) -> None:
    """Gain in dB over the strength sigma of the noise: pages as dots, median as line, wins written above."""
    x = list(gains)
    for sigma, values in gains.items():
        ax.plot(np.full(len(values), sigma), values, "o", ms=3, color="C0", alpha=0.35, mew=0)
    ax.plot(x, [np.median(values) for values in gains.values()], "-", color="C0", lw=2)
    ax.axhline(0, color="0.4", lw=1, ls="--")
    top = max(values.max() for values in gains.values())
    for sigma, values in gains.items():
        ax.text(sigma, top * 1.08, f"{(values > 0).mean():.0%}", ha="center", fontsize=8)
    ax.set(xscale="log", xlabel=r"$\sigma$ of each sample", ylabel="gain by spreading, dB")
    ax.set_ylim(top=top * 1.2)
    ax.set_xlim(x[0] / 1.3, x[-1] * 1.3)
    ax.set_xticks(x, [f"{sigma:g}" for sigma in x])
    ax.minorticks_off()


def draw_reach(ax: Axes, psnr: Mapping[int, np.ndarray], clean: float) -> None:
    """PSNR over the number of time steps that share the noise: quartiles and median; dashed: no noise at all."""
    x = list(psnr)
    draw_quartiles(ax, x, np.stack(list(psnr.values())), "C1", 0.2, marker="o", ms=4)
    ax.axhline(clean, color="0.4", lw=1, ls="--")
    ax.text(x[0], clean, "no noise", color="0.4", va="bottom", fontsize=8)
    ax.margins(y=0.12)
    ax.set(xscale="log", xlabel="time steps that share the noise", ylabel="PSNR in dB")
    ax.set_xticks(x, [str(n) for n in x])
    ax.minorticks_off()


def noise_experiment(
    panels: Sequence[tuple[str, Image.Image]],
    pairs: tuple[np.ndarray, np.ndarray],
    gains: Mapping[float, np.ndarray],
    reach: Mapping[int, np.ndarray],
    clean: float,
) -> Figure:
    """Fig. 4 and its statistics.

    Args:
        panels: (title, image) of one page, for the upper row.
        pairs: PSNR in dB at once and spread, both (pairs,).
        gains: sigma -> PSNR spread minus at once, (pages,).
        reach: number of time steps -> PSNR, (pages,).
        clean: median PSNR without noise.
    """
    with style.context(STYLE):
        fig = Figure(figsize=(9.0, 5.2), layout="constrained")
        upper, lower = fig.subfigures(2, 1, height_ratios=[1.0, 1.05])
        for ax, (title, image) in zip(upper.subplots(1, len(panels)), panels, strict=True):
            draw_image(ax, image, title)
        left, middle, right = lower.subplots(1, 3)
    draw_pairs(left, *pairs)
    left.set_title("the same noise both ways")
    draw_gain(middle, gains)
    middle.set_title("over its strength (wins above)")
    draw_reach(right, reach, clean)
    right.set_title("over more time steps")
    return fig


def damage_by_level(levels: Sequence[int], predicted: Sequence[float], measured: Sequence[float]) -> Figure:
    """What is left in z_0 of noise added at one level: predicted with the guess held fixed, and measured."""
    with style.context(STYLE):
        fig = Figure(figsize=(4.6, 2.6), layout="constrained")
        ax = fig.subplots()
    ax.plot(levels, predicted, "--", color="0.4", label="predicted, noise guess held fixed")
    ax.plot(levels, measured, "o-", ms=4, label="measured")
    ax.set(yscale="log", xlabel="level at which the noise is added", ylabel="mean square left in $z_0$")
    ax.legend()
    return fig
