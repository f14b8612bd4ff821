"""What keeps the image itself: the single-image LoRA (Alg. 1, line 1) and Latent-MasaCtrl (Sec. 5.1)."""

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


def measure_fits(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
    """One record per fit in `FITS`."""
    (config,) = configs.values()
    records = []
    for name, lora in FITS.items():
        fitted = DragEditor(editor.model, lora).set_image(sample.image)
        records += drag_and_score(fitted, sample, {name: config}, scenes)
    return records


LORA = Study("lora", {"released": {}}, measure_fits, edits=12, lora=LoraConfig(steps=0))
MASACTRL = Study(
    "masactrl", {f"from layer {start}": {"masactrl_start": start} for start in STARTS}, drag_and_score, edits=16
)
