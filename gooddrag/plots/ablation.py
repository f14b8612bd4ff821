"""Figures of notebook 06: what LoRA and MasaCtrl add, over their knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from gooddrag.plots.base import HANDLE, WITH, draw_image, figure, plain_log_ticks
from gooddrag.plots.features import draw_heat


def knob(panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str = "") -> Figure:
    """Numbers over the settings of one knob: a thin line per edit, the median as a thick one.

    Args:
        panels: title -> {setting: one number per edit}; the settings in the order of the axis.
    """
    fig, axes = figure(len(panels), 1, size=3.0, aspect=0.85)
    for ax, (title, settings) in zip(axes[0], panels.items(), strict=True):
        values = np.array(list(settings.values()), float)  # (settings, edits)
        x = np.arange(len(values))
        ax.plot(x, values, color="#b9c6da", lw=0.8)
        ax.plot(x, np.median(values, axis=1), "o-", color=WITH, lw=2, ms=5)
        wide = values.min() > 0 and values.max() > 4 * values.min()
        ax.set(title=title, xticks=x, xlabel=xlabel, yscale="log" if wide else "linear")
        ax.set_xticklabels(list(settings), rotation=30, ha="right")
        if wide:
            plain_log_ticks(ax.yaxis, (1, 2, 5))
    return fig


def errors(original: Image.Image, images: Mapping[str, Image.Image], limit: float = 0.1,
           label: str = "difference") -> Figure:  # fmt: skip
    """Pictures, and below each how far it is from the original (mean over the colours, images in [0, 1])."""
    fig, axes = figure(len(images), 2, 2.2)
    fig.set_figwidth(fig.get_figwidth() + 0.9)  # of the colour bar
    before = np.asarray(original, float) / 255
    for column, (title, image) in zip(axes.T, images.items(), strict=True):
        draw_image(column[0], image, title)
        shown = column[1].imshow(np.abs(np.asarray(image, float) / 255 - before).mean(axis=2), cmap="magma",
                                 vmin=0, vmax=limit)  # fmt: skip
        column[1].set_axis_off()
    fig.colorbar(shown, ax=axes.ravel().tolist(), label=label, shrink=0.5, anchor=(0, 0))
    return fig


def looks_at(images: Mapping[str, tuple[Image.Image, tuple[float, float] | None, np.ndarray | None]]) -> Figure:
    """Where a place looks: title -> picture, place (x, y) or None, attention (h, w) over the picture or None."""
    fig, axes = figure(len(images), 1, 2.4)
    for ax, (title, (image, place, attention)) in zip(axes[0], images.items(), strict=True):
        if attention is None:
            draw_image(ax, image, title)
        else:
            draw_heat(ax, image, attention, title)
        if place is not None:
            ax.plot(*place, "o", color=HANDLE, ms=7, mec="white", mew=1)
    return fig
