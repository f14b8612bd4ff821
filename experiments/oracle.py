"""Where the error of an edit comes from: what if a drag had what it cannot have?

    python benchmarks/oracle.py             12 storybook edits; writes results/oracle.json
    python benchmarks/oracle.py --count 24  twelve more; goes on where it was, edit by edit

Two ways of dragging, with the released settings and with the embedded model's own preset ("dragged"), beside

- "dragged to the true edit's": that preset's drag, but every patch at a target is pulled towards the features that the
  *true* edit has there, instead of those that the original has at the handle. What if motion supervision knew the
  answer? Twice, at its own step size and at twice of it.

and a latent that is made by hand and only then denoised as always: at the level where the released dragging ends, the
unedited latent gets, around every target and inside the mask,

- "the true edit's": what the inverted latent of the true edit has there. How well can the model finish a right patch?
- "its own, moved": what it has itself around the handle. How far can an edit come that only carries its patches along,
  however well they are matched?

"All" is the whole mask, every place with its nearest handle. `half` is how far a patch reaches from its point, in cells
of the latent; the supervised one (r1 = 4 of the grid of 4 x the latent) reaches 1. Error: squared, to the truth inside
the mask, as a share of the unedited picture's. Training sees none of these edits.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from tqdm.auto import tqdm

import gooddrag as gd
from experiments.studies.identity import finished
from gooddrag import metrics
from gooddrag.algorithm import drag_latent
from gooddrag.devices import machine
from gooddrag.files import atomic_file
from gooddrag.lora import applied
from gooddrag.source import Reference, SourcePath

ROOT = Path(__file__).parents[1]
HALVES = {"1": 1, "2": 2, "5": 5, "all": None}
TRUE, OWN = "the true edit's", "its own, moved"


def put_in(unedited: Tensor, other: Tensor | None, p: Tensor, q: Tensor, editable: Tensor, half: int | None) -> Tensor:
    """A latent with patches around its targets.

    Args:
        unedited: (1, C, h, w). other: where the patches come from, at the targets; None: `unedited` at the handles.
        p, q: (l, 2), (y, x) in cells of the latent, whole numbers. editable: (h, w) bool.
    """
    h, w = unedited.shape[-2:]
    cells = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), dim=-1)
    away = (cells[:, :, None] - q).abs().amax(dim=-1)  # (h, w, l), along the longer axis: patches are squares
    inside = editable if half is None else editable & (away.amin(dim=-1) <= half)
    if other is None:
        y, x = (cells - (q - p)[away.argmin(dim=-1)]).unbind(-1)
        other = unedited[..., y.clamp(0, h - 1), x.clamp(0, w - 1)]
    return torch.where(inside.to(unedited.device), other, unedited)


class OfAnother(SourcePath):
    """An unedited latent's way down whose features are another latent's."""

    def __init__(self, *arguments, other: SourcePath):
        super().__init__(*arguments)
        self.other = other

    def reference(self, t: int) -> Reference:
        return replace(super().reference(t), F=self.other.reference(t).F)


def dragged_to(truth: gd.DragEditor, editor: gd.DragEditor, sample: gd.Sample, config: gd.DragConfig) -> Tensor:
    """The clean latent of a drag whose supervision wants at every target what the true edit's features are there."""
    model, grid = editor.model, tuple(editor.z_0.shape[-2:])
    schedule, (mine, its) = model.schedule(config.num_steps), (e.invert(config) for e in (editor, truth))
    about = config.T, config.feature_block, config.masactrl_start
    task = editor.frame.task(sample, config, grid)
    with applied(model.unet, editor.lora):
        source = OfAnother(model, schedule, mine[-1], *about, other=SourcePath(model, schedule, its[-1], *about))
        return drag_latent(model, mine, replace(task, p_0=task.q), config, source=source)[0]


def run(model: gd.DiffusionModel, seed: int) -> dict:
    """The error of every way on one edit."""
    sample, config, own = gd.storybook.edit(seed), gd.DragConfig(), gd.DragConfig.storybook()
    t = config.T - len(config.schedule)
    editor = gd.DragEditor(model, gd.LoraConfig.fast()).set_image(sample.image)
    truth = gd.DragEditor(model, editor.lora).set_image(sample.truth)
    after = truth.invert(config)[t]
    unedited, grid = editor.invert(config)[t], tuple(editor.z_0.shape[-2:])
    p, q = (editor.frame.to_grid(points, grid).long() for points in (sample.handles, sample.targets))
    editable = editor.frame.frozen(sample.mask, editor.frame.grid(grid, config.grid), grid)[0, 0] == 0
    before = metrics.truth_error(sample, sample.image)

    def error(latent: Tensor) -> float:
        return metrics.truth_error(sample, editor.frame.to_image(model.decode_image(latent))) / before

    record = {"seed": seed, "task": sample.task}
    for name, settings in {"released": config, "storybook": own}.items():
        record[f"dragged, {name}"] = editor.drag(sample, config=settings).metrics["truth_error_ratio"]
    for name, lr in {"": own.lr, ", larger steps": 2 * own.lr}.items():
        known = replace(own, lr=lr, beta=256.0)  # straight to the target
        record[f"dragged to the true edit's{name}"] = error(dragged_to(truth, editor, sample, known))
    for name, other in ((TRUE, after), (OWN, None)):
        for size, half in HALVES.items():
            z = put_in(unedited, other, p, q, editable, half)
            record[f"{name}, {size}"] = error(finished(editor, config, t, z, unedited, config.masactrl_start))
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=300, help="seed of the first edit; training sees none from 100 on")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "results" / "oracle.json")
    options = parser.parse_args()
    model = gd.load_model(options.model)
    report = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    if report.get("weights") != model.fingerprint:
        report = {"model": model.label, "weights": model.fingerprint, "records": []}
    done = {r["seed"] for r in report["records"]}
    for seed in tqdm([s for s in range(options.first, options.first + options.count) if s not in done]):
        report["records"].append(run(model, seed))
        report["machine"] = machine()
        with atomic_file(options.out) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for way in [key for key in report["records"][0] if key not in ("seed", "task")]:
        errors = [r[way] for r in report["records"]]
        print(f"{way:42} median {median(errors):.2f}, below half {sum(e < 0.5 for e in errors)} of {len(errors)}")


if __name__ == "__main__":
    main()
