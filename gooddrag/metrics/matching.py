"""MD: where a diffusion model's own features find the handle again in the edited image (DIFT, Tang et al., 2023)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gooddrag.ddim import add_noise
from gooddrag.frame import Frame
from gooddrag.images import size_text
from gooddrag.model import DiffusionModel
from gooddrag.motion import features_at, resized
from gooddrag.sample import Sample

ROWS = 32  # of the image compared at a time: Stable Diffusion's features at 512 px would take 1.3 GB at once


def mean_distance(model: DiffusionModel, sample: Sample, image: Image.Image, reference: str = "original",
                  timestep: int = 261, block: int = -3, noises: int = 8, seed: int = 0,
                  known: dict[bytes, Tensor] | None = None) -> float:  # fmt: skip
    """MD: mean distance between the targets and where the edited image matches the handles best. Lower is better.

    DragDiffusion's protocol (t = 261, up block 1 of 4, 8 noise samples, best match over the whole image) on whatever
    model is given, with the empty prompt. The published figures use Stable Diffusion 2.1: on another model it is
    another number. `mean_distance(model, sample, sample.truth)` is the matcher's own error.

    Args:
        image: the edited image, RGB, of the sample's size.
        reference: what is looked for: the handle in the "original" image, or the target in the "truth", which has the
            same content turned, scaled or shaded as it should be.
        timestep, block, noises, seed: see `features`.
        known: features by image bytes, filled and read here: give the same dict to calls that share images, one model
            and equal settings.

    Returns:
        Pixels of the image as given.

    Raises:
        ValueError: sizes differ; the reference is "truth" and the sample has none.
    """
    if reference not in ("original", "truth"):
        raise ValueError(f"reference: {reference!r}; expected 'original' or 'truth'")
    shown, at = (sample.image, sample.handles) if reference == "original" else (sample.truth, sample.targets)
    if shown is None:
        raise ValueError(f"reference: 'truth', but {sample!r} has none; expected 'original'")
    found = match(model, shown, at, image, timestep, block, noises, seed, known)
    return float(np.linalg.norm(found - sample.targets, axis=1).mean())


def match(model: DiffusionModel, source: Image.Image, points: np.ndarray, image: Image.Image, timestep: int = 261,
          block: int = -3, noises: int = 8, seed: int = 0,
          known: dict[bytes, Tensor] | None = None) -> np.ndarray:  # fmt: skip
    """Where in `image` the features are most like (cosine) those of `source` at the points.

    Args:
        source, image: RGB, of one size. points: (l, 2) (x, y) in its pixels.

    Returns:
        (l, 2) float64, (x, y) in pixels of the image.

    Raises:
        ValueError: the sizes differ; else as `features`.
    """
    if image.size != source.size:
        raise ValueError(
            f"image: {size_text(image.size)} px; expected the size of its reference, {size_text(source.size)} px"
        )
    frame = Frame.fit(source.size, model.vae_scale, model.native_size)
    size = frame.padded[1], frame.padded[0]
    known = {} if known is None else known
    for x in (source, image):
        if x.tobytes() not in known:
            known[x.tobytes()] = features(model, frame.to_tensor(x), timestep, block, noises, seed)
    A, B = known[source.tobytes()], known[image.tobytes()]
    # on the grid of pixels one cell is one pixel, and padding has no matches
    rows, cols = (torch.arange(n, device=B.device) for n in frame.scaled[::-1])
    wanted = F.normalize(features_at(A, size, frame.to_grid(points, size).to(A.device)), dim=1)  # (l, C)
    strips = [_likeness(resized(B, size, part, cols), wanted) for part in rows.split(ROWS)]
    best = torch.cat(strips, dim=1).flatten(1).argmax(dim=1)  # (l, H, W) -> (l,)
    found = torch.stack([best // len(cols), best % len(cols)], dim=1)  # (y, x)
    return frame.from_grid(found.float(), size)


@torch.no_grad()
def features(model: DiffusionModel, x: Tensor, timestep: int = 261, block: int = -3, noises: int = 8,
             seed: int = 0) -> Tensor:  # fmt: skip
    """DIFT: the U-Net's features of an image under noise, averaged over noise samples.

    Args:
        x: (1, 3, H, W) in [-1, 1], sides divisible by the VAE's scale.
        timestep: training time step of the noise; 0 <= t < 1000 for Stable Diffusion.
        block: up block whose output counts: -3 is Stable Diffusion's `up_blocks[1]`, half the latent's resolution.
        noises: samples to average over. seed: of the noise, which is the same for every image of one size.

    Returns:
        (1, C, h, w).

    Raises:
        ValueError: the model has no such time step or block; no noise sample; sides that do not divide.
    """
    if not 0 <= timestep < len(model.alphas_cumprod):
        raise ValueError(f"timestep: {timestep}; expected 0 to {len(model.alphas_cumprod) - 1}")
    if noises < 1:
        raise ValueError(f"noises: {noises}; expected 1 or more")
    z_0, generator = model.encode(x), torch.Generator().manual_seed(seed)
    total = 0
    for _ in range(noises):
        noise = torch.randn(z_0.shape, generator=generator).to(z_0)
        z_t = add_noise(z_0, noise, model.alphas_cumprod[timestep].to(z_0.dtype))
        total = total + model.eps_and_features(z_t, timestep, block)[1]
    return total / noises


def _likeness(strip: Tensor, wanted: Tensor) -> Tensor:
    """Cosine similarity of (1, C, R, W) features to (l, C) unit vectors: (l, R, W)."""
    return torch.einsum("lc,crw->lrw", wanted, F.normalize(strip[0], dim=0))
