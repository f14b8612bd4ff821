"""Ways to edit an image, by the names of the paper's tables: `METHODS["GoodDrag"](model, sample, seed)`.

Some need no model's skill: what doing nothing scores, what copying pixels, and what a blur.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from PIL import Image, ImageFilter

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import drag
from gooddrag.evaluation.methods.draggan import DragGan
from gooddrag.evaluation.methods.dragnoise import DragNoise
from gooddrag.evaluation.methods.dragondiffusion import DragonDiffusion
from gooddrag.evaluation.methods.fastdrag import FastDrag
from gooddrag.evaluation.methods.freedrag import FreeDrag
from gooddrag.evaluation.methods.sde_drag import SdeDrag
from gooddrag.evaluation.metrics import patch, vae_round_trip
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample


class Method(Protocol):
    """Anything called like this, that gives an RGB image of the size of `sample.image`: the same for equal arguments.

    The package's own are frozen dataclasses, whose fields decide the outcome together with model, sample and seed: from
    them the benchmark sees that a setting has changed. A field `lora` (LoraConfig or None), or what `lora_for(model)`
    gives, is fitted before the edit is timed, and a method `edit(model, sample, seed)` that gives a DragResult tells
    the benchmark more than the image. For worker processes a method must come from the script or notebook itself, or
    from a module that they can import.
    """

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image: ...


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


@dataclass(frozen=True)
class Dragging:
    """Algorithm 1 with one setting; `lora`: None: without one. The seed is the LoRA's: all else is deterministic."""

    config: DragConfig = DragConfig()
    lora: LoraConfig | None = LoraConfig()

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        return self.edit(model, sample, seed).image

    def edit(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> DragResult:
        """The same edit with its handles, history and metrics."""
        return drag(model, sample, self.config, lora=self.lora, seed=seed)


def methods_with(preset: str) -> dict[str, Method]:
    """Every method for a diffusion model, by name.

    GoodDrag and its ablations take all of the preset (`DragConfig.preset`), with its LoRA. DragDiffusion keeps its own
    settings but for lambda, so that no method is held against another one whose mask weighs more. DragDiffusion* makes
    210 updates.
    """
    if preset == "dragdiffusion":
        raise ValueError("preset: 'dragdiffusion', which is a method of its own; expected a preset of GoodDrag")
    own, lora = DragConfig.preset(preset), LoraConfig.preset(preset)
    rival, rival_lora = DragConfig.dragdiffusion(lam=own.lam), LoraConfig.preset("dragdiffusion")
    bounds = {"Unedited": Unedited(), "VAE round trip": VaeRoundTrip(), "Copy-paste": CopyPaste(), "Blur": Blurred()}
    settings = {
        "DragDiffusion": Dragging(rival, rival_lora),
        "DragDiffusion*": Dragging(replace(rival, K=210), rival_lora),
        "GoodDrag": Dragging(own, lora),
        "GoodDrag without AlDD": Dragging(replace(own, aldd=False), lora),
        "GoodDrag without IP": Dragging(replace(own, ip=False), lora),
    }
    others = {"SDE-Drag": SdeDrag(), "FastDrag": FastDrag(), "FreeDrag": FreeDrag(), "DragNoise": DragNoise()}
    others |= {"FastDrag improved": FastDrag(nearest=True, noise=True)}  # as LazyDrag (ICLR 2026) found it to gain
    others |= {"DragonDiffusion": DragonDiffusion(), "DragGAN": DragGan()}
    return bounds | settings | others


METHODS: dict[str, Method] = methods_with("released")
