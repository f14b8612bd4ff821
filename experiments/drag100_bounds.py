"""What doing nothing and copying pixels score on the whole of Drag100, by both conventions of DAI; no model is needed.

    python experiments/drag100_bounds.py Drag100/ [experiments/results/drag100_bounds.json]

In place of the folder: a zip, or nothing to download it. About ten seconds on one core.
"""

import json
import sys
from pathlib import Path

from gooddrag.evaluation import benchmark, datasets, metrics
from gooddrag.files import atomic_file

RESULTS = Path(__file__).parent / "results" / "drag100_bounds.json"


def main(source: str | None = None, output: str | Path = RESULTS) -> dict:
    data = datasets.drag100(source)
    samples = list(data)
    report = {
        "command": "python experiments/drag100_bounds.py Drag100/",
        "samples": len(samples),
        "pairs": sum(len(sample.points) for sample in samples),
        "sha256": datasets.fingerprint(data),
        "radii": metrics.GAMMAS,
        "about": "mean DAI; 'paper' divides by the number of pairs once (Eq. 10), 'released' twice; the original is "
        "the file itself; copy-paste pastes the squares in the order of the pairs, each from the input",
        "dai": {
            name: {convention: [round(value, 5) for value in values] for convention, values in by.items()}
            for name, by in benchmark.bounds(samples).items()
        },
    }
    with atomic_file(output) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])["dai"], indent=1))
