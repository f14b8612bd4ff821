"""Write the tables that README shows from the files they stand for: python scripts/readme_tables.py"""

from __future__ import annotations

import json
import re
from pathlib import Path

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
    text = fill((ROOT / "README.md").read_text(encoding="utf-8"), "claims", claims_table(claims))
    return fill(text, "edits", edits_table(report))


if __name__ == "__main__":
    readme = filled_readme()
    (ROOT / "README.md").write_text(readme, encoding="utf-8")
