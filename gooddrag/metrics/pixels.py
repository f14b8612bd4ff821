"""What every metric reads: pixels in [0, 1], of images that belong together."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Pixels = Image.Image | np.ndarray


def floats(image: Pixels, argument: str = "image") -> np.ndarray:
    """An RGB image or a uint8 array (H, W, 3) as float64 (H, W, 3) in [0, 1].

    Raises:
        ValueError: other modes, shapes or dtypes, which would be on another scale.
    """
    if isinstance(image, Image.Image) and image.mode != "RGB":
        raise ValueError(f"{argument}: mode {image.mode}; expected RGB (gooddrag.load_image makes it so)")
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"{argument}: {array.dtype} of shape {array.shape}; expected uint8 (H, W, 3)")
    return array / 255.0


def pair(first: Pixels, second: Pixels, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Two images of one size as float64 (H, W, 3) in [0, 1].

    Raises:
        ValueError: as `floats`; the sizes differ.
    """
    a, b = floats(first, names[0]), floats(second, names[1])
    if a.shape != b.shape:
        sizes = [f"{x.shape[1]} x {x.shape[0]} px" for x in (a, b)]
        raise ValueError(f"{names[1]}: {sizes[1]}; expected the size of {names[0]}, {sizes[0]}")
    return a, b


def batch(x: np.ndarray) -> Tensor:
    """One image (H, W, 3) as the (1, 3, H, W) that networks take, dtype and values as they are."""
    return torch.from_numpy(x).permute(2, 0, 1)[None]
