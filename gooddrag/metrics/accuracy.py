"""Eq. 10: the Dragging Accuracy Index, as printed and as released."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.frame import Frame
from gooddrag.metrics.pixels import Pixels, pair
from gooddrag.model import DiffusionModel
from gooddrag.sample import check_points

GAMMAS = (1, 5, 10, 20)  # Table 1's patch radii, pixels


def dai(original: Pixels, edited: Pixels, points: ArrayLike, gamma: int, convention: str = "paper",
        border: str = "crop") -> float:  # fmt: skip
    """DAI (Eq. 10): mean squared difference between the patch at each handle before and at its target after. Lower is
    better; 0 to 3, since squares are summed over the three colours.

    For the paper's phi(z_0) give `vae_round_trip(model, image)` as `original`; the released code compares the file.

    Args:
        original, edited: images of one size.
        points: (l, 2, 2) pairs of [handle (x, y), target (x, y)] in pixels of the images; rounded to whole pixels.
        gamma: patch radius in pixels, >= 0; the patch is a square of side 2 gamma + 1.
        convention: "paper" divides by the number of pairs once, as printed; "released" does so twice.
        border: a patch that leaves the image is cut to the offsets that lie inside it at both points, and its sum is
            divided by the pixels left ("crop"), or refused ("raise", as in the released code).

    Raises:
        ValueError: bad arguments; a patch outside the image with border "raise".
    """
    if convention not in ("paper", "released"):
        raise ValueError(f"convention: {convention!r}; expected 'paper' or 'released'")
    if border not in ("crop", "raise"):
        raise ValueError(f"border: {border!r}; expected 'crop' or 'raise'")
    if isinstance(gamma, bool) or not isinstance(gamma, int | np.integer) or gamma < 0:
        raise ValueError(f"gamma: {gamma!r}; expected a whole number of pixels, 0 or more")
    before, after = pair(original, edited, ("original", "edited"))
    height, width = before.shape[:2]
    points = np.rint(check_points(points, (width, height))).astype(int)
    total = 0.0
    for number, (p, q) in enumerate(points, start=1):
        xs, ys = (common_offsets(gamma, n, p[axis], q[axis]) for axis, n in enumerate((width, height)))
        if border == "raise" and min(len(xs), len(ys)) < 2 * gamma + 1:
            raise ValueError(
                f"points: pair {number} is closer than gamma = {gamma} px to the border of the {width} x {height} px "
                "image; expected border='crop', or points further inside"
            )
        wanted = before[p[1] + ys][:, p[0] + xs]
        found = after[q[1] + ys][:, q[0] + xs]
        total += float(((wanted - found) ** 2).sum()) / (len(xs) * len(ys))
    return total / len(points) ** (2 if convention == "released" else 1)


def common_offsets(radius: int, n: int, *centres: int) -> np.ndarray:
    """The offsets -radius ... radius that stay in 0 ... n - 1 around every one of the centres."""
    return np.arange(max(-radius, -min(centres)), min(radius, n - 1 - max(centres)) + 1)


@torch.no_grad()
def vae_round_trip(model: DiffusionModel, image: Image.Image) -> Image.Image:
    """phi(z_0) of Eq. 10: the image encoded and decoded again, RGB of the image's size. What no edit can be better
    than, and what an edit of nothing gives.
    """
    frame = Frame.fit(image.size, model.vae_scale, model.native_size)
    return frame.to_image(model.decode_image(model.encode(frame.to_tensor(image))))
