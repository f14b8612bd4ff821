"""DragonDiffusion (Mou et al., ICLR 2024), its drag mode: the edit is guided, level by level; nothing is optimised.

S(a, b) is the mean of (cos + 1) / 2 between features of the edited latent in the cells a and of the unedited latent at
the same level in the cells b, on a grid of twice the latent's side. With 3 x 3 cells around handle p and target q, p'
those around p that no target covers, and o the cells outside the mask, summed over pairs and over two up blocks,

    E_edit  = 4 / (1 + 4 S(q, p)) + 0.2 S(p', p'),   E_con = 6 / (1 + 4 S(o, o))
    eps~    = eps + eta (M dE_edit/dz + (1 - M) dE_con/dz),   eta = 2000 * 0.04, in the first 30 of 50 steps
    z_{t-1} = sqrt(alpha_{t-1}) z_0(z_t, eps~) + sqrt(1 - alpha_{t-1}) eps

Before the first step the 3 x 3 cells of z_T around each handle are copied to its target. From the sixth step on the
self-attentions of the up blocks read the unedited latent's keys and values beside their own. There is no text, hence no
classifier-free guidance, and no LoRA.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate

from gooddrag.config import DragConfig
from gooddrag.ddim import check_finite, predict_z0, root, step
from gooddrag.editor import DragEditor
from gooddrag.masactrl import borrowed_attention, recorded_states
from gooddrag.model import DiffusionModel
from gooddrag.motion import Size, Task
from gooddrag.sample import Sample


@dataclass(frozen=True)
class DragonDiffusion:
    """DragonDiffusion's drag mode with its released settings; nothing is random, so that the seed has no effect.

    Args:
        num_steps: all are inverted. guided: how many of them, from the first one on, are guided. strength: eta.
        w_edit, w_content, w_outside: weights of the three terms, 4, 0.2 and 6. blocks: up blocks that give features.
        bank_from: first step (from 0) that reads the unedited latent's attention, from transformer block `start` on.
    """

    num_steps: int = 50
    guided: int = 30
    strength: float = 2000 * 0.04
    w_edit: float = 4.0
    w_content: float = 0.2
    w_outside: float = 6.0
    blocks: tuple[int, ...] = (-3, -2)
    bank_from: int = 5
    start: int = 7

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        config = DragConfig(num_steps=self.num_steps, strength=1.0, K=0)
        editor = DragEditor(model, lora=None).set_image(sample.image)
        z = self.denoise(model, editor.invert(config)[-1], editor.task(sample, config))
        return editor.frame.to_image(model.decode_image(z))

    def denoise(self, model: DiffusionModel, z_T: Tensor, task: Task) -> Tensor:
        """From z_T to the edited z_0, (1, C, h, w); the unedited latent goes down beside it."""
        schedule, frozen, unedited = model.schedule(self.num_steps), task.frozen.to(z_T), z_T
        z = z_T.clone()
        for p, q in boxes(task, tuple(z.shape[-2:])):
            z[:, :, *q] = z_T[:, :, *p]
        for i, t in enumerate(range(self.num_steps, 0, -1)):
            timestep, alphas = schedule.timestep(t), (schedule.alpha(t), schedule.alpha(t - 1))
            with torch.no_grad(), recorded_states(model.unet, self.start) as states:
                eps, wanted = self.passes(model, unedited, timestep)
            unedited = step(unedited, eps, *alphas)
            banked = i >= self.bank_from
            bank = borrowed_attention(model.unet, states, self.start, beside=True) if banked else nullcontext()
            z = z.detach().requires_grad_(i < self.guided)
            with bank, torch.set_grad_enabled(i < self.guided):
                eps, maps = self.passes(model, z, timestep)
                guided = eps
                if i < self.guided:
                    pull, hold = (gradient(e, z) for e in self.energies(maps, wanted, task))
                    guided = eps + self.strength * ((1 - frozen) * pull + frozen * hold)
            z = root(alphas[1]) * predict_z0(z, guided, alphas[0]) + root(1 - alphas[1]) * eps
            check_finite("DragonDiffusion", f"t = {t} (time step {timestep})", z_t=z.detach())
        return z.detach()

    def passes(self, model: DiffusionModel, z: Tensor, timestep: int) -> tuple[Tensor, list[Tensor]]:
        """eps, and the features of each block on the grid of twice the last one's side, (1, C', H, W)."""
        eps, *maps = model.eps_and_features(z, timestep, *self.blocks)
        size = [2 * n for n in maps[-1].shape[-2:]]
        return eps, [interpolate(F, size, mode="bilinear", align_corners=False) for F in maps]

    def energies(self, maps: list[Tensor], wanted: list[Tensor], task: Task) -> tuple[Tensor, Tensor]:
        """E_edit and E_con, 0-d, of the edited and the unedited latent's features."""
        size, (edit, keep) = maps[0].shape[-2:], maps[0].new_zeros(2).unbind()
        outside = interpolate(task.frozen, size, mode="nearest")[0, 0] > 0
        covered, pairs = torch.zeros(size, dtype=torch.bool), boxes(task, size)
        for _, q in pairs:
            covered[*q] = True
        for F, F_0 in ((a[0], b[0]) for a, b in zip(maps, wanted, strict=True)):
            for p, q in pairs:
                edit = edit + self.w_edit / (1 + 4 * similarity(F[:, *q], F_0[:, *p]))
                if (left := p[:, ~covered[*p]]).numel():
                    edit = edit + self.w_content * similarity(F[:, *left], F_0[:, *left])
            if outside.any():
                keep = keep + self.w_outside / (1 + 4 * similarity(F[:, outside], F_0[:, outside]))
        return edit, keep


def gradient(energy: Tensor, z: Tensor) -> Tensor:
    """The gradient in z; scaled by a power of two on its way back, lest half precision lose it."""
    return torch.autograd.grad(1024 * energy, z, retain_graph=True)[0] / 1024 if energy.requires_grad else 0 * z


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """The mean of (cos + 1) / 2 over cells, of (C, n) and (C, n); 0-d."""
    return (cosine_similarity(a, b, dim=0).mean() + 1) / 2


def boxes(task: Task, size: Size) -> list[tuple[Tensor, Tensor]]:
    """The 3 x 3 cells around each handle and target on a grid of this size, moved inside: (2, 9) int64 (y, x)."""
    scale = torch.tensor([a / b for a, b in zip(size, task.size, strict=True)])
    last, reach = torch.tensor(size) - 2, torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).T
    cells = [((points.cpu() + 0.5) * scale).long().clamp_min(1).minimum(last) for points in (task.p_0, task.q)]
    return [(p[:, None] + reach, q[:, None] + reach) for p, q in zip(*cells, strict=True)]
