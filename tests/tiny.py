"""A random model of storybook's shape, small enough to drag in a moment, and what the tests use it with."""

import math
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from PIL import Image

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.motion import Task

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]
TINY_SD = DATA / "conformance" / "tiny-sd"
NATIVE = 64  # px: sample_size 16 times the VAE's 4
UNET = dict(sample_size=16, block_out_channels=(8, 16, 16), layers_per_block=1, norm_num_groups=4)
UNET |= dict(attention_head_dim=4, cross_attention_dim=8)
UNET |= dict(down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"))
UNET |= dict(up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))
VAE = dict(encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8), latent_channels=4)
VAE |= dict(num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(1, 1, 1))

LORA = LoraConfig(rank=2, steps=2, batch_size=1)
DRAG = DragConfig(num_steps=4, K=2, B=1, J=1, stop_unmoved=None)


class Malicious:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("ran-the-pickle"),))


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """Write AutoencoderTiny (4x), UNet2DConditionModel (8, 16, 16; one layer a block; no text) and DDIMScheduler."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(**UNET)
        vae = AutoencoderTiny(**VAE)
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def picture(size: tuple[int, int] = (64, 64), seed: int = 0) -> Image.Image:
    """Smooth random colours, RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def floats(image: Image.Image) -> np.ndarray:
    """An image's pixels, float64 in [0, 1]."""
    return np.asarray(image, dtype=np.float64) / 255


def mask_of(size: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of an image of (width, height) that is True inside the box (left, top, right, bottom)."""
    mask = np.zeros(size[::-1], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def same(a: dict, b: dict) -> bool:
    """Whether two dicts of tensors are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def task(*pairs, frozen: int = 12) -> Task:
    """Pairs of handle and target, (y, x) on a grid of 64 x 64; of 16 x 16 cells the columns from `frozen` on are."""
    outside = torch.zeros(1, 1, 16, 16)
    outside[..., frozen:] = 1
    return Task((64, 64), *torch.tensor(pairs, dtype=torch.float32).unbind(1), outside)


def python(code: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess:
    """Run code in a process of its own, which finds the package."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=280)


@contextmanager
def sharing(blocks):
    """Self-attentions of these blocks read the keys and values of the first row of two; softmax and all by hand."""

    def attend(attn, x, encoder_hidden_states=None, **_):
        source = x[[0, 0]]
        maps = attn.to_q(x), attn.to_k(source), attn.to_v(source)
        q, k, v = (y.unflatten(2, (attn.heads, -1)).transpose(1, 2) for y in maps)
        weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(dim=3)
        return attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))

    before = [block.attn1.processor for block in blocks]
    for block in blocks:
        block.attn1.processor = attend
    yield
    for block, processor in zip(blocks, before, strict=True):
        block.attn1.processor = processor
