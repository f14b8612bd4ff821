"""DragNoise (Liu et al., CVPR 2024): DragDiffusion's loop, but the output h of the U-Net's mid block is optimised.

At level T = 35 the loss of Eq. 4, with r1 = 1, r2 = 3 and an optimiser step of 0.02, is taken in h instead of z_T: the
noise prediction and the features of the same z_T follow h. Afterwards h stands in for the mid block's output at every
level from T down to 1, with no Latent-MasaCtrl. That alone changes the picture a little: with no drag at all the result
is the round trip with a mid block that keeps saying what it said at T.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from gooddrag import motion
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import check_finite, denoise, step
from gooddrag.editor import DragEditor
from gooddrag.lora import applied
from gooddrag.model import DiffusionModel
from gooddrag.motion import Task
from gooddrag.sample import Sample
from gooddrag.source import SourcePath


@dataclass(frozen=True)
class DragNoise:
    """DragNoise with its benchmark's settings; the seed is the LoRA's, which is DragDiffusion's (released: 200 steps).

    Args:
        config: K updates with r1, r2, beta, lam and lr, as DragDiffusion takes them.
    """

    config: DragConfig = DragConfig.dragdiffusion(lr=0.02, lam=0.2)
    lora: LoraConfig | None = LoraConfig.preset("dragdiffusion")

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        c = self.config
        editor = DragEditor(model, self.lora, seed=seed).set_image(sample.image)
        task, source = editor.task(sample, c), editor.source(c)
        with applied(model.unet, editor.lora):
            h, _ = self.drag(source, task)
            with replaced(model.unet.mid_block, h):
                *_, z = denoise(model.eps, source.latents[c.T], source.schedule, c.T)
        return editor.frame.to_image(model.decode_image(z))

    def drag(self, source: SourcePath, task: Task) -> tuple[Tensor, Tensor]:
        """The edited h, (1, C', h', w'), and the handles, (l, 2), (y, x) on the grid."""
        c, model, schedule = self.config, source.model, source.schedule
        ref, t, p, seen = source.reference(c.T), schedule.timestep(c.T), task.p_0, []
        with model.unet.mid_block.register_forward_hook(lambda module, args, output: seen.append(output.detach())):
            model.eps(ref.z, t)
        h = seen[0].to(torch.promote_types(seen[0].dtype, torch.float32)).clone().requires_grad_()
        f_0, adam = motion.features_at(ref.F, task.size, task.p_0), torch.optim.Adam([h], lr=c.lr)
        with replaced(model.unet.mid_block, h):
            for k in range(c.K):
                eps, F = model.eps_and_features(ref.z, t, c.feature_block)
                p = motion.track(F.detach(), f_0, task.size, p, c.r2)[0] if k else p
                if c.stop_distance is not None and ((task.q - p).norm(dim=1) < c.stop_distance).all():
                    break
                z_prev = step(ref.z, eps, schedule.alpha(c.T), schedule.alpha(c.T - 1))
                loss = motion.drag_loss(F, ref.F, p, task, c)
                loss = loss + c.lam * motion.mask_loss(z_prev, ref.z_prev, task.frozen)
                check_finite("DragNoise", f"update {k + 1}", loss=loss.detach())
                h.grad = motion.gradient(loss, h, model.dtype)
                adam.step()
        return h.detach(), p


@contextmanager
def replaced(module: nn.Module, output: Tensor) -> Iterator[None]:
    """Inside this context the module puts out `output`, in its own dtype, whatever it is given."""
    with module.register_forward_hook(lambda module, args, usual: output.to(usual.dtype)):
        yield
