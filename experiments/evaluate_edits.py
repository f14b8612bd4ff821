"""Drag storybook edits with the default settings, without early stops and with the embedded model's own preset, and
compare each with its truth.

    python scripts/evaluate_edits.py                20 edits, from number 100 on
    python scripts/evaluate_edits.py --hundred      Storybook100 with the embedded model's preset
    python scripts/evaluate_edits.py --workers 2    so many edits at a time

What other settings do is in the studies (scripts/kept_results.py), what other methods do in the benchmark.

Writes results/storybook_released.json or results/storybook100_preset.json (one record per edit and setting; an
interrupted run goes on where it was) and, of the twenty, contact sheets of the default's edits and of the preset's (the
user's edit, the result, the truth). Training never sees any of these edits. No setting was chosen on
Storybook100; the preset builds on `fast()`, which was chosen on edits 100 to 123.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from PIL.Image import Resampling
from tqdm.auto import tqdm

import gooddrag as gd
from experiments.studies.study import NO_STOP
from gooddrag import plots
from gooddrag.devices import machine
from gooddrag.files import atomic_file, cache_folder

ROOT = Path(__file__).parents[1]
OWN = "preset storybook"
WAYS = {
    "released": gd.DragConfig(),
    "released, no early stop": gd.DragConfig(**NO_STOP),  # the paper's text stops nowhere early
    OWN: gd.DragConfig.storybook(),
}
SHEETS = {"released": "storybook_released.jpg", OWN: "storybook_preset.jpg"}


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
        "median_updates": median(r["updates"] for r in records),
    }


def one(sample: gd.Sample, ways: list[str], name: str, threads: int) -> list[dict]:
    """The records of one edit, some settings; results that a sheet may show are kept as pictures."""
    torch.set_num_threads(threads)
    model, records = gd.load_model(name), []
    editor = gd.DragEditor(model, gd.LoraConfig()).set_image(sample.image)
    for way in ways:
        result = editor.drag(sample, config=WAYS[way])
        about = {"name": sample.name, "variant": way, "category": sample.category, "task": sample.task}
        records.append({**about, **result.metrics})
        if way in SHEETS:
            with atomic_file(picture_of(sample, way, model)) as temporary:
                result.image.save(temporary, format="PNG")
    return records


def picture_of(sample: gd.Sample, way: str, model: gd.DiffusionModel) -> Path:
    return cache_folder("edits") / model.fingerprint / way / f"{sample.name.replace(': ', ', ')}.png"


def sheet(samples: list[gd.Sample], way: str, model: gd.DiffusionModel) -> Image.Image:
    """The user's edit, the result, the truth; two edits a row."""
    tiles = []
    for sample in samples:
        tiles.append(plots.marked(sample, 192))
        with Image.open(picture_of(sample, way, model)) as result:
            tiles += [i.convert("RGB").resize((192, 192), Resampling.BICUBIC) for i in (result, sample.truth)]
    return plots.contact_sheet(tiles, 6)


def write(path: Path, report: dict, records: list[dict]) -> None:
    """The file of results, with its summary."""
    report["records"] = records
    by_way = {way: [r for r in records if r["variant"] == way] for way in WAYS}
    report["summary"] = {way: summary(own) for way, own in by_way.items() if own}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="seed of the first edit")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--hundred", action="store_true", help="Storybook100 instead, with the preset only")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()

    if options.hundred:
        samples, ways, sheets, name = gd.storybook100(), [OWN], {}, "storybook100_preset.json"
    else:
        samples = [gd.storybook.edit(seed) for seed in range(options.first, options.first + options.count)]
        ways, sheets, name = list(WAYS), SHEETS, "storybook_released.json"
    model, path = gd.load_model(options.model), options.out / name
    threads = max(1, torch.get_num_threads() // options.workers)
    report = {"model": model.label, "weights": model.fingerprint, "records": []}
    if path.exists() and (before := json.loads(path.read_text()))["weights"] == report["weights"]:
        report = before
    kept = {(r["name"], r["variant"]): r for r in report["records"]}

    def missing(sample: gd.Sample) -> list[str]:
        """The settings that an edit has not been through, or whose picture is gone from the sheet to be."""
        gone = {way for way in sheets if not picture_of(sample, way, model).exists()}
        return [way for way in ways if way in gone or (sample.name, way) not in kept]

    todo = [(sample, left) for sample in samples if (left := missing(sample))]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        found = pool.map(partial(one, name=options.model, threads=threads), *zip(*todo, strict=True)) if todo else []
        for records in tqdm(found, total=len(todo)):
            report["machine"] = machine(threads)
            kept |= {(r["name"], r["variant"]): r for r in records}
            write(path, report, list(kept.values()))
    write(path, report, list(kept.values()))
    for way, name in sheets.items():
        with atomic_file(options.out / name) as temporary:
            sheet(samples, way, model).save(temporary, format="JPEG", quality=88)
    print(json.dumps(report["summary"], indent=2))


if __name__ == "__main__":
    main()
