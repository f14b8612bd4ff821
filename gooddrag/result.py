"""What an edit gives back: the image, the way there, and its files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from gooddrag import __version__, plots
from gooddrag.config import DragConfig
from gooddrag.files import atomic_dir
from gooddrag.frame import Frame
from gooddrag.metrics import edit_metrics
from gooddrag.model import DiffusionModel
from gooddrag.phases import phase
from gooddrag.sample import FILES as SAMPLE_FILES
from gooddrag.sample import Sample
from gooddrag.state import State

KEEP = ("maps", "latents")
FORMAT_VERSION = 1  # of metrics.json
FILES = (*SAMPLE_FILES, "result.png", "overview.png", "trajectory.gif", "metrics.json")


@dataclass
class Operation:
    """One drag operation g_k, as it ended.

    Attributes:
        k: 1, 2, ...; t: level; timestep: what the U-Net was told.
        handles: (l, 2) (x, y) in pixels of the user's image, after its tracking.
        losses, drag_losses: of its updates: the whole of Eq. 8, and its first term.
        distances: (l,) L1 distance of each handle's feature to the original one (Fig. 14b).
        spreads: (l,) standard deviation of each handle's distance map (Fig. 14a).
        z0_hat: the clean latent that the edit points to now.
        maps, latent: distance maps and z_t^k, if they were asked for.
    """

    k: int
    t: int
    timestep: int
    handles: np.ndarray
    losses: list[float]
    drag_losses: list[float]
    distances: list[float]
    spreads: list[float]
    z0_hat: Tensor | None
    maps: list[Tensor] | None = None
    latent: Tensor | None = None


class Recorder:
    """An observer that turns the loop's events into a list of `Operation`s."""

    def __init__(self, frame: Frame, grid: tuple[int, int], keep: Iterable[str] = ()):
        self.frame, self.grid, self.keep = frame, grid, set(keep)
        if unknown := self.keep - set(KEEP):
            raise ValueError(f"keep: {', '.join(sorted(unknown))}; expected {' or '.join(KEEP)}")
        self.history: list[Operation] = []
        self._updates: list[State] = []

    def __call__(self, state: State) -> None:
        if state.event == "update":
            self._updates.append(state)
        elif state.event == "track" and state.counted:
            spreads = [float(m.std()) if m.numel() > 1 else 0.0 for m in state.maps]
            self.history.append(Operation(
                state.k, state.t, state.timestep, self.frame.from_grid(state.handles, self.grid),
                [s.loss for s in self._updates], [s.drag_loss for s in self._updates],
                [float(m.min()) for m in state.maps], spreads,
                self._updates[-1].z0_hat if self._updates else None,
                [m.cpu() for m in state.maps] if "maps" in self.keep else None,
                state.z.clone() if "latents" in self.keep else None,
            ))  # fmt: skip
            self._updates = []


@dataclass
class DragResult:
    """An edited image and how it came about.

    Attributes:
        sample: what was asked for.
        image: PIL RGB of the input's size.
        tensor: (1, 3, H, W) in [0, 1] at the model's size, before rounding.
        latent: (1, C, h, w), the edited z_0.
        handles: (l, 2) final handles, (x, y) in pixels of the input.
        history: one `Operation` per drag operation.
    """

    sample: Sample
    image: Image.Image
    tensor: Tensor = field(repr=False)
    latent: Tensor = field(repr=False)
    handles: np.ndarray
    history: list[Operation] = field(repr=False)
    config: DragConfig
    model: DiffusionModel = field(repr=False)
    frame: Frame = field(repr=False)

    @classmethod
    def of(cls, model: DiffusionModel, sample: Sample, frame: Frame, config: DragConfig, latent: Tensor,
           handles: Tensor, recorder: Recorder, keep_outside: bool = False) -> DragResult:  # fmt: skip
        """What a finished latent and its handles on the grid are as a picture and pixels.

        Args:
            keep_outside: put the original pixels back wherever the mask is not editable, as for an empty mask anyway.

        Raises:
            FloatingPointError: the decoded image is not finite.
        """
        with phase("decode"):
            tensor = model.decode_image(latent)
        if not torch.isfinite(tensor).all():
            raise FloatingPointError(f"drag: the decoded image is not finite; dtype {model.dtype} may be too "
                                     "small for this model's VAE: try dtype=torch.float32")  # fmt: skip
        image, mask = frame.to_image(tensor), sample.mask
        # An empty mask means that nothing may change: the loop runs as released, and every pixel is put back.
        if mask is not None and (keep_outside or not mask.any()):
            image = Image.composite(image, sample.image, Image.fromarray(mask))
        return cls(sample, image, tensor, latent, frame.from_grid(handles, recorder.grid), recorder.history, config,
                   model, frame)  # fmt: skip

    @property
    def path(self) -> np.ndarray:
        """(n + 1, l, 2): the handles before and after every drag operation, (x, y) in pixels of the input."""
        return np.stack([self.sample.handles, *(op.handles for op in self.history)])

    @property
    def metrics(self) -> dict:
        """Plain numbers: distances in pixels and, with a known truth, squared errors (images in [0, 1])."""
        left = np.linalg.norm(self.sample.targets - self.handles, axis=1)
        asked = np.linalg.norm(self.sample.targets - self.sample.handles, axis=1)
        metrics = {
            "model": self.model.label,
            "size": list(self.sample.image.size),
            "worked_at": list(self.frame.scaled),
            "drag_operations": len(self.history),
            "updates": sum(len(op.losses) for op in self.history),
            "distance_asked_px": asked.round(2).tolist(),
            "distance_left_px": left.round(2).tolist(),
        }
        return {**metrics, **edit_metrics(self.sample, self.image)}

    def frames(self, every: int = 1, size: int = 256) -> list[Image.Image]:
        """The way there as images of the input's aspect: the decoded guess of the result after drag operations.

        Args:
            every: take every n-th operation; the last one and the result are always there.
            size: long side in pixels.
        """
        if every < 1:
            raise ValueError(f"every: {every}; expected 1 or more")
        scale = size / max(self.sample.image.size)
        shape = tuple(max(1, round(n * scale)) for n in self.sample.image.size)
        picked = [op for i, op in enumerate(self.history) if i % every == 0 or i == len(self.history) - 1]
        images = [(self.sample.image, self.sample.handles)]
        for op in picked:
            if op.z0_hat is not None:
                guess = self.frame.to_image(self.model.decode_image(op.z0_hat), shape)
                images.append((guess, op.handles))
        images.append((self.image, self.handles))
        return [self._marked(image, handles, shape) for image, handles in images]

    def _marked(self, image: Image.Image, handles: np.ndarray, shape: tuple[int, int]) -> Image.Image:
        image = image.resize(shape, Image.Resampling.BICUBIC)
        draw, r = ImageDraw.Draw(image), max(2, round(max(shape) / 64))
        scale = np.array(shape) / np.array(self.sample.image.size)
        for handle, target in zip(handles * scale, self.sample.targets * scale, strict=True):
            draw.line([*handle, *target], fill="white", width=max(1, r // 2))
            for (x, y), colour in ((target, plots.TARGET), (handle, plots.HANDLE)):
                draw.ellipse([x - r, y - r, x + r, y + r], fill=colour, outline="white")
        return image

    def save(self, folder: str | Path, every: int = 2) -> Path:
        """Write the edit: result.png (the edited image), overview.png (before, user edit, after, truth),
        trajectory.gif, metrics.json, and the sample itself, which `Sample.open` reads.
        """
        with atomic_dir(folder, argument="folder") as temporary:
            self.sample.save(temporary)
            self.image.save(temporary / "result.png")
            plots.edit_overview(self).savefig(temporary / "overview.png")
            frames = self.frames(every)
            palette = [f.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for f in frames]
            palette[0].save(temporary / "trajectory.gif", save_all=True, append_images=palette[1:], loop=0,
                            duration=[800] + [80] * (len(palette) - 2) + [1600])  # fmt: skip
            report = {
                "format_version": FORMAT_VERSION,
                "gooddrag": __version__,
                **self.metrics,
                "config": asdict(self.config),
                "handles": self.handles.tolist(),
            }
            (temporary / "metrics.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return Path(folder)
