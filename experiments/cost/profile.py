"""`gooddrag profile`: run one edit and say where its time and its memory went."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from experiments.cost.bare import BareTimes, bare_times
from experiments.cost.meter import Meter, Part
from experiments.cost.tensors import traced
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.lora import fit
from gooddrag.model import DiffusionModel
from gooddrag.phases import PHASES
from gooddrag.sample import Sample
from gooddrag.state import State


def profile(model: DiffusionModel, sample: Sample, config: DragConfig | None = None,
            lora: LoraConfig | None = None, seed: int = 0, memory: bool = True) -> dict:  # fmt: skip
    """One whole edit, LoRA included, measured phase by phase against the bare U-Net calls that it needs.

    The bare calls are timed right before and after each act (the LoRA, the edit, a second drag): on a busy machine the
    ratios still mean something, the seconds less so. Nothing is read from or written to the LoRA cache.

    Args:
        lora: None for none.
        memory: on a CPU, run every phase once more, shortened, and count the bytes of its tensors.

    Returns:
        Plain data: "machine", "model", "phases" {name: seconds, cpu_seconds, forwards, backwards, bare_seconds, ratio,
        cpu_ratio, peak_bytes; on a CPU the drag's peak_bytes is also that of reference and denoise}, "whole" (the
        same, summed), "second_drag" (of another drag of the same image; first_update_seconds: when its first gradient
        step is done).
    """
    config = config or DragConfig()
    editor = DragEditor(model).set_image(sample.image)
    batches = {1, lora.batch_size} if lora else {1}
    bare = [bare_times(model, editor.z_0, batches)]
    with Meter(model) as fitting:
        fitted = fit(model, editor.z_0, lora, seed) if lora else None
    bare.append(bare_times(model, editor.z_0, batches))
    with Meter(model) as editing:
        editor = DragEditor(model, fitted).set_image(sample.image)
        result = editor.drag(sample, config=config)
    bare.append(bare_times(model, editor.z_0, batches))
    updates: list[float] = []  # when each of the second drag's ended

    def observe(state: State) -> None:
        if state.event == "update":
            updates.append(time.perf_counter())

    with Meter(model) as again:
        start = time.perf_counter()
        editor.drag(sample, config=config, callback=observe)
    bare.append(bare_times(model, editor.z_0, batches))
    rows = {name: _row(part, bare[:2]) for name, part in fitting.parts.items()}
    rows |= {name: _row(part, bare[1:3]) for name, part in editing.parts.items()}
    phases = {name: rows[name] for name in PHASES if name in rows}
    if memory and model.device.type != "cuda":
        for name, peak in _peaks(model, sample, config, lora).items():
            phases[name]["peak_bytes"] = peak
    return {
        "machine": f"{platform.machine()}, {model.device.type}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}",
        "model": model.label,
        "weights": model.fingerprint,
        "parameters": sum(p.numel() for p in model.unet.parameters()),
        "updates": result.metrics["updates"],
        "phases": phases,
        "whole": _sum(phases.values()),
        "second_drag": _sum(_row(part, bare[2:]) for part in again.parts.values())
        | {"first_update_seconds": updates[0] - start if updates else None},
    }


def _row(part: Part, bare: list[BareTimes]) -> dict:
    wall, cpu = (sum(b.of(part)[i] for b in bare) / len(bare) for i in (0, 1))
    return _with_ratios({
        "seconds": part.seconds,
        "cpu_seconds": part.cpu_seconds,
        "forwards": {str(b): n for b, n in sorted(part.forwards.items())},
        "backwards": {str(b): n for b, n in sorted(part.backwards.items())},
        "bare_seconds": wall,
        "bare_cpu_seconds": cpu,
        "peak_bytes": part.peak_bytes,
    })  # fmt: skip


def _with_ratios(row: dict) -> dict:
    for ratio, clock in (("ratio", "seconds"), ("cpu_ratio", "cpu_seconds")):
        bare = row[f"bare_{clock}"]
        row = row | {ratio: row[clock] / bare if bare else None}
    return row


def _sum(rows: Iterable[dict]) -> dict:
    rows = list(rows)
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key.endswith("seconds")}
    for kind in ("forwards", "backwards"):
        total[kind] = dict(sum((Counter(row[kind]) for row in rows), Counter()))
    return _with_ratios(total | {"peak_bytes": max(row["peak_bytes"] for row in rows)})


def _peaks(model: DiffusionModel, sample: Sample, config: DragConfig, lora: LoraConfig | None) -> dict[str, int]:
    """Peak bytes of tensors of every phase, from runs that are short: a peak does not grow with the number of steps."""
    brief = replace(config, num_steps=2, strength=1.0, K=1, B=1, J=1)
    brief_lora = replace(lora, steps=1) if lora else None
    editor = DragEditor(model).set_image(sample.image)
    work = {"encode": lambda: DragEditor(model).set_image(sample.image)}
    if brief_lora:
        work["LoRA"] = lambda: fit(model, editor.z_0, brief_lora)
    work["inversion"] = lambda: editor.invert(brief)
    work["drag"] = lambda: editor.drag(sample, config=brief)
    work["decode"] = lambda: model.decode(editor.z_0)
    return {name: traced(run, once=True).peak_bytes for name, run in work.items()}


def ratio_text(rows: Sequence[dict]) -> str:
    """A row of several runs, "1.05 (0.98 to 1.12)": all seconds over all of the bare calls, and the single ratios."""
    ratio = sum(row["seconds"] for row in rows) / sum(row["bare_seconds"] for row in rows)
    single = [row["ratio"] for row in rows]
    return f"{ratio:.2f} ({min(single):.2f} to {max(single):.2f})"


def table(*reports: dict) -> str:
    """A report as lines of text; of several runs the one whose whole ratio is in the middle, and the range."""
    report = sorted(reports, key=lambda r: r["whole"]["ratio"] or 0.0)[(len(reports) - 1) // 2]
    head = (
        f"{'phase':<11}{'forwards':>16}{'backwards':>16}{'seconds':>9}{'bare calls':>12}{'ratio':>7}{'cpu ratio':>11}"
    )
    head += f"{'peak MB':>9}"
    rows = {**report["phases"], "whole edit": report["whole"], "second drag": report["second_drag"]}
    lines = [f"{report['model']}, {report['parameters'] / 1e6:.1f} M parameters, {report['updates']} updates; "
             f"{report['machine']}", head]  # fmt: skip
    for name, row in rows.items():
        counts = [" + ".join(f"{n} x {b}" for b, n in row[kind].items()) or "-" for kind in ("forwards", "backwards")]
        ratio, cpu = (f"{row[k]:.2f}" if row[k] else "-" for k in ("ratio", "cpu_ratio"))
        peak = f"{row['peak_bytes'] / 1e6:.0f}" if row["peak_bytes"] else "-"
        lines.append(f"{name:<11}{counts[0]:>16}{counts[1]:>16}{row['seconds']:>9.2f}{row['bare_seconds']:>12.2f}"
                     f"{ratio:>7}{cpu:>11}{peak:>9}")  # fmt: skip
    if (first := report["second_drag"]["first_update_seconds"]) is not None:
        share = first / report["whole"]["seconds"]
        lines.append(f"second drag: first update done after {first:.2f} s, {share:.1%} of the whole edit's time")
    if len(reports) > 1:
        drag, whole = ratio_text([r["phases"]["drag"] for r in reports]), ratio_text([r["whole"] for r in reports])
        lines.append(f"the middle one of {len(reports)} runs; all together: drag {drag}, whole edit {whole}")
    note = "n x b: n passes of b latents. bare calls: the same passes of the U-Net by itself. cpu ratio: of processor\n"
    return "\n".join([*lines, note + "time, which other programs on the machine disturb less"])
