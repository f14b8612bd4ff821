"""What an edit gives back: the image, the way there, and its files."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from scipy import ndimage
from torch import Tensor

from gooddrag import __version__
from gooddrag.algorithm import State
from gooddrag.config import DragConfig
from gooddrag.files import SRGB, atomic_folder, expand
from gooddrag.frame import Frame
from gooddrag.marks import marked
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample


@dataclass
class Operation:
    """One drag operation g_k, as it ended.

    Attributes:
        k: 1, 2, ...; t: level. losses: of its updates (Eq. 8).
        handles: (l, 2) (x, y) in pixels of the user's image, after its tracking.
        distances: (l,) L1 distance of each handle's feature to the original one (Fig. 14b).
        spreads: (l,) standard deviation of each handle's distance map (Fig. 14a).
        z0_hat: the clean latent that the edit points to now.
        maps, latent: distance maps and z_t^k, if they were asked for.
    """

    k: int
    t: int
    handles: np.ndarray
    losses: list[float]
    distances: list[float]
    spreads: list[float]
    z0_hat: Tensor
    maps: list[Tensor] | None = None
    latent: Tensor | None = None


class Recorder:
    """An observer that turns the loop's events into a list of `Operation`s."""

    def __init__(self, frame: Frame, grid: tuple[int, int], keep: Iterable[str] = ()):
        self.frame, self.grid, self.keep = frame, grid, set(keep)
        if unknown := self.keep - {"maps", "latents"}:
            raise ValueError(f"keep: {', '.join(sorted(unknown))}; expected maps or latents")
        self.history: list[Operation] = []
        self._losses: list[float] = []
        self._z0_hat: Tensor | None = None

    def __call__(self, state: State) -> None:
        if state.event == "update":
            self._losses.append(state.loss)
            self._z0_hat = state.z0_hat
        elif state.event == "track" and state.counted:
            self.history.append(
                Operation(
                    k=state.k,
                    t=state.t,
                    handles=self.frame.from_grid(state.handles, self.grid),
                    losses=self._losses,
                    distances=[float(m.min()) for m in state.maps],
                    spreads=[float(m.std()) for m in state.maps],
                    z0_hat=self._z0_hat,
                    maps=[m.cpu() for m in state.maps] if "maps" in self.keep else None,
                    latent=state.z.clone() if "latents" in self.keep else None,
                )
            )
            self._losses, self._z0_hat = [], None


def truth_error(sample: Sample, image: Image.Image) -> float | None:
    """Mean squared error to the truth inside the mask, values in [0, 1]; None without a truth or anything editable."""
    inside = _editable(sample)
    if sample.truth is None or not inside.any():
        return None
    return _squared_difference(sample.truth, image, inside)


def edit_metrics(sample: Sample, image: Image.Image) -> dict[str, float | None]:
    """What the sample's mask and truth tell about an edited image; what is not known has no entry.

    `truth_error_ratio` is the error by the unedited image's, None if there was nothing to do.
    """
    outside, metrics = ~_editable(sample), {}
    if outside.any():
        metrics["damage_outside_mask"] = _squared_difference(sample.image, image, outside)
    if (error := truth_error(sample, image)) is not None:
        unedited = truth_error(sample, sample.image)
        metrics |= {"truth_error_inside_mask": error, "truth_error_unedited": unedited}
        metrics["truth_error_ratio"] = error / unedited if unedited else None
    return metrics


def _editable(sample: Sample) -> np.ndarray:
    return np.ones(sample.image.size[::-1], bool) if sample.mask is None else sample.mask


def _squared_difference(first: Image.Image, second: Image.Image, where: np.ndarray) -> float:
    """Mean squared difference of two RGB images, values in [0, 1], where `where`, bool (H, W), is True."""
    difference = np.asarray(first)[where].astype(np.int32) - np.asarray(second)[where]
    return float(np.square(difference).mean() / 255**2)


@dataclass
class DragResult:
    """An edited image and how it came about. In a notebook it shows its overview.

    Attributes:
        sample: what was asked for.
        image: PIL RGB of the input's size.
        tensor: (1, 3, H, W) in [0, 1] at the model's size, before rounding. latent: (1, C, h, w), the edited z_0.
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

    def keeping_outside(self) -> Self:
        """The same edit with the original pixels put back outside the mask; without a mask nothing is outside.

        The seam is feathered inwards over one latent cell, the model's own resolution.
        """
        mask, cell = self.sample.mask, self.model.vae_scale * self.frame.user[0] / self.frame.scaled[0]
        if mask is None or mask.all():
            return self
        weight = np.minimum(1.0, ndimage.distance_transform_edt(mask) / cell)
        alpha = Image.fromarray((255 * weight).round().astype(np.uint8))
        return replace(self, image=Image.composite(self.image, self.sample.image, alpha))

    @property
    def path(self) -> np.ndarray:
        """(n + 1, l, 2): the handles before and after every drag operation, (x, y) in pixels of the input."""
        return np.stack([self.sample.handles, *(op.handles for op in self.history)])

    @property
    def metrics(self) -> dict:
        """Plain numbers: distances in pixels and, with a known truth, squared errors (images in [0, 1])."""
        handles, targets = self.sample.handles, self.sample.targets
        return {
            "model": self.model.label,
            "size": list(self.sample.image.size),
            "worked_at": list(self.frame.scaled),
            "drag_operations": len(self.history),
            "updates": sum(len(op.losses) for op in self.history),
            "distance_asked_px": np.linalg.norm(targets - handles, axis=1).round(2).tolist(),
            "distance_left_px": np.linalg.norm(targets - self.handles, axis=1).round(2).tolist(),
            **edit_metrics(self.sample, self.image),
        }

    def frames(self) -> list[Image.Image]:
        """Before, guesses after every third operation and the last, the result, all marked; at most 1024 px long."""
        picked = [op for i, op in enumerate(self.history, start=1) if i % 3 == 1 or i == len(self.history)]
        scale = min(1.0, 1024 / max(self.sample.image.size))
        size = tuple(max(1, round(scale * side)) for side in self.sample.image.size)

        def shown(image: Image.Image, handles: np.ndarray) -> Image.Image:
            small = image.resize(size, Image.Resampling.LANCZOS)
            return marked(small, scale * np.stack([handles, self.sample.targets], axis=1))

        guesses = [shown(self.frame.to_image(self.model.decode_image(op.z0_hat)), op.handles) for op in picked]
        return [shown(self.sample.image, self.sample.handles), *guesses, shown(self.image, self.handles)]

    def overview(self, size: int = 384) -> Image.Image:
        """Before with the user's edit, after and, where it is known, the truth, side by side; `size`: long side, px."""
        shape = tuple(max(1, round(n * size / max(self.sample.image.size))) for n in self.sample.image.size)
        before = marked(self.sample.image, self.sample.points, self.sample.mask)
        parts = [part for part in (before, self.image, self.sample.truth) if part]
        sheet = Image.new("RGB", (len(parts) * (shape[0] + 8) - 8, shape[1]), "white")
        for i, part in enumerate(parts):
            sheet.paste(part.resize(shape, Image.Resampling.LANCZOS), (i * (shape[0] + 8), 0))
        return sheet

    def _repr_png_(self) -> bytes:
        return self.overview()._repr_png_()

    def save(self, folder: str | os.PathLike) -> Path:
        """Write result.png, overview.png, trajectory.webp, metrics.json and the sample, which `Sample.open` reads."""
        report = {"gooddrag": __version__, **self.metrics, "config": asdict(self.config)}
        report["handles"] = self.handles.tolist()
        first, *others = self.frames()
        with atomic_folder(folder, argument="folder") as temporary:
            self.sample.save(temporary)
            self.image.save(temporary / "result.png", icc_profile=SRGB)
            self.overview().save(temporary / "overview.png", icc_profile=SRGB)
            durations = [800, *[120] * (len(others) - 1), 1600]
            first.save(temporary / "trajectory.webp", save_all=True, append_images=others, duration=durations, loop=0)
            (temporary / "metrics.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return expand(folder)
