"""The autoencoder of 256 px pages: eight times smaller latents, which are those of the first generation's encoder.

The encoder learns, by regression, the latents that the first generation's encoder gives to the page at half its size,
so that a U-Net trained on those fits unchanged. The decoder draws the page of 256 px from them, crisp edges included.
"""

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from storybook.training.pages import TrainingPictures, held_out, to_tensor
from storybook.training.sitting import Sitting


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
    error = ((found - z).norm() / z.norm()).item()
    return {"db_pages": decibels(pages), "db_photos": decibels(photos), "latent_error": error}


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
    compiled: bool = True,
    **budget: float | None,
) -> None:
    """Train with the budget of a `Sitting`, in steps; the rate falls as a cosine of what is spent.

    `first` is the first generation's autoencoder, whose encoder (B, 3, h, w) -> (B, 4, h / 4, w / 4) is the teacher.
    """
    torch.manual_seed(0)
    where = torch.device(device)
    vae = grown(recipe.build(), first).to(where, memory_format=torch.channels_last)
    teacher = first.encoder.to(where).eval().requires_grad_(False)
    encoder, decoder = (torch.compile(part) if compiled else part for part in (vae.encoder, vae.decoder))
    optimizer = torch.optim.AdamW(vae.parameters(), weight_decay=0.0)
    sitting = Sitting(work / "autoencoder.safetensors", {"vae": vae}, {optimizer: recipe.lr}, {}, **budget)
    counts = sitting.counts
    torch.manual_seed(counts["step"])
    pages = TrainingPictures(recipe.size, recipe.photos).batches(counts["drawn"], recipe.refill, recipe.workers)
    kept: deque[Tensor] = deque(maxlen=recipe.kept)
    for _ in sitting:
        if not kept or counts["step"] % 64 == 0:
            kept.append(torch.from_numpy(next(pages)))
            pictures, counts["drawn"] = torch.cat(list(kept)), counts["drawn"] + recipe.refill
        latent, picture = losses(encoder, decoder, teacher, crops(pictures, recipe, where), recipe.latent_noise)
        sitting.step(latent + picture, 0.5 + 0.5 * math.cos(math.pi * sitting.spent))
        if sitting.due(recipe.eval_every):
            sitting.log(measure(vae, teacher, recipe.size, where), latent_loss=latent.item())
