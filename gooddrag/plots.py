"""What the figures are made of: images, points, masks, paths, heatmaps, curves, sheets.

The same colours everywhere: handles red, targets blue, arrows white; one of the paper's ideas on: blue, off: orange;
distances of features in viridis, where dark is alike, and all other maps in magma, where bright is much. Images and
maps are shown with smooth interpolation. Points are (x, y) in pixels of the image that is shown.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.marks import ARROW, HANDLE, TARGET
from gooddrag.result import DragResult
from gooddrag.sample import Sample

WITHOUT, WITH, BETTER, WORSE = "#e07b00", "#1f5fbf", "#3a9b4b", "#c9c9c9"
STYLE = "gooddrag.paper"


def figure(columns: int, rows: int = 1, size: float = 2.4, aspect: float = 1.0) -> tuple[Figure, np.ndarray]:
    """A grid of equal panels in the project's style, `size` inches wide and `size * aspect` high, in no window: the
    figure, and its axes as an array (rows, columns).
    """
    with style.context(STYLE):
        fig = Figure(figsize=(columns * size, rows * (size * aspect + 0.3)), layout="constrained")
        return fig, fig.subplots(rows, columns, squeeze=False)


def draw_image(ax: Axes, image: Image.Image | np.ndarray, title: str = "") -> None:
    """An image (PIL, or (H, W, 3) in [0, 1]) with its title and without axes."""
    ax.imshow(np.asarray(image), interpolation="bicubic")
    ax.set_title(title, loc="left")
    ax.set_axis_off()


def draw_user_edit(ax: Axes, sample: Sample, title: str = "user edit") -> None:
    """The picture as the user marked it: handles, targets, arrows between them, darker what may not change."""
    draw_image(ax, sample.image, title)
    if sample.mask is not None:
        veil = np.full((*sample.mask.shape, 4), (0.05, 0.05, 0.1, 0.45))
        veil[sample.mask, 3] = 0
        ax.imshow(veil, interpolation="bilinear")
        if not sample.mask.all():
            ax.contour(sample.mask, [0.5], colors="white", linewidths=0.8)
    outline = [withStroke(linewidth=3.5, foreground="#00000080")]
    arrow = dict(arrowstyle="-|>", color=ARROW, lw=1.6, shrinkA=0, shrinkB=2, path_effects=outline)
    for handle, target in sample.points:
        ax.annotate("", xy=target, xytext=handle, arrowprops=arrow)
        for point, colour in ((target, TARGET), (handle, HANDLE)):
            ax.plot(*point, "o", color=colour, ms=6, mec="white", mew=0.8, zorder=5)  # above the arrows


def draw_rings(ax: Axes, targets: ArrayLike | None = None, handles: ArrayLike | None = None) -> None:
    """Targets (blue) and handles (red) as rings, which show what is under them; (l, 2) each."""
    for points, colour in ((targets, TARGET), (handles, HANDLE)):
        if points is not None:
            halo = [withStroke(linewidth=3, foreground="white")]
            ax.plot(*np.asarray(points).T, "o", mfc="none", mec=colour, mew=1.4, ms=7, path_effects=halo)


def draw_heat(ax: Axes, image: Image.Image, heat: np.ndarray, title: str = "", colours: str = "magma") -> None:
    """A map (h, w) of the whole image laid over it in grey; bright is large, also in `colours="viridis"`."""
    width, height = image.size
    ax.imshow(np.asarray(image.convert("L")), cmap="gray", vmin=-255, vmax=510, interpolation="bicubic")
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(heat, cmap=colours, alpha=0.65, extent=extent, interpolation="bilinear", zorder=1)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    ax.set_title(title, loc="left")
    ax.set_axis_off()


def draw_distance_map(ax: Axes, distance: np.ndarray, title: str = "", limits: tuple = (None, None)) -> AxesImage:
    """A tracking window (R, S) of Eq. 6: dark is near to the original feature, the dot is the minimum.

    `limits`: values of the darkest and the brightest colour, None for the map's own. Returns what a colour bar takes.
    """
    shown = ax.imshow(distance, cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="bilinear")
    row, column = np.unravel_index(distance.argmin(), distance.shape)
    ax.plot(column, row, "o", color=HANDLE, ms=7, mec="white", mew=1)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, loc="left")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return shown


def image_grid(rows: Sequence[Sequence[tuple[str, Image.Image | np.ndarray | Sample]]], size: float = 2.0) -> Figure:
    """Rows of (title, image), each panel `size` inches wide; a `Sample` in place of an image is drawn as marked."""
    picture = rows[0][0][1]
    height, width = np.shape(picture.image if isinstance(picture, Sample) else picture)[:2]
    fig, axes = figure(max(map(len, rows)), len(rows), size, height / width)
    for row, line in zip(rows, axes, strict=True):
        for ax in line[len(row) :]:
            ax.set_axis_off()
        for ax, (title, picture) in zip(line, row, strict=False):
            if isinstance(picture, Sample):
                draw_user_edit(ax, picture, title)
            else:
                draw_image(ax, picture, title)
    return fig


def edit_overview(result: DragResult) -> Figure:
    """User edit, the handles' paths on the picture before, after and, where it is known, the truth."""
    sample = result.sample
    panels = [("user edit", sample), ("paths of the handles", sample.image), ("after", result.image)]
    fig = image_grid([[*panels, *([("truth", sample.truth)] if sample.truth else [])]], 2.4)
    for track in result.path.transpose(1, 0, 2):
        halo = [withStroke(linewidth=3, foreground="#ffffffa0")]
        fig.axes[1].plot(*track.T, "-", color=HANDLE, lw=1.4, path_effects=halo)
        fig.axes[1].plot(*track[-1], "o", color=HANDLE, ms=5, mec="white", mew=0.8)
    return fig


def strip(result: DragResult, n: int = 5, size: float = 1.7) -> Figure:
    """The paper's Fig. 2: user edit, n intermediate pictures with the handle (red) on its way to the target (blue),
    result. An intermediate picture is what the noisy latent points to at that moment.
    """
    sample, history = result.sample, result.history
    picked = [history[i] for i in np.unique(np.linspace(0, len(history) - 1, n).astype(int))] if history else []
    guesses = [result.frame.to_image(result.model.decode_image(op.z0_hat)) for op in picked]
    titles = [f"k = {op.k}" for op in picked]
    fig = image_grid([[("user edit", sample), *zip(titles, guesses, strict=True), ("result", result.image)]], size)
    for ax, op in zip(fig.axes[1:], picked, strict=False):
        draw_rings(ax, sample.targets, op.handles)
    return fig


def curves(
    ax: Axes, x: Sequence[float], lines: Mapping[str, ArrayLike], colours: Sequence[str] = (WITHOUT, WITH), **style_of
) -> None:
    """Lines over x with a legend: values (len(x),), or (len(x), n), drawn as median and band between the quartiles.

    `lines`: name -> values. `colours`: in their order, then the style's own. `style_of`: passed to `Axes.plot`.
    """
    for i, (name, values) in enumerate(lines.items()):
        colour, values = colours[i] if i < len(colours) else f"C{i}", np.asarray(values, float)
        if values.ndim == 2:
            low, values, high = np.quantile(values, [0.25, 0.5, 0.75], axis=1)
            ax.fill_between(x, low, high, color=colour, alpha=0.16, lw=0)
        ax.plot(x, values, color=colour, label=name, **{"lw": 1.8, **style_of})
    ax.legend()


def plain_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, at 1 and 3 of a decade; at 1, 2 and 5 of a single one, and at 1 of many."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < 10 * low else (1, 3)
    axis.set_major_locator(LogLocator(subs=subs) if high < 200 * low else LogLocator(numticks=5))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def paired_dots(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]], first: str, second: str, units: Sequence[str] = ()
) -> Figure:
    """Two ways on the same edits: one line per edit, green where the first way (blue dot) is lower, which is better.

    Args:
        panels: title -> (numbers of the first way, of the second), edit by edit; sorted by the second, and on a
            logarithmic axis where all are positive.
        units: what stands below the axes, panel by panel.
    """
    many = len(next(iter(panels.values()))[0]) > 25
    fig, axes = figure(len(panels), size=3.1, aspect=1.15 if many else 0.85)
    for ax, (title, (a, b)) in zip(axes[0], panels.items(), strict=True):
        a, b = np.asarray(a, float), np.asarray(b, float)
        order = np.argsort(b)
        a, b, rows = a[order], b[order], np.arange(len(b))
        ax.hlines(rows, a, b, lw=1.8, colors=[BETTER if x < y else WORSE for x, y in zip(a, b, strict=True)], zorder=1)
        for values, colour, label in ((b, WITHOUT, second), (a, WITH, first)):
            ax.plot(values, rows, "o", color=colour, ms=3.2 if many else 4.5, label=label)
        ax.set(yticks=[])
        ax.set_title(title, loc="left")
        ax.grid(axis="y", visible=False)
        if min(a.min(), b.min()) > 0:
            ax.set_xscale("log")
            plain_ticks(ax.xaxis)
        else:
            ax.locator_params(axis="x", nbins=4)
    for ax, unit in zip(axes[0], units, strict=False):
        ax.set_xlabel(unit)
    axes[0, 0].set_ylabel("edits, sorted in each panel")
    for colour, name in ((BETTER, "is better"), (WORSE, "is not better")):
        axes[0, 0].plot([], [], "-", color=colour, lw=1.8, label=f"{first} {name}")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig
