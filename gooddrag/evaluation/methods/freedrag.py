"""FreeDrag (Ling et al., CVPR 2024) on a diffusion model: a template for each handle, and no point tracking.

F(p) is the 9 x 9 patch of features around p on the grid, T_i the template of handle i, at first F(p_i) of the unedited
latent, and gap(p) = mean |F(p) - T_i|. A round makes up to five Adam steps on z_T, all at level T, of

    sum_i gap_i(p_i) + lambda mean |(z_{T-1} - z_{T-1}^0) (1 - M)|,   until every gap is below l / 2.

Then the template follows, the better the gap was closed, T_i <- xi F(p_i) + (1 - xi) T_i with

    xi = 1 / (1 + exp(a (gap_i - b))),   a = ln 9 / 0.6 l,   b = 0.2 l        (1 on arrival),

and p_i goes on by a line search. Gap below l / 2: of ten points up to d_max ahead, the one whose gap is nearest to l.
Gap smaller than before the round: p_i stays. Else: back by d_max, and the same search up to 2 d_max ahead.
The LoRA and the denoising beside the unedited latent are DragDiffusion's, so that both share a fitted LoRA.
"""

import math
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gooddrag import motion
from gooddrag.algorithm import drag_latent
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import check_finite, step
from gooddrag.editor import DragEditor
from gooddrag.lora import applied
from gooddrag.model import DiffusionModel
from gooddrag.motion import Size, Task
from gooddrag.sample import Sample
from gooddrag.source import SourcePath

CANDIDATES = 10  # points of a line search


@dataclass(frozen=True)
class FreeDrag:
    """FreeDrag with its released settings for Stable Diffusion; the seed is the LoRA's.

    Args:
        rounds, updates: at most 300 rounds of at most 5 updates. lr: Adam's rate. lam: lambda.
        radius: of the patch, 4 for 9 x 9. level: l, the gap that a search looks for. longest: d_max, grid pixels.
        near: a handle has arrived within 2 grid pixels of its target and with a gap of at most l / 2.
    """

    rounds: int = 300
    updates: int = 5
    lr: float = 0.01
    lam: float = 10.0
    radius: int = 4
    level: float = 1.0
    longest: float = 5.0
    near: float = 2.0
    lora: LoraConfig | None = LoraConfig.preset("dragdiffusion")

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        config = DragConfig.dragdiffusion(K=0)
        editor = DragEditor(model, self.lora, seed=seed).set_image(sample.image)
        task, source, (*path, _) = editor.task(sample, config), editor.source(config), editor.invert(config)
        with applied(model.unet, editor.lora):
            z, _ = self.drag(source, task, config.T)
            z, _ = drag_latent(model, [*path, z], task, config, source=source)  # K is 0: it denoises
        return editor.frame.to_image(model.decode_image(z))

    def drag(self, source: SourcePath, task: Task, T: int) -> tuple[Tensor, Tensor]:
        """The edited z_T, (1, C, h, w), and where its handles are, (l, 2), (y, x) on the grid."""
        model, schedule, size = source.model, source.schedule, task.size
        ref, start, q = source.reference(T), task.p_0, task.q
        templates = [square(ref.F, size, p, self.radius) for p in start]
        ways = zip(templates, start, q, strict=True)
        p = torch.stack([self.search(ref.F, size, *way, self.longest) for way in ways])
        z = ref.z.detach().clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=self.lr)
        for round_ in range(self.rounds):
            before = None
            for update in range(self.updates + 1):
                eps, F = model.eps_and_features(z, schedule.timestep(T), source.feature_block)
                gaps = torch.stack([self.gap(F, size, *each) for each in zip(p, templates, strict=True)])
                check_finite("FreeDrag", f"round {round_ + 1}, update {update}", gaps=gaps.detach())
                before = gaps.detach() if before is None else before
                if update == self.updates or gaps.max() < self.level / 2:
                    break
                z_prev = step(z, eps, schedule.alpha(T), schedule.alpha(T - 1))
                loss = gaps.sum() + self.lam * ((z_prev - ref.z_prev) * task.frozen).abs().mean()
                z.grad = motion.gradient(loss, z, model.dtype)
                adam.step()
            F, arrived = F.detach(), ((q - p).norm(dim=1) < self.near) & (gaps <= self.level / 2)
            if arrived.all():
                break
            p = p.clone()
            for i, gap in enumerate(gaps.tolist()):
                closed = math.exp(math.log(9) / (0.6 * self.level) * (gap - 0.2 * self.level))
                xi = 1.0 if arrived[i] else 1 / (1 + closed)
                templates[i] = xi * square(F, size, p[i], self.radius) + (1 - xi) * templates[i]
                if gap < self.level / 2:
                    p[i] = self.search(F, size, templates[i], p[i], q[i], self.longest)
                elif gap >= before[i]:
                    back = motion.next_positions(p[i : i + 1], start[i : i + 1], self.longest, capped=True)[0]
                    p[i] = self.search(F, size, templates[i], back, q[i], 2 * self.longest)
        return z.detach(), p

    def gap(self, F: Tensor, size: Size, p: Tensor, template: Tensor) -> Tensor:
        """mean |F(p) - T|, 0-d."""
        return (square(F, size, p, self.radius) - template).abs().mean()

    def search(self, F: Tensor, size: Size, template: Tensor, p: Tensor, q: Tensor, length: float) -> Tensor:
        """The point of ten on the way from p to q, at most `length` long, whose gap is nearest to l; (2,)."""
        end = motion.next_positions(p[None], q[None], length, capped=True)[0]
        points = [p + (end - p) * k / CANDIDATES for k in range(1, CANDIDATES + 1)]
        return min(points, key=lambda point: abs(float(self.gap(F, size, point, template)) - self.level))


def square(F: Tensor, size: Size, p: Tensor, radius: int) -> Tensor:
    """The patch of side 2 radius + 1 around p, moved inside where it would leave the grid: (1, C, side, side)."""
    inside = torch.stack([p[i].clamp(radius, n - 1 - radius) for i, n in enumerate(size)])
    reach = torch.arange(-radius, radius + 1, device=F.device)
    return motion.patch(F, size, inside, reach, reach)
