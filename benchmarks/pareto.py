"""Cost against quality on 24 storybook edits: what `DragConfig.fast()` would have to be chosen from.

    python benchmarks/pareto.py                 writes results/pareto.json and results/pareto.png; goes on where it was
    python benchmarks/pareto.py --count 2       a trial

Cost is counted, not timed: U-Net passes of one latent, a backward pass as `--backward` forwards (1.2: measured by
`gooddrag profile`), inversion included, LoRA not (every candidate shares it). Quality: mean squared error to the truth
inside the mask and DAI. A candidate is worth a preset if it costs at most half of the default at an error at most 5 %
larger.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure
from tqdm.auto import tqdm

import gooddrag as gd
from gooddrag import cost
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]
CANDIDATES = {
    "default": {},
    "J = 2": dict(J=2),
    "J = 1": dict(J=1),
    "J = 2, lr 0.03": dict(J=2, lr=0.03),
    "J = 1, lr 0.04": dict(J=1, lr=0.04),
    "25 steps": dict(num_steps=25, B=20),
    "25 steps, J = 2": dict(num_steps=25, B=20, J=2),
    "25 steps, J = 1, lr 0.04": dict(num_steps=25, B=20, J=1, lr=0.04),
    "strength 0.6": dict(strength=0.6),
    "stop after 2 unmoved": dict(stop_unmoved=2),
    "K = 35": dict(K=35),
    "no MasaCtrl": dict(masactrl=False),
    "25 steps, J = 2, stop after 2": dict(num_steps=25, B=20, J=2, stop_unmoved=2),
}


def run(model: gd.DiffusionModel, seed: int, backward: float) -> list[dict]:
    """Every candidate on one edit, each with an editor of its own, so that nothing is shared but the LoRA."""
    sample = gd.storybook.edit(seed)
    lora = gd.DragEditor(model, gd.LoraConfig()).set_image(sample.image).lora
    records = []
    for name, changes in CANDIDATES.items():
        with cost.Meter(model) as meter:
            result = gd.DragEditor(model, lora).set_image(sample.image).drag(sample, config=gd.DragConfig(**changes))
        passes = sum(p.forwards.total() + backward * p.backwards.total() for p in meter.parts.values())
        metrics = result.metrics
        records.append({"seed": seed, "candidate": name, "passes": passes,
                        "error": metrics["truth_error_inside_mask"], "ratio": metrics["truth_error_ratio"],
                        "dai": gd.metrics.dai(sample.image, result.image, sample.points, gamma=5)})  # fmt: skip
    return records


def summary(records: list[dict]) -> dict:
    """Means by candidate, cost and error also as shares of the default's."""
    by = {name: [r for r in records if r["candidate"] == name] for name in CANDIDATES}
    means = {n: {k: mean(r[k] for r in rows) for k in ("passes", "error", "dai")} for n, rows in by.items() if rows}
    base = means["default"]
    return {n: {**m, "cost_share": m["passes"] / base["passes"], "error_share": m["error"] / base["error"]}
            for n, m in means.items()}  # fmt: skip


def picture(rows: dict) -> Figure:
    fig = Figure(figsize=(7, 4), layout="constrained")
    ax = fig.subplots()
    for name, row in rows.items():
        ax.plot(row["cost_share"], row["error_share"], "o", color="#285aeb")
        ax.annotate(
            name, (row["cost_share"], row["error_share"]), xytext=(4, 4), textcoords="offset points", fontsize=7
        )
    ax.axvspan(0, 0.5, color="#e8f0e4", zorder=0)
    ax.axhline(1.05, color="black", lw=0.8, ls="--")
    ax.set(xlabel="cost, default = 1", ylabel="error to the truth, default = 1", xlim=(0, None))
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="seed of the first edit")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--backward", type=float, default=1.2)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    model, path = gd.load_model(options.model), options.out / "pareto.json"
    report = {"model": model.label, "weights": model.fingerprint, "backward": options.backward,
              "candidates": CANDIDATES, "default": asdict(gd.DragConfig()), "records": []}  # fmt: skip
    if path.exists():
        before = json.loads(path.read_text())
        if all(before[k] == report[k] for k in ("weights", "backward", "candidates")):
            report = before
    for seed in tqdm(range(options.first, options.first + options.count)):
        if seed not in {r["seed"] for r in report["records"]}:
            report["records"] += run(model, seed, options.backward)
            report["summary"] = summary(report["records"])
            with atomic_file(path) as temporary:
                temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    with atomic_file(options.out / "pareto.png") as temporary:
        picture(report["summary"]).savefig(temporary, dpi=150)
    for name, row in sorted(report["summary"].items(), key=lambda item: item[1]["cost_share"]):
        good = "  <- worth a preset" if row["cost_share"] <= 0.5 and row["error_share"] <= 1.05 else ""
        print(f"{name:<32} cost {row['cost_share']:.2f}  error {row['error_share']:.3f}  DAI {row['dai']:.4f}{good}")


if __name__ == "__main__":
    main()
