"""The protocol, and the methods of the paper's tables by the names they have there."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gooddrag.baselines.bounds import CopyPaste, Unedited, VaeRoundTrip
from gooddrag.baselines.dragging import Dragging
from gooddrag.baselines.sde_drag import SdeDrag
from gooddrag.config import DragConfig, LoraConfig, Preset

if TYPE_CHECKING:
    from PIL import Image

    from gooddrag.model import DiffusionModel
    from gooddrag.sample import Sample


@runtime_checkable
class Method(Protocol):
    """A way to edit an image: a frozen dataclass whose fields decide the outcome, so `dataclasses.asdict(method)` is
    its identity, together with the model, the sample and the seed.

    The benchmark makes use of what else a method has: `prepare(model, sample, seed)`, what belongs to the image and is
    timed apart; `edit`, the same edit as a DragResult; `edit_together(model, samples, seed)`, several of them at once.
    """

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        """The edited image: RGB, of the size of `sample.image`. Equal arguments give equal images."""
        ...


DRAGDIFFUSION_LORA = LoraConfig(steps=80)


def methods_with(preset: str) -> dict[str, Method]:
    """The methods of the tables, in their order, with the settings of a preset (`DragConfig.preset`).

    GoodDrag and its ablations take all of them, and the LoRA that goes with them. DragDiffusion keeps its own, but for
    lambda, which is the preset's, so that none is held against another one whose mask weighs more. DragDiffusion* is
    DragDiffusion with 210 iterations (Sec. 5.2).

    Raises:
        ValueError: no preset of GoodDrag.
    """
    if preset == "dragdiffusion":
        others = ", ".join(other for other in Preset if other != preset)
        raise ValueError(f"preset: {str(preset)!r}, which is a method of its own; expected one of {others}")
    own, lora = DragConfig.preset(preset), LoraConfig.preset(preset)
    return {
        "Unedited": Unedited(),
        "VAE round trip": VaeRoundTrip(),
        "Copy-paste": CopyPaste(),
        "DragDiffusion": Dragging(DragConfig.dragdiffusion(lam=own.lam), DRAGDIFFUSION_LORA),
        "DragDiffusion*": Dragging(DragConfig.dragdiffusion(K=210, lam=own.lam), DRAGDIFFUSION_LORA),
        "SDE-Drag": SdeDrag(),
        "GoodDrag": Dragging(own, lora),
        "GoodDrag without AlDD": Dragging(replace(own, aldd=False), lora),
        "GoodDrag without IP": Dragging(replace(own, ip=False), lora),
    }


METHODS: MappingProxyType[str, Method] = MappingProxyType(methods_with("released"))
"""Name -> method, as in the paper's tables."""
