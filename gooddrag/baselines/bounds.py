"""What any table needs besides methods: nothing done, the VAE's own error, and pixels moved without a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gooddrag.metrics.accuracy import common_offsets, vae_round_trip
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample


@dataclass(frozen=True)
class Unedited:
    """The image as it was: no damage at all, and no drag."""

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        return sample.image.copy()


@dataclass(frozen=True)
class VaeRoundTrip:
    """The image through the VAE and back: what every latent method pays before it starts."""

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        return vae_round_trip(model, sample.image)


@dataclass(frozen=True)
class CopyPaste:
    """The square around each handle copied to its target, mask or no mask: a perfect DAI up to that radius for one
    pair, and a picture that nobody wants. It shows what DAI alone cannot see.

    All squares are taken from the input, and pasted in the order of the pairs; they are cut where one of the two would
    leave the image, as `dai` cuts its patches.

    Args:
        radius: of the square, pixels of the image; 20 is the largest of the paper's patch radii.
    """

    radius: int = 20

    def __post_init__(self) -> None:
        if isinstance(self.radius, bool) or not isinstance(self.radius, int) or self.radius < 0:
            raise ValueError(f"radius: {self.radius!r}; expected a whole number of pixels, 0 or more")

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        before = np.asarray(sample.image)
        after = before.copy()
        for p, q in np.rint(sample.points).astype(int):
            xs, ys = (common_offsets(self.radius, n, p[axis], q[axis]) for axis, n in enumerate(sample.image.size))
            after[np.ix_(q[1] + ys, q[0] + xs)] = before[np.ix_(p[1] + ys, p[0] + xs)]
        return Image.fromarray(after)
