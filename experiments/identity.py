"""What keeps the image itself: the single-image LoRA (Alg. 1, line 1) and Latent-MasaCtrl (Sec. 5.1)."""

from experiments.latents import denoised
from experiments.study import Records, Scenes, Study, drag_and_score, drag_each
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation import metrics
from gooddrag.lora import applied
from gooddrag.sample import Sample

FITS = {
    "no LoRA": LoraConfig(steps=0),
    "rank 16, 20 steps": LoraConfig(steps=20),
    "rank 4, 70 steps": LoraConfig(rank=4),
    "rank 16, 70 steps, lr 5e-4": LoraConfig(lr=5e-4),  # as released for Stable Diffusion's widths
    "rank 16, 70 steps": LoraConfig(),
}
STARTS = (0, 4, 7, 10, 13, 16)  # transformer blocks from which keys and values are shared; the paper: 10; 16: none


def reconstruction(editor: DragEditor, config: DragConfig) -> float:
    """PSNR in dB of the image after inversion (Eq. 3) and denoising (Eq. 2), against its round trip through the VAE."""
    model = editor.model
    with applied(model.unet, editor.lora):
        z = denoised(model, editor.invert(config)[-1], config.T, config.num_steps)
    return metrics.psnr(*(editor.frame.to_image(model.decode_image(latent)) for latent in (z, editor.z_0)))


def measure_fits(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
    """One record per fit in `FITS`."""
    (config,) = configs.values()
    records = []
    for name, lora in FITS.items():
        fitted = DragEditor(editor.model, lora).set_image(sample.image)
        ((record, _),) = drag_each(fitted, sample, {name: config})
        records.append({**record, "reconstruction": reconstruction(fitted, config)})
    return records


LORA = Study("lora", {"released": {}}, measure_fits, edits=12, lora=LoraConfig(steps=0))
MASACTRL = Study(
    "masactrl", {f"from layer {start}": {"masactrl_start": start} for start in STARTS}, drag_and_score, edits=16
)
