"""SDE-Drag (Nie et al., 2023): noise the latent up, move a square of it, and denoise along the same noise.

    t, u     levels of the schedule, u = t - 1; alpha_t the cumulative product, as in `gooddrag.ddim`
    x_t      the edited latent; xf_t ("forward") the noised input, kept as a path xf_0, ..., xf_T
    sigma    of the DDPM step t -> u; w its noise: the one that takes xf_t to xf_u exactly
    cur, nxt the squares' centres: the drag is cut into short ones, each from the result of the last

Everything runs on the empty prompt, so that classifier-free guidance (1 to 3 in the released code) changes nothing, and
the latent is the VAE's mean, as everywhere in this package, where the released code draws a sample.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gooddrag.config import LoraConfig, level
from gooddrag.ddim import add_noise, step
from gooddrag.editor import DragEditor
from gooddrag.frame import Frame
from gooddrag.lora import Lora, applied
from gooddrag.model import LORA_LR, DiffusionModel
from gooddrag.motion import offsets
from gooddrag.sample import Sample


@dataclass(frozen=True)
class SdeDrag:
    """SDE-Drag with the settings of its released benchmark; the seed is of the noise and of the LoRA.

    Args:
        num_steps: DDIM levels (the released interface: 100). t0: share of them that the latent is noised up.
        radius: of the half-open square around each point, latent cells; 0 pastes nothing and returns the input.
        keep, gain: what stays of the square at its old place, beside fresh noise, and its factor at the new one.
        lora: AdamW, rank 4 (the released interface: 16); its learning rate is for Stable Diffusion and is scaled with
            `model.lora_lr`. lora_floor: its scale at t0; it is 1 at the clean end.
    """

    num_steps: int = 200
    t0: float = 0.6
    radius: int = 5
    keep: float = 0.3
    gain: float = 1.1
    lora: LoraConfig | None = LoraConfig(rank=4, steps=100, lr=2e-4, batch_size=1)
    lora_floor: float = 0.5

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        editor = DragEditor(model, self.lora_for(model), seed=seed).set_image(sample.image)
        frame, z, generator = editor.frame, editor.z_0, torch.Generator().manual_seed(seed)
        latent_grid = tuple(z.shape[-2:])
        frozen = frame.frozen(sample.mask, frame.grid_size(latent_grid, "latent4"), latent_grid).to(z)
        for cur, nxt in stations(to_cells(sample.points, frame, model.vae_scale)):
            path = self.noised(model, z, generator)
            z = self.denoise(model, editor.lora, self.moved(path[-1], cur, nxt, generator), path, frozen)
        return frame.to_image(model.decode_image(z))

    def noised(self, model: DiffusionModel, z: Tensor, generator: torch.Generator) -> list[Tensor]:
        """xf_0, ..., xf_T: the forward process with fresh noise at every hop; each the shape of z, (1, C, h, w)."""
        path, schedule = [z], model.schedule(self.num_steps)
        for t in range(1, level(self.t0, self.num_steps) + 1):
            noise = torch.randn(z.shape, generator=generator).to(z)
            path.append(add_noise(path[-1], noise, schedule.alpha(t) / schedule.alpha(t - 1)))
        return path

    def moved(self, x: Tensor, cur: np.ndarray, nxt: np.ndarray, generator: torch.Generator) -> Tensor:
        """x (1, C, h, w) with the squares around `cur` put at `nxt`, pair after pair, and noise where they were; both
        (l, 2) int (x, y) in latent cells."""
        x = x.clone()
        for p, q in zip(cur, nxt, strict=True):
            # half-open: from -radius to radius - 1, less where either square would leave the latent
            xs, ys = (o[o < self.radius] for o in offsets(x.shape[:1:-1], self.radius, *map(torch.tensor, (p, q))))
            source, target = ((..., (at[1] + ys)[:, None], (at[0] + xs)[None, :]) for at in (p, q))
            square = x[source].clone()
            noise = torch.randn(square.shape, generator=generator).to(x)
            x[source] = self.keep * square + math.sqrt(1 - self.keep**2) * noise
            x[target] = self.gain * square
        return x

    def lora_for(self, model: DiffusionModel) -> LoraConfig | None:
        """The fit at a rate for this model: as much above the printed one as its own is above the released one."""
        if self.lora is None or self.lora.lr is None:
            return self.lora
        return replace(self.lora, lr=min(1.0, self.lora.lr * model.lora_lr / LORA_LR))

    @torch.no_grad()
    def denoise(self, model: DiffusionModel, lora: Lora, x: Tensor, path: list[Tensor], frozen: Tensor) -> Tensor:
        """From x_T to x_0 along the noise of the path, x_u = D(x_t) + sigma w with w = (xf_u - D(xf_t)) / sigma, D the
        DDPM mean: one U-Net call for both latents. What is frozen follows the path itself.
        """
        T, schedule = len(path) - 1, model.schedule(self.num_steps)
        for t in range(T, 0, -1):
            scale = self.lora_floor + (1 - self.lora_floor) * (1 + math.cos(math.pi * t / T)) / 2
            both = torch.cat([x, path[t]])
            with applied(model.unet, lora, scale):
                eps = model.eps(both, schedule.timestep(t))
            mean = step(both, eps, schedule.alpha(t), schedule.alpha(t - 1), eta=1.0)
            x = torch.where(frozen > 0, path[t - 1], mean[:1] + (path[t - 1] - mean[1:]))
        return x


def to_cells(points: np.ndarray, frame: Frame, vae_scale: int) -> np.ndarray:
    """Points (l, 2, 2), (x, y) in pixels of the user's image -> int latent cells: pixel // vae_scale."""
    cells = points * (np.array(frame.scaled) / np.array(frame.user)) / vae_scale
    return np.clip(np.floor(cells).astype(int), 0, np.array(frame.padded) // vae_scale - 1)


def stations(cells: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The drag cut into n short ones of about 2 cells each: [(cur, nxt), ...], each (l, 2) int (x, y).

    With m the longest way along one axis, n = 1 up to m = 2, then m // 2 or one more, whichever brings m / n closer
    to 2; all pairs take n steps.
    """
    s, d = cells[:, 0], cells[:, 1] - cells[:, 0]
    m = int(np.abs(d).max())
    n = 1 if m <= 2 else min((m // 2, m // 2 + 1), key=lambda n: abs(m / n - 2))
    at = [s + np.trunc(i * d / n).astype(int) for i in range(n + 1)]
    return list(zip(at[:-1], at[1:], strict=True))
