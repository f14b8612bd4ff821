"""The U-Net: noise prediction on latents of fresh pages; warm up, keep the rate, cool down (WSD)."""

import copy
import math
import multiprocessing
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from gooddrag.loading import SD_DDIM
from storybook.training.files import load_checkpoint, log, save_checkpoint
from storybook.training.pages import held_out, to_tensor, training_pictures


@dataclass(frozen=True)
class Recipe:
    """Numbers of the U-Net's training, each with its reason."""

    size: int = 128  # px of a page; its latent is 32 x 32
    batch: int = 32
    optimizer: str = "muon"  # or "adamw"
    lr: float = 6e-4  # of AdamW; with Muon, of what is no matrix
    muon_lr: float = 1e-3  # steps have AdamW's size (Liu et al. 2025)
    warmup: int = 100  # steps
    weight_decay: float = 0.01
    min_snr: float = 5.0  # loss weight min(SNR, 5) / SNR of the noise's error (Hang et al. 2023)
    uncertainty: bool = False  # learnt weight of each noise level (Karras et al. 2024)
    ema_power: float = 16.0  # the average's memory is 1 / 18 of the training so far (Karras et al. 2024)
    fresh: float = 0.25  # new pages per sample: each latent is seen four times
    pool: int = 32_768  # latents kept
    refill: int = 512  # pages drawn at a time
    workers: int = 1  # processes that draw
    eval_every: int = 16_000  # samples
    save_seconds: float = 240.0


def one_token(attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
    """Attention to a single token: its softmax is 1, whatever the query."""
    return attn.to_out[0](attn.to_v(encoder_hidden_states)).expand(-1, hidden_states.shape[1], -1)


def predict(unet: nn.Module, z: Tensor, t: Tensor, eps: Tensor, alphas: Tensor, token: Tensor) -> Tensor:
    """The noise that the network sees in z_t = sqrt(alpha_t) z + sqrt(1 - alpha_t) eps, with the one zero token."""
    a = alphas[t].view(-1, 1, 1, 1)
    z_t = (a.sqrt() * z + (1 - a).sqrt() * eps).contiguous(memory_format=torch.channels_last)
    return unet(z_t, t, encoder_hidden_states=token.expand(len(z), -1, -1)).sample


class Loss(nn.Module):
    """Squared error of the noise, (B,) latents -> scalar; times are spread over the whole schedule."""

    def __init__(self, recipe: Recipe, alphas: Tensor, width: int):
        super().__init__()
        self.recipe = recipe
        self.register_buffer("alphas", alphas, persistent=False)
        self.register_buffer("token", torch.zeros(1, 1, width), persistent=False)
        self.log_variance = nn.Parameter(torch.zeros(20))  # of 20 bands of noise levels; used with `uncertainty`

    def forward(self, unet: nn.Module, z: Tensor) -> Tensor:
        n = len(self.alphas)
        t = ((torch.arange(len(z), device=z.device) + torch.rand(len(z), device=z.device)) / len(z) * n).long()
        eps = torch.randn_like(z)
        with torch.autocast(z.device.type, torch.bfloat16):
            predicted = predict(unet, z, t, eps, self.alphas, self.token)
        error = (predicted.float() - eps).square().mean((1, 2, 3))
        if self.recipe.uncertainty:
            u = self.log_variance[t * len(self.log_variance) // n]
            return (error / u.exp() + u).mean() / 20
        snr = self.alphas[t] / (1 - self.alphas[t])
        return (error * snr.clamp(max=self.recipe.min_snr) / snr).mean()


@torch.no_grad()
def eps_mse(unet: nn.Module, z: Tensor, loss: Loss) -> float:
    """Mean squared error of the noise on fixed latents with fixed noise, at two times each that cover the schedule."""
    generator, errors = torch.Generator().manual_seed(0), []
    times = (torch.arange(2 * len(z)) + 0.5) / (2 * len(z)) * len(loss.alphas)
    for half in times.long().view(-1, 2).T:
        for part, t in zip(z.split(32), half.split(32), strict=True):
            eps = torch.randn(part.shape, generator=generator).to(z.device)
            errors.append((predict(unet, part, t.to(z.device), eps, loss.alphas, loss.token) - eps).square().mean((1, 2, 3)))
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
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalised(torch.lerp(p.grad, m, group["momentum"]).flatten(1)).view_as(p)
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(p.flatten(1).shape)))


def orthogonalised(m: Tensor) -> Tensor:
    """The orthogonal matrix nearest to `m`, roughly, by five Newton-Schulz iterations in bfloat16."""
    x = m.bfloat16()
    wide = x if x.shape[0] <= x.shape[1] else x.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x if m.shape[0] <= m.shape[1] else x.T).to(m.dtype)


def optimizers(unet: UNet2DConditionModel, loss: Loss, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the matrices and AdamW for the rest."""
    ends = {id(p) for part in (unet.conv_in, unet.conv_out, unet.time_embedding) for p in part.parameters()}
    matrices = [p for p in unet.parameters() if p.ndim >= 2 and id(p) not in ends] if recipe.optimizer == "muon" else []
    chosen = {id(p) for p in matrices}
    rest = [p for p in unet.parameters() if id(p) not in chosen]
    made = [torch.optim.AdamW([{"params": rest}, {"params": [loss.log_variance], "weight_decay": 0.0}], lr=recipe.lr,
                              betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True)]
    return made + ([Muon(matrices, recipe.muon_lr, weight_decay=recipe.weight_decay)] if matrices else [])


class Latents:
    """A ring of latents and their mirror images, refilled with fresh pages that other processes draw."""

    def __init__(self, recipe: Recipe, encoder: nn.Module, device: torch.device, drawn: int):
        self.recipe, self.encoder, self.drawn = recipe, encoder, drawn
        side = recipe.size // 4
        self.ring = torch.zeros(recipe.pool, 2, 4, side, side, dtype=torch.float16, device=device)
        self.held = 0
        self.workers = ProcessPoolExecutor(recipe.workers, multiprocessing.get_context("spawn"))
        self.coming: list[Future] = []

    def _order(self) -> None:
        while len(self.coming) < 2 * self.recipe.workers:
            first = self.drawn + len(self.coming) * self.recipe.refill
            self.coming.append(self.workers.submit(training_pictures, first, self.recipe.refill, self.recipe.size))

    @torch.no_grad()
    def refill(self) -> None:
        """Encode the next `refill` pages; the oldest latents make room."""
        self._order()
        pictures = self.coming.pop(0).result()
        for start in range(0, len(pictures), 32):
            x = to_tensor(pictures[start : start + 32]).to(self.ring.device)
            both = torch.stack([self.encoder(x), self.encoder(x.flip(-1))], 1)
            at = (self.held + start + torch.arange(len(x))) % self.recipe.pool
            self.ring[at.to(self.ring.device)] = both.half()
        self.held += len(pictures)
        self.drawn += len(pictures)
        self._order()

    def batch(self, size: int) -> Tensor:
        """(size, 4, h, w) float32."""
        i = torch.randint(min(self.held, self.recipe.pool), (size,))
        return self.ring[i.to(self.ring.device), torch.randint(2, (size,)).to(self.ring.device)].float()

    def close(self) -> None:
        self.workers.shutdown(wait=False, cancel_futures=True)


def train_unet(
    unet: UNet2DConditionModel,
    vae: AutoencoderTiny,
    work: Path,
    recipe: Recipe,
    *,
    device: str = "cpu",
    samples: int | None = None,
    minutes: float | None = None,
    cooldown: float = 0.0,
    before: dict | None = None,
    compiled: bool = True,
    seed: int = 0,
) -> tuple[UNet2DConditionModel, dict]:
    """Train until SIGTERM, or until `samples` or `minutes` (of this call) are spent; returns the average and progress.

    Args:
        unet: weights to begin with where `work` has no checkpoint.
        work: folder of the checkpoint and the log.
        cooldown: last share of the budget, in which the rate falls to zero; its checkpoint is not for going on.
        before: counts that `unet` was trained with already: samples, seconds.
    """
    torch.manual_seed(seed)
    where = torch.device(device)
    vae.encoder.to(where).eval()
    unet = unet.to(where, memory_format=torch.channels_last).train()
    unet.set_attn_processor({k: one_token if "attn2" in k else AttnProcessor() for k in unet.attn_processors})
    loss = Loss(recipe, DDIMScheduler(**SD_DDIM).alphas_cumprod, unet.config.cross_attention_dim).to(where)
    ema = copy.deepcopy(unet).requires_grad_(False)
    steppers = optimizers(unet, loss, recipe)
    progress = {"step": 0, "samples": 0, "seconds": 0.0, "drawn": 0} | (before or {})
    progress["from"] = progress["samples"]
    path, state = work / "unet.safetensors", {"unet": unet, "ema": ema, "loss": loss}
    work.mkdir(parents=True, exist_ok=True)
    if path.exists():
        progress = load_checkpoint(path, state, steppers)
        torch.manual_seed(seed + progress["samples"])
    rates = [[r] * len(s.param_groups) for r, s in zip((recipe.lr, recipe.muon_lr), steppers, strict=False)]
    pool = Latents(recipe, vae.encoder, where, progress["drawn"])
    evals = None
    run = torch.compile(unet) if compiled else unet
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    begun = saved = clock = time.monotonic()
    began_at, losses, evaluated = progress["samples"], [], progress["samples"]
    for _ in range(max(1, min(recipe.pool, int(recipe.pool if path.exists() else 8 * recipe.refill)) // recipe.refill)):
        pool.refill()
    spent = 0.0
    while not stop and spent < 1:
        if (progress["samples"] - began_at) * recipe.fresh > pool.held - 8 * recipe.refill:
            pool.refill()
            progress["drawn"] = pool.drawn
        warm = min(1.0, (progress["step"] + 1) / recipe.warmup)
        cool = 1.0 if not cooldown else min(1.0, (1 - spent) / cooldown)
        for stepper, own in zip(steppers, rates, strict=True):
            for group, rate in zip(stepper.param_groups, own, strict=True):
                group["lr"] = rate * warm * cool
        value = loss(run, pool.batch(recipe.batch))
        value.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        losses.append(value.detach())
        progress["step"] += 1
        progress["samples"] += recipe.batch
        decay = (1 - 1 / (progress["step"] + 1)) ** (recipe.ema_power + 1)
        torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - decay)
        now = time.monotonic()
        progress["seconds"], clock = progress["seconds"] + now - clock, now
        if samples is not None:
            spent = (progress["samples"] - began_at) / samples
        if minutes is not None:
            spent = max(spent, (now - begun) / 60 / minutes)
        if progress["samples"] - evaluated >= recipe.eval_every or spent >= 1:
            if evals is None:
                with torch.no_grad():
                    evals = [vae.encoder(x.to(where)) for x in held_out(recipe.size)]
            evaluated = progress["samples"]
            held = {k: eps_mse(ema, z, loss) for k, z in zip(("eps_mse_pages", "eps_mse_photos"), evals, strict=True)}
            progress["held_out"] = held
            log(work / "metrics.jsonl", **{k: progress[k] for k in ("step", "samples", "seconds", "drawn")}, **held,
                loss=torch.stack(losses).mean().item(), lr=steppers[0].param_groups[0]["lr"])
            losses.clear()
        if now - saved > recipe.save_seconds:
            saved = now
            save_checkpoint(path, state, steppers, progress)
    save_checkpoint(path, state, steppers, progress)
    pool.close()
    return ema.eval(), progress
