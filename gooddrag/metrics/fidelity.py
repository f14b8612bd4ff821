"""Against what is known: the true edited image inside the mask, the input outside it, and whole images."""

from __future__ import annotations

import numpy as np

from gooddrag.metrics.pixels import Pixels, batch, pair
from gooddrag.sample import Sample


def truth_error(sample: Sample, image: Pixels) -> float | None:
    """Mean squared error to the true edited image inside the mask; None without a truth or with an empty mask.

    Args:
        sample: with its `truth`; no mask = the whole image counts.
        image: the edited image, of the sample's size.
    """
    inside = _editable(sample)
    if sample.truth is None or not inside.any():
        return None
    truth, edited = pair(sample.truth, image, ("truth", "image"))
    return float(((edited - truth) ** 2)[inside].mean())


def damage_outside(sample: Sample, image: Pixels) -> float | None:
    """Mean squared change of what the mask says may not change; None where everything may."""
    outside = ~_editable(sample)
    if not outside.any():
        return None
    before, after = pair(sample.image, image, ("sample", "image"))
    return float(((after - before) ** 2)[outside].mean())


def edit_metrics(sample: Sample, image: Pixels) -> dict[str, float | None]:
    """Everything the sample's mask and truth tell about an edited image; what is not known has no entry.

    Returns:
        damage_outside_mask; truth_error_inside_mask, truth_error_unedited, and truth_error_ratio, the first by the
        second (None if there was nothing to do).
    """
    metrics: dict[str, float | None] = {}
    if (damage := damage_outside(sample, image)) is not None:
        metrics["damage_outside_mask"] = damage
    if (error := truth_error(sample, image)) is not None:
        unedited = truth_error(sample, sample.image)
        metrics["truth_error_inside_mask"] = error
        metrics["truth_error_unedited"] = unedited
        metrics["truth_error_ratio"] = error / unedited if unedited else None
    return metrics


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images (torchmetrics)."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    a, b = (batch(x) for x in pair(first, second, ("first", "second")))
    return float(peak_signal_noise_ratio(a, b, data_range=1.0))


def ssim(first: Pixels, second: Pixels) -> float:
    """Structural similarity, at most 1: Gaussian window of 11 px, borders mirrored (torchmetrics)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (batch(x) for x in pair(first, second, ("first", "second")))
    return float(structural_similarity_index_measure(a, b, data_range=1.0))


def _editable(sample: Sample) -> np.ndarray:
    return np.ones(sample.image.size[::-1], bool) if sample.mask is None else sample.mask
