"""Pictures of noising, inversion and reconstruction (Eq. 1-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from gooddrag.plots.base import draw_image, draw_quartiles, figure

Panel = tuple[str, Image.Image]


def picture_rows(rows: Sequence[Sequence[Panel]], size: float = 1.6) -> Figure:
    """Rows of (title, image), all rows equally long; size: width of a panel in inches."""
    width, height = rows[0][0][1].size
    fig, axes = figure(len(rows[0]), len(rows), size, height / width)
    for row, panels in zip(axes, rows, strict=True):
        for ax, (title, image) in zip(row, panels, strict=True):
            draw_image(ax, image, title)
    return fig


def signal_and_noise(alphas: Sequence[float], T: int) -> Figure:
    """Eq. 1's two factors over the levels t = 0 ... T_max, and the level T that editing starts from."""
    alpha = np.asarray(alphas)
    fig, axes = figure(1, size=4.6, aspect=0.5)
    ax = axes[0, 0]
    ax.plot(alpha**0.5, label=r"of the picture: $\sqrt{\alpha_t}$")
    ax.plot((1 - alpha) ** 0.5, label=r"of the noise: $\sqrt{1-\alpha_t}$")
    ax.axvline(T, color="0.4", lw=1, ls="--")
    ax.text(T, 0.02, f" T = {T}", color="0.4")
    ax.set(xlabel="level t", ylabel="share", title="what a latent is made of")
    ax.legend()
    return fig


def latent_channels(latents: Mapping[str, np.ndarray]) -> Figure:
    """A row per latent (C, h, w): its channels as grey pictures of one scale, and the histogram of its values."""
    channels = len(next(iter(latents.values())))
    fig, axes = figure(channels + 1, len(latents), 1.5)
    edges = np.linspace(-4, 4, 41)
    bell = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    for row, (name, z) in zip(axes, latents.items(), strict=True):
        for i, channel in enumerate(z):
            row[i].imshow(channel, cmap="gray", vmin=-3, vmax=3)
            row[i].set_axis_off()
        row[0].set_title(name)
        row[-1].hist(z.ravel(), edges, density=True, color="0.75")
        row[-1].plot(edges, bell, lw=1)
        row[-1].set(yticks=[], xticks=[-3, 0, 3])
        row[-1].grid(False)
    axes[0, -1].set_title("values; N(0, 1)")
    return fig


def draw_errors(ax: Axes, x: Sequence[float], errors: Mapping[str, np.ndarray]) -> None:
    """Reconstruction errors over x: name -> (len(x), pages), one line a name (median) in its quartiles."""
    for i, (name, values) in enumerate(errors.items()):
        draw_quartiles(ax, x, values, f"C{i}", marker="o", ms=4, label=name)
    ax.set_ylabel("error of the latent")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend()


def reconstruction_curves(
    levels: Sequence[int],
    by_level: Mapping[str, np.ndarray],
    steps: Sequence[int],
    by_steps: Mapping[str, np.ndarray],
    T: int,
) -> Figure:
    """What is lost on the way up and down: over the level T (left), over the number of steps T_max (right, log-log).

    Args:
        levels, steps: where it was measured.
        by_level, by_steps: name -> errors (len(levels), pages) and (len(steps), pages).
        T: the level to mark.
    """
    fig, axes = figure(2, size=4.0, aspect=0.7)
    left, right = axes[0]
    draw_errors(left, levels, by_level)
    left.axvline(T, color="0.4", lw=1, ls="--")
    left.set(xlabel="level T that the inversion reaches", ylim=(0, None), title="further up, more is lost")
    draw_errors(right, steps, by_steps)
    first = float(np.median(next(iter(by_steps.values()))[0]))
    ideal = first * np.asarray(steps[0]) / np.asarray(steps)
    right.plot(steps, ideal, color="0.4", lw=1, ls="--", label="Euler: 1 / steps")
    right.set(xscale="log", yscale="log", xlabel="number of steps T_max", title="finer steps, less is lost")
    right.set_xticks(steps, [str(n) for n in steps])
    marks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    right.set_yticks(marks, [f"{x:.0%}" for x in marks])  # a decade or less: powers of ten alone would leave it bare
    every = np.concatenate([*map(np.ravel, by_steps.values()), ideal])
    right.set_ylim(every.min() / 1.2, every.max() * 1.2)
    right.minorticks_off()
    right.legend()
    return fig


def paired_dots(groups: Mapping[str, np.ndarray], ylabel: str, log: bool = False) -> Figure:
    """One dot per page and way, the dots of a page joined; name -> (pages,)."""
    fig, axes = figure(1, size=1.3 * len(groups) + 1.2, aspect=2.6 / (1.3 * len(groups) + 1.2))
    ax, values = axes[0, 0], np.stack(list(groups.values()))
    ax.plot(values, color="0.7", lw=0.8)
    for i, row in enumerate(values):
        ax.plot(np.full(len(row), i), row, "o", ms=4, color=f"C{i}")
        ax.plot([i - 0.2, i + 0.2], [np.median(row)] * 2, color=f"C{i}", lw=2)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, xlim=(-0.5, len(groups) - 0.5), yscale="log" if log else "linear")
    return fig
