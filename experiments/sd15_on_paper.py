"""What Stable Diffusion 1.5 needs at 512 x 512 in fp16, full and low: its passes counted on paper. About two minutes.

python benchmarks/sd15_on_paper.py          writes results/cost_sd15.json, which notebook 11 reads
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from gooddrag import cost
from gooddrag.files import atomic_file

OUT = Path(__file__).parents[1] / "results" / "cost_sd15.json"


def main() -> None:
    report = {tier: asdict(cost.needs(low=tier == "low")) for tier in ("full", "low")}
    with atomic_file(OUT) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for tier in report:
        plan = cost.memory_plan(cost.Needs.read(report[tier]), low=tier == "low")
        print(tier, {phase: f"{size / 1e9:.2f} GB" for phase, size in plan.items()})


if __name__ == "__main__":
    main()
