"""Several edits at once: their U-Net passes share batches, everything else is each one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gooddrag.algorithm import drag_latents
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import Schedule, invert
from gooddrag.editor import DragEditor
from gooddrag.frame import Frame
from gooddrag.lora import Lora, applied_each
from gooddrag.lora_files import load_lora
from gooddrag.memory import STORE, Memory, is_out_of_memory, tier
from gooddrag.model import DiffusionModel
from gooddrag.phases import phase
from gooddrag.progress import tracked
from gooddrag.result import DragResult, Recorder
from gooddrag.sample import Sample
from gooddrag.source import SourcePath
from gooddrag.state import Callback, State


def drag_batch(
    model: DiffusionModel,
    samples: Sequence[Sample],
    config: DragConfig | None = None,
    lora: LoraConfig | str | os.PathLike | Lora | None = LoraConfig(),  # noqa: B008 (frozen)
    seed: int = 0,
    callback: Callable[[int, State], bool | None] | None = None,
    keep_outside: bool = False,
    keep: Iterable[str] = (),
    progress: bool = False,
    memory: Memory = "auto",
) -> list[DragResult]:
    """Edit several pictures together: `[drag(model, sample, config, lora, seed) for sample in samples]` in U-Net
    passes of one batch, from the inversion on. An edit that stops early leaves the others' batches.

    The results are those of one by one up to rounding: in float64 to 1e-6 (latents), with the same handles. In float32
    rounding may tip a near tie in the tracking or the sign of the mask term, and an edit may then go another way that
    is as good. A batch needs the memory of its edits together, and every one of them waits for the last.

    Args:
        samples: pictures of one size at the model's (see `Frame.fit`); points, masks and numbers of pairs may differ.
        config: of all of them; None = as for `DragEditor.drag`.
        lora: as for `DragEditor`. With a LoraConfig every picture has a LoRA of its own, fitted one after the other
            and run beside the weights instead of written into them; any other is shared by all.
        callback: called with a sample's number and its `State`; returning True ends the dragging of that one.
        keep_outside, keep: as for `DragEditor.drag`.
        memory: as for `DragEditor`, but nothing is tried again in "low".

    Returns:
        One DragResult for each sample, in their order.

    Raises:
        ValueError: bad arguments; pictures of different sizes.
        FloatingPointError: something in one of the edits is not finite; see `drag_latent`.
        MemoryError: no memory for so many at once.
    """
    samples, config = _checked(samples, config or DragConfig.preset(model.preset))
    if isinstance(lora, str | os.PathLike):
        lora = load_lora(Path(lora))  # once, so that all share it
    editors = [DragEditor(model, lora, seed, progress, memory) for _ in samples]
    _check_sizes([Frame.fit(s.image.size, model.vae_scale, model.native_size) for s in samples])  # before the work
    for editor, sample in zip(editors, samples, strict=True):
        editor.set_image(sample.image)
    return drag_together(editors, samples, config, callback, keep_outside, keep, progress)


def drag_together(
    editors: Sequence[DragEditor],
    samples: Sequence[Sample],
    config: DragConfig | None = None,
    callback: Callable[[int, State], bool | None] | None = None,
    keep_outside: bool = False,
    keep: Iterable[str] = (),
    progress: bool = False,
) -> list[DragResult]:
    """`drag_batch` for editors that have their images: `[e.drag(s, None, config) for e, s in zip(editors, samples)]`.

    Inversions that the editors have made for this setting are used; unless all have, they are made in one batch.

    Args:
        editors: of one model, each with the image of its sample. The rest, and what is raised: as for `drag_batch`.
    """
    editors, (samples, config) = list(editors), _checked(samples, config)
    if len(editors) != len(samples) or any(e.model is not editors[0].model for e in editors):
        raise ValueError(f"editors: {len(editors)} for {len(samples)} samples; expected one each, of one model")
    model, memory = editors[0].model, editors[0].memory
    _check_sizes([e.frame for e in editors])
    tasks = [e.frame.task(s, config, tuple(e.z_0.shape[-2:])) for e, s in zip(editors, samples, strict=True)]
    recorders = [Recorder(e.frame, task.size, keep) for e, task in zip(editors, tasks, strict=True)]
    observers = [_observer(i, recorder, callback) for i, recorder in enumerate(recorders)]

    schedule = model.schedule(config.num_steps)
    kept = [e.inverted(config) for e in editors]
    try:
        with tier(memory, model), applied_each(model.unet, [editor.lora for editor in editors]) as rows:
            if None in kept:
                z_0 = torch.cat([editor.z_0 for editor in editors])  # (B, C, h, w)
                trajectory = _inverted(model, z_0, schedule, config, progress)
            else:
                trajectory = [torch.cat(level) for level in zip(*kept, strict=True)]
            source = SourcePath(model, schedule, trajectory[-1], config.T, config.feature_block,
                                config.masactrl_start, STORE[memory])  # fmt: skip
            edited = drag_latents(model, trajectory, tasks, config, observers, source, rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(f"samples: {len(samples)} at once are too many for the memory of {model.device.type}; "
                          "expected fewer, or memory='low'") from error  # fmt: skip
    return [
        DragResult.of(model, sample, editor.frame, config, latent, handles, recorder, keep_outside)
        for sample, editor, (latent, handles), recorder in zip(samples, editors, edited, recorders, strict=True)
    ]


def _checked(samples: Sequence[Sample], config: DragConfig) -> tuple[list[Sample], DragConfig]:
    samples = list(samples)
    if not samples:
        raise ValueError("samples: none given; expected one or more")
    if wrong := [s for s in samples if not isinstance(s, Sample)]:
        raise ValueError(f"samples: {type(wrong[0]).__name__} among them; expected Sample(image, points, mask)")
    if not isinstance(config, DragConfig):
        raise ValueError(f"config: {type(config).__name__}; expected DragConfig")
    return samples, config


def _check_sizes(frames: Sequence[Frame]) -> None:
    sizes = [frame.padded for frame in frames]
    if other := next((i for i, size in enumerate(sizes) if size != sizes[0]), None):
        first, second = (f"{sizes[i][0]} x {sizes[i][1]} px" for i in (0, other))
        raise ValueError(f"samples: number {other} is worked at as {second}, number 0 as {first}; expected one size")


def _observer(number: int, recorder: Recorder, callback: Callable[[int, State], bool | None] | None) -> Callback:
    def observe(state: State) -> bool:
        recorder(state)
        return bool(callback and callback(number, state))

    return observe


@torch.no_grad()
@phase("inversion")
def _inverted(model: DiffusionModel, z_0: Tensor, schedule: Schedule, config: DragConfig,
              progress: bool) -> list[Tensor]:  # fmt: skip
    """z_0, z_1, ..., z_T of the whole batch (Eq. 3)."""
    steps = invert(model.eps, z_0, schedule, config.T, config.inversion)
    return [z_0, *tracked(steps, "inversion", config.T, progress)]
