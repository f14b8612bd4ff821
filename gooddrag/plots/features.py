"""Pictures of U-Net features, of what supervises them and of what tracks them (Eq. 4-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from gooddrag.plots.base import ARROW, HANDLE, TARGET, draw_image, draw_quartiles, figure


def feature_grid(maps: Sequence[Sequence[np.ndarray]], rows: Sequence[str], columns: Sequence[str],
                 size: float = 1.5) -> Figure:  # fmt: skip
    """Feature maps as pictures, one row a block, one column a time step; maps[i][j] (h, w, 3) in [0, 1]."""
    fig, axes = figure(len(columns), len(rows), size)
    for i, row in enumerate(maps):
        for j, rgb in enumerate(row):
            ax = axes[i, j]
            ax.imshow(rgb, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        axes[i, 0].set_ylabel(rows[i])
    for ax, title in zip(axes[0], columns, strict=True):
        ax.set_title(title)
    return fig


def matching_errors(errors: Mapping[str, Mapping[int, np.ndarray]], unedited: float) -> Figure:
    """How far from the true target the best match of the handle's feature lies: block -> level -> (pairs,) px.

    Args:
        unedited: median distance between handle and target: what "it has not moved" would give.
    """
    fig, axes = figure(1, size=4.6, aspect=0.6)
    ax = axes[0, 0]
    for i, (block, by_level) in enumerate(errors.items()):
        values = np.stack(list(by_level.values()))  # (levels, pairs)
        draw_quartiles(ax, list(by_level), values, f"C{i}", 0.12, marker="o", ms=4, label=block)
    ax.axhline(unedited, color="0.4", lw=1, ls="--", label="no better than staying")
    ax.set(xlabel="level t", ylabel="px from the true target", ylim=(0, None), title="who finds the moved point?")
    ax.legend(fontsize=8)
    return fig


def draw_square(ax: Axes, centre: Sequence[float], radius: float, colour: str, label: str = "") -> None:
    """Omega(centre, radius) as a frame; centre (x, y) and radius in pixels of the axes' image."""
    corner = (centre[0] - radius - 0.5, centre[1] - radius - 0.5)
    side = 2 * radius + 1
    ax.add_patch(Rectangle(corner, side, side, fill=False, ec="white", lw=3, alpha=0.7))
    ax.add_patch(Rectangle(corner, side, side, fill=False, ec=colour, lw=1.5, label=label))


def draw_heat(ax: Axes, image: Image.Image, heat: np.ndarray, title: str = "") -> None:
    """A map (h, w) over the picture in grey, stretched to its size; strong colours are large values."""
    width, height = image.size
    ax.imshow(np.asarray(image.convert("L")), cmap="gray", vmin=-255, vmax=510)
    ax.imshow(heat, cmap="magma", alpha=0.65, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def draw_distance_map(ax: Axes, distance: np.ndarray, corner: Sequence[int], handle: Sequence[float],
                      title: str = "", limits: tuple[float | None, float | None] = (None, None)) -> None:  # fmt: skip
    """A tracking window (R, S) on the supervision grid: old handle (cross), nearest feature (dot); all (x, y).

    Args:
        limits: of the colours; default: the map's own.
    """
    rows, columns = distance.shape
    x, y = corner
    low, high = limits
    extent = (x - 0.5, x + columns - 0.5, y + rows - 0.5, y - 0.5)
    ax.imshow(distance, cmap="viridis", extent=extent, vmin=low, vmax=high)
    ax.plot(*handle, "x", color=ARROW, ms=8, mew=2)
    row, column = divmod(int(distance.argmin()), columns)
    ax.plot(x + column, y + row, "o", color=HANDLE, ms=7, mec="white", mew=1)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(False)


def motion_step(
    image: Image.Image,
    ahead: Sequence[float],
    handle: Sequence[float],
    target: Sequence[float],
    radius: float,
    gradient: np.ndarray,
    maps: Sequence[tuple[str, np.ndarray, Sequence[int], Sequence[float]]],
) -> Figure:
    """One drag operation: the two patches, the gradient of the loss, the tracking windows.

    Args:
        image: the picture; handle, ahead (p + beta d), target (x, y) and radius in its pixels.
        gradient: (h, w), size of the loss's gradient at each latent cell.
        maps: (title, distance map, corner (x, y), old handle (x, y)), the last two on the supervision grid. The maps
            share one scale of colours.
    """
    fig, axes = figure(2 + len(maps), size=2.2)
    draw_image(axes[0, 0], image, "patch at p, patch ahead")
    draw_square(axes[0, 0], handle, radius, HANDLE)
    draw_square(axes[0, 0], ahead, radius, TARGET)
    axes[0, 0].annotate("", xy=target, xytext=handle, arrowprops=dict(arrowstyle="-|>", color=ARROW, lw=1.2))
    draw_heat(axes[0, 1], image, gradient, r"$|\partial L/\partial z_T|$")
    limits = (min(distance.min() for _, distance, *_ in maps), max(distance.max() for _, distance, *_ in maps))
    for ax, (title, distance, corner, old) in zip(axes[0, 2:], maps, strict=True):
        draw_distance_map(ax, distance, corner, old, title, limits)
    return fig


def handle_story(crops: Sequence[tuple[str, Image.Image]], distances: np.ndarray, to_go: np.ndarray) -> Figure:
    """What the handle looks like as it moves (upper row), and two curves over the drag operations.

    Args:
        crops: (title, picture around the handle).
        distances: (K, l) feature distance of each handle to the original one (Eq. 6's minimum).
        to_go: (K + 1, l) distance to the target in pixels.
    """
    fig, axes = figure(len(crops), 2, 1.6)
    for ax, (title, crop) in zip(axes[0], crops, strict=True):
        draw_image(ax, crop, title)
    grid = axes[1, 0].get_gridspec()
    for ax in axes[1]:
        ax.remove()
    half = (len(crops) + 1) // 2
    left, right = fig.add_subplot(grid[1, :half]), fig.add_subplot(grid[1, half:])
    left.plot(range(1, len(distances) + 1), distances, color="C0")
    left.set(xlabel="drag operation k", ylabel="L1", title="feature distance to the original handle", ylim=(0, None))
    right.plot(to_go, color="C1")
    right.set(xlabel="drag operation k", ylabel="px", title="distance to the target", ylim=(0, None))
    return fig
