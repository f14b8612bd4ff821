"""The U-Net: noise prediction on latents of fresh pages; warm up, keep the rate, cool down."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from gooddrag.checkpoints import SD_DDIM
from storybook.training.pages import TrainingPictures, held_out, to_tensor
from storybook.training.sitting import Sitting


@dataclass(frozen=True)
class Recipe:
    """Numbers of the U-Net's training, each with its reason."""

    size: int = 128  # px of a page, half of what the model draws; its latent is 32 x 32
    batch: int = 64  # Muon takes 0.2 s a step whatever the batch: 12 % of one of 64 samples on two cores
    lr: float = 8.5e-4  # of AdamW, for what is no matrix
    muon_lr: float = 1.4e-3  # of Muon; steps have AdamW's size (Liu et al. 2025)
    weight_decay: float = 0.01
    min_snr: float = 5.0  # loss weight min(SNR, 5) / SNR of the noise's error (Hang et al. 2023)
    fresh: float = 0.25  # new pages per sample: each latent is seen four times
    pool: int = 32_768  # latents kept
    refill: int = 512  # pages drawn at a time
    first: int = 8  # refills before the first step
    workers: int = 1  # processes that draw
    eval_every: int = 16_000  # samples


def one_token(attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
    """Attention to a single token: its softmax is 1, whatever the query.

    A function, which ends a compiled graph: with the whole U-Net in one graph, torch 2.13 compiles zero gradients for
    most layers (CPU).
    """
    return attn.to_out[0](attn.to_v(encoder_hidden_states)).expand(-1, hidden_states.shape[1], -1)


class Noise(nn.Module):
    """The noise that a U-Net sees in a latent, and its error, over Stable Diffusion's schedule."""

    def __init__(self, recipe: Recipe, width: int):
        super().__init__()
        self.recipe = recipe
        self.register_buffer("alphas", DDIMScheduler(**SD_DDIM).alphas_cumprod, persistent=False)
        self.register_buffer("token", torch.zeros(1, 1, width), persistent=False)

    def predict(self, unet: nn.Module, z: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """The noise predicted from z_t = sqrt(alpha_t) z + sqrt(1 - alpha_t) eps, (B, 4, h, w)."""
        a = self.alphas[t].view(-1, 1, 1, 1)
        z_t = (a.sqrt() * z + (1 - a).sqrt() * eps).contiguous(memory_format=torch.channels_last)
        return unet(z_t, t, encoder_hidden_states=self.token.expand(len(z), -1, -1)).sample

    def forward(self, unet: nn.Module, z: Tensor) -> Tensor:
        """The loss of clean latents (B, 4, h, w) at times that spread over the whole schedule."""
        n, spread = len(self.alphas), torch.arange(len(z), device=z.device) + torch.rand(len(z), device=z.device)
        t, eps = (spread / len(z) * n).long(), torch.randn_like(z)
        with torch.autocast(z.device.type, torch.bfloat16):
            predicted = self.predict(unet, z, t, eps)
        error = (predicted.float() - eps).square().mean((1, 2, 3))
        snr = self.alphas[t] / (1 - self.alphas[t])
        return (error * snr.clamp(max=self.recipe.min_snr) / snr).mean()

    @torch.no_grad()
    def measure(self, unet: nn.Module, z: Tensor) -> float:
        """Mean squared error on fixed latents with fixed noise, at two times each that cover the schedule."""
        generator, errors = torch.Generator().manual_seed(0), []
        times = (torch.arange(2 * len(z)) + 0.5) / (2 * len(z)) * len(self.alphas)
        for half in times.long().view(-1, 2).T.to(z.device):
            for part, t in zip(z.split(32), half.split(32), strict=True):
                eps = torch.randn(part.shape, generator=generator).to(z.device)
                errors.append((self.predict(unet, part, t, eps) - eps).square().mean((1, 2, 3)))
        return torch.cat(errors).mean().item()


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are orthogonalised matrices (Jordan et al. 2024); convolutions are flattened to matrices."""

    def __init__(self, params: list[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:  # queries of the attention to one token
                    continue
                m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalised(torch.lerp(p.grad, m, group["momentum"]).flatten(1)).view_as(p)
                size = 0.2 * math.sqrt(max(p.flatten(1).shape))
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * size)


def orthogonalised(m: Tensor) -> Tensor:
    """Roughly the orthogonal matrix nearest to `m`, by five Newton-Schulz iterations in bfloat16."""
    x = m.bfloat16()
    x = x if x.shape[0] <= x.shape[1] else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x if m.shape[0] <= m.shape[1] else x.T).to(m.dtype)


def optimizers(unet: UNet2DConditionModel, recipe: Recipe) -> dict[torch.optim.Optimizer, float]:
    """Muon for the matrices inside, AdamW for the rest, and their rates."""
    ends = {id(p) for part in (unet.conv_in, unet.conv_out, unet.time_embedding) for p in part.parameters()}
    matrices = [p for p in unet.parameters() if p.ndim >= 2 and id(p) not in ends]
    others = [p for p in unet.parameters() if p.ndim < 2 or id(p) in ends]
    adamw = torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True)
    return {adamw: recipe.lr, Muon(matrices, weight_decay=recipe.weight_decay): recipe.muon_lr}


class Latents:
    """A ring of the latents of pages and of their mirror images, (pool, 2, 4, h, w) float16 on the device."""

    def __init__(self, recipe: Recipe, encoder: nn.Module, device: torch.device):
        self.encoder, self.added, side = encoder, 0, recipe.size // 4
        self.ring = torch.zeros(recipe.pool, 2, 4, side, side, dtype=torch.float16, device=device)

    @torch.no_grad()
    def add(self, pictures: np.ndarray) -> None:
        """Encode pictures (n, size, size, 3) uint8; the oldest latents make room."""
        for part in to_tensor(pictures).split(32):
            x = part.to(self.ring.device).contiguous(memory_format=torch.channels_last)
            at = (self.added + torch.arange(len(part))) % len(self.ring)
            with torch.autocast(x.device.type, torch.bfloat16):
                both = [self.encoder(x), self.encoder(x.flip(-1))]
            self.ring[at.to(x.device)] = torch.stack(both, 1).half()
            self.added += len(part)

    def batch(self, size: int) -> Tensor:
        """(size, 4, h, w) float32, half of them mirrored."""
        i, mirrored = torch.randint(min(self.added, len(self.ring)), (size,)), torch.randint(2, (size,))
        return self.ring[i.to(self.ring.device), mirrored.to(self.ring.device)].float()


def train_unet(
    unet: UNet2DConditionModel,
    vae: AutoencoderTiny,
    work: Path,
    recipe: Recipe,
    *,
    before: dict,
    device: str = "cpu",
    compiled: bool = True,
    **budget: float | None,
) -> None:
    """Train with the budget of a `Sitting`, in samples.

    Args:
        unet: weights to begin with where there is no checkpoint. vae: whose encoder gives the latents.
        before: what `unet` was trained with already: samples, seconds, drawn.
    """
    where = torch.device(device)
    unet = unet.to(where, memory_format=torch.channels_last).train().requires_grad_(True)
    unet.set_attn_processor({k: one_token if "attn2" in k else AttnProcessor() for k in unet.attn_processors})
    noise = Noise(recipe, unet.config.cross_attention_dim).to(where)
    ema = copy.deepcopy(unet).requires_grad_(False)
    path, modules = work / "unet.safetensors", {"unet": unet, "ema": ema}
    sitting = Sitting(path, modules, optimizers(unet, recipe), before, unit="samples", **budget)
    counts = sitting.counts
    torch.manual_seed(counts["samples"])
    encoder = vae.encoder.to(where, memory_format=torch.channels_last).eval().requires_grad_(False)
    evals = [torch.cat([encoder(x.to(where)) for x in pictures.split(8)]) for pictures in held_out(recipe.size)]
    run = torch.compile(unet) if compiled else unet
    pages = TrainingPictures(recipe.size).batches(counts["drawn"], recipe.refill, recipe.workers)
    latents = Latents(recipe, torch.compile(encoder) if compiled else encoder, where)
    for _ in sitting:
        wanted = (counts["samples"] - sitting.first) * recipe.fresh + recipe.first * recipe.refill
        while latents.added < wanted:
            latents.add(next(pages))
            counts["drawn"] += recipe.refill
        sitting.step(noise(run, latents.batch(recipe.batch)), samples=recipe.batch)
        if sitting.due(recipe.eval_every):
            names = ("eps_mse_pages", "eps_mse_photos")
            sitting.log({name: noise.measure(ema, z) for name, z in zip(names, evals, strict=True)})
