"""The autoencoder: latents at a quarter of the side whose channels have mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from gooddrag.storybook.pictures import Pictures, held_out, to_tensor
from gooddrag.storybook.recipe import Recipe
from gooddrag.storybook.sitting import Sitting
from gooddrag.storybook.training_files import AUTOENCODER, load_checkpoint, save_checkpoint

FOLD_AT = 0.75  # of the budget: from there on the encoder is folded and frozen, and the decoder gets used to it


def train_autoencoder(recipe: Recipe, pictures: Pictures, sitting: Sitting) -> tuple[AutoencoderTiny, dict]:
    """Train, or go on training, until the sitting's budget is spent; returns it with its progress.

    A larger budget than the one that it was finished with refines the decoder: the latents stay what they are, and with
    them all that a U-Net has learnt.
    """
    path = sitting.work / AUTOENCODER
    vae = recipe.autoencoder()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=recipe.ae_lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(sitting.seed)
    progress = {"step": 0, "seconds": 0.0, "folded": False, "done": False, "held_out": {}}
    if path.exists():
        progress = load_checkpoint(path, {"vae": vae}, optimizer, generator)
    else:
        with torch.random.fork_rng([]):
            torch.manual_seed(sitting.seed)
            vae.load_state_dict(recipe.autoencoder().state_dict())
    if progress["done"]:
        if sitting.fraction("autoencoder", progress) > 0.95:
            return vae.eval(), progress
        progress |= {"done": False, "refined_from": progress["seconds"]}
    if "refined_from" in progress:
        sitting.begin("autoencoder", progress["refined_from"], sitting.minutes["autoencoder"])

    pictures.grow(recipe.first_shards, sitting.stopped)
    if sitting.stopped():
        save_checkpoint(path, {"vae": vae}, optimizer, generator, progress)
        return vae, progress
    shards = [pictures.shard(i) for i in range(recipe.first_shards)]
    pages, photos = held_out(recipe.eval_pages, recipe.eval_photos, recipe.size)
    for fraction in sitting.steps("autoencoder", progress):
        if fraction >= FOLD_AT and not progress["folded"]:
            fold(vae, *moments(vae, shards[0]))
            progress["folded"] = True
        if progress["folded"]:
            vae.encoder.requires_grad_(False)
        warm = min(1, (progress["step"] + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = recipe.ae_lr * warm * schedule(fraction, "refined_from" in progress)
        loss = ae_loss(vae, crops(shards, pictures.photos, recipe, generator), recipe, generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        progress["step"] += 1
        last = sitting.over("autoencoder", progress)
        if last or progress["step"] % (2 * recipe.eval_every) == 0:
            progress["held_out"] = {"db_storybook": psnr(vae, pages), "db_photos": psnr(vae, photos)}
            sitting.log("autoencoder", progress, loss=loss.item(), lr=optimizer.param_groups[0]["lr"])
        if last:
            progress["done"] = True
            mean, std = moments(vae, shards[-1])
            progress["latent_mean"], progress["latent_std"] = mean.tolist(), std.tolist()
        if sitting.must_save():
            save_checkpoint(path, {"vae": vae}, optimizer, generator, progress)
    save_checkpoint(path, {"vae": vae}, optimizer, generator, progress)
    return vae.eval(), progress


def schedule(fraction: float, refining: bool = False) -> float:
    """Factor of the learning rate: constant, down to a tenth before the fold, and from a half to zero after it.

    While the decoder is refined it rises to a half and falls to zero.
    """
    if refining:
        return 0.5 * _ease(fraction / 0.1) * (1 - _ease((fraction - 0.1) / 0.9))
    if fraction < FOLD_AT:
        return 1 - 0.9 * _ease((fraction - FOLD_AT / 2) / (FOLD_AT / 2))
    return 0.5 * (1 - _ease((fraction - FOLD_AT) / (1 - FOLD_AT)))


def _ease(x: float) -> float:
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, x)))


def crops(shards: list[np.ndarray], photos: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random crops of pages and photographs, mirrored at random: (ae_batch, 3, ae_crop, ae_crop)."""

    def draw(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    batch, room = [], recipe.size - recipe.ae_crop + 1
    for _ in range(recipe.ae_batch):
        photo = torch.rand((), generator=generator) < recipe.ae_photo_share and photos > 0
        index = draw(photos) if photo else photos + draw(recipe.shard - photos)
        picture = shards[draw(len(shards))][index]
        y, x = draw(room), draw(room)
        crop = picture[y : y + recipe.ae_crop, x : x + recipe.ae_crop]
        batch.append(crop[:, ::-1] if draw(2) else crop)
    return to_tensor(np.stack(batch))


def ae_loss(vae: AutoencoderTiny, x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """L1 + L1 of the gradients + L2, with noise on the latents, whose moments are pulled towards 0 and 1."""
    with recipe.autocast():
        z = vae.encoder(x.to(memory_format=torch.channels_last)).float()
        y = vae.decoder(z + recipe.latent_noise * torch.randn(z.shape, generator=generator)).float()
    mean, var = z.mean((0, 2, 3)), z.var((0, 2, 3))
    pull = (mean.square() + (var + 1e-4).log().square()).mean()
    return (y - x).abs().mean() + _gradient_l1(x, y) + recipe.ae_square * (y - x).square().mean() + 0.002 * pull


def _gradient_l1(x: Tensor, y: Tensor) -> Tensor:
    d = y - x
    return d.diff(dim=-1).abs().mean() + d.diff(dim=-2).abs().mean()


def _batches(pictures: np.ndarray | Tensor) -> Iterator[Tensor]:
    for start in range(0, len(pictures), 16):
        part = pictures[start : start + 16]
        yield part if isinstance(part, Tensor) else to_tensor(part)


@torch.no_grad()
def moments(vae: AutoencoderTiny, pictures: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of the latents, (4,) each."""
    z = torch.cat([vae.encoder(x) for x in _batches(pictures)])
    return z.mean((0, 2, 3)), z.std((0, 2, 3))


@torch.no_grad()
def fold(vae: AutoencoderTiny, mean: Tensor, std: Tensor) -> None:
    """Put (z - mean) / std into the encoder's last convolution and, but for the clamp, its inverse into the decoder.

    So the latents need no statistics beside the weights. The decoder clamps before its first convolution, with
    3 tanh(z / 3), and pads after it: it must be trained a little more.
    """
    last, first = vae.encoder.layers[-1], vae.decoder.layers[0]
    last.weight.div_(std[:, None, None, None])
    last.bias.sub_(mean).div_(std)
    first.bias.add_((first.weight * mean[:, None, None]).sum((1, 2, 3)))
    first.weight.mul_(std[:, None, None])


@torch.no_grad()
def psnr(vae: AutoencoderTiny, pictures: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of (B, 3, H, W) in [-1, 1] through the autoencoder."""
    mse = [(vae.decoder(vae.encoder(x)).clamp(-1, 1) - x).div(2).square().mean((1, 2, 3)) for x in _batches(pictures)]
    return (-10 * torch.cat(mse).clamp(min=1e-10).log10()).mean().item()
