"""The autoencoder of 256 px pages: eight times smaller latents, which are those of the first generation's encoder.

The encoder learns, by regression, the latents that the first generation's encoder gives to the page at half its size,
so that a U-Net trained on those fits unchanged. The decoder draws the page of 256 px from them, crisp edges included.
"""

import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from storybook.training.files import load_checkpoint, log, save_checkpoint
from storybook.training.pages import Pages, held_out, to_tensor, until_sigterm

MEASURES = ("db_pages", "db_photos", "latent_error")


@dataclass(frozen=True)
class Recipe:
    """Numbers of the autoencoder's training."""

    size: int = 256  # px
    channels: int = 32
    blocks: tuple[int, ...] = (1, 1, 3, 3)  # of the encoder, full size first; the decoder has them in reverse
    crop: int = 128  # px; local statistics are all that it learns
    batch: int = 16
    lr: float = 2e-3
    latent_noise: float = 0.05  # the decoder also sees latents that are a little off, as edited ones are
    photos: float = 0.3  # share of photographs: it must also carry a user's picture
    refill: int = 256  # pages drawn at a time
    kept: int = 8  # refills to draw crops from
    workers: int = 1
    eval_every: int = 1000  # steps
    save_seconds: float = 240.0

    def build(self) -> AutoencoderTiny:
        """A new autoencoder, eight times smaller latents of four channels."""
        channels = (self.channels,) * len(self.blocks)
        return AutoencoderTiny(
            encoder_block_out_channels=channels,
            decoder_block_out_channels=channels,
            num_encoder_blocks=self.blocks,
            num_decoder_blocks=self.blocks[::-1],
        )


def grown(vae: AutoencoderTiny, first: AutoencoderTiny) -> AutoencoderTiny:
    """`vae` with the weights of `first`, whose pages are half as large, wherever the layers are the same; in place."""
    inner, outer = vae.encoder.layers, first.encoder.layers[1:]
    pairs = [*zip(reversed(inner), reversed(outer), strict=False)]
    pairs += zip(vae.decoder.layers, first.decoder.layers[:-1], strict=False)
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
    return vae


def losses(
    encoder: nn.Module, decoder: nn.Module, teacher: nn.Module, x: Tensor, noise: float
) -> tuple[Tensor, Tensor]:
    """Squared error of the latents; L1, L1 of the gradients and four times L2 of the picture; x (B, 3, H, W)."""
    with torch.no_grad():
        z = teacher(F.avg_pool2d(x, 2))
    with torch.autocast(x.device.type, torch.bfloat16):
        found = encoder(x.contiguous(memory_format=torch.channels_last)).float()
        y = decoder(z + noise * torch.randn_like(z)).float()
    d = y - x
    edges = d.diff(dim=-1).abs().mean() + d.diff(dim=-2).abs().mean()
    return (found - z).square().mean(), d.abs().mean() + edges + 4 * d.square().mean()


@torch.no_grad()
def measure(vae: AutoencoderTiny, teacher: nn.Module, size: int, device: torch.device) -> dict[str, float]:
    """Mean dB of a round trip of held-out pages and photographs; relative error of the latents of pages."""
    pages, photos = (x.to(device) for x in held_out(size, 32, 32))

    def decibels(x: Tensor) -> float:
        trips = [vae.decoder(vae.encoder(part)).clamp(-1, 1) - part for part in x.split(4)]
        return (-10 * torch.cat(trips).div(2).square().mean((1, 2, 3)).log10()).mean().item()

    z = torch.cat([teacher(F.avg_pool2d(part, 2)) for part in pages.split(8)])
    found = torch.cat([vae.encoder(part) for part in pages.split(8)])
    return dict(zip(MEASURES, (decibels(pages), decibels(photos), ((found - z).norm() / z.norm()).item()), strict=True))


def crops(pages: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    """Random crops, half of them mirrored, (batch, 3, crop, crop) in [-1, 1], of (N, H, W, 3) uint8."""
    batch = []
    for i in torch.randint(len(pages), (recipe.batch,)):
        y, x = torch.randint(recipe.size - recipe.crop + 1, (2,))
        crop = pages[i, y : y + recipe.crop, x : x + recipe.crop]
        batch.append(crop.flip(1) if torch.rand(()) < 0.5 else crop)
    return to_tensor(torch.stack(batch).numpy()).to(device)


def train_autoencoder(
    first: AutoencoderTiny,
    work: Path,
    recipe: Recipe,
    *,
    device: str = "cpu",
    steps: int | None = None,
    minutes: float | None = None,
    compiled: bool = True,
) -> None:
    """Train until SIGTERM, or until the whole training has `steps` or `minutes`; goes on from `work`'s checkpoint.

    Args:
        first: the first generation's autoencoder, whose encoder (B, 3, h, w) -> (B, 4, h / 4, w / 4) is the teacher.
        work: folder of the checkpoint and the log.
    """
    torch.manual_seed(0)
    where, path = torch.device(device), work / "autoencoder.safetensors"
    vae = grown(recipe.build(), first).to(where, memory_format=torch.channels_last)
    teacher = first.encoder.to(where).eval().requires_grad_(False)
    encoder, decoder = (torch.compile(part) if compiled else part for part in (vae.encoder, vae.decoder))
    optimizer = torch.optim.AdamW(vae.parameters(), lr=recipe.lr, weight_decay=0.0)
    progress = {"step": 0, "seconds": 0.0, "drawn": 0}
    if path.exists():
        progress = load_checkpoint(path, {"vae": vae}, [optimizer])
        torch.manual_seed(progress["step"])
    budgets = [(steps, "step", 1.0), (minutes, "seconds", 60.0)]

    def spent() -> float:
        return max((progress[name] / (unit * budget) for budget, name, unit in budgets if budget), default=0.0)

    pages = Pages(recipe.size, recipe.refill, recipe.workers, progress["drawn"], recipe.photos)
    kept: deque[Tensor] = deque(maxlen=recipe.kept)
    clock = saved = time.monotonic()
    with until_sigterm() as stopped:
        while not stopped() and spent() < 1:
            if not kept or progress["step"] % 64 == 0:
                kept.append(torch.from_numpy(pages.take()))
                pictures, progress["drawn"] = torch.cat(list(kept)), pages.drawn
            warm, cool = min(1.0, (progress["step"] + 1) / 100), 0.5 + 0.5 * math.cos(math.pi * min(1.0, spent()))
            optimizer.param_groups[0]["lr"] = recipe.lr * warm * (cool if spent() else 1.0)
            latent, picture = losses(encoder, decoder, teacher, crops(pictures, recipe, where), recipe.latent_noise)
            (latent + picture).backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            progress["step"] += 1
            now = time.monotonic()
            progress["seconds"], clock = progress["seconds"] + now - clock, now
            if progress["step"] % recipe.eval_every == 0 or spent() >= 1:
                progress["held_out"] = measure(vae, teacher, recipe.size, where)
                counts = {name: progress[name] for name in ("step", "seconds", "drawn")}
                now_lost = {"loss": picture.item(), "latent_loss": latent.item()}
                log(work / "metrics.jsonl", phase="autoencoder", **counts, **progress["held_out"], **now_lost)
            if now - saved > recipe.save_seconds:
                saved = now
                save_checkpoint(path, {"vae": vae}, [optimizer], progress)
    pages.close()
    save_checkpoint(path, {"vae": vae}, [optimizer], progress)
