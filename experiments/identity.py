"""What keeps the image itself: the single-image LoRA (Alg. 1, line 1) and Latent-MasaCtrl (Sec. 5.1)."""

from collections.abc import Callable, Mapping
from functools import partial

from experiments.study import Records, Scenes, Study, drag_and_score
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

FITS = {
    "no LoRA": LoraConfig(steps=0),
    "rank 16, 20 steps": LoraConfig(steps=20),
    "rank 4, 70 steps": LoraConfig(rank=4),
    "rank 16, 70 steps, lr 5e-4": LoraConfig(lr=5e-4),  # as released for Stable Diffusion's widths
    "rank 16, 70 steps": LoraConfig(),
}
STARTS = (10, 16)  # transformer block from which keys and values are shared; the paper: 10; 16: none


def measure_fits(
    fits: Mapping[str, LoraConfig],
    measure: Callable,
    editor: DragEditor,
    sample: Sample,
    configs: Mapping[str, DragConfig],
    scenes: Scenes,
) -> Records:
    """What a study's `measure` gives under each LoRA; the ways of the records are the fits."""
    (config,), records = configs.values(), []
    for name, lora in fits.items():
        fitted = DragEditor(editor.model, lora).set_image(sample.image)
        records += measure(fitted, sample, {name: config}, scenes)
    return records


LORA = Study("lora", {"released": {}}, partial(measure_fits, FITS, drag_and_score), edits=12, lora=LoraConfig(steps=0))
MASACTRL = Study(
    "masactrl", {f"from layer {start}": {"masactrl_start": start} for start in STARTS}, drag_and_score, edits=16
)
