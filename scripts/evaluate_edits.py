"""Drag a run of storybook edits with the default settings and without early stops, and compare each with its truth.

    python scripts/evaluate_edits.py                20 edits, from number 100 on
    python scripts/evaluate_edits.py --workers 2    so many edits at a time

What other settings do is in the studies (scripts/kept_results.py), what other methods do in the benchmark.

Writes results/storybook_released.json (one record per edit and setting; an interrupted run goes on where it was) and a
contact sheet of the default's edits (the user's edit, the result, the truth). Training never sees any of these edits.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from PIL.Image import Resampling
from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag import plots
from gooddrag.devices import machine
from gooddrag.files import atomic_file, cache_folder
from gooddrag.studies.study import NO_STOP

ROOT = Path(__file__).parents[1]
WAYS = {"released": {}, "released, no early stop": NO_STOP}  # the paper's text stops nowhere early
SHOWN, *_ = WAYS


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


def one(seed: int, name: str, threads: int) -> list[dict]:
    """The records of one edit, all settings; the default's result is kept as a picture beside the others."""
    torch.set_num_threads(threads)
    model, sample, records = gd.load_model(name), gd.storybook.edit(seed), []
    start = time.perf_counter()
    editor = gd.DragEditor(model, gd.LoraConfig()).set_image(sample.image)
    lora_seconds = time.perf_counter() - start
    for way, changes in WAYS.items():
        start = time.perf_counter()
        result = editor.drag(sample, config=gd.DragConfig(**changes))
        records.append({
            "seed": seed, "variant": way, "category": sample.category, "task": sample.task, "name": sample.name,
            "lora_seconds": round(lora_seconds, 1), "drag_seconds": round(time.perf_counter() - start, 1),
            **result.metrics,
        })  # fmt: skip
        if way == SHOWN:
            with atomic_file(picture_of(seed, model)) as temporary:
                result.image.save(temporary, format="PNG")
    return records


def picture_of(seed: int, model: gd.DiffusionModel) -> Path:
    return cache_folder("edits") / model.fingerprint / f"{seed}.png"


def sheet(seeds: list[int], model: gd.DiffusionModel) -> Image.Image:
    """The user's edit, the result, the truth; two edits a row."""
    tiles = []
    for seed in seeds:
        sample = gd.storybook.edit(seed)
        tiles.append(plots.marked(sample, 192))
        with Image.open(picture_of(seed, model)) as result:
            tiles += [i.convert("RGB").resize((192, 192), Resampling.BICUBIC) for i in (result, sample.truth)]
    return plots.contact_sheet(tiles, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="seed of the first edit")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()

    model, path = gd.load_model(options.model), options.out / "storybook_released.json"
    threads = max(1, torch.get_num_threads() // options.workers)
    report = {"model": model.label, "weights": model.fingerprint, "records": []}
    if path.exists() and (before := json.loads(path.read_text()))["weights"] == report["weights"]:
        report = before
    report["machine"] = machine(threads)
    done = {r["seed"] for r in report["records"] if picture_of(r["seed"], model).exists()}
    report["records"] = [r for r in report["records"] if r["seed"] in done]
    seeds = list(range(options.first, options.first + options.count))
    todo = [s for s in seeds if s not in done]

    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        found = pool.map(one, todo, [options.model] * len(todo), [threads] * len(todo))
        for records in tqdm(found, total=len(todo)):
            report["records"] += records
            by_way = {way: [r for r in report["records"] if r["variant"] == way] for way in WAYS}
            report["summary"] = {way: summary(own) for way, own in by_way.items()}
            with atomic_file(path) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n")
    with atomic_file(path.with_suffix(".jpg")) as temporary:
        sheet(seeds, model).save(temporary, format="JPEG", quality=88)
    print(json.dumps(report["summary"], indent=2))


if __name__ == "__main__":
    main()
