"""Drag a run of storybook edits and compare each with its truth: python scripts/evaluate_edits.py --count 20

Writes results/storybook_edits.json (one record per edit, continued where it was interrupted) and a contact sheet
(before with the user edit, after, truth). Seeds count from --first; training never sees any of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median

import torch
from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag import plots
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]


def drag_one(model: gd.DiffusionModel, seed: int, preset: str) -> tuple[dict, list]:
    """One edit with the default LoRA; its figures, and the pictures for the sheet."""
    sample = gd.storybook.edit(seed)
    start = time.perf_counter()
    result = gd.drag(model, sample, gd.DragConfig.preset(preset))
    seconds = time.perf_counter() - start
    record = {"seed": seed, "preset": preset, "category": sample.category, "task": sample.task, "name": sample.name,
              "seconds": round(seconds, 1), **result.metrics}  # fmt: skip
    return record, [result.frames(size=192)[0], result.image.resize((192, 192)), sample.truth.resize((192, 192))]


def summary(records: list[dict]) -> dict:
    """What the README quotes."""
    ratios = [r["truth_error_ratio"] for r in records]
    return {
        "edits": len(records),
        "below_half": sum(r < 0.5 for r in ratios),
        "below_one": sum(r < 1 for r in ratios),
        "median_ratio": round(median(ratios), 3),
        "median_damage_outside": median(r.get("damage_outside_mask", 0.0) for r in records),
        "handles_within_3px": sum(max(r["distance_left_px"]) <= 3 for r in records),
        "median_seconds": median(r["seconds"] for r in records),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--preset", default="released")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()

    model = gd.load_model(options.model)
    path = options.out / "storybook_edits.json"
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    report = {"model": model.fingerprint, "machine": machine, "records": []}
    if path.exists():
        before = json.loads(path.read_text())
        if before["model"] == model.fingerprint:
            report = before
    done = {(r["seed"], r["preset"]) for r in report["records"]}
    pictures = []
    for seed in tqdm(range(options.first, options.first + options.count)):
        if (seed, options.preset) in done:
            continue
        record, row = drag_one(model, seed, options.preset)
        report["records"].append(record)
        pictures += row
        report["summary"] = {
            preset: summary([r for r in report["records"] if r["preset"] == preset])
            for preset in sorted({r["preset"] for r in report["records"]})
        }
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
    if pictures:
        sheet = plots.contact_sheet(pictures, columns=6)
        with atomic_file(options.out / f"storybook_edits_{options.preset}.jpg") as temporary:
            sheet.save(temporary, quality=88)
    print(json.dumps(report["summary"], indent=2))


if __name__ == "__main__":
    main()
