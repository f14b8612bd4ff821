"""Cost against quality on storybook edits: what `DragConfig.fast()` is chosen from.

    python benchmarks/pareto.py                 24 edits; writes results/pareto.json and figures/pareto.png
    python benchmarks/pareto.py --count 8       a third of them; goes on where it was, edit by edit
    python benchmarks/pareto.py --only "25 steps"   the default and these candidates only
    python benchmarks/pareto.py --draw          the table and the picture only, from what is there

Cost is counted, not timed: U-Net passes of one latent, a backward pass as `--backward` forwards (1.2;
results/profile.json has 0.9 to 1.0, which moves the shares of `fast()` by less than 0.01), inversion and source
included. `cost_share` is what these edits cost after the LoRA (most of them stop early), `whole_share` what they
would if none did, `edit_share` what they cost with the LoRA. Quality: squared error to the truth inside the mask, and
DAI. A candidate is worth a preset if it costs at most half of the default by all three at a mean error at most 5 %
larger on the edits that both have been through.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag import cost, plots
from gooddrag.devices import machine
from gooddrag.files import atomic_file
from gooddrag.state import State

ROOT = Path(__file__).parents[1]
MOST_COST, MOST_ERROR = 0.5, 1.05
CHEAPEST = dict(num_steps=15, B=30, J=1, lr=0.04)
CANDIDATES = {  # changes of DragConfig; "lora": of LoraConfig
    "default": {},
    "J = 2, lr 0.03": dict(J=2, lr=0.03),
    "J = 1, lr 0.06": dict(J=1, lr=0.06),
    "25 steps": dict(num_steps=25, B=20),
    "25 steps, J = 2, lr 0.03": dict(num_steps=25, B=20, J=2, lr=0.03),
    "25 steps, J = 1, lr 0.06": dict(num_steps=25, B=20, J=1, lr=0.06),
    "25 steps, J = 2, lr 0.03, lam 0.2": dict(num_steps=25, B=20, J=2, lr=0.03, lam=0.2),
    "25 steps, J = 2, lr 0.03, 3 unmoved": dict(num_steps=25, B=20, J=2, lr=0.03, stop_unmoved=3),
    "25 steps, J = 2, lr 0.03, no MasaCtrl": dict(num_steps=25, B=20, J=2, lr=0.03, masactrl=False),
    "25 steps, J = 1, lr 0.06, K = 40": dict(num_steps=25, B=20, J=1, lr=0.06, K=40),
    "15 steps, J = 2, lr 0.03": dict(num_steps=15, B=30, J=2, lr=0.03),
    "15 steps, J = 1, lr 0.06": dict(num_steps=15, B=30, J=1, lr=0.06),
    "15 steps, J = 1, lr 0.04": CHEAPEST,
    "15 steps, J = 1, lr 0.04, LoRA 35 x 4": dict(**CHEAPEST, lora=dict(steps=35)),
    "15 steps, J = 1, lr 0.04, LoRA 70 x 2": dict(**CHEAPEST, lora=dict(batch_size=2)),
    "15 steps, J = 1, lr 0.04, LoRA 20 x 4": dict(**CHEAPEST, lora=dict(steps=20)),
    "15 steps, J = 1, lr 0.04, LoRA 35 x 2": dict(**CHEAPEST, lora=dict(steps=35, batch_size=2)),
    "15 steps, J = 1, lr 0.04, LoRA 70 x 1": dict(**CHEAPEST, lora=dict(batch_size=1)),
    "15 steps, J = 1, lr 0.04, no LoRA": dict(**CHEAPEST, lora=dict(steps=0)),
}


def configs(name: str) -> tuple[gd.DragConfig, gd.LoraConfig]:
    """The settings of a candidate."""
    changes = dict(CANDIDATES[name])
    lora = gd.LoraConfig(**changes.pop("lora", {}))
    return gd.DragConfig(**changes), lora


def passes(config: gd.DragConfig, levels: int, updates: int, forwards: int, backward: float) -> float:
    """An edit's passes: inversion, source, dragging and denoising.

    Args:
        levels: at which the edit was dragged. updates: gradient steps. forwards: of dragging and denoising.
    """
    return config.T + (config.T if config.masactrl else levels) + forwards + backward * updates


def fitting(lora: gd.LoraConfig, backward: float) -> float:
    """Passes of a LoRA."""
    return lora.steps * lora.batch_size * (1 + backward)


def whole(config: gd.DragConfig, backward: float) -> float:
    """Passes of an edit that never stops early."""
    updates = config.K * config.J
    return passes(config, len(config.schedule), updates, updates + config.T, backward)


def run(model: gd.DiffusionModel, seed: int, names: Sequence[str], backward: float) -> list[dict]:
    """Some candidates on one edit. What they can share of LoRA, inversion and source they do; the count is each one's
    own.
    """
    sample, editors, records = gd.storybook.edit(seed), {}, []
    for name in names:
        (config, lora), levels = configs(name), set()
        if lora not in editors:
            editors[lora] = gd.DragEditor(model, lora).set_image(sample.image)
        editor, start = editors[lora], time.perf_counter()

        def seen(state: State, levels: set[int] = levels) -> None:
            if state.event != "denoise":
                levels.add(state.t)

        editor.invert(config)
        with cost.Meter(model) as meter:
            result = editor.drag(sample, config=config, callback=seen)
        metrics, own = result.metrics, [meter.parts[p] for p in ("drag", "denoise") if p in meter.parts]
        forwards, updates = (sum(getattr(p, kind).total() for p in own) for kind in ("forwards", "backwards"))
        records.append({
            "seed": seed, "category": sample.category, "task": sample.task, "candidate": name,
            "passes": passes(config, len(levels), updates, forwards, backward), "operations": len(result.history),
            "left_px": max(metrics["distance_left_px"]), "error": metrics["truth_error_inside_mask"],
            "ratio": metrics["truth_error_ratio"], "damage": metrics["damage_outside_mask"],
            "dai": gd.metrics.dai(sample.image, result.image, sample.points, gamma=5),
            "seconds": round(time.perf_counter() - start, 1),
        })  # fmt: skip
    return records


def summary(records: Sequence[dict], backward: float) -> dict[str, dict]:
    """Means by candidate; cost and errors also as shares of the default's on the same edits."""
    keys = ("passes", "error", "ratio", "damage", "dai", "left_px", "operations")
    by = {name: {r["seed"]: r for r in records if r["candidate"] == name} for name in CANDIDATES}
    default, rows = by["default"], {}
    for name, mine in by.items():
        if not (seeds := sorted(mine.keys() & default.keys())):
            continue
        m, base = ({k: mean(way[s][k] for s in seeds) for k in keys} for way in (mine, default))
        (config, lora), (default_config, default_lora) = configs(name), configs("default")
        edit, default_edit = (x["passes"] + fitting(y, backward) for x, y in ((m, lora), (base, default_lora)))
        rows[name] = {
            **m, **{f"{k}_share": m[k] / base[k] for k in ("error", "ratio", "dai")},
            "cost_share": m["passes"] / base["passes"],
            "whole_share": whole(config, backward) / whole(default_config, backward),
            "edit_share": edit / default_edit,
            "better": sum(mine[s]["error"] < default[s]["error"] for s in seeds), "edits": len(seeds),
        }  # fmt: skip
    return rows


def good(row: dict) -> bool:
    shares = (row[f"{part}_share"] for part in ("cost", "whole", "edit"))
    return max(shares) <= MOST_COST and row["error_share"] <= MOST_ERROR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="seed of the first edit; training sees none from 100 on")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--backward", type=float, default=1.2)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "results" / "pareto.json")
    parser.add_argument("--figure", type=Path, default=ROOT / "figures" / "pareto.png")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=CANDIDATES, help="only these and the default")
    parser.add_argument("--draw", action="store_true", help="run nothing")
    options = parser.parse_args()
    before = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    report = before
    if not options.draw:
        model = gd.load_model(options.model)
        report = {"model": model.label, "weights": model.fingerprint, "backward": options.backward,
                  "machine": machine(),
                  "candidates": CANDIDATES, "summary": {}, "records": []}  # fmt: skip
        if all(before.get(k) == report[k] for k in ("weights", "backward")):
            same = [name for name, changes in CANDIDATES.items() if before["candidates"].get(name) == changes]
            report["records"] = [r for r in before["records"] if r["candidate"] in same]
        names = [name for name in CANDIDATES if name in ("default", *(options.only or CANDIDATES))]
        done = {(r["seed"], r["candidate"]) for r in report["records"]}
        for seed in tqdm(range(options.first, options.first + options.count)):
            if not (left := [name for name in names if (seed, name) not in done]):
                continue
            report["records"] += run(model, seed, left, options.backward)
            report["summary"] = summary(report["records"], options.backward)
            with atomic_file(options.out) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if not report.get("records"):
        parser.error(f"--draw: nothing in {options.out} yet; expected a run before")
    with atomic_file(options.figure) as temporary:
        plots.pareto(report["summary"], MOST_COST, MOST_ERROR).savefig(temporary, dpi=150, format="png")
    for name, row in sorted(report["summary"].items(), key=lambda item: item[1]["edit_share"]):
        print(f"{name:<40} cost {row['cost_share']:.2f}  without early stops {row['whole_share']:.2f}  "
              f"with the LoRA {row['edit_share']:.2f}  "
              f"error {row['error_share']:.3f}  ratio {row['ratio']:.3f}  better on {row['better']} of {row['edits']}  "
              f"DAI {row['dai']:.4f}{'  <- worth a preset' if good(row) else ''}")  # fmt: skip


if __name__ == "__main__":
    main()
