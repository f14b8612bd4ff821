"""Metrics that are trained networks: LPIPS, and image quality without a reference. Optional; weights are downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F

from gooddrag.metrics.pixels import Pixels, batch, floats, pair

QUALITY = {"TReS": "tres", "MUSIQ": "musiq", "TOPIQ": "topiq_nr"}
"""Table 3's metrics by pyiqa's names; higher is better in all three."""
LEARNED = ("IF", *QUALITY)


def learned_scores(names: Sequence[str], original: Pixels, edited: Pixels,
                   device: str | torch.device = "cpu") -> dict[str, float]:  # fmt: skip
    """Some of `LEARNED` of an edit, by name.

    Raises:
        ValueError: another name. ImportError, OSError: as the functions below.
    """
    if unknown := [name for name in names if name not in LEARNED]:
        raise ValueError(f"learned: {', '.join(unknown)}; expected some of {', '.join(LEARNED)}")
    return {name: image_fidelity(original, edited, device) if name == "IF" else quality(edited, name, device)
            for name in names}  # fmt: skip


def image_fidelity(original: Pixels, edited: Pixels, device: str | torch.device = "cpu") -> float:
    """IF = 1 - LPIPS(AlexNet) at 224 x 224 (DragDiffusion's protocol). Higher is better, 1 for equal images.

    Raises:
        ImportError: torchmetrics or torchvision is missing. OSError: the weights are not here and cannot be fetched.
    """
    a, b = pair(original, edited, ("original", "edited"))
    images = [F.interpolate(batch(x).float().to(device), (224, 224), mode="bilinear", antialias=True) for x in (a, b)]
    with torch.no_grad():
        return 1 - float(_lpips(str(device))(*images))


def quality(image: Pixels, name: str, device: str | torch.device = "cpu") -> float:
    """Image quality without a reference, by pyiqa (`pip install "gooddrag[iqa]"`; its licence is non-commercial).

    Args:
        name: "TReS", "MUSIQ", "TOPIQ" (Table 3), or any of pyiqa's no-reference metrics.

    Raises:
        ImportError: pyiqa is missing. ValueError: pyiqa has no such metric.
    """
    with torch.no_grad():
        return float(_iqa(QUALITY.get(name, name), str(device))(batch(floats(image)).float().to(device)))


@lru_cache(maxsize=1)
def _lpips(device: str):
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device).eval()  # images in [0, 1]
    except ModuleNotFoundError as error:
        raise ImportError('image_fidelity needs torchmetrics and torchvision: pip install "gooddrag[iqa]"') from error


@lru_cache(maxsize=4)
def _iqa(name: str, device: str):
    try:
        import pyiqa
    except ModuleNotFoundError as error:
        raise ImportError('quality needs pyiqa: pip install "gooddrag[iqa]"') from error
    if name not in pyiqa.list_models():
        raise ValueError(f"name: {name!r}; expected {', '.join(QUALITY)} or another of pyiqa's metrics")
    return pyiqa.create_metric(name, device=torch.device(device))
