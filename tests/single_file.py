"""Writes a model in Stable Diffusion's original single-file layout, as checkpoints are downloaded."""

import re
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET = {
    r"conv_in": lambda m: "input_blocks.0.0",
    r"conv_norm_out": lambda m: "out.0",
    r"conv_out": lambda m: "out.2",
    r"time_embedding\.linear_(\d)": lambda m: f"time_embed.{2 * int(m[1]) - 2}",
    r"mid_block\.attentions\.0": lambda m: "middle_block.1",
    r"mid_block\.resnets\.(\d)": lambda m: f"middle_block.{2 * int(m[1])}",
    r"down_blocks\.(\d)\.downsamplers\.0\.conv": lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op",
    r"down_blocks\.(\d)\.(resnets|attentions)\.(\d)": lambda m: (
        f"input_blocks.{3 * int(m[1]) + int(m[3]) + 1}.{int(m[2] == 'attentions')}"
    ),
    r"up_blocks\.(\d)\.upsamplers\.0\.conv": lambda m: f"output_blocks.{3 * int(m[1]) + 2}.{1 + (m[1] != '0')}.conv",
    r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)": lambda m: (
        f"output_blocks.{3 * int(m[1]) + int(m[3])}.{int(m[2] == 'attentions')}"
    ),
}
VAE = {
    r"coder\.conv_norm_out": lambda m: "coder.norm_out",
    r"down_blocks\.(\d)\.resnets": lambda m: f"down.{m[1]}.block",
    r"down_blocks\.(\d)\.downsamplers\.0": lambda m: f"down.{m[1]}.downsample",
    r"up_blocks\.(\d)\.resnets": lambda m: f"up.{3 - int(m[1])}.block",
    r"up_blocks\.(\d)\.upsamplers\.0": lambda m: f"up.{3 - int(m[1])}.upsample",
    r"mid_block\.resnets\.(\d)": lambda m: f"mid.block_{int(m[1]) + 1}",
    r"mid_block\.attentions\.0": lambda m: "mid.attn_1",
    r"conv_shortcut": lambda m: "nin_shortcut",
    r"attn_1\.group_norm": lambda m: "attn_1.norm",
    r"attn_1\.to_(q|k|v)": lambda m: f"attn_1.{m[1]}",
    r"attn_1\.to_out\.0": lambda m: "attn_1.proj_out",
}


def unet_key(key: str) -> str:
    for pattern, name in UNET.items():
        key, found = re.subn(f"^{pattern}", name, key)
        if found:
            break
    if ".0." in key and "transformer_blocks" not in key:
        for name, original in RESNET.items():
            key = key.replace(f".{name}.", f".{original}.")
    return f"model.diffusion_model.{key}"


def vae_entry(key: str, value: Tensor) -> tuple[str, Tensor]:
    for pattern, name in VAE.items():
        key = re.sub(pattern, name, key)
    is_attention = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", key)  # 1 x 1 convolutions there
    return f"first_stage_model.{key}", value[:, :, None, None].contiguous() if is_attention else value


def original_layout(folder: Path) -> dict[str, Tensor]:
    """The weights of a model folder of Stable Diffusion 1.x's shape under their original names."""
    unet, vae = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    text = load_file(folder / "text_encoder" / "model.safetensors")
    weights = {unet_key(key): value for key, value in unet.items()}
    weights |= dict(vae_entry(key, value) for key, value in vae.items())
    return weights | {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}


def save_original(weights: dict[str, Tensor], file: Path, **metadata: str) -> Path:
    save_file(weights, file, metadata={"format": "pt", **metadata})
    return file
