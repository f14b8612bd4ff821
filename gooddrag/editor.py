"""The slow step once, the quick step many times: `set_image`, then `drag` as often as you like."""

import os
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.profiler import record_function
from tqdm import tqdm

from gooddrag.algorithm import Callback, State, drag_latent
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import check_finite, invert
from gooddrag.files import ImageSource, load_image
from gooddrag.frame import Frame
from gooddrag.lora import Lora, Progress, applied, fit_cached, load_lora, tracked
from gooddrag.model import DiffusionModel
from gooddrag.motion import Task
from gooddrag.result import DragResult, Recorder
from gooddrag.sample import Sample
from gooddrag.source import SourcePath

ADVICE = "use low_memory=True (--low-memory), a smaller image, LoraConfig(batch_size=1), float16 or a smaller model"
SHORT = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")  # the CPU's, MPS's, cuBLAS's errors
LoraSource = LoraConfig | str | os.PathLike | Lora | bool | None


class DragEditor:
    """Drags points of one image at a time.

    Args:
        lora: how to fit the single-image LoRA; True: as suits the model, `LoraConfig.preset(model.preset)`; the path of
            a LoRA file; a LoRA as `gooddrag.lora.fit` returns it; None.
        seed: of the LoRA's fit; everything else is deterministic.
        progress: show progress bars; or a function, called with (stage, done, total) while the LoRA is fitted and the
            image inverted (a drag has its own `callback`), which ends them by raising.
        low_memory: checkpoint gradients, keep features and attention states on the host: the same, a third slower.

    Attributes:
        image: PIL RGB, as it was set. frame: where it lies in what the model sees. z_0: (1, C, h, w), its latent.
        lora: what was fitted to it or loaded; empty for none.
    """

    def __init__(
        self,
        model: DiffusionModel,
        lora: LoraSource = None,
        *,
        seed: int = 0,
        progress: Progress = False,
        low_memory: bool = False,
    ):
        if not isinstance(model, DiffusionModel):
            raise ValueError(f"model: {type(model).__name__}; expected what load_model() returns")
        if isinstance(lora, str | os.PathLike):
            lora = load_lora(lora, model.unet)
        self.model, self.seed, self.progress, self.low_memory = model, seed, progress, low_memory
        self._lora_source = LoraConfig.preset(model.preset) if lora is True else lora
        self.image, self.frame, self.z_0, self.lora = None, None, None, {}  # until set_image

    def set_image(self, image: ImageSource) -> Self:
        """Take an image of any size and mode: encode it and fit its LoRA.

        An image larger than the model's native size is edited at that size and scaled back at the end.
        """
        image = load_image(image)
        frame = Frame.fit(image.size, self.model.vae_scale, self.model.native_size)
        with self._memory(), record_function("encode"):
            z_0 = self.model.encode(frame.to_tensor(image))
        lora = self._lora_source
        if isinstance(lora, LoraConfig):
            with self._memory(), record_function("LoRA"):
                lora = fit_cached(self.model, z_0, lora, self.seed, progress=self.progress)
        self.image, self.frame, self.z_0, self.lora = image, frame, z_0, lora or {}
        self._trajectories: dict[tuple, list[Tensor]] = {}
        self._source: tuple[tuple, SourcePath] | None = None  # of the last drag, with what it depends on
        return self

    def invert(self, config: DragConfig | None = None) -> list[Tensor]:
        """z_0, z_1, ..., z_T of the image (Eq. 3) under its LoRA; computed once per setting. `config` as in `drag`."""
        config = self._ready(config)
        key = (config.num_steps, config.T, config.inversion)
        if key not in self._trajectories:
            schedule = self.model.schedule(config.num_steps)
            with self._memory(), record_function("inversion"), torch.no_grad(), applied(self.model.unet, self.lora):
                steps = invert(self.model.eps, self.z_0, schedule, config.T, config.inversion)
                self._trajectories[key] = [self.z_0, *tracked(steps, "inversion", config.T, self.progress)]
        return self._trajectories[key]

    def drag(
        self,
        points: ArrayLike | Sample,
        mask: ArrayLike | ImageSource | None = None,
        config: DragConfig | None = None,
        *,
        callback: Callback | None = None,
        keep_outside: bool = False,
        keep: Iterable[str] = (),
    ) -> DragResult:
        """Algorithm 1 on the image that was set. Warns where every handle counts as arrived, and of an odd mask.

        Args:
            points: (l, 2, 2), l pairs of [handle (x, y), target (x, y)] in pixels of the image; or a Sample of this
                image: its points and its mask count, and the result carries it, with its truth and its name.
            mask: (H, W), see `gooddrag.files.load_mask`: True = editable; None = everything is editable.
            config: the settings; None = those that suit the model, `DragConfig.preset(model.preset)`.
            callback: called with a `State` after every update, tracking and denoising step; True ends the dragging.
            keep_outside: put the original pixels back outside the mask, as always with an empty one.
            keep: what else the history should hold: "maps" (tracking heatmaps), "latents" (z after each operation).

        Raises:
            ValueError: no image set; bad arguments. FloatingPointError: says where. MemoryError: says what to reduce.
        """
        config = self._ready(config)
        sample = self._sample(points, mask)
        task = self.task(sample, config)
        trajectory, source = self.invert(config), self.source(config)
        recorder = Recorder(self.frame, task.size, keep)
        bar = tqdm(total=config.K + config.T, desc="drag", disable=self.progress is not True)

        def observe(state: State) -> bool:
            recorder(state)
            if state.event == "denoise" or (state.event == "track" and state.counted):
                bar.update()
            return bool(callback and callback(state))

        with self._memory(), bar, applied(self.model.unet, self.lora):
            latent, handles = drag_latent(self.model, trajectory, task, config, observe, source)
            bar.total = bar.n  # handles that arrived early are no broken bar
            bar.set_postfix_str(f"{len(recorder.history)} of {config.K} operations")
        with self._memory(), record_function("decode"):
            tensor = self.model.decode_image(latent)
        check_finite("decoding", "t = 0", image=tensor)
        image, at, history = self.frame.to_image(tensor), self.frame.from_grid(handles, task.size), recorder.history
        result = DragResult(sample, image, tensor, latent, at, history, config, self.model, self.frame)
        empty = sample.mask is not None and not sample.mask.any()
        return result.keeping_outside() if keep_outside or empty else result

    def task(self, sample: Sample, config: DragConfig) -> Task:
        """The sample's points and mask on the grids that an edit works on, on the latent's device.

        Warns where every handle counts as arrived, and where the mask falls between the cells of the latent grid.
        """
        frame, cells = self.frame, tuple(self.z_0.shape[-2:])
        grid = frame.grid_size(cells, config.grid)
        p_0, q = (frame.to_grid(points, grid) for points in (sample.handles, sample.targets))
        if (q - p_0).norm(dim=1).max() < (shortest := config.stop_distance or 1.0):
            px = f"{shortest * frame.from_grid(torch.ones(2), grid).max():.3g} px"
            warnings.warn(f"points: every target is less than {px} from its handle; nothing is dragged", stacklevel=3)
        frozen = frame.frozen(sample.mask, grid, cells)
        if sample.mask is not None and sample.mask.any() and frozen.all():
            where = f"none of its {sample.mask.sum()} editable pixels is on the model's grid"
            warnings.warn(f"mask: {where}; the drag is held back everywhere", stacklevel=3)
        return Task(grid, p_0.to(self.z_0.device), q.to(self.z_0.device), frozen.to(self.z_0))

    def source(self, config: DragConfig) -> SourcePath:
        """The unedited latent's passes, shared by all drags from the same z_T; those of the last drag are kept."""
        key = (config.num_steps, config.T, config.inversion, config.feature_block, config.masactrl_start)
        if self._source is None or self._source[0] != key:
            store = torch.device("cpu") if self.low_memory else None
            self._source = key, SourcePath(self.model, self.invert(config)[-1], config, store)
        return self._source[1]

    @contextmanager
    def _memory(self) -> Iterator[None]:
        """Checkpoint gradients in low memory; say what to reduce where memory runs out."""
        unet = self.model.unet
        if checkpoint := self.low_memory and not unet.is_gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            short = any(words in str(error) for words in SHORT)
            if not (short or isinstance(error, torch.OutOfMemoryError | MemoryError)):
                raise
            traceback.clear_frames(error.__traceback__)  # a notebook keeps the error, and it the activations
            raise MemoryError(f"memory: not enough on {self.model.device.type}; {ADVICE}") from error
        finally:
            if checkpoint:
                unet.disable_gradient_checkpointing()

    def _ready(self, config: DragConfig | None) -> DragConfig:
        if self.image is None:
            raise ValueError("image: none set; expected set_image(image) before this call")
        return config or DragConfig.preset(self.model.preset)

    def _sample(self, points: ArrayLike | Sample, mask: ArrayLike | ImageSource | None) -> Sample:
        if not isinstance(points, Sample):
            return Sample(self.image, points, mask)
        if mask is not None:
            raise ValueError("mask: given beside a Sample, which has its own; expected Sample(image, points, mask)")
        image = points.image
        if image.size != self.image.size or image.tobytes() != self.image.tobytes():
            raise ValueError(f"points: {points!r} is of another image; expected set_image(sample.image) before")
        return points


def drag(
    model: DiffusionModel, sample: Sample, config: DragConfig | None = None, *, lora: LoraSource = True, seed: int = 0
) -> DragResult:
    """One edit in one call: a `DragEditor`, its `set_image` and its `drag`, whose arguments these are.

    `lora` True: fitted as suits the model where no settings are given, else as in `LoraConfig()`.
    """
    if not isinstance(sample, Sample):
        raise ValueError(f"sample: {type(sample).__name__}; expected Sample(image, points, mask)")
    lora = LoraConfig() if lora is True and config else lora
    return DragEditor(model, lora, seed=seed).set_image(sample.image).drag(sample, config=config)
