"""GoodDrag, its ablations and DragDiffusion: all are settings of Algorithm 1."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from gooddrag.algorithm import Callback
from gooddrag.batch import drag_together
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.model import DiffusionModel
from gooddrag.result import DragResult
from gooddrag.sample import Sample

_kept: OrderedDict[tuple, DragEditor] = OrderedDict()
_most = 1


def keep(samples: int) -> None:
    """How many samples are edited at a time: so many editors are kept for the methods that follow."""
    global _most
    _most = samples


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

    def edit_together(self, model: DiffusionModel, samples: Sequence[Sample], seed: int = 0) -> list[DragResult]:
        """`edit` of several samples of one size in U-Net passes of one batch (see `drag_batch`)."""
        editors = [self.prepare(model, sample, seed) for sample in samples]
        return drag_together(editors, samples, self.config)

    def prepare(self, model: DiffusionModel, sample: Sample, seed: int = 0) -> DragEditor:
        """The slow part, encoding, LoRA and inversion. Methods that follow each other on the same samples share what
        is equal: the last editors are kept, of one model, and fitted LoRAs are cached on disk.
        """
        key = (model, sample.image.tobytes(), sample.image.size, self.lora, seed)
        editor = _kept.pop(key, None)
        while len(_kept) >= _most or any(other is not model for other, *_ in _kept):
            _kept.popitem(last=False)  # the eldest first
        _kept[key] = editor or DragEditor(model, self.lora, seed).set_image(sample.image)
        _kept[key].invert(self.config)
        return _kept[key]
