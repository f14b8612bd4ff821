"""Ways to edit an image, by the names of the paper's tables: `METHODS["GoodDrag"](model, sample, seed)`."""

from typing import Protocol

from PIL import Image

from gooddrag.evaluation.methods.bounds import Blurred, CopyPaste, Unedited, VaeRoundTrip
from gooddrag.evaluation.methods.draggan import DragGan
from gooddrag.evaluation.methods.dragging import Dragging, draggings  # noqa: F401 (a name of this package)
from gooddrag.evaluation.methods.dragnoise import DragNoise
from gooddrag.evaluation.methods.dragondiffusion import DragonDiffusion
from gooddrag.evaluation.methods.fastdrag import FastDrag
from gooddrag.evaluation.methods.freedrag import FreeDrag
from gooddrag.evaluation.methods.sde_drag import SdeDrag
from gooddrag.model import DiffusionModel
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


def methods_with(preset: str) -> dict[str, Method]:
    """Every method for a diffusion model, by name; what a preset changes is told at `dragging.draggings`."""
    bounds = {"Unedited": Unedited(), "VAE round trip": VaeRoundTrip(), "Copy-paste": CopyPaste(), "Blur": Blurred()}
    others = {"SDE-Drag": SdeDrag(), "FastDrag": FastDrag(), "FreeDrag": FreeDrag(), "DragNoise": DragNoise()}
    others |= {"FastDrag improved": FastDrag(nearest=True, noise=True)}  # as LazyDrag (ICLR 2026) found it to gain
    others |= {"DragonDiffusion": DragonDiffusion(), "DragGAN": DragGan()}
    return {**bounds, **draggings(preset), **others}


METHODS: dict[str, Method] = methods_with("released")
