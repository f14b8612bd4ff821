"""The U-Net: noise prediction on the autoencoder's latents, for as many sittings as there are."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor

from gooddrag.loading import SD_DDIM
from gooddrag.storybook.pictures import Pictures, held_out
from gooddrag.storybook.recipe import Recipe
from gooddrag.storybook.sitting import Sitting
from gooddrag.storybook.training_files import content_name, load_checkpoint, save_checkpoint

TRUNK, COOLED = "unet.safetensors", "unet-cooled.safetensors"


def train_unet(
    recipe: Recipe,
    vae: AutoencoderTiny,
    pictures: Pictures,
    sitting: Sitting,
    start: tuple[UNet2DConditionModel, dict] | None = None,
    cooldown: float | None = None,
) -> tuple[UNet2DConditionModel, dict]:
    """Train, or go on training, until the sitting's budget is spent; returns the averaged weights and the progress.

    The learning rate stays constant, so that any later sitting can go on. `cooldown` (minutes) makes a branch of its
    own, in which it falls to zero: better weights now, while the trunk stays as it is (warmup, stable, decay). A branch
    goes on until the trunk has grown; then the next one begins at the trunk's new end.

    Args:
        start: weights and progress to begin with if there is no checkpoint; the optimiser is new then.

    Raises:
        ValueError: a cooldown without anything to branch off.
    """
    unet, ema, progress, optimizer, generator = _begin(recipe, sitting, start, cooldown)
    path = sitting.work / (TRUNK if cooldown is None else COOLED)
    alphas = DDIMScheduler(**SD_DDIM).alphas_cumprod
    with torch.no_grad():
        evals = [vae.encoder(x) for x in held_out(recipe.eval_pages, recipe.eval_photos, recipe.size)]
    pool = _Latents(recipe, vae, pictures)
    quicken(unet)
    phase = "unet" if cooldown is None else "cooldown"
    losses: list[float] = []
    for fraction in sitting.steps(phase, progress):
        if not pool.grow_to(progress["samples"], sitting):
            break
        branch = progress["step"] - progress.get("branched_at", 0)
        warm = min(1.0, (progress["step"] - progress["optimizer_from"] + 1) / recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * warm * (1.0 if cooldown is None else 0.5 + 0.5 * math.cos(math.pi * fraction))
        loss = eps_loss(unet, pool.batch(recipe.batch, generator), alphas, recipe, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        progress["step"] += 1
        progress["samples"] += recipe.batch
        progress["pictures"] = pool.pictures
        # the average's memory is a share of the training so far, or of the cooldown
        average(ema, unet, (1 - 1 / (branch + 1)) ** (recipe.ema_power + 1))
        last = sitting.over(phase, progress)
        if last or progress["step"] % recipe.eval_every == 0:
            names = ("eps_mse_storybook", "eps_mse_photos")
            progress["held_out"] = {k: eps_mse(ema, z, alphas) for k, z in zip(names, evals, strict=True)}
            mean = sum(losses) / len(losses)
            sitting.log(phase, progress, loss=mean, lr=optimizer.param_groups[0]["lr"], pictures=pool.pictures)
            losses.clear()
        if sitting.must_save():
            save_checkpoint(path, {"unet": unet, "ema": ema}, optimizer, generator, progress)
    save_checkpoint(path, {"unet": unet, "ema": ema}, optimizer, generator, progress)
    return ema.eval(), progress


def _begin(recipe: Recipe, sitting: Sitting, start: tuple | None, cooldown: float | None) -> tuple:
    """The state to go on from: this branch's checkpoint, the trunk's, given weights, or nothing."""
    trunk, cooled = sitting.work / TRUNK, sitting.work / COOLED
    with torch.random.fork_rng([]):
        torch.manual_seed(sitting.seed)
        unet = recipe.unet()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=recipe.lr, betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
    generator = torch.Generator().manual_seed(sitting.seed)
    ema = copy.deepcopy(unet).requires_grad_(False)
    progress = {"step": 0, "samples": 0, "seconds": 0.0, "optimizer_from": 0, "pictures": 0, "held_out": {}}
    everything = ({"unet": unet, "ema": ema}, optimizer, generator)
    if cooldown is not None and _branches_off(cooled, trunk, start):
        progress = load_checkpoint(cooled, *everything)
    elif trunk.exists():
        progress = load_checkpoint(trunk, *everything)
    elif start is not None:
        weights, before = start
        unet.load_state_dict(weights.state_dict())
        ema.load_state_dict(weights.state_dict())
        progress |= before
        progress["optimizer_from"] = progress["step"]
        generator.manual_seed(sitting.seed + progress["step"])  # other draws than those that it has seen
    elif cooldown is not None:
        raise no_trunk(sitting.work)
    if cooldown is not None:
        progress = {"branched_at": progress["step"], "branched_seconds": progress["seconds"]} | progress
        before = progress["branched_seconds"]
        sitting.begin("cooldown", before, before / 60 + cooldown)
    return unet, ema, progress, optimizer, generator


def _branches_off(cooled: Path, trunk: Path, start: tuple | None) -> bool:
    """Whether there is a cooldown that branched off where a new one would: at the end of the trunk, or of `start`."""
    if not cooled.exists():
        return False
    at = load_checkpoint(cooled, {}).get("branched_at")
    if trunk.exists():
        return at == load_checkpoint(trunk, {})["step"]
    return at is not None if start is None else at == start[1]["step"]


def no_trunk(work: Path) -> ValueError:
    """The error of a cooldown that has nothing to branch off."""
    return ValueError(f"cooldown: {str(work)!r} has no {TRUNK} to branch off; expected minutes of training before it, "
                      "or weights to start from")  # fmt: skip


def trunk_is_done(sitting: Sitting) -> bool:
    """Whether the trunk's budget, over all sittings, is spent."""
    trunk = sitting.work / TRUNK
    return trunk.exists() and sitting.fraction("unet", load_checkpoint(trunk, {})) >= 1


class _Latents:
    """The latents of all pictures drawn so far, of which there are more the longer the training goes."""

    def __init__(self, recipe: Recipe, vae: AutoencoderTiny, pictures: Pictures):
        self.recipe, self.source, self.encode = recipe, pictures, vae.encoder
        self.name = content_name(vae.encoder)
        self.shards: list[Tensor] = []

    @property
    def pictures(self) -> int:
        return len(self.shards) * self.recipe.shard

    def grow_to(self, samples: int, sitting: Sitting) -> bool:
        """Draw and encode what this many samples deserve (a function of it alone); False if there was no time."""
        r = self.recipe
        wanted = math.ceil((samples * r.pictures_per_sample / r.shard - r.first_shards) / r.grow_shards)
        wanted = min(r.max_shards, r.first_shards + r.grow_shards * max(0, wanted))
        if len(self.shards) < wanted:
            self.source.grow(wanted, sitting.stopped)
        while len(self.shards) < wanted and not sitting.stopped():
            self.shards.append(self.source.latents(len(self.shards), self.encode, self.name))
        return len(self.shards) >= wanted

    def batch(self, size: int, generator: torch.Generator) -> Tensor:
        """(size, 4, h, w) float32, half of them mirrored."""
        draws = [torch.randint(n, (size,), generator=generator) for n in (len(self.shards), 2, self.recipe.shard)]
        return torch.stack([self.shards[s][m, i] for s, m, i in zip(*map(Tensor.tolist, draws), strict=True)]).float()


def predict(unet: UNet2DConditionModel, z: Tensor, t: Tensor, eps: Tensor, alphas: Tensor) -> Tensor:
    """The noise predicted from z_t = sqrt(alpha_t) z + sqrt(1 - alpha_t) eps, with the one zero token."""
    a = alphas[t].view(-1, 1, 1, 1)
    token = torch.zeros(len(z), 1, unet.config.cross_attention_dim)
    return unet(a.sqrt() * z + (1 - a).sqrt() * eps, t, encoder_hidden_states=token).sample


def quicken(unet: UNet2DConditionModel) -> None:
    """The same function, faster to train on a CPU: a seventh less time together."""
    unet.set_attn_processor({k: _one_token if "attn2" in k else AttnProcessor() for k in unet.attn_processors})
    unet.to(memory_format=torch.channels_last)


def _one_token(attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
    """Attention to a single token, exactly: the softmax over it is 1, whatever the query."""
    return attn.to_out[0](attn.to_v(encoder_hidden_states)).expand(-1, hidden_states.shape[1], -1)


def eps_loss(
    unet: UNet2DConditionModel, z: Tensor, alphas: Tensor, recipe: Recipe, generator: torch.Generator
) -> Tensor:
    """Squared error of the noise, weighted with min(SNR, min_snr) / SNR; times spread over the whole schedule."""
    spread = (torch.arange(len(z)) + torch.rand(len(z), generator=generator)) / len(z)
    t = (spread * len(alphas)).long()
    eps = torch.randn(z.shape, generator=generator)
    snr = alphas[t] / (1 - alphas[t])
    with recipe.autocast():
        predicted = predict(unet, z, t, eps, alphas)
    error = (predicted.float() - eps).square().mean((1, 2, 3))
    return (error * snr.clamp(max=recipe.min_snr) / snr).mean()


@torch.no_grad()
def eps_mse(unet: UNet2DConditionModel, z: Tensor, alphas: Tensor) -> float:
    """Mean squared error of the noise on fixed latents, with fixed noise, at two times each that cover the schedule."""
    generator, error = torch.Generator().manual_seed(0), []
    times = (torch.arange(2 * len(z)) + 0.5) / (2 * len(z)) * len(alphas)
    for half in times.long().view(-1, 2).T:
        for part, t in zip(z.split(32), half.split(32), strict=True):
            eps = torch.randn(part.shape, generator=generator)
            error.append((predict(unet, part, t, eps, alphas) - eps).square().mean((1, 2, 3)))
    return torch.cat(error).mean().item()


@torch.no_grad()
def average(ema: UNet2DConditionModel, unet: UNet2DConditionModel, decay: float) -> None:
    torch._foreach_lerp_(list(ema.parameters()), list(unet.parameters()), 1 - decay)
