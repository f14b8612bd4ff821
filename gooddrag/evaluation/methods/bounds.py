"""Methods that need no model's skill: what doing nothing scores, what copying pixels, and what a blur."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from gooddrag.evaluation.metrics import patch, vae_round_trip
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample


@dataclass(frozen=True)
class Unedited:
    """The image as it is."""

    def __call__(self, model: DiffusionModel | None, sample: Sample, seed: int = 0) -> Image.Image:
        return sample.image.copy()


@dataclass(frozen=True)
class VaeRoundTrip:
    """The image encoded and decoded: what every latent method pays before it starts."""

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        return vae_round_trip(model, sample.image)


@dataclass(frozen=True)
class CopyPaste:
    """The square of a radius in pixels around each handle copied from the input to its target, whatever the mask says.

    For one pair its DAI is perfect up to this radius, and the picture is one that nobody wants: what DAI cannot see.
    """

    radius: int = 20  # the largest of the paper's patch radii

    def __call__(self, model: DiffusionModel | None, sample: Sample, seed: int = 0) -> Image.Image:
        before, after = np.asarray(sample.image), np.array(sample.image)
        for p, q in np.rint(sample.points).astype(int):
            patch(after, self.radius, q, p)[:] = patch(before, self.radius, p, q)
        return Image.fromarray(after)


@dataclass(frozen=True)
class Blurred:
    """A Gaussian blur of a radius in pixels where the image may change: what a squared error to the truth rewards."""

    radius: float = 6.0

    def __call__(self, model: DiffusionModel | None, sample: Sample, seed: int = 0) -> Image.Image:
        soft = sample.image.filter(ImageFilter.GaussianBlur(self.radius))
        return soft if sample.mask is None else Image.composite(soft, sample.image, Image.fromarray(sample.mask))
