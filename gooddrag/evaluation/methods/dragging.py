"""GoodDrag, its ablations and DragDiffusion: all of them are settings of Algorithm 1."""

from dataclasses import dataclass, replace

from PIL import Image

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import drag
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample


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


def draggings(preset: str = "released") -> dict[str, Dragging]:
    """The paper's methods by name, with a preset's settings (`DragConfig.preset`).

    GoodDrag and its ablations take all of the preset, with its LoRA. DragDiffusion keeps its own settings but for
    lambda, so that no method is held against another one whose mask weighs more. DragDiffusion* makes 210 updates.
    """
    if preset == "dragdiffusion":
        raise ValueError("preset: 'dragdiffusion', which is a method of its own; expected a preset of GoodDrag")
    own, lora = DragConfig.preset(preset), LoraConfig.preset(preset)
    rival, rival_lora = DragConfig.dragdiffusion(lam=own.lam), LoraConfig.preset("dragdiffusion")
    return {
        "DragDiffusion": Dragging(rival, rival_lora),
        "DragDiffusion*": Dragging(replace(rival, K=210), rival_lora),
        "GoodDrag": Dragging(own, lora),
        "GoodDrag without AlDD": Dragging(replace(own, aldd=False), lora),
        "GoodDrag without IP": Dragging(replace(own, ip=False), lora),
    }
