"""The claims ledger, notebooks/claims.json: the rows that kept results decide, filled from their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.keep import read
from experiments.studies.verdicts import RULES
from gooddrag.files import atomic_file


def fill(ledger: str | Path, results: str | Path) -> list[str]:
    """Write verdict, figures and file of every claim that has a rule and a file of kept results.

    A claim without a file stays as it is. A claim whose file holds too few edits for a verdict is "untested".

    Returns:
        One line per claim that was filled.
    """
    ledger, results = Path(ledger), Path(results)
    book = json.loads(ledger.read_text(encoding="utf-8"))
    lines = []
    for claim in book["claims"]:
        if claim["id"] not in RULES or not (file := results / RULES[claim["id"]][0]).is_file():
            continue
        data, model, weights = _evidence(file)
        verdict = RULES[claim["id"]][1](data)
        tested = verdict.verdict != "untested"
        claim |= {"where": f"{results.name}/{file.name}" if tested else "", "model": model if tested else "",
                  "weights": weights if tested else "",
                  "ours": verdict.ours, "verdict": verdict.verdict, "why": verdict.why}  # fmt: skip
        lines.append(f"{claim['id']}: {verdict}")
    rows = ",\n".join(f"    {json.dumps(claim, ensure_ascii=False)}" for claim in book["claims"])
    text = f'{{\n  "about": {json.dumps(book["about"], ensure_ascii=False)},\n  "claims": [\n{rows}\n  ]\n}}\n'
    with atomic_file(ledger) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return lines


def _evidence(file: Path) -> tuple[Any, str, str]:
    """What a file of kept results, or a table of the benchmark, holds; the model that made it, and its weights."""
    if file.suffix == ".csv":
        from gooddrag import benchmark  # pandas

        table = benchmark.read(file)
        return table, table["model"].iloc[0], table["weights"].iloc[0]
    record = read(file)
    return record["data"], record["model"], record["weights"]
