"""What every figure is made of: images, points, masks, panels, sheets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gooddrag.result import DragResult
    from gooddrag.sample import Sample

HANDLE, TARGET, ARROW = "#e62828", "#285aeb", "white"
WITHOUT, WITH = "#e07b00", "#1f5fbf"  # one of the paper's ideas: its orange and blue (Fig. 14b)
STYLE = "gooddrag.paper"


def draw_image(ax: Axes, image: Image.Image, title: str = "") -> None:
    """An image with its title and without axes."""
    ax.imshow(np.asarray(image), interpolation="nearest" if min(image.size) < 400 else "antialiased")
    ax.set_title(title)
    ax.set_axis_off()


def draw_points(ax: Axes, points: np.ndarray) -> None:
    """Handles (red), targets (blue) and the arrows between them; points (l, 2, 2) in pixels of the axes' image."""
    dark = [withStroke(linewidth=3.5, foreground="#00000080")]
    for handle, target in np.asarray(points):
        ax.annotate("", xy=target, xytext=handle,
                    arrowprops=dict(arrowstyle="-|>", color=ARROW, lw=1.6, shrinkA=0, shrinkB=0,
                                    path_effects=dark))  # fmt: skip
        ax.plot(*target, "o", color=TARGET, ms=6, mec="white", mew=0.8)
        ax.plot(*handle, "o", color=HANDLE, ms=6, mec="white", mew=0.8)


def draw_mask(ax: Axes, mask: np.ndarray | None) -> None:
    """Darken what may not change; mask (H, W), True where editable."""
    if mask is not None:
        veil = np.zeros((*mask.shape, 4))
        veil[~mask] = (0.05, 0.05, 0.1, 0.45)
        ax.imshow(veil, interpolation="nearest")


def draw_user_edit(ax: Axes, sample: Sample, title: str = "user edit") -> None:
    """The picture as the user marked it: mask, handles, targets."""
    draw_image(ax, sample.image, title)
    draw_mask(ax, sample.mask)
    draw_points(ax, sample.points)


def draw_path(ax: Axes, path: np.ndarray) -> None:
    """Where the handles went: (n + 1, l, 2) in pixels of the axes' image, as in `DragResult.path`."""
    for i in range(path.shape[1]):
        ax.plot(path[:, i, 0], path[:, i, 1], "-", color=HANDLE, lw=1.4, path_effects=[
            withStroke(linewidth=3, foreground="#ffffffa0")])  # fmt: skip
        ax.plot(*path[-1, i], "o", color=HANDLE, ms=5, mec="white", mew=0.8)


def draw_quartiles(ax: Axes, x: Sequence[float], values: ArrayLike, colour: str, alpha: float = 0.15, **line) -> None:
    """The median of values (len(x), n) as a line over x, in the band between its quartiles.

    Args:
        alpha: of the band. line: of `Axes.plot`.
    """
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=1)
    ax.plot(x, middle, color=colour, **line)
    ax.fill_between(x, low, high, color=colour, alpha=alpha, lw=0)


def plain_log_ticks(axis: Axis, digits: Sequence[float]) -> None:
    """Plain numbers at these digits of every decade of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def figure(columns: int, rows: int = 1, size: float = 2.4, aspect: float = 1.0) -> tuple[Figure, np.ndarray]:
    """A grid of equal panels in the project's style, not bound to any window or notebook.

    Args:
        size: width of a panel in inches; aspect: its height by its width.

    Returns:
        The figure, and its axes as an array (rows, columns).
    """
    with style.context(STYLE):
        fig = Figure(figsize=(columns * size, rows * (size * aspect + 0.3)), layout="constrained")
        return fig, fig.subplots(rows, columns, squeeze=False)


def edit_overview(result: DragResult) -> Figure:
    """Before, user edit, after (with the handles' path) and, where it is known, the truth."""
    sample = result.sample
    width, height = sample.image.size
    fig, axes = figure(4 if sample.truth else 3, aspect=height / width)
    axes = axes[0]
    draw_image(axes[0], sample.image, "before")
    draw_user_edit(axes[1], sample)
    draw_image(axes[2], result.image, f"after ({result.model.label})")
    draw_path(axes[2], result.path)
    if sample.truth:
        draw_image(axes[3], sample.truth, "truth")
    return fig


def contact_sheet(images: Sequence[Image.Image], columns: int, gap: int = 4) -> Image.Image:
    """Images of one size in a grid, row by row."""
    width, height = images[0].size
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * (width + gap), i // columns * (height + gap)))
    return sheet
