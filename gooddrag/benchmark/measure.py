"""What a method costs on one sample: seconds of each phase, calls of the U-Net, memory at its peak."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from experiments.cost.counts import Counts, counting
from gooddrag.baselines import Method
from gooddrag.config import LoraConfig
from gooddrag.frame import Frame
from gooddrag.lora_files import fit_cached
from gooddrag.memory import choose, tier
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

TRACKED = ("drag_operations", "updates", "distance_asked_px", "distance_left_px")


@dataclass
class TaskMeter:
    """Phases of one task: `with meter.phase("edit"): ...`.

    Attributes:
        seconds, calls, images: of each phase: time, U-Net calls, and images in their batches.
    """

    model: DiffusionModel
    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        counts = Counts()
        self._wait()
        start = time.perf_counter()
        try:
            with counting(self.model.unet, lambda: counts):
                yield
        finally:
            self._wait()
            self.seconds[name] = time.perf_counter() - start
            self.calls[name], self.images[name] = counts.forwards.total(), counts.latents

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def cost(self, batch: int = 1) -> dict[str, float | int | None]:
        """Plain numbers. A preparation without any U-Net call was somebody else's: its seconds are None, not 0. Of an
        edit of `batch` samples at once each has its share of the seconds and of the images.
        """
        own = {name: round(s, 3) if self.calls[name] else None for name, s in self.seconds.items()}
        return {"lora_seconds": own.get("lora"), "prepare_seconds": own.get("prepare"),
                "edit_seconds": round(self.seconds["edit"] / batch, 3), "unet_calls": self.calls["edit"],
                "unet_images": self.images["edit"] / batch, "batch": batch,
                "peak_memory_mib": peak_memory(self.model.device)}  # fmt: skip


def prepared(model: DiffusionModel, method: Method, sample: Sample, seed: int) -> TaskMeter:
    """What of a method belongs to the image, done and metered in two phases: fitting the LoRA, and the rest (encoding,
    inversion). Methods that follow each other on a sample share them.
    """
    reset_peak_memory(model.device)
    meter = TaskMeter(model)
    lora = method.lora_for(model) if hasattr(method, "lora_for") else getattr(method, "lora", None)
    if isinstance(lora, LoraConfig):
        frame = Frame.fit(sample.image.size, model.vae_scale, model.native_size)
        with meter.phase("lora"):
            z_0 = model.encode(frame.to_tensor(sample.image))
            with tier(choose("auto", model)[0], model):
                fit_cached(model, z_0, lora, seed)
    if hasattr(method, "prepare"):
        with meter.phase("prepare"):
            method.prepare(model, sample, seed)
    return meter


def metered(method: Method, samples: Sequence[Sample], meters: Sequence[TaskMeter],
            seed: int) -> list[tuple[Image.Image, dict, dict]]:  # fmt: skip
    """The edits of samples that are prepared, with what they cost.

    Args:
        samples: one; or several of one size, edited in one batch, by a method that has `edit_together`.
        meters: of their preparation.

    Returns:
        For each sample: the image; the cost (`TaskMeter.cost`); and what a drag tells of itself: drag operations,
        updates, and the distances asked for and left by its own tracking, in px (empty for a method that tells
        nothing).
    """
    whole = TaskMeter(meters[0].model)
    with whole.phase("edit"):
        edits = _edits(whole.model, method, samples, seed)
    made = []
    for sample, meter, (image, told) in zip(samples, meters, edits, strict=True):
        if not isinstance(image, Image.Image) or image.mode != "RGB" or image.size != sample.image.size:
            raise ValueError(f"method: returned {image!r}; expected a PIL RGB image of {sample.image.size} px")
        for mine, its in ((meter.seconds, whole.seconds), (meter.calls, whole.calls), (meter.images, whole.images)):
            mine |= its
        made.append((image, meter.cost(len(samples)), told))
    return made


def _edits(model: DiffusionModel, method: Method, samples: Sequence[Sample], seed: int) -> list[tuple[Any, dict]]:
    """Images, and what drags tell of themselves."""
    if len(samples) > 1:
        results = method.edit_together(model, samples, seed)
    elif hasattr(method, "edit"):
        results = [method.edit(model, samples[0], seed)]
    else:
        return [(method(model, samples[0], seed), {})]
    return [(result.image, {name: result.metrics[name] for name in TRACKED}) for result in results]


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        try:
            CLEAR.write_text("5")  # Linux: the peak of the resident set counts from here
        except OSError:
            pass


def peak_memory(device: torch.device) -> float | None:
    """MiB: what PyTorch held on the GPU at its peak, or the process in memory. None where nobody tells."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        peak = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return round(int(peak.split()[1]) / 1024, 1)
