"""Figures of notebook 05: what is under the handle, distance maps, the drift, four ways to supervise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from gooddrag.plots.base import HANDLE, WITH, WITHOUT, draw_image, draw_quartiles, figure


def drift_strips(strips: Mapping[str, Sequence[tuple[str, Image.Image]]], size: float = 1.3) -> Figure:
    """What is under the handle as the run goes on: one row of crops per way, the handle in the middle of each."""
    columns = max(map(len, strips.values()))
    fig, axes = figure(columns, len(strips), size)
    for line, (name, crops) in zip(axes, strips.items(), strict=True):
        for ax, (title, crop) in zip(line, crops, strict=True):
            draw_image(ax, crop, title)
            ax.plot((crop.width - 1) / 2, (crop.height - 1) / 2, "o", mfc="none", mec=HANDLE, mew=1.6, ms=9)
        line[0].text(-0.12, 0.5, name, rotation=90, va="center", ha="right", transform=line[0].transAxes)
    return fig


def intermediate(panels: Sequence[tuple[str, Image.Image, np.ndarray | None]], size: float = 2.3) -> Figure:
    """Fig. 5: pictures with handles on them; (title, image, (l, 2) handles in its pixels or None)."""
    fig, axes = figure(len(panels), 1, size)
    for ax, (title, image, handles) in zip(axes[0], panels, strict=True):
        draw_image(ax, image, title)
        if handles is not None:
            ax.plot(*np.asarray(handles).T, "o", color=HANDLE, ms=7, mec="white", mew=1)
    return fig


def heatmaps(maps: Mapping[str, Sequence[Tensor]], operations: Sequence[int], size: float = 1.7,
             limits: tuple[float, float] | None = None) -> Figure:  # fmt: skip
    """Fig. 14a: distance maps of Omega(p, r2), one row per way, one column per drag operation; std below each.

    All maps share one scale. Dark is near to the original feature; the dot is the minimum, the handle's next place.

    Args:
        limits: of the scale; default: those of the maps.
    """
    fig, axes = figure(len(operations), len(maps), size)
    fig.set_figwidth(fig.get_figwidth() + 0.9)  # of the colour bar
    values = [m for row in maps.values() for m in row]
    low, high = limits or (min(float(m.min()) for m in values), max(float(m.max()) for m in values))
    for line, (name, row) in zip(axes, maps.items(), strict=True):
        for ax, k, distance in zip(line, operations, row, strict=True):
            shown = ax.imshow(distance.numpy(), cmap="viridis", vmin=low, vmax=high)
            y, x = divmod(int(distance.argmin()), distance.shape[1])
            ax.plot(x, y, "o", color=HANDLE, ms=7, mec="white", mew=1)
            ax.set(title=f"k = {k}", xticks=[], yticks=[], xlabel=f"std {float(distance.std()):.2f}")
            ax.grid(visible=False)
        line[0].set_ylabel(name)
    fig.colorbar(shown, ax=axes.ravel().tolist(), label="feature distance", shrink=0.8)
    return fig


def drift_curves(curves: Mapping[str, Sequence[float]], ylabel: str = "feature distance",
                 title: str = "this edit", xlabel: str = "drag operation k",
                 many: Mapping[str, Sequence[Sequence[float]]] | None = None) -> Figure:  # fmt: skip
    """Fig. 14b: a number of each way over drag operations, on one edit and, if given, the median over many.

    Args:
        curves: without IP first, with IP second.
        many: the same ways, one curve per edit, all of one length; drawn as median and quartiles.
    """
    fig, axes = figure(2 if many else 1, 1, size=3.7 if many else 4.6, aspect=0.66)
    for colour, (name, curve) in zip((WITHOUT, WITH), curves.items(), strict=True):
        axes[0, 0].plot(range(1, len(curve) + 1), curve, color=colour, lw=1.8, label=name)
    axes[0, 0].set(title=title, xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    axes[0, 0].legend()
    for colour, (_, edits) in zip((WITHOUT, WITH), (many or {}).items(), strict=False):
        values = np.asarray(edits, float).T  # (operations, edits)
        draw_quartiles(axes[0, 1], range(1, len(values) + 1), values, colour, 0.18, lw=1.8)
        axes[0, 1].set(title=f"{len(edits)} edits: median, quartiles", xlabel=xlabel, ylim=(0, None))
    return fig
