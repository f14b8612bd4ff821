"""Figures of notebook 04: the schedules as they ran, with and without alternation, the walk beside the manifold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gooddrag.plots.ablation import errors
from gooddrag.plots.base import (
    HANDLE,
    TARGET,
    WITH,
    WITHOUT,
    draw_image,
    draw_points,
    draw_user_edit,
    figure,
    plain_log_ticks,
)

if TYPE_CHECKING:
    from gooddrag.sample import Sample

ONCE, ALTERNATE = WITHOUT, WITH  # all at once, alternating: in every figure of the notebook


def schedules(walks: Mapping[str, Sequence[Any]]) -> Figure:
    """Fig. 3 from the recorded runs: the level t of every drag operation (red) and denoising step (blue), in order.

    Args:
        walks: title -> steps, each with `kind` ("drag" or "denoise") and the level `t` after it.
    """
    fig, axes = figure(1, len(walks), size=7.2, aspect=0.25)
    for ax, (title, walk) in zip(axes[:, 0], walks.items(), strict=True):
        for kind, colour, label in (("drag", HANDLE, "drag operation $g_k$"), ("denoise", TARGET, "denoising $f_t$")):
            at = [i for i, step in enumerate(walk, start=1) if step.kind == kind]
            ax.plot(at, [walk[i - 1].t for i in at], "o" if kind == "drag" else "s", ms=3.4, color=colour, label=label)
        ax.set(title=title, ylabel="level t", ylim=(-1.5, max(step.t for step in walk) + 3))
    axes[0, 0].legend(loc="lower left")
    axes[-1, 0].set_xlabel("steps in the order in which they were computed")
    return fig


def image_grid(rows: Sequence[Sequence[tuple[str, Image.Image | Sample]]], size: float = 2.0,
               targets: np.ndarray | None = None,
               window: tuple[int, int, int, int] | None = None) -> Figure:  # fmt: skip
    """Rows of titled panels; a `Sample` is drawn as the user marked it.

    Args:
        targets: (l, 2) (x, y), marked by a ring in every panel that is an image.
        window: (left, top, right, bottom), the part to show of all panels, such as `edited_window` gives; default: all.
    """
    columns = max(map(len, rows))
    fig, axes = figure(columns, len(rows), size)
    for row, line in zip(rows, axes, strict=True):
        for ax in line[len(row) :]:
            ax.set_axis_off()
        for ax, (title, picture) in zip(line, row, strict=False):
            if not isinstance(picture, Image.Image):
                draw_user_edit(ax, picture, title)
            else:
                draw_image(ax, picture, title)
            if window is not None:
                left, top, right, bottom = window
                ax.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
            if targets is not None and isinstance(picture, Image.Image):
                ax.plot(*np.asarray(targets).T, "o", mfc="none", mec="white", mew=2.4, ms=9)
                ax.plot(*np.asarray(targets).T, "o", mfc="none", mec=TARGET, mew=1.2, ms=9)
    return fig


def edited_window(sample: Sample, margin: float = 0.1) -> tuple[int, int, int, int]:
    """The smallest square window of the picture, (left, top, right, bottom), that holds its mask and its points, wider
    by `margin` on each side; as much of it as fits.
    """
    marks = sample.points.reshape(-1, 2)
    if sample.mask is not None and sample.mask.any():
        rows, columns = np.nonzero(sample.mask)
        marks = np.concatenate([marks, np.stack([columns, rows], 1)])
    low, high = marks.min(0), marks.max(0) + 1
    half, whole = (high - low).max() * (0.5 + margin), np.array(sample.image.size)
    size = np.minimum(np.ceil(2 * half), whole)
    corner = np.clip(np.floor((low + high - size) / 2), 0, whole - size)
    return tuple(int(v) for v in (*corner, *(corner + size)))


def change_maps(sample: Sample, images: Mapping[str, Image.Image], limit: float = 0.3) -> Figure:
    """`errors` of each result against the page, with the points, and the mask as an outline: what lies outside it was
    not to change.
    """
    fig = errors(sample.image, images, limit, "change")
    draw_points(fig.axes[0], sample.points)
    if sample.mask is not None:
        for ax in fig.axes[len(images) : 2 * len(images)]:  # the lower row
            ax.contour(sample.mask, [0.5], colors="white", linewidths=0.9)
    return fig


def ruler(values: Mapping[str, Sequence[float]]) -> Figure:
    """The distance on the ruler of several kinds of picture, one dot per page; 1 is the page itself."""
    fig, axes = figure(1, 1, size=6.4, aspect=0.36)
    ax = axes[0, 0]
    for i, dots in enumerate(values.values()):
        ax.plot(dots, [i] * len(dots), "o", ms=5, alpha=0.7, color=ALTERNATE if i == 0 else HANDLE)
        ax.plot(np.median(dots), i, "|", ms=18, mew=2.5, color="black")
    ax.axvline(1, color="black", lw=0.8)
    ax.set(yticks=range(len(values)), yticklabels=list(values), xlabel="distance, the page itself = 1")
    ax.invert_yaxis()
    return fig


def manifold_walks(maps: Mapping[str, np.ndarray], kinds: Mapping[str, Sequence[str]],
                   distances: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:  # fmt: skip
    """Fig. 1, measured. Left: the walks on one plane. Right: the distance from the manifold along each.

    Args:
        maps: name -> (n, 2), as from `studies.aldd.flat_map`.
        kinds: name -> "drag" or "denoise" for each of those n steps.
        distances: name -> (numbers of the measured steps, their distances, unedited = 1).
    """
    fig, axes = figure(2, 1, size=4.2, aspect=0.75)
    left, right = axes[0]
    for colour, (name, points) in zip((ONCE, ALTERNATE), maps.items(), strict=True):
        points, style = np.vstack([[0, 0], points]), "--" if colour == ONCE else "-"
        left.plot(*points.T, style, color=colour, lw=1.2, label=name)
        dragged = np.array([kind == "drag" for kind in kinds[name]])
        left.plot(*points[1:][dragged].T, ".", color=colour, ms=4)
        left.plot(*points[-1], "s", color=colour, ms=7, mec="white")
        at, values = distances[name]
        right.plot(at, values, style, color=colour, lw=1.6, label=name)
        right.plot([i for i in at if dragged[i - 1]], [v for i, v in zip(at, values, strict=True) if dragged[i - 1]],
                   "o", color=colour, ms=4)  # fmt: skip
    left.plot(0, 0, "o", color="black", ms=7)
    left.plot(1, 0, "*", color="#3a9b4b", ms=14)
    left.plot([], [], "s", color="grey", label="end")
    left.annotate("page", (0, 0), (4, 6), textcoords="offset points")
    left.annotate("truth", (1, 0), (-10, 9), textcoords="offset points")
    left.set(xlabel="along the true edit", ylabel="beside it", title="where the walks go")
    left.legend(loc="lower center")
    right.axhline(1, color="black", lw=0.8)
    right.set(xlabel="step (dots: drag operations)", ylabel="distance, unedited = 1", title="how far off the manifold")
    right.legend()
    return fig


def _dots(ax: Axes, first: np.ndarray, second: np.ndarray, log: bool) -> None:
    order = np.argsort(second)
    rows = np.arange(len(order))
    better = first[order] < second[order]
    for row, a, b, good in zip(rows, first[order], second[order], better, strict=True):
        ax.plot([a, b], [row, row], "-", lw=1.6, color="#3a9b4b" if good else "#c9c9c9", zorder=1)
    ax.plot(second[order], rows, "o", color=ONCE, ms=5)
    ax.plot(first[order], rows, "o", color=ALTERNATE, ms=5)
    ax.set(yticks=[])
    ax.grid(axis="y", visible=False)
    if log:
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis, (1, 3))


def duel(panels: Mapping[str, tuple[Sequence[float], Sequence[float]]], first: str, second: str,
         log: bool = True) -> Figure:  # fmt: skip
    """Two ways on the same edits: one line per edit, green where the first way (blue dot) is the lower one.

    Args:
        panels: title -> (numbers of the first way, of the second), edit by edit; lower is better.
    """
    fig, axes = figure(len(panels), 1, size=3.1, aspect=0.85)
    for ax, (title, (a, b)) in zip(axes[0], panels.items(), strict=True):
        a, b = np.asarray(a, float), np.asarray(b, float)
        low, high = min(a.min(), b.min()), max(a.max(), b.max())
        _dots(ax, a, b, log and 0 < 3 * low < high)
        ax.set(title=title)
    axes[0, 0].set_ylabel("edits")
    axes[0, 0].plot([], [], "o", color=ALTERNATE, label=first)
    axes[0, 0].plot([], [], "o", color=ONCE, label=second)
    axes[0, 0].legend(loc="lower right")
    return fig
