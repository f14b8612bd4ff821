"""The one place that converts between the user's picture and what the model sees."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """A user's image inside the model's input: scaled down if it is too large, padded at the right and bottom.

    Attributes:
        user: (W, H) of the image as given.
        scaled: (W, H) that the model works at, user size or smaller, same aspect up to rounding.
        padded: (W, H) with sides divisible by the VAE's scale.
    """

    user: tuple[int, int]
    scaled: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def fit(cls, size: tuple[int, int], multiple: int, native: int) -> Self:
        """The frame of a (W, H) image: short side at most `native`, long side at most twice that; never stretched."""
        w, h = size
        s = min(1.0, native / min(w, h), 2 * native / max(w, h))
        scaled = (max(1, round(w * s)), max(1, round(h * s)))
        return cls(size, scaled, tuple(-(-n // multiple) * multiple for n in scaled))

    def to_tensor(self, image: Image.Image) -> Tensor:
        """RGB image of the user's size -> (1, 3, H, W) float32 in [-1, 1], edge pixels repeated into the padding."""
        if image.size != self.scaled:
            image = image.resize(self.scaled, Image.Resampling.LANCZOS)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
        right, bottom = (p - s for p, s in zip(self.padded, self.scaled, strict=True))
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x

    def to_image(self, x: Tensor) -> Image.Image:
        """(1, 3, H, W) in [0, 1] -> RGB image of the user's size."""
        x = x[0, :, : self.scaled[1], : self.scaled[0]].clamp(0, 1)
        image = Image.fromarray((x * 255).round().byte().permute(1, 2, 0).cpu().numpy())
        return image if image.size == self.user else image.resize(self.user, Image.Resampling.BICUBIC)

    def grid_size(self, latent_grid: tuple[int, int], kind: str) -> tuple[int, int]:
        """(H, W) of the supervision grid over the padded image: 4 x the latent grid, or the image's own pixels."""
        h, w = latent_grid
        return (4 * h, 4 * w) if kind == "latent4" else (self.padded[1], self.padded[0])

    def to_grid(self, points: np.ndarray, grid: tuple[int, int]) -> Tensor:
        """Points (..., 2), (x, y) in pixels of the user's image -> (..., 2) float32, (y, x) rounded to the grid."""
        scale = [self.scaled[i] / self.user[i] * grid[1 - i] / self.padded[i] for i in (0, 1)]
        # Half to even, as the released code's round().
        snapped = np.clip(np.rint(np.asarray(points, dtype=np.float64) * scale), 0, [grid[1] - 1, grid[0] - 1])
        return torch.from_numpy(snapped[..., ::-1].astype(np.float32).copy())

    def from_grid(self, points: Tensor, grid: tuple[int, int]) -> np.ndarray:
        """Points (..., 2), (y, x) on the grid -> (..., 2) float64, (x, y) in pixels of the user's image."""
        scale = [self.user[i] / self.scaled[i] * self.padded[i] / grid[1 - i] for i in (0, 1)]
        xy = points.detach().cpu().double().numpy()[..., ::-1] * scale
        return np.clip(xy, 0, [self.user[0] - 1, self.user[1] - 1])

    def frozen(self, mask: np.ndarray | None, grid: tuple[int, int], latent_grid: tuple[int, int]) -> Tensor:
        """1 - M on the latent grid, (1, 1, h, w) float32; the mask (H, W) of the user's size is nonzero where editable.

        Resampled as in the released code: nearest to the supervision grid, then nearest to the latent grid. Padding
        is what the image's edge next to it is. None: everything is editable.
        """
        if mask is None:
            return torch.zeros(1, 1, *latent_grid)
        m = torch.from_numpy(np.asarray(mask) != 0)[None, None].float()
        w, h = self.scaled
        m = F.pad(F.interpolate(m, (h, w)), (0, self.padded[0] - w, 0, self.padded[1] - h), mode="replicate")
        return 1 - F.interpolate(F.interpolate(m, grid), latent_grid)
