"""Drag a run of storybook edits, in one or more variants of the settings, and compare each with its truth.

    python scripts/evaluate_edits.py                       the default settings on 20 edits
    python scripts/evaluate_edits.py --variants switches   every difference between paper and released code, one by one

Writes results/NAME.json (one record per edit and variant; an interrupted run goes on where it was) and a contact sheet
(the user's edit, the result of each variant, the truth). Training never sees any of these edits.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag import plots
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]


def switches() -> dict[str, gd.DragConfig]:
    """The released settings, each single change towards the printed text, and the text as a whole."""
    released, paper = gd.DragConfig.released(), gd.DragConfig.paper()
    fields = [k for k, v in asdict(paper).items() if getattr(released, k) != v]
    changed = {f"{k}={getattr(paper, k)}": replace(released, **{k: getattr(paper, k)}) for k in fields}
    return {"released": released, **changed, "reference=inverted": replace(released, reference="inverted"),
            "paper": paper}  # fmt: skip


VARIANTS = {
    "released": lambda: {"released": gd.DragConfig.released()},
    "methods": lambda: {
        "released": gd.DragConfig.released(),
        "without IP": gd.DragConfig(ip=False),
        "without AlDD": gd.DragConfig(aldd=False),
        "DragDiffusion": gd.DragConfig.dragdiffusion(),
    },
    "switches": switches,
}


def summary(records: list[dict]) -> dict:
    """What is quoted of one variant."""
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
    parser.add_argument("--variants", choices=list(VARIANTS), default="released")
    parser.add_argument("--first", type=int, default=100, help="seed of the first edit")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()

    model, variants = gd.load_model(options.model), VARIANTS[options.variants]()
    path = options.out / f"storybook_{options.variants}.json"
    report = {"model": model.label, "weights": model.fingerprint, "records": []}
    if path.exists() and (before := json.loads(path.read_text()))["weights"] == report["weights"]:
        report = before
    report["machine"] = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    done, rows = {(r["seed"], r["variant"]) for r in report["records"]}, []

    for seed in tqdm(range(options.first, options.first + options.count)):
        todo = {name: config for name, config in variants.items() if (seed, name) not in done}
        if not todo:
            continue
        sample = gd.storybook.edit(seed)
        start = time.perf_counter()
        editor = gd.DragEditor(model, gd.LoraConfig()).set_image(sample.image)
        lora_seconds, row = time.perf_counter() - start, []
        for name, config in todo.items():
            start = time.perf_counter()
            result = editor.drag(sample, config=config)
            record = {"seed": seed, "variant": name, "category": sample.category, "task": sample.task,
                      "name": sample.name, "lora_seconds": round(lora_seconds, 1),
                      "drag_seconds": round(time.perf_counter() - start, 1), **result.metrics}  # fmt: skip
            report["records"].append(record)
            row.append(result.image)
            by_variant = {v: [r for r in report["records"] if r["variant"] == v] for v in variants}
            report["summary"] = {v: summary(records) for v, records in by_variant.items() if records}
            with atomic_file(path) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n")
        user_edit = result.frames(size=192)[0]
        rows.append([user_edit, *(i.resize((192, 192), Image.Resampling.BICUBIC) for i in (*row, sample.truth))])
    whole = [row for row in rows if len(row) == len(variants) + 2]
    if whole:
        across = len(whole[0]) * (2 if len(whole[0]) <= 4 else 1)
        with atomic_file(options.out / f"storybook_{options.variants}.jpg") as temporary:
            plots.contact_sheet([image for row in whole for image in row], across).save(temporary, quality=88)
    print(json.dumps(report["summary"], indent=2))


if __name__ == "__main__":
    main()
