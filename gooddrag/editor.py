"""The slow step once, the quick step many times: `set_image`, then `drag` as often as you like."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from gooddrag.algorithm import drag_latent
from gooddrag.config import DragConfig, LoraConfig, check_seed
from gooddrag.ddim import invert
from gooddrag.frame import Frame
from gooddrag.images import load_image
from gooddrag.lora import Lora, applied, check_lora
from gooddrag.lora_files import fit_cached, load_lora
from gooddrag.memory import ADVICE, STORE, Memory, choose, is_out_of_memory, release, tier
from gooddrag.model import DiffusionModel
from gooddrag.phases import phase
from gooddrag.progress import Progress, tracked
from gooddrag.result import DragResult, Recorder
from gooddrag.sample import Sample
from gooddrag.source import SourcePath
from gooddrag.state import Callback, State, Task

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from PIL import Image

T = TypeVar("T")


class DragEditor:
    """Drags points of one image at a time.

    Args:
        model: from `load_model`.
        lora: how to fit the single-image LoRA, the path of a LoRA file (today's or the released format), a LoRA as
            `gooddrag.lora.fit` returns it, or None for none.
        seed: of the LoRA's fit; everything else is deterministic.
        progress: show progress bars; or a function, called with (stage, done, total) while the LoRA is fitted and the
            image inverted (a drag has its own `callback`), which ends them by raising.
        memory: "full": features and attention states stay on the device; "low": gradient checkpointing, those on the
            host, the VAE there while it is idle; the results are the same. "auto": by the memory that is free. Where
            memory runs out in "full" the step is repeated in "low", with a warning.

    Attributes:
        memory, why: the tier and what decided it.
    """

    def __init__(
        self,
        model: DiffusionModel,
        lora: LoraConfig | str | os.PathLike | Lora | None = None,
        seed: int = 0,
        progress: Progress = False,
        memory: Memory = "auto",
    ):
        if not isinstance(model, DiffusionModel):
            raise ValueError(f"model: {type(model).__name__}; expected what load_model() returns")
        if isinstance(lora, str | os.PathLike):
            lora = load_lora(Path(lora))
        elif lora is not None and not isinstance(lora, LoraConfig | dict):
            raise ValueError(f"lora: {type(lora).__name__}; expected LoraConfig, a path, a dict of tensors or None")
        if isinstance(lora, dict):
            check_lora(lora)
        check_seed(seed)
        self.model, self.seed, self.progress = model, seed, progress
        self._lora_source = lora
        self.memory, self.why = choose(memory, model)
        self.image: Image.Image | None = None

    def set_image(self, image) -> DragEditor:
        """Take an image (PIL, path or bytes; any size and mode): encode it and fit its LoRA.

        An image larger than the model's native size is edited at that size and scaled back at the end.
        """
        image = load_image(image)
        frame = Frame.fit(image.size, self.model.vae_scale, self.model.native_size)
        with phase("encode"):
            z_0 = self.model.encode(frame.to_tensor(image))
        lora = self._lora_source
        if isinstance(lora, LoraConfig):
            lora = self._fitting(lambda: fit_cached(self.model, z_0, self._lora_source, self.seed, self.progress))
        self.image, self.frame, self.z_0, self.lora = image, frame, z_0, lora or {}
        self._trajectories: dict[tuple, list[Tensor]] = {}
        self.forget_source()
        return self

    def invert(self, config: DragConfig | None = None) -> list[Tensor]:
        """z_0, z_1, ..., z_T of the image (Eq. 3) under its LoRA; computed once per setting. `config` as in `drag`."""
        self._need_image()
        config = config or DragConfig.preset(self.model.preset)
        if (kept := self.inverted(config)) is None:
            schedule = self.model.schedule(config.num_steps)
            with phase("inversion"), torch.no_grad(), applied(self.model.unet, self.lora):
                steps = invert(self.model.eps, self.z_0, schedule, config.T, config.inversion)
                kept = [self.z_0, *tracked(steps, "inversion", config.T, self.progress)]
            self._trajectories[self._inversion(config)] = kept
        return kept

    def inverted(self, config: DragConfig) -> list[Tensor] | None:
        """What `invert` has computed for this setting, or None."""
        return self._trajectories.get(self._inversion(config))

    @staticmethod
    def _inversion(config: DragConfig) -> tuple:
        return config.num_steps, config.T, config.inversion

    def drag(
        self,
        points: ArrayLike | Sample,
        mask: ArrayLike | None = None,
        config: DragConfig | None = None,
        callback: Callback | None = None,
        keep_outside: bool = False,
        keep: Iterable[str] = (),
    ) -> DragResult:
        """Algorithm 1 on the image that was set.

        Args:
            points: (l, 2, 2), l pairs of [handle (x, y), target (x, y)] in pixels of the image; or a Sample of this
                image: its points and its mask count, and the result carries it, with its truth and its name.
            mask: (H, W), above 0 = editable; None = everything is editable.
            config: the settings; None = those that suit the model, `DragConfig.preset(model.preset)`, which for Stable
                Diffusion are the released ones.
            callback: called with a `State` after every update, tracking and denoising step; returning True ends
                the dragging. Where memory runs out and the drag is repeated in "low", it is told all anew.
            keep_outside: put the original pixels back wherever the mask is not editable.
            keep: what else the history should hold: "maps" (tracking heatmaps), "latents" (z after each operation).

        Returns:
            DragResult; its image has the size of the input.

        Raises:
            ValueError: no image set; bad arguments. FloatingPointError: see `drag_latent`. MemoryError: even in "low".

        Warns:
            UserWarning: nothing to drag: every handle counts as arrived (a pair that does beside others that do not is
                a pair at rest); the mask is empty.
        """
        self._need_image()
        config = config or DragConfig.preset(self.model.preset)
        if not isinstance(config, DragConfig):
            raise ValueError(f"config: {type(config).__name__}; expected DragConfig")
        if callback is not None and not callable(callback):
            raise ValueError(f"callback: {type(callback).__name__}; expected a function of a State, or None")
        sample = self._sample(points, mask)
        task = self.frame.task(sample, config, tuple(self.z_0.shape[-2:]))
        trajectory = self._fitting(lambda: self.invert(config))
        latent, handles, recorder = self._fitting(lambda: self._dragged(trajectory, task, config, callback, keep))
        made = (self.model, sample, self.frame, config, latent, handles, recorder, keep_outside)
        try:
            return DragResult.of(*made)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self.forget_source()  # the edit is done: what is kept for the next one makes room for its picture
        release(self.model.device)
        try:
            return DragResult.of(*made)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise MemoryError(f"memory: not enough on {self.model.device.type} to decode; {ADVICE}") from error
            raise

    def _dragged(self, trajectory: list[Tensor], task: Task, config: DragConfig, callback: Callback | None,
                 keep: Iterable[str]) -> tuple[Tensor, Tensor, Recorder]:  # fmt: skip
        recorder = Recorder(self.frame, task.size, keep)
        bar = tqdm(total=config.K + config.T, desc="drag", disable=self.progress is not True, leave=False)

        def observe(state: State) -> bool:
            recorder(state)
            if state.event == "denoise" or (state.event == "track" and state.counted):
                bar.update()
            return bool(callback and callback(state))

        with bar, applied(self.model.unet, self.lora):
            latent, handles = drag_latent(self.model, trajectory, task, config, observe, self._source(config))
        return latent, handles, recorder

    def _fitting(self, work: Callable[[], T]) -> T:
        """Do a piece of work in the tier, and once more in "low" where memory runs out."""
        try:
            with tier(self.memory, self.model):
                return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self.memory == "low":
                raise MemoryError(f"memory: not enough on {self.model.device.type}, even in 'low'; {ADVICE}") from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Out of the handler: its traceback would hold on to every tensor of the failed attempt.
        warnings.warn(f"memory: ran out ({reason}); going on in 'low', which is slower", stacklevel=3)
        self.memory, self.why = "low", "low: memory ran out in full"
        if source := getattr(self, "_source_path", None):
            source.move("cpu")
        release(self.model.device)
        return self._fitting(work)

    def forget_source(self) -> None:
        """Drop the unedited latent's way down (hundreds of MiB at 512 x 512); the next drag makes its own passes."""
        self._source_key: tuple | None = None
        self._source_path: SourcePath | None = None

    def _source(self, config: DragConfig) -> SourcePath:
        """The unedited latent's passes, shared by the drags of the image that start from the same z_T; those of the
        last drag are kept."""
        key = (*self._inversion(config), config.feature_block, config.masactrl_start)
        if key != self._source_key:
            self.forget_source()
            schedule, z_T = self.model.schedule(config.num_steps), self.invert(config)[-1]
            self._source_path = SourcePath(self.model, schedule, z_T, config.T, *key[-2:], STORE[self.memory])
            self._source_key = key
        return self._source_path

    def _sample(self, points: ArrayLike | Sample, mask: ArrayLike | None) -> Sample:
        if not isinstance(points, Sample):
            return Sample(self.image, points, mask)
        if mask is not None:
            raise ValueError("mask: given beside a Sample, which has its own; expected Sample(image, points, mask)")
        image = points.image
        if image.size != self.image.size or image.tobytes() != self.image.tobytes():
            raise ValueError(f"points: {points!r} is of another image; expected set_image(sample.image) before")
        return points

    def _need_image(self) -> None:
        if self.image is None:
            raise ValueError("image: none set; expected set_image(image) before this call")


def drag(
    model: DiffusionModel,
    sample: Sample,
    config: DragConfig | None = None,
    lora: LoraConfig | str | os.PathLike | Lora | None = LoraConfig(),  # noqa: B008 (frozen)
    seed: int = 0,
    callback: Callback | None = None,
    keep_outside: bool = False,
    keep: Iterable[str] = (),
    progress: bool = False,
) -> DragResult:
    """One edit in one call: `DragEditor(model, lora, seed).set_image(sample.image).drag(sample)`; see there.

    Raises:
        ValueError: bad arguments. FloatingPointError, MemoryError: as `DragEditor.drag`.
    """
    if not isinstance(sample, Sample):
        raise ValueError(f"sample: {type(sample).__name__}; expected Sample(image, points, mask)")
    editor = DragEditor(model, lora, seed, progress).set_image(sample.image)
    return editor.drag(sample, None, config, callback, keep_outside, keep)
