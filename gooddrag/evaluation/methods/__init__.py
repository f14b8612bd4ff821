"""Ways to edit an image, by the names of the paper's tables: `METHODS["GoodDrag"](model, sample, seed)`."""

from typing import Protocol

from PIL import Image

from gooddrag.evaluation.methods.bounds import CopyPaste, Unedited, VaeRoundTrip
from gooddrag.evaluation.methods.dragging import Dragging, draggings
from gooddrag.evaluation.methods.sde_drag import SdeDrag
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

__all__ = ["METHODS", "CopyPaste", "Dragging", "Method", "SdeDrag", "Unedited", "VaeRoundTrip", "methods_with"]


class Method(Protocol):
    """Anything called like this. The package's own are frozen dataclasses, whose fields decide the outcome together
    with model, sample and seed; a field `lora` (LoraConfig or None) is fitted before the edit is timed, and a method
    `edit(model, sample, seed)` that gives a DragResult tells the benchmark more than the image.
    """

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        """The edited image: RGB, of the size of `sample.image`. Equal arguments give equal images."""
        ...


def methods_with(preset: str) -> dict[str, Method]:
    """Every method, GoodDrag and its ablations with the settings of a preset; see `dragging.draggings`."""
    bounds = {"Unedited": Unedited(), "VAE round trip": VaeRoundTrip(), "Copy-paste": CopyPaste()}
    return {**bounds, "SDE-Drag": SdeDrag(), **draggings(preset)}


METHODS: dict[str, Method] = methods_with("released")
