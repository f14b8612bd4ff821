"""Drag a run of storybook edits with the default settings, and compare each with its truth.

    python scripts/evaluate_edits.py                20 edits, from number 100 on

What other settings do is in the studies (scripts/kept_results.py), what other methods do in the benchmark.

Writes results/storybook_released.json (one record per edit; an interrupted run goes on where it was) and a contact
sheet (the user's edit, the result, the truth). Training never sees any of these edits.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median

import torch
from PIL.Image import Resampling
from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag import plots
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]


NAME = "released"


def summary(records: list[dict]) -> dict:
    """What is quoted of the run."""
    ratios = [r["truth_error_ratio"] for r in records]
    return {
        "edits": len(records),
        "below_half": sum(r < 0.5 for r in ratios),
        "below_one": sum(r < 1 for r in ratios),
        "median_ratio": round(median(ratios), 3),
        "mean_ratio": round(sum(ratios) / len(ratios), 3),
        "median_damage_outside": median(r.get("damage_outside_mask", 0.0) for r in records),
        "handles_within_3px": sum(max(r["distance_left_px"]) <= 3 for r in records),
        "median_drag_seconds": median(r["drag_seconds"] for r in records),
        "median_lora_seconds": median(r["lora_seconds"] for r in records),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="seed of the first edit")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()

    model, path = gd.load_model(options.model), options.out / f"storybook_{NAME}.json"
    report = {"model": model.label, "weights": model.fingerprint, "records": []}
    if path.exists() and (before := json.loads(path.read_text()))["weights"] == report["weights"]:
        report = before
    report["machine"] = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    done, tiles = {r["seed"] for r in report["records"]}, []

    for seed in tqdm([s for s in range(options.first, options.first + options.count) if s not in done]):
        sample = gd.storybook.edit(seed)
        start = time.perf_counter()
        editor = gd.DragEditor(model, gd.LoraConfig()).set_image(sample.image)
        lora_seconds = time.perf_counter() - start
        start = time.perf_counter()
        result = editor.drag(sample)
        report["records"].append({
            "seed": seed, "variant": NAME, "category": sample.category, "task": sample.task, "name": sample.name,
            "lora_seconds": round(lora_seconds, 1), "drag_seconds": round(time.perf_counter() - start, 1),
            **result.metrics,
        })  # fmt: skip
        report["summary"] = {NAME: summary(report["records"])}
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
        tiles += [
            result.frames(size=192)[0],
            *(i.resize((192, 192), Resampling.BICUBIC) for i in (result.image, sample.truth)),
        ]
    if tiles:
        with atomic_file(path.with_suffix(".jpg")) as temporary:
            plots.contact_sheet(tiles, 6).save(temporary, quality=88)
    print(json.dumps(report["summary"], indent=2))


if __name__ == "__main__":
    main()
