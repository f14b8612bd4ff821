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
    return fill((ROOT / "README.md").read_text(encoding="utf-8"), "claims", claims_table(claims))


if __name__ == "__main__":
    readme = filled_readme()
    (ROOT / "README.md").write_text(readme, encoding="utf-8")
