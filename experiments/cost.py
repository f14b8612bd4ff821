"""What an edit costs: passes of the U-Net by formula and counted, seconds measured beside the bare calls."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import mean, median
from typing import TypeVar

import torch
from torch import Tensor, nn

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.lora import fit
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

T = TypeVar("T")
PHASES = ("encode", "LoRA", "inversion", "reference", "drag", "denoise", "decode")  # labels that the engine sets


def edit_calls(config: DragConfig | None = None, lora: LoraConfig | None = None) -> dict[str, tuple[int, int, int]]:
    """U-Net passes that Algorithm 1 needs without an early stop: {phase: (forwards, backwards, latents in each)}."""
    config, lora = config or DragConfig(), lora or LoraConfig()
    levels, updates = len(config.schedule), config.K * config.J
    known = levels if config.tracking == "updated" else 0  # the last tracking's pass serves the denoising step too ...
    again = int(config.masactrl and config.masactrl_from == "first" and levels > 0)  # ... unless that step shares
    return {
        "LoRA": (lora.steps, lora.steps, lora.batch_size),
        "inversion": (config.T, 0, 1),
        "reference": (config.T + again if config.masactrl else levels, 0, 1),
        "drag": (updates + known, updates, 1),
        "denoise": (config.T - known + (again if known else 0), 0, 1),
    }


@dataclass
class Counts:
    """U-Net passes by batch size: {latents in a pass: number of such passes}."""

    forwards: Counter[int] = field(default_factory=Counter)
    backwards: Counter[int] = field(default_factory=Counter)

    @property
    def latents(self) -> int:
        """Latents of all forward passes."""
        return sum(batch * n for batch, n in self.forwards.items())


@contextmanager
def counting(unet: nn.Module) -> Iterator[Counts]:
    """Count the passes that are made in this context. A backward pass counts once, wherever the gradient comes in."""
    counts = Counts()

    def passed(module: nn.Module, args: tuple, kwargs: dict, output: tuple) -> None:
        z, eps = args[0] if args else kwargs["sample"], output[0]
        batch, pending = len(z), [True]
        counts.forwards[batch] += 1

        def back(grad: Tensor) -> None:
            if pending:
                counts.backwards[batch] += 1
                pending.clear()

        for tensor in (z, eps):
            if tensor.requires_grad:
                tensor.register_hook(back)

    hook = unet.register_forward_hook(passed, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


def label_seconds(work: Callable[[], object]) -> dict[str, float]:
    """Seconds under each of the engine's labels (`PHASES`), by torch.profiler, which slows the work down a little.

    A label inside another counts for both.
    """
    with torch.profiler.profile(activities=torch.profiler.supported_activities()) as profiler:
        work()
    totals = {event.key: event.cpu_time_total / 1e6 for event in profiler.key_averages()}
    return {name: totals[name] for name in PHASES if name in totals}


def profile(model: DiffusionModel, sample: Sample, config: DragConfig, lora: LoraConfig) -> dict[str, dict]:
    """One edit, timed act by act beside the bare U-Net calls that it needs, which are timed before and after.

    Returns:
        Rows "LoRA", "inversion", "drag" (dragging, denoising, decoding), "whole" (these together) and "second drag" (of
        the same image): {seconds, bare_seconds, ratio, forwards, backwards, peak_bytes}; the peak is that of the
        GPU's allocator, None on a CPU.
    """
    editor = DragEditor(model, None).set_image(sample.image)
    bare = {batch: [bare_seconds(model, editor.z_0, batch)] for batch in {1, lora.batch_size}}
    rows: dict[str, dict] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        start = _now(model)
        with counting(model.unet) as counts:
            made = work()
        rows[name] = {"seconds": _now(model) - start, "peak_bytes": _peak(model), **asdict(counts)}
        return made

    fitted = timed("LoRA", lambda: fit(model, editor.z_0, lora))
    editor = DragEditor(model, fitted).set_image(sample.image)
    timed("inversion", lambda: editor.invert(config))
    timed("drag", lambda: editor.drag(sample, config=config))
    first = list(rows.values())
    rows["whole"] = {key: sum((row[key] for row in first), Counter()) for key in ("forwards", "backwards")}
    rows["whole"]["seconds"] = sum(row["seconds"] for row in first)
    rows["whole"]["peak_bytes"] = max((row["peak_bytes"] for row in first), key=lambda peak: peak or 0)
    timed("second drag", lambda: editor.drag(sample, config=config))
    for batch, times in bare.items():
        times.append(bare_seconds(model, editor.z_0, batch))
    for row in rows.values():
        back = row["backwards"]
        row["bare_seconds"] = sum(
            (n - back[batch]) * mean(t[0] for t in bare[batch]) + back[batch] * mean(t[1] for t in bare[batch])
            for batch, n in row["forwards"].items()
        )
        row["ratio"] = row["seconds"] / row["bare_seconds"] if row["bare_seconds"] else None
    return rows


def bare_seconds(model: DiffusionModel, z: Tensor, batch: int = 1, repeats: int = 5) -> tuple[float, float]:
    """Medians of the frozen U-Net alone: a forward pass, and one with the backward pass to the latent."""
    prompt, x = model.prompt.expand(batch, -1, -1), z.expand(batch, -1, -1, -1).to(model.dtype, copy=True)
    times = []
    for _ in range(repeats + 1):
        start = _now(model)
        with torch.no_grad():
            model.unet(x, 741, encoder_hidden_states=prompt)
        middle = _now(model)
        with torch.enable_grad():
            eps = model.unet(x.detach().requires_grad_(), 741, encoder_hidden_states=prompt).sample
            eps.sum().backward()
        times.append((middle - start, _now(model) - middle))
    forward, both = zip(*times[1:], strict=True)  # the first round warms up
    return median(forward), median(both)


def _now(model: DiffusionModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def _peak(model: DiffusionModel) -> int | None:
    """Most bytes that the GPU's allocator held since the last call; None on a CPU."""
    if model.device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(model.device)
    torch.cuda.reset_peak_memory_stats(model.device)
    return peak
