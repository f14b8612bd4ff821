"""GoodDrag, its ablations and DragDiffusion: all are settings of Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from gooddrag.algorithm import Callback
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample

_last: tuple[tuple, DragEditor] | None = None


@dataclass(frozen=True)
class Dragging:
    """Algorithm 1 with one setting. The seed is the LoRA's: everything else is deterministic.

    Args:
        config: of the drag; `DragConfig()` is GoodDrag as released.
        lora: how the single-image LoRA is fitted; None: without one.
    """

    config: DragConfig = DragConfig()
    lora: LoraConfig | None = LoraConfig()

    def __call__(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> Image.Image:
        return self.edit(model, sample, seed).image

    def edit(self, model: DiffusionModel, sample: Sample, seed: int = 0,
             callback: Callback | None = None) -> DragResult:  # fmt: skip
        """The same edit with its handles and history. `callback` as in `DragEditor.drag`.

        Every method makes its own passes of the unedited latent: what it costs does not depend on what ran before it.
        """
        editor = self.prepare(model, sample, seed)
        try:
            return editor.drag(sample, config=self.config, callback=callback)
        finally:
            editor.forget_source()

    def prepare(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> DragEditor:
        """The slow part, encoding, LoRA and inversion. Methods that follow each other on one sample share what is
        equal: the editor of the last call is kept, and fitted LoRAs are cached on disk.
        """
        global _last
        key = (model, sample.image.tobytes(), sample.image.size, self.lora, seed)
        if _last is None or _last[0] != key:
            _last = None  # free its tensors first
            _last = (key, DragEditor(model, self.lora, seed).set_image(sample.image))
        _last[1].invert(self.config)
        return _last[1]
