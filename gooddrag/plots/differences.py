"""What the differences between paper and released code do to an edit (notebook 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator

from gooddrag.plots.base import STYLE

if TYPE_CHECKING:
    from experiments.studies.differences import Effect

COLOURS = {"better": "#2471a3", "worse": "#c0392b", "": "0.25"}
QUIET = "0.65"
PANELS = {  # number of a record -> title, and how it is held against the released settings' one
    "apart": ("apart,\ngrey levels", "itself"),
    "truth": ("error to the truth,\nchange", "difference"),
    "damage": ("damage outside,\nratio", "ratio"),
    "dai": ("DAI,\nratio", "ratio"),
    "left_px": ("way left,\nchange in px", "difference"),
    "seconds": ("time,\nratio", "ratio"),
}


def draw_changes(ax: Axes, values: Sequence[np.ndarray], chance: np.ndarray, centre: float,
                 colours: Sequence[str]) -> None:  # fmt: skip
    """A row per switch: one dot an edit, a bar at the median; grey: how far chance alone reaches on these edits.

    Args:
        values: (edits,) per row, from top to bottom.
        chance: (edits,) of the released settings with another seed.
        centre: the value of the released settings.
        colours: of the rows.
    """
    reach = [centre, *chance]
    ax.axvspan(min(reach), max(reach), color="0.9", lw=0, zorder=0)
    ax.axvline(centre, color="0.5", lw=1, ls="--", zorder=1)
    for y, (row, colour) in enumerate(zip(values, colours, strict=True)):
        ax.plot(row, np.full(len(row), y), "o", ms=3.5, color=colour, alpha=0.45, mew=0)
        ax.plot([np.median(row)] * 2, [y - 0.32, y + 0.32], color=colour, lw=2.2)
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.grid(False, axis="y")


def difference_effects(found: Sequence[Effect], records: Sequence[dict[str, Any]], chance: str = "another seed",
                       released: str = "released") -> Figure:  # fmt: skip
    """Every switch's effect on every number: switches down, numbers across. Blue is better, red is worse, black has no
    direction, light grey has none either and does no more than chance.

    Args:
        found: from `studies.differences.effects`.
        records: the study's.
        chance, released: the ways that give the grey band and the dashed line.
    """
    labels = [("" if e.row is None else f"row {e.row}: ") + e.way.replace(", ", ",\n") for e in found]
    colours = [COLOURS[e.leaning] if e.loud or e.leaning else QUIET for e in found]
    with style.context(STYLE):
        fig = Figure(figsize=(1.75 * len(PANELS) + 2.3, 0.4 * len(labels) + 1.0), layout="constrained")
        axes = fig.subplots(1, len(PANELS), sharey=True, squeeze=False)[0]
        for ax, (key, (title, how)) in zip(axes, PANELS.items(), strict=True):
            values = {way: _numbers(records, way, key) for way in [e.way for e in found] + [chance, released]}
            base = values.pop(released)
            if how != "itself":
                values = {way: v - base if how == "difference" else v / base for way, v in values.items()}
            band = values.pop(chance)
            draw_changes(ax, list(values.values()), band, float(how == "ratio"), colours)
            if how != "difference":
                ax.set_xscale("log" if how == "ratio" else "symlog")
                low, high = ax.get_xlim()
                digits = (1, 2, 5) if how == "ratio" and high < 50 * low else (1,)
                ax.xaxis.set_major_locator(LogLocator(subs=digits) if how == "ratio" else FixedLocator((0, 1, 10, 50)))
                ax.xaxis.set_major_formatter("{x:g}")
                ax.minorticks_off()
            ax.margins(x=0.08)
            ax.set_title(title)
        axes[0].set_yticks(range(len(labels)), labels)
    return fig


def _numbers(records: Sequence[dict[str, Any]], way: str, key: str) -> np.ndarray:
    return np.array([record[key] for record in records if record["way"] == way], dtype=float)
