"""Does `drag_batch` pay? The same edits one by one and as one batch, in turn.

    python benchmarks/batch.py                  the embedded model, batches of 2 and 4; writes results/batch.json
    OMP_NUM_THREADS=1 python benchmarks/batch.py -o one_core.json

Short edits without early stops, without a LoRA and with one each (fitted in one step: what it holds takes no time).
Times are medians over rounds, on the clock and of the processor; a ratio is one by one / batch, above 1 where it pays.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag.devices import machine
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]
CONFIG = gd.DragConfig(num_steps=5, K=2, B=1, J=2, stop_unmoved=None, stop_distance=None)
LORAS = {"none": None, "own": gd.LoraConfig(steps=1, batch_size=1)}
CLOCKS = ("seconds", "cpu_seconds")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def compared(model: gd.DiffusionModel, samples: list[gd.Sample], lora: gd.LoraConfig | None, rounds: int) -> dict:
    """Medians of both ways after a round that warms up and fits; and how far apart their pictures are."""
    made, times = {}, {"alone": [], "batch": []}

    def alone() -> None:
        made["alone"] = [gd.drag(model, sample, CONFIG, lora) for sample in samples]

    def together() -> None:
        made["batch"] = gd.drag_batch(model, samples, CONFIG, lora)

    for _ in range(rounds + 1):
        times["alone"].append(timed(alone))
        times["batch"].append(timed(together))
    row = {clock: {way: round(median(t[i] for t in all_[1:]), 2) for way, all_ in times.items()}
           for i, clock in enumerate(CLOCKS)}  # fmt: skip
    apart = max(float((a.tensor - b.tensor).abs().max()) for a, b in zip(made["alone"], made["batch"], strict=True))
    return {**row, **{f"{c}_ratio": round(row[c]["alone"] / row[c]["batch"], 3) for c in CLOCKS}, "apart": apart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "results" / "batch.json")
    options = parser.parse_args()
    model = gd.load_model(options.model)
    report = {"model": model.label, "weights": model.fingerprint, "rows": [],
              "machine": machine(),
              }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GOODDRAG_CACHE"] = folder  # these LoRAs are of no use to anybody
        for size in tqdm(options.sizes):
            samples = [gd.storybook.edit(seed) for seed in range(100, 100 + size)]
            for name, lora in LORAS.items():
                report["rows"].append({"edits": size, "lora": name, **compared(model, samples, lora, options.rounds)})
    with atomic_file(options.out) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
