"""What keeps the image itself: the single-image LoRA (Alg. 1, line 1) and Latent-MasaCtrl (Sec. 5.1)."""

from experiments.study import Study
from gooddrag.config import LoraConfig

FITS = {
    "no LoRA": LoraConfig(steps=0),
    "rank 16, 20 steps": LoraConfig(steps=20),
    "rank 4, 70 steps": LoraConfig(rank=4),
    "rank 16, 70 steps, lr 5e-4": LoraConfig(lr=5e-4),  # as released for Stable Diffusion's widths
    "rank 16, 70 steps": LoraConfig(),
}
STARTS = (10, 16)  # transformer block from which keys and values are shared; the paper: 10; 16: none
LORA = Study("lora", {name: {} for name in FITS}, edits=12, lora=FITS)
MASACTRL = Study("masactrl", {f"from layer {start}": {"masactrl_start": start} for start in STARTS}, edits=16)
