"""The U-Net: noise prediction on latents of fresh pages; warm up, keep the rate, cool down."""

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from gooddrag.checkpoints import SD_DDIM
from storybook.training.files import load_checkpoint, log, save_checkpoint
from storybook.training.pages import Pages, held_out, to_tensor, until_sigterm


@dataclass(frozen=True)
class Recipe:
    """Numbers of the U-Net's training, each with its reason."""

    size: int = 128  # px of a page, half of what the model draws; its latent is 32 x 32
    batch: int = 32
    lr: float = 6e-4  # of AdamW, for what is no matrix
    muon_lr: float = 1e-3  # of Muon; steps have AdamW's size (Liu et al. 2025)
    warmup: int = 100  # steps
    weight_decay: float = 0.01
    min_snr: float = 5.0  # loss weight min(SNR, 5) / SNR of the noise's error (Hang et al. 2023)
    ema_power: float = 16.0  # the average's memory is 1 / 18 of the training so far (Karras et al. 2024)
    fresh: float = 0.25  # new pages per sample: each latent is seen four times
    pool: int = 32_768  # latents kept
    refill: int = 512  # pages drawn at a time
    first: int = 8  # refills before the first step
    workers: int = 1  # processes that draw
    eval_every: int = 16_000  # samples
    save_seconds: float = 240.0


def one_token(attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
    """Attention to a single token: its softmax is 1, whatever the query."""
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

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
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


def optimizers(unet: UNet2DConditionModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside, AdamW for the rest."""
    ends = {id(p) for part in (unet.conv_in, unet.conv_out, unet.time_embedding) for p in part.parameters()}
    matrices = [p for p in unet.parameters() if p.ndim >= 2 and id(p) not in ends]
    others = [p for p in unet.parameters() if p.ndim < 2 or id(p) in ends]
    adamw = torch.optim.AdamW(others, recipe.lr, betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True)
    return [adamw, Muon(matrices, recipe.muon_lr, weight_decay=recipe.weight_decay)]


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
    samples: int | None = None,
    minutes: float | None = None,
    cooldown: float = 0.0,
    compiled: bool = True,
) -> None:
    """Train until SIGTERM, or until this call has spent `samples` or `minutes`; goes on from `work`'s checkpoint.

    Args:
        unet: weights to begin with where there is no checkpoint. vae: whose encoder gives the latents.
        work: folder of the checkpoint and the log.
        before: what `unet` was trained with already: samples, seconds, drawn.
        cooldown: last share of the budget, in which the rate falls to zero.
    """
    where, path = torch.device(device), work / "unet.safetensors"
    unet = unet.to(where, memory_format=torch.channels_last).train().requires_grad_(True)
    unet.set_attn_processor({k: one_token if "attn2" in k else AttnProcessor() for k in unet.attn_processors})
    noise = Noise(recipe, unet.config.cross_attention_dim).to(where)
    ema = copy.deepcopy(unet).requires_grad_(False)
    steppers, state = optimizers(unet, recipe), {"unet": unet, "ema": ema}
    progress = {"step": 0, **before}
    if path.exists():
        progress = load_checkpoint(path, state, steppers)
    torch.manual_seed(progress["samples"])
    encoder = vae.encoder.to(where, memory_format=torch.channels_last).eval().requires_grad_(False)
    evals = [torch.cat([encoder(x.to(where)) for x in pictures.split(8)]) for pictures in held_out(recipe.size)]
    run, began, losses = torch.compile(unet) if compiled else unet, dict(progress), []
    begun = clock = saved = time.monotonic()
    spent, evaluated = 0.0, progress["samples"]
    pages = Pages(recipe.size, recipe.refill, recipe.workers, progress["drawn"])
    latents = Latents(recipe, torch.compile(encoder) if compiled else encoder, where)
    with until_sigterm() as stopped:
        while not stopped() and spent < 1:
            wanted = (progress["samples"] - began["samples"]) * recipe.fresh + recipe.first * recipe.refill
            while latents.added < wanted:
                latents.add(pages.take())
                progress["drawn"] = pages.drawn
            rate = min(1.0, (progress["step"] + 1) / recipe.warmup)
            rate *= min(1.0, (1 - spent) / cooldown) if cooldown else 1.0
            for stepper, own in zip(steppers, (recipe.lr, recipe.muon_lr), strict=True):
                for group in stepper.param_groups:
                    group["lr"] = own * rate
            loss = noise(run, latents.batch(recipe.batch))
            loss.backward()
            nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            for stepper in steppers:
                stepper.step()
                stepper.zero_grad()
            losses.append(loss.detach())
            progress["step"] += 1
            progress["samples"] += recipe.batch
            kept = (1 - 1 / (progress["step"] + 1)) ** (recipe.ema_power + 1)
            with torch.no_grad():  # or every step would be remembered, for a gradient
                torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - kept)
            now = time.monotonic()
            progress["seconds"], clock = progress["seconds"] + now - clock, now
            spent = (progress["samples"] - began["samples"]) / samples if samples else 0.0
            spent = max(spent, (now - begun) / 60 / minutes if minutes else 0.0)
            if progress["samples"] - evaluated >= recipe.eval_every or spent >= 1:
                evaluated = progress["samples"]
                names = ("eps_mse_pages", "eps_mse_photos")
                progress["held_out"] = {k: noise.measure(ema, z) for k, z in zip(names, evals, strict=True)}
                counts = {name: progress[name] for name in ("step", "samples", "seconds", "drawn")}
                mean = torch.stack(losses).mean().item()
                log(work / "metrics.jsonl", phase="unet", **counts, **progress["held_out"], loss=mean, rate=rate)
                losses.clear()
            if now - saved > recipe.save_seconds:
                saved = now
                save_checkpoint(path, state, steppers, progress)
    pages.close()
    save_checkpoint(path, state, steppers, progress)
