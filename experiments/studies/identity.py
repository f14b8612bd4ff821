"""What keeps the image itself: the single-image LoRA (Alg. 1, line 1) and Latent-MasaCtrl (Sec. 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from experiments.studies.study import Records, Study, dragged, measured
from gooddrag import metrics
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import denoise, step
from gooddrag.editor import DragEditor
from gooddrag.lora import TARGETS, applied
from gooddrag.masactrl import SD_BLOCKS, mutual_self_attention
from gooddrag.model import LORA_LR, DiffusionModel
from gooddrag.sample import Sample
from gooddrag.state import State

FITS = {
    "no LoRA": LoraConfig(steps=0),
    "rank 16, 20 steps": LoraConfig(steps=20),
    "rank 4, 70 steps": LoraConfig(rank=4),
    "rank 16, 70 steps, lr 5e-4": LoraConfig(lr=LORA_LR),
    "rank 16, 70 steps": LoraConfig(),
}
NO_LORA, SHORT, THIN, RELEASED, FULL = FITS
STARTS = (0, 4, 7, 10, 13, SD_BLOCKS)  # the last one shares nothing
SHARED, PLAIN = "from layer 10", f"from layer {SD_BLOCKS}"


@torch.no_grad()
def reconstruction(editor: DragEditor, config: DragConfig) -> float:
    """PSNR in dB of the image after inversion and plain denoising, against its own round trip through the VAE."""
    z = rebuilt(editor, config)
    images = [editor.frame.to_image(editor.model.decode_image(x)) for x in (z, editor.z_0)]
    return metrics.psnr(*images)


@torch.no_grad()
def rebuilt(editor: DragEditor, config: DragConfig) -> Tensor:
    """z_0 after inversion to T (Eq. 3) and denoising (Eq. 2), nothing dragged; (1, C, h, w)."""
    model = editor.model
    schedule = model.schedule(config.num_steps)
    with applied(model.unet, editor.lora):
        *_, z = denoise(model.eps, editor.invert(config)[-1], schedule, config.T)
    return z


def measure_lora(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig]) -> Records:
    """One record per fit in `FITS`; the editor's own LoRA is left as it was found."""
    (config,) = configs.values()
    records = []
    for name, fit in FITS.items():
        fitted = DragEditor(editor.model, fit, editor.seed).set_image(sample.image)
        ((record, _),) = dragged(fitted, sample, {name: config})
        records.append({**record, "reconstruction": reconstruction(fitted, config)})
    return records


@torch.no_grad()
def finished(editor: DragEditor, config: DragConfig, t: int, z: Tensor, source: Tensor, start: int) -> Tensor:
    """Denoise a dragged latent from level t to 0 beside the unedited one, keys and values shared from layer `start`."""
    model = editor.model
    schedule = model.schedule(config.num_steps)
    batch = torch.cat([source, z])
    with applied(model.unet, editor.lora), mutual_self_attention(model.unet, start):
        for level in range(t, 0, -1):
            eps = model.eps(batch, schedule.timestep(level))
            batch = step(batch, eps, schedule.alpha(level), schedule.alpha(level - 1))
    return batch[1:]


@dataclass
class DragEnd:
    """An observer that keeps where dragging ended: level t, the edited latent z and the unedited `source` there."""

    t: int = 0
    z: Tensor | None = None
    source: Tensor | None = None
    dragging: bool = False

    def __call__(self, state: State) -> None:
        if state.event == "track":
            self.dragging = True
        elif state.event == "denoise" and self.dragging:  # the denoising step after the last drag operation stays
            self.t, self.z, self.source, self.dragging = state.t, state.z.clone(), state.source.clone(), False


def measure_masactrl(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig],
                     starts: Sequence[int] = STARTS) -> Records:  # fmt: skip
    """One record per start layer: MasaCtrl begins when dragging has ended, so one drag serves them all."""
    (config,) = configs.values()
    end = DragEnd()
    result = editor.drag(sample, config=config, callback=end)
    records = []
    for start in starts:
        latent = finished(editor, config, end.t, end.z, end.source, start)
        image = editor.frame.to_image(editor.model.decode_image(latent))
        records.append({"way": f"from layer {start}", **measured(replace(result, image=image, latent=latent))})
    return records


def lora_size(model: DiffusionModel, rank: int) -> int:
    """Values in a LoRA of this rank: r (in + out) for every projection of every attention."""
    layers = [m for name, m in model.unet.named_modules() if name.endswith(tuple(f".{target}" for target in TARGETS))]
    return sum(rank * sum(layer.weight.shape) for layer in layers)


LORA = Study("lora", {"released": {}}, measure_lora, n=12, lora=LoraConfig(steps=0))
MASACTRL = Study("masactrl", {"released": {}}, measure_masactrl)
