"""Figures of the cost model: where time and memory go, prediction beside measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import style
from matplotlib.figure import Figure

from gooddrag.plots.base import STYLE, TARGET

OURS, OTHER = TARGET, "#b8bcc8"


def cost_bars(report: Mapping) -> Figure:
    """Processor time of every phase of a `cost.profile` report, beside what its U-Net calls alone would take."""
    rows = {k: v for k, v in report["phases"].items() if v["forwards"]}
    with style.context(STYLE):
        fig = Figure(figsize=(6.5, 0.45 * len(rows) + 0.9), layout="constrained")
        ax = fig.subplots()
        for i, row in enumerate(rows.values()):
            ax.barh(i - 0.2, row["cpu_seconds"], 0.38, color=OURS, label="measured" if i == 0 else None)
            ax.barh(i + 0.2, row["cpu_seconds"] / row["cpu_ratio"], 0.38, color=OTHER,
                    label="its bare U-Net calls" if i == 0 else None)  # fmt: skip
        ax.set_yticks(range(len(rows)), list(rows))
        ax.invert_yaxis()
        ax.set_xlabel("seconds of processor time")
        ax.legend(frameon=False)
        return fig


def memory_bars(plans: Mapping[str, Mapping[str, int]], limits: Mapping[str, float]) -> Figure:
    """Bytes at the fullest moment of each phase, one group of bars a plan; dashed lines at `limits` (GB)."""
    phases = list(next(iter(plans.values())))
    with style.context(STYLE):
        fig = Figure(figsize=(6.5, 2.8), layout="constrained")
        ax = fig.subplots()
        width = 0.8 / len(plans)
        for j, (name, plan) in enumerate(plans.items()):
            x = [i + (j - (len(plans) - 1) / 2) * width for i in range(len(phases))]
            bars = ax.bar(x, [plan[p] / 1e9 for p in phases], width * 0.94, color=(OURS, OTHER)[j % 2], label=name)
            ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        for label, limit in limits.items():
            ax.axhline(limit, color="black", lw=0.8, ls="--")
            ax.text(len(phases) - 0.55, limit, label, va="bottom", ha="right", fontsize=8)
        ax.set_xticks(range(len(phases)), phases)
        ax.set(ylabel="GB", ylim=(0, 1.15 * max([*limits.values(), *(max(p.values()) / 1e9 for p in plans.values())])))
        ax.legend(frameon=False, loc="upper left", ncols=len(plans))
        return fig


def growth(x: Sequence[float], passes: Sequence[float], label: str) -> Figure:
    """Passes against what was asked for, with the line through the origin and the last point."""
    with style.context(STYLE):
        fig = Figure(figsize=(3.6, 2.6), layout="constrained")
        ax = fig.subplots()
        ax.plot([0, x[-1]], [0, passes[-1]], "--", color=OTHER)
        ax.plot(x, passes, "o", color=OURS)
        ax.set(xlabel=label, ylabel="forward + backward passes", xlim=(0, None), ylim=(0, None))
        return fig


def pareto(rows: Mapping[str, Mapping], most_cost: float, most_error: float) -> Figure:
    """Cost against error to the truth, both as shares of the default's; green: what a preset may be.

    Args:
        rows: candidate -> its `edit_share` and `error_share`, as benchmarks/pareto.py sums them up.
    """
    with style.context(STYLE):
        fig = Figure(figsize=(7.5, 3.8), layout="constrained")
        ax = fig.subplots()
        names = sorted(rows, key=lambda name: rows[name]["edit_share"])
        for number, name in enumerate(names, start=1):
            x, y = rows[name]["edit_share"], rows[name]["error_share"]
            inside = x <= most_cost and y <= most_error
            ax.plot(x, y, "o", color=OURS if inside or name == "default" else OTHER, label=f"{number} {name}")
            ax.annotate(str(number), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=8)
        low, high = (f(rows[name]["error_share"] for name in names) for f in (min, max))
        ax.set(xlabel="U-Net passes of a whole edit, default = 1", ylabel="error to the truth, default = 1",
               xlim=(0, None), ylim=(min(low, most_error) - 0.05, max(high, most_error) + 0.05))  # fmt: skip
        ax.fill_between([0, most_cost], ax.get_ylim()[0], most_error, color="#e8f0e4", zorder=0)
        fig.legend(
            *ax.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=7, handlelength=1
        )
        return fig
