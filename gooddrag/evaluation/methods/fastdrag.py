"""FastDrag (Zhao et al., NeurIPS 2024): one warp of the inverted latent in place of an optimisation.

A cell C of the mask moves by v(C) = sum_i w_i s_i (B_i - A_i) for the handles A_i and targets B_i. With the circle
around the mask's bounding box, which the ray from A_i through C leaves at P_i,

    s_i = |P_i C| / |P_i A_i|        1 at the handle, 0 on the circle
    w_i = 1 / |C - A_i|              normalised; `nearest`: 1 for the nearest handle, 0 for the others

Cells that nothing moves to are mixed from the nearest others in their row and column, which weigh 1 / distance;
`noise` puts fresh noise there. While the result is denoised, self-attentions read keys and values of the unedited
latent: of its own way down, not of the inversion, so that a drag of length zero is the round trip. No LoRA, no LCM.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gooddrag.algorithm import drag_latent
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample


@dataclass(frozen=True)
class FastDrag:
    """FastDrag with its released settings; the seed is of the noise, if any.

    Args:
        num_steps, strength: 7 of 10 steps are inverted. start: transformer block of 16 from which attention is shared;
            7 is the first of the up blocks. nearest, noise: see above; LazyDrag's ablation finds both to help.
    """

    num_steps: int = 10
    strength: float = 0.7
    start: int = 7
    nearest: bool = False
    noise: bool = False

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        config = DragConfig(num_steps=self.num_steps, strength=self.strength, K=0, masactrl_start=self.start)
        editor = DragEditor(model, lora=None).set_image(sample.image)
        task, source, (*path, z_T) = editor.task(sample, config), editor.source(config), editor.invert(config)
        cells = (torch.stack([task.p_0, task.q], dim=1).cpu().numpy() + 0.5) / 4 - 0.5
        editable = task.frozen[0, 0].cpu().numpy() == 0
        x, empty = warp(z_T[0].cpu().numpy(), editable, cells, nearest=self.nearest)
        if self.noise:
            x[:, empty] = np.random.default_rng(seed).normal(size=(len(x), empty.sum()))
        z = torch.from_numpy(x if self.noise else fill(x, empty))[None].to(z_T)
        z, _ = drag_latent(model, [*path, z], task, config, source=source)  # K is 0: it denoises
        return editor.frame.to_image(model.decode_image(z))


def warp(x: NDArray, mask: NDArray, points: NDArray, *, nearest: bool = False) -> tuple[NDArray, NDArray]:
    """Move what the mask (H, W) covers along with the handles: the cells of a latent or an image's pixels x (C, H, W).

    Points are (l, 2, 2), pairs of handle and target, (y, x) in cells. Returns x after the warp, 0 where nothing arrives
    and bool (H, W) of that. Of cells that arrive at the same place the first one in reading order stays.
    """
    C = np.argwhere(mask).T.astype(np.float32)  # (2, n)
    if not C.size:
        return x.copy(), np.zeros_like(mask)
    low, high, (A, B) = C.min(1), C.max(1), points.astype(np.float32).swapaxes(0, 1)
    OA = A - (low + high) / 2
    radius = max(np.linalg.norm(high - low) / 2, *np.linalg.norm(OA, axis=1))  # a handle outside widens the circle
    far = np.stack([np.hypot(C[0] - y, C[1] - x) for y, x in A])
    owner, v, total = far.argmin(0) if nearest else None, np.zeros_like(C), np.zeros_like(C[0])
    for i, (a, oa) in enumerate(zip(A, OA, strict=True)):
        mine = owner == i if nearest else slice(None)
        c, d = C[:, mine], far[i, mine]
        along = (oa @ (c - a[:, None])) / np.maximum(d, 1e-6)
        reach = np.sqrt(np.maximum(radius**2 - oa @ oa + along**2, 0)) - along  # |A P|
        s = np.where(d > 0, np.clip(1 - d / np.maximum(reach, 1e-6), 0, 1), 1)
        v[:, mine] += s / (d + 1e-4) * (B[i] - a)[:, None]
        total[mine] += 1 / (d + 1e-4)
    h, w = mask.shape
    to = np.rint(C + v / total).astype(int).clip(0, [[h - 1], [w - 1]])
    source = np.where(mask, -1, np.arange(h * w).reshape(h, w)).ravel()
    source[(to[0] * w + to[1])[::-1]] = np.flatnonzero(mask)[::-1]  # the last assignment counts
    empty = (source < 0).reshape(h, w)
    return np.where(empty, 0, x.reshape(len(x), -1)[:, source].reshape(x.shape)), empty


def fill(x: NDArray, empty: NDArray) -> NDArray:
    """x (C, H, W) with its empty cells mixed from the others; where row and column are empty, in a further round."""
    flat, known = x.reshape(len(x), -1).copy(), ~empty
    cells = np.arange(empty.size).reshape(empty.shape)
    while known.any() and not known.all():
        total, value = np.zeros(empty.size, x.dtype), np.zeros_like(flat)
        for turn in range(4):  # the nearest one to the left, on the array turned by 0, 90, 180 and 270 degrees
            there, cell = np.rot90(known, turn), np.rot90(cells, turn)
            left = np.maximum.accumulate(np.where(there, np.arange(there.shape[1]), -1), axis=1)
            row, col = np.nonzero(~there & (left >= 0))
            near, weight = left[row, col], 1 / (col - left[row, col])
            total[cell[row, col]] += weight
            value[:, cell[row, col]] += weight * flat[:, cell[row, near]]
        found = total > 0
        flat[:, found] = value[:, found] / total[found]
        known = known | found.reshape(known.shape)
    return flat.reshape(x.shape)


def preview(image: Image.Image, points: NDArray, mask: NDArray | None = None) -> Image.Image:
    """The warp of an RGB image's own pixels, to look at while an arrow is pulled; points (l, 2, 2), (x, y), px."""
    x = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)
    mask = np.ones(x.shape[1:], bool) if mask is None else np.asarray(mask) > 0
    moved = fill(*warp(x, mask, np.asarray(points, dtype=float)[..., ::-1], nearest=True))
    return Image.fromarray(moved.round().astype(np.uint8).transpose(1, 2, 0))
