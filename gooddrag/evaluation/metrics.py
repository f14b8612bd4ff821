"""How good an edit is: DAI (Eq. 10), MD, truth, damage, fidelity, quality; and the statistics (Eq. 11, 12).

Images are PIL RGB images of one size, or uint8 arrays (H, W, 3); every number is computed on values in [0, 1].
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image
from scipy import stats
from torch import Tensor

from gooddrag.ddim import add_noise
from gooddrag.frame import Frame
from gooddrag.model import DiffusionModel
from gooddrag.motion import features_at, offsets, resized
from gooddrag.result import edit_metrics, truth_error  # noqa: F401 (they are metrics too)
from gooddrag.sample import Sample

Pixels = Image.Image | np.ndarray
GAMMAS = (1, 5, 10, 20)  # Table 1's patch radii, pixels
QUALITY = {"TReS": "tres", "MUSIQ": "musiq", "TOPIQ": "topiq_nr"}  # Table 3's metrics by pyiqa's names
ROWS = 32  # rows compared at a time: Stable Diffusion's features at 512 px would take 1.3 GB at once
DIFT_TIMESTEP, DIFT_NOISES, DIFT_BLOCK = 261, 8, -3


def dai(original: Pixels, edited: Pixels, points: ArrayLike, gamma: int, convention: str = "paper") -> float:
    """DAI (Eq. 10): mean squared difference between the patch at each handle before and at its target after.

    Lower is better; 0 to 3, since squares are summed over the colours. A patch that leaves the image is cut.

    Args:
        original: for the paper's phi(z_0) `vae_round_trip(model, image)`; the released code takes the file itself.
        points: (l, 2, 2) pairs [handle (x, y), target (x, y)] in pixels of the images; rounded to whole pixels.
        gamma: radius of the square patches, pixels.
        convention: "paper" divides by the number of pairs l once, as printed; "released" divides by l twice.
    """
    if convention not in ("paper", "released") or gamma < 0:
        raise ValueError(f"convention, gamma: {convention!r}, {gamma!r}; expected 'paper' or 'released', 0 or more px")
    before, after = _pair(original, edited)
    points, size = np.rint(np.asarray(points, dtype=np.float64).reshape(-1, 2, 2)).astype(int), before.shape[1::-1]
    if len(points) == 0 or (points < 0).any() or (points >= size).any():
        raise ValueError(f"points: {points.tolist()}; expected pairs inside the image of {size[0]} x {size[1]} px")
    squares = [(patch(before, gamma, p, q), patch(after, gamma, q, p)) for p, q in points]
    total = sum(((a - b) ** 2).sum() / (a.shape[0] * a.shape[1]) for a, b in squares)
    return float(total) / len(points) ** (2 if convention == "released" else 1)


def patch(image: np.ndarray, radius: int, at: ArrayLike, other: ArrayLike) -> np.ndarray:
    """A view of the square of an image (H, W, C) around the point `at`, cut where it would leave the image here or at
    `other`; both (x, y)."""
    xs, ys = offsets(image.shape[1::-1], radius, torch.tensor(at), torch.tensor(other))
    return image[at[1] + ys[0] : at[1] + ys[-1] + 1, at[0] + xs[0] : at[0] + xs[-1] + 1]


@torch.no_grad()
def vae_round_trip(model: DiffusionModel, image: Image.Image) -> Image.Image:
    """phi(z_0) of Eq. 10: the image encoded and decoded, RGB of the image's size."""
    frame = Frame.fit(image.size, model.vae_scale, model.native_size)
    return frame.to_image(model.decode_image(model.encode(frame.to_tensor(image))))


def mean_distance(
    model: DiffusionModel, sample: Sample, image: Image.Image, *, inside: bool = False, known: dict | None = None
) -> float:
    """MD: mean distance, in pixels, between the targets and where the edited image matches the handles best.

    DragDiffusion's protocol on the model given (published figures use Stable Diffusion 2.1: those are other numbers).
    `drag_length` is its scale, the MD of an unedited image.

    Args:
        image: the edited image, of the sample's size.
        inside: look for the match in the sample's mask only (masked MD).
        known: features by image bytes, read and filled: give one dict to calls that share images.
    """
    found = match(model, sample, image, inside=inside, known=known)
    return float(np.linalg.norm(found - sample.targets, axis=1).mean())


def drag_length(sample: Sample) -> float:
    """Mean distance of the targets from their handles, pixels."""
    return float(np.linalg.norm(sample.targets - sample.handles, axis=1).mean())


def match(model: DiffusionModel, sample: Sample, image: Image.Image, *, inside=False, known=None) -> np.ndarray:
    """Where the features of `image` are most like (cosine) those of the sample's image at its handles: (l, 2), (x, y)
    in pixels. `inside`, `known`: as for `mean_distance`."""
    source = sample.image
    _pair(source, image)
    frame = Frame.fit(source.size, model.vae_scale, model.native_size)
    size, known = frame.padded[::-1], {} if known is None else known
    for x in (source, image):
        if x.tobytes() not in known:
            known[x.tobytes()] = features(model, frame.to_tensor(x))
    A, B = known[source.tobytes()], known[image.tobytes()]
    rows, cols = (torch.arange(n, device=B.device) for n in frame.scaled[::-1])  # padding has no matches
    wanted = F.normalize(features_at(A, size, frame.to_grid(sample.handles, size).to(A.device)), dim=1)  # (l, C)
    strips = [F.normalize(resized(B, size, part, cols)[0], dim=0) for part in rows.split(ROWS)]  # (C, R, W)
    likeness = torch.cat([torch.einsum("lc,crw->lrw", wanted, strip) for strip in strips], dim=1)  # (l, H, W)
    if inside and sample.mask is not None and sample.mask.any():
        there = F.interpolate(torch.from_numpy(sample.mask)[None, None].float(), likeness.shape[-2:], mode="nearest")
        likeness = likeness.masked_fill(there[0].to(likeness.device) == 0, -torch.inf)
    best = likeness.flatten(1).argmax(dim=1)
    return frame.from_grid(torch.stack([best // len(cols), best % len(cols)], dim=1).float(), size)


@torch.no_grad()
def features(model: DiffusionModel, x: Tensor) -> Tensor:
    """DIFT (Tang et al., 2023) of x (1, 3, H, W) in [-1, 1]: the U-Net's features (1, C, h, w) of the image noised to
    time step 261, the mean over 8 draws of noise; in the last up block but two, which is Stable Diffusion's second and
    the embedded model's first."""
    z_0, generator, alpha = model.encode(x), torch.Generator().manual_seed(0), model.alphas_cumprod[DIFT_TIMESTEP]
    total = 0
    for _ in range(DIFT_NOISES):
        z_t = add_noise(z_0, torch.randn(z_0.shape, generator=generator).to(z_0), alpha.to(z_0.dtype))
        total = total + model.eps_and_features(z_t, DIFT_TIMESTEP, DIFT_BLOCK)[1]
    return total / DIFT_NOISES


def ssim(first: Pixels, second: Pixels) -> float:
    """Structural similarity, at most 1: Gaussian window of 11 px, borders mirrored (torchmetrics)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    return float(structural_similarity_index_measure(*map(_batch, _pair(first, second)), data_range=1.0))


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images."""
    a, b = _pair(first, second)
    error = ((a - b) ** 2).mean()
    return float(-10 * np.log10(error)) if error else float("inf")


@torch.no_grad()
def image_fidelity(first: Pixels, second: Pixels) -> float:
    """IF = 1 - LPIPS at 224 x 224, AlexNet's, which downloads weights; 1 for equal pictures."""
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    a, b = (_batch(x).float() for x in _pair(first, second))
    a, b = (F.interpolate(x, (224, 224), mode="bilinear", antialias=True) for x in (a, b))
    return 1 - float(learned_perceptual_image_patch_similarity(a, b, "alex", normalize=True))


@torch.no_grad()
def quality(image: Pixels, name: str) -> float:
    """Quality without a reference by pyiqa (licence: non-commercial): "TReS", "MUSIQ", "TOPIQ" (Table 3) or others."""
    return float(_pyiqa(QUALITY.get(name, name))(_batch(_floats(image)).float()))


@lru_cache
def _pyiqa(name: str) -> Callable:
    import pyiqa

    return pyiqa.create_metric(name)


class Interval(NamedTuple):
    """A value over n samples, and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] (n = {self.n})"


def mean_interval(values: Mapping[str, float | None] | Iterable[float | None]) -> Interval:
    """The mean over samples with its bootstrap interval (scipy). A missing value is an error and not left out: a mean
    over what happened to succeed flatters the method that fails."""
    return _bootstrap(np.mean, _complete(values, "values"))


def ratio_interval(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> Interval:
    """mean(first) / mean(second) over the same samples by name, resampled together (paired bootstrap)."""
    if odd := sorted(set(first) ^ set(second)):
        raise ValueError(f"first, second: {', '.join(odd[:5])} in only one of them; expected the same samples")
    a, b = _complete(first, "first"), _complete({name: second[name] for name in first}, "second")
    if b.mean() == 0:
        raise ValueError("second: its mean is 0; expected a mean to divide by")
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of zeros alone is possible
        return _bootstrap(lambda a, b, axis: np.mean(a, axis) / np.mean(b, axis), a, b)


def _complete(values: Mapping | Iterable, argument: str) -> np.ndarray:
    values = dict(values) if isinstance(values, Mapping) else dict(enumerate(values))
    bad = [str(name) for name, value in values.items() if value is None or not np.isfinite(value)]
    if bad or not values:
        told = f"{len(bad)} of {len(values)} missing or not finite ({', '.join(bad[:5])})"
        raise ValueError(f"{argument}: {told}; expected a number for every sample")
    return np.array(list(values.values()), dtype=np.float64)


def _bootstrap(statistic: Callable, *data: np.ndarray) -> Interval:
    options = dict(paired=len(data) > 1, vectorized=True, method="percentile", rng=np.random.default_rng(0))
    found = stats.bootstrap(data, statistic, **options).confidence_interval
    return Interval(float(statistic(*data, axis=-1)), float(found.low), float(found.high), data[0].size)


def wilson(wins: int, n: int) -> Interval:
    """A share of wins with its 95 % Wilson interval; leave ties out of both, as the sign test does."""
    return Interval(wins / n, *map(float, stats.binomtest(wins, n).proportion_ci(method="wilson")), n)


def percents(low: float, high: float) -> str:
    """An interval of a share, "31% to 49.9%": one more digit where an end would read as one half."""
    return " to ".join(f"{x:.1%}" if f"{x:.0%}" == "50%" else f"{x:.0%}" for x in (low, high))


def ranks(values: ArrayLike, *, higher_is_better: bool) -> np.ndarray:
    """Ranks along the last axis, 1 = best; equal values share the mean of their ranks, and NaN is an error."""
    values = np.asarray(values, dtype=np.float64)
    return stats.rankdata(-values if higher_is_better else values, axis=-1, nan_policy="raise")


def rank_correlation(people: ArrayLike, metric: ArrayLike) -> float:
    """rho (Eq. 11): the mean over images of Spearman's rho_i (Eq. 12) between people's ranks and a metric's, both
    (N_s images, N_m methods). With ties rho_i is Pearson's correlation of the mean ranks, 0 where all is equal."""
    U, R = np.asarray(people, dtype=np.float64), np.asarray(metric, dtype=np.float64)
    if U.shape != R.shape or U.ndim != 2 or not len(U) or U.shape[1] < 2 or not np.isfinite([U, R]).all():
        raise ValueError(f"people, metric: shapes {U.shape} and {R.shape}; expected finite (images, 2 or more methods)")
    flat = (np.ptp(U, axis=1) == 0) | (np.ptp(R, axis=1) == 0)
    rho = [0.0 if tied else stats.spearmanr(u, r).statistic for u, r, tied in zip(U, R, flat, strict=True)]
    return float(np.mean(rho))


def _floats(image: Pixels) -> np.ndarray:
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"image: {array.dtype} of shape {array.shape}; expected RGB, uint8 (H, W, 3)")
    return array / 255.0


def _pair(first: Pixels, second: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Two images as float64 (H, W, 3) in [0, 1]."""
    a, b = _floats(first), _floats(second)
    if a.shape != b.shape:
        raise ValueError(f"image: {b.shape[1]} x {b.shape[0]} px; expected the other's {a.shape[1]} x {a.shape[0]} px")
    return a, b


def _batch(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x).permute(2, 0, 1)[None]  # (H, W, 3) -> (1, 3, H, W)
