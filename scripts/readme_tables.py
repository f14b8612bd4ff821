"""Write the tables that README shows from the files they stand for: python scripts/readme_tables.py"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gooddrag import benchmark
from gooddrag.metrics import GAMMAS, Interval

if TYPE_CHECKING:
    from pandas import DataFrame

ROOT = Path(__file__).parents[1]
VERDICTS = ("reproduced", "partly", "not reproduced", "untested")


def claims_table(claims: list[dict]) -> str:
    """The claims ledger as a markdown table."""
    rows = ["| paper | claim | the paper's figure | ours | verdict |", "|---|---|---|---|---|"]
    for c in claims:
        ours = f"{c['ours']} ({c['model']}; {c['where']})" if c["ours"] else ""
        verdict = f"**{c['verdict']}**" + (f": {c['why']}" if c["why"] else "")
        rows.append(f"| {c['source']} | {c['claim']} | {c['paper']} | {ours} | {verdict} |")
    return "\n".join(rows)


def edits_table(report: dict) -> str:
    """The run of storybook edits, one row per variant of the settings."""
    columns = {
        "edits": lambda s: s["edits"],
        "error to the truth below half of the unedited page's": lambda s: s["below_half"],
        "below it": lambda s: s["below_one"],
        "median": lambda s: s["median_ratio"],
        "damage outside the mask (median)": lambda s: f"{s['median_damage_outside']:.5f}",
        "all handles within 3 px": lambda s: s["handles_within_3px"],
        "LoRA": lambda s: f"{s['median_lora_seconds']:.0f} s",
        "drag": lambda s: f"{s['median_drag_seconds']:.0f} s",
    }
    rows = [f"Model `{report['model']}`, weights {report['weights']}; {report['machine']}.", ""]
    rows += [f"| settings | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, summary in report["summary"].items():
        rows.append(f"| {name} | {' | '.join(str(column(summary)) for column in columns.values())} |")
    return "\n".join(rows)


def methods_table(table: DataFrame) -> str:
    """Storybook100: one row per method, means over the edits, the paper's DAI beside ours; medians of what it cost."""
    about, cost = table.iloc[0], benchmark.costs(table)
    n, failed = table["sample"].nunique(), (table["state"] != "done").sum()
    machines = ", ".join(table["machine"].unique())
    rows = [f"{n} edits, {failed} failed; model `{about.model}`, weights {about.weights}; {machines}.", ""]
    dai = [f"DAI, radius {gamma}" for gamma in GAMMAS]
    columns = [*dai, "error to the truth inside the mask", "damage outside it", "MD, px", "edit, s", "U-Net calls"]
    rows += [f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for method in table["method"].unique():
        published = benchmark.TABLE_1.get(method, (None,) * len(GAMMAS))
        cells = [number(benchmark.mean(table, method, f"dai_{gamma}"), 4) + (f" (paper {paper:.4f})" if paper else "")
                 for gamma, paper in zip(GAMMAS, published, strict=True)]  # fmt: skip
        measures = {"truth_error_inside_mask": 4, "damage_outside_mask": 5, "md": 1}
        cells += [number(benchmark.mean(table, method, column), digits) for column, digits in measures.items()]
        cells += [f"{cost.loc[method, 'edit_seconds']:.0f}", f"{cost.loc[method, 'unet_calls']:.0f}"]
        rows.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(rows)


def ratios_table(table: DataFrame, first: str = "GoodDrag") -> str:
    """Storybook100: the first method's means divided by the others', with the paired bootstrap interval."""
    others = [m for m in table["method"].unique() if m not in (first, "Unedited", "Copy-paste")]
    columns = {**{f"dai_{g}": f"DAI, radius {g}" for g in GAMMAS}, "truth_error_inside_mask": "error to the truth",
               "damage_outside_mask": "damage outside the mask"}  # fmt: skip
    rows = [f"| {first} divided by | {' | '.join(columns.values())} | nearer to the truth |",
            "|---" * (len(columns) + 2) + "|"]  # fmt: skip
    for other in others:
        try:
            found = {column: benchmark.compare(table, first, other, column) for column in columns}
        except ValueError:  # an edit without a value: no mean, no ratio
            rows.append(f"| {other} |{' - |' * (len(columns) + 1)}")
            continue
        cells = [f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for _, r in found.values()]
        wins, _ = found["truth_error_inside_mask"]
        rows.append(f"| {other} | {' | '.join(cells)} | {wins.wins} of {wins.n} |")
    for other, published in benchmark.TABLE_1.items():
        if other != first:
            cells = [f"{a / b:.2f}" for a, b in zip(benchmark.TABLE_1[first], published, strict=True)]
            rows.append(f"| {other}, in the paper | {' | '.join(cells)} | | | |")
    return "\n".join(rows)


def number(mean: Interval | None, digits: int) -> str:
    """A mean, or a dash where an edit has none."""
    return "-" if mean is None else f"{mean.value:.{digits}f}"


def fill(text: str, name: str, table: str) -> str:
    """README's text with the table between its two markers replaced."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    new, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.S)
    if count != 1:
        raise ValueError(f"README.md: {count} places for {name!r}; expected one pair of markers")
    return new


def filled_readme() -> str:
    """README as it should be."""
    claims = json.loads((ROOT / "notebooks" / "claims.json").read_text(encoding="utf-8"))["claims"]
    report = json.loads((ROOT / "results" / "storybook_released.json").read_text(encoding="utf-8"))
    # Until the full run has been made its two places stay empty.
    tables = {"claims": claims_table(claims), "edits": edits_table(report)}
    if (file := ROOT / "results" / "storybook100.csv").exists():
        table = benchmark.read(file)
        tables |= {"methods": methods_table(table), "ratios": ratios_table(table)}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, filled in tables.items():
        text = fill(text, name, filled)
    return text


if __name__ == "__main__":
    readme = filled_readme()
    (ROOT / "README.md").write_text(readme, encoding="utf-8")
