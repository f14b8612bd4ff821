"""FastDrag (Zhao et al., NeurIPS 2024): one warp of the inverted latent in place of an optimisation.

A cell C of the mask moves by v(C) = sum_i w_i s_i (B_i - A_i) for the handles A_i and targets B_i. O and R are centre and
radius of the circle around the mask's bounding box, P_i is where the ray from A_i through C leaves that circle, and

    s_i = |P_i C| / |P_i A_i|        1 at the handle, 0 on the circle
    w_i = 1 / |C - A_i|              normalised; `nearest`: 1 for the nearest handle, 0 for the others

Cells that nothing moves to are mixed from the nearest cells to the left, right, top and bottom, each weighing
1 / distance; `noise` puts fresh noise there. While the result is denoised, the late self-attentions read the keys and
values of the unedited latent. Here those come from its own way down, as everywhere in this package, not from the
inversion: a drag of length zero is then exactly the round trip. No LoRA; Stable Diffusion's sampler is DDIM, not LCM.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gooddrag.config import DragConfig
from gooddrag.ddim import Schedule, step
from gooddrag.editor import DragEditor
from gooddrag.masactrl import borrowed_attention
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample
from gooddrag.source import SourcePath


@dataclass(frozen=True)
class FastDrag:
    """FastDrag with its released settings; the seed is of the noise, if any.

    Args:
        num_steps, strength: of the inversion, 7 of 10 steps.
        start: transformer block of 16 from which attention is shared; 7 is the first one of the up blocks.
        nearest, noise: see above. LazyDrag's ablation finds both to help.
    """

    num_steps: int = 10
    strength: float = 0.7
    start: int = 7
    nearest: bool = False
    noise: bool = False

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        config = DragConfig(num_steps=self.num_steps, strength=self.strength, K=0)
        editor = DragEditor(model, lora=None).set_image(sample.image)
        z_T, frame = editor.invert(config)[-1], editor.frame
        latent_grid = tuple(z_T.shape[-2:])
        grid = frame.grid(latent_grid, "latent4")
        cells = (frame.to_grid(sample.points, grid).numpy() + 0.5) / 4 - 0.5
        editable = frame.frozen(sample.mask, grid, latent_grid)[0, 0].numpy() == 0
        z, empty = warp(z_T[0].cpu().numpy(), editable, cells, nearest=self.nearest)
        z = torch.from_numpy(z if self.noise else fill(z, empty)).to(z_T)[None]
        if self.noise:
            fresh = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).to(z)
            z = torch.where(torch.from_numpy(empty).to(z.device), fresh, z)
        schedule = model.schedule(self.num_steps)
        source = SourcePath(model, schedule, z_T, config.T, config.feature_block, self.start)
        return frame.to_image(model.decode_image(denoise_beside(model, schedule, z, config.T, source, self.start)))


@torch.no_grad()
def denoise_beside(model: DiffusionModel, schedule: Schedule, z: Tensor, T: int, source: SourcePath, start: int) -> Tensor:
    """Eq. 2 from level T to 0; self-attentions from block `start` on read the source's keys and values."""
    for t in range(T, 0, -1):
        with borrowed_attention(model.unet, source.shared(t), start):
            z = step(z, model.eps(z, schedule.timestep(t)), schedule.alpha(t), schedule.alpha(t - 1))
    return z


def warp(x: np.ndarray, mask: np.ndarray, points: np.ndarray, *, nearest: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Move the cells of a mask along with the handles; of a latent, or of an image's pixels.

    Args:
        x: (C, H, W). mask: bool (H, W), what moves. points: (l, 2, 2), pairs of handle and target, (y, x) in cells.

    Returns:
        x after the warp, 0 where nothing arrived; bool (H, W) of those cells. Where two cells arrive, the first one in
        reading order stays.
    """
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return x.copy(), np.zeros_like(mask)
    C = np.stack([rows, cols]).astype(np.float32)  # (2, n)
    low, high = C.min(1), C.max(1)
    A, way = points[:, 0].astype(np.float32), (points[:, 1] - points[:, 0]).astype(np.float32)
    OA = A - (low + high) / 2
    radius = max(np.linalg.norm(high - low) / 2, *np.linalg.norm(OA, axis=1))  # a handle outside lies on the circle
    CA = [np.hypot(C[0] - a[0], C[1] - a[1]) for a in A]
    weights = [CA[i] == np.minimum.reduce(CA) if nearest else 1 / (CA[i] + 1e-4) for i in range(len(A))]
    v = np.zeros_like(C)
    for a, oa, ca, w, d in zip(A, OA, CA, weights, way, strict=True):
        along = ((C[0] - a[0]) * oa[0] + (C[1] - a[1]) * oa[1]) / np.maximum(ca, 1e-6)
        AP = np.sqrt(np.maximum(radius**2 - oa @ oa + along**2, 0)) - along
        stretch = np.where(ca > 0, np.clip(1 - ca / np.maximum(AP, 1e-6), 0, 1), 1)
        v += w * stretch * d[:, None]
    v /= np.sum(weights, axis=0)
    h, w = mask.shape
    to = np.rint(C + v).astype(np.int64).clip(0, [[h - 1], [w - 1]])
    source = np.where(mask, -1, np.arange(h * w).reshape(h, w)).ravel()
    source[(to[0] * w + to[1])[::-1]] = (rows * w + cols)[::-1]  # the last assignment counts
    empty = (source < 0).reshape(h, w)
    return np.where(empty, 0, x.reshape(len(x), -1)[:, source].reshape(x.shape)).astype(x.dtype), empty


def fill(x: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Mix each empty cell of x (C, H, W) from the nearest others in its row and column, weighing 1 / distance.

    Cells whose row and column are empty throughout are mixed in a further round, from what this one filled.
    """
    x, known = x.copy(), ~empty
    while known.any() and not known.all():
        rows, cols = np.nonzero(~known)
        total, value = np.zeros(len(rows)), np.zeros((len(x), len(rows)))
        for turned, at, across in ((known, cols, rows), (known.T, rows, cols)):
            for flip in (1, -1):
                line = turned[:, ::flip]
                last = np.maximum.accumulate(np.where(line, np.arange(line.shape[1]), -1), axis=1)[:, ::flip][across, at]
                near = last if flip == 1 else line.shape[1] - 1 - last
                weight = np.where(last >= 0, 1 / np.maximum(abs(near - at), 1), 0)
                near = near.clip(0, line.shape[1] - 1)
                value += weight * (x[:, across, near] if turned is known else x[:, near, across])
                total += weight
        found = total > 0
        x[:, rows[found], cols[found]] = value[:, found] / total[found]
        known[rows[found], cols[found]] = True
    return x


def preview(image: Image.Image, points: np.ndarray, mask: np.ndarray | None = None) -> Image.Image:
    """The warp of an RGB image's own pixels, to look at while an arrow is pulled; points (l, 2, 2), (x, y) in pixels."""
    x = np.asarray(image).transpose(2, 0, 1).astype(np.float32)
    mask = np.ones(x.shape[1:], bool) if mask is None else np.asarray(mask) > 0
    moved = fill(*warp(x, mask, np.asarray(points, dtype=np.float64)[..., ::-1], nearest=True))
    return Image.fromarray(moved.round().astype(np.uint8).transpose(1, 2, 0))


METHODS = {"FastDrag": FastDrag(), "FastDrag, nearest and noise": FastDrag(nearest=True, noise=True)}
