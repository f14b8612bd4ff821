"""Writes a model in Stable Diffusion's original single-file layout, as checkpoints are downloaded."""

import re
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

UNET = {
    r"^conv_in": "input_blocks.0.0",
    r"^conv_norm_out": "out.0",
    r"^conv_out": "out.2",
    r"^time_embedding\.linear_(\d)": lambda m: f"time_embed.{2 * int(m[1]) - 2}",
    r"^mid_block\.attentions\.0": "middle_block.1",
    r"^mid_block\.resnets\.(\d)": lambda m: f"middle_block.{2 * int(m[1])}",
    r"^down_blocks\.(\d)\.downsamplers\.0\.conv": lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op",
    r"^down_blocks\.(\d)\.resnets\.(\d)": lambda m: f"input_blocks.{3 * int(m[1]) + int(m[2]) + 1}.0",
    r"^down_blocks\.(\d)\.attentions\.(\d)": lambda m: f"input_blocks.{3 * int(m[1]) + int(m[2]) + 1}.1",
    r"^up_blocks\.0\.upsamplers\.0\.conv": "output_blocks.2.1.conv",  # that block has no attentions
    r"^up_blocks\.(\d)\.upsamplers\.0\.conv": lambda m: f"output_blocks.{3 * int(m[1]) + 2}.2.conv",
    r"^up_blocks\.(\d)\.resnets\.(\d)": lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.0",
    r"^up_blocks\.(\d)\.attentions\.(\d)": lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.1",
    r"(?<=\.)norm1(?=\.[wb])": "in_layers.0",  # of a residual block
    r"(?<=\.)conv1": "in_layers.2",
    r"(?<=\.)norm2(?=\.[wb])": "out_layers.0",
    r"(?<=\.)conv2": "out_layers.3",
    r"time_emb_proj": "emb_layers.1",
    r"conv_shortcut": "skip_connection",
}
VAE = {
    r"conv_norm_out": "norm_out",
    r"down_blocks\.(\d)\.resnets": r"down.\1.block",
    r"down_blocks\.(\d)\.downsamplers\.0": r"down.\1.downsample",
    r"up_blocks\.(\d)\.resnets": lambda m: f"up.{3 - int(m[1])}.block",
    r"up_blocks\.(\d)\.upsamplers\.0": lambda m: f"up.{3 - int(m[1])}.upsample",
    r"mid_block\.resnets\.(\d)": lambda m: f"mid.block_{int(m[1]) + 1}",
    r"mid_block\.attentions\.0": "mid.attn_1",
    r"conv_shortcut": "nin_shortcut",
    r"attn_1\.group_norm": "attn_1.norm",
    r"attn_1\.to_(q|k|v)": r"attn_1.\1",
    r"attn_1\.to_out\.0": "attn_1.proj_out",
}


def renamed(key: str, names: dict) -> str:
    for pattern, name in names.items():
        if not ("transformer_blocks" in key and pattern.startswith("(?<=")):  # norm1 and norm2 are theirs too
            key = re.sub(pattern, name, key)
    return key


def original_layout(folder: Path) -> dict[str, Tensor]:
    """The weights of a model folder of Stable Diffusion 1.x's shape under their original names."""
    unet, vae = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    text = load_file(folder / "text_encoder" / "model.safetensors")
    weights = {f"model.diffusion_model.{renamed(key, UNET)}": value for key, value in unet.items()}
    for key, value in vae.items():
        is_attention = "mid_block.attentions" in key and value.ndim == 2  # 1 x 1 convolutions there
        value = value[:, :, None, None].contiguous() if is_attention else value
        weights[f"first_stage_model.{renamed(key, VAE)}"] = value
    return weights | {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}


def save_original(weights: dict[str, Tensor], file: Path, **metadata: str) -> Path:
    save_file(weights, file, metadata={"format": "pt", **metadata})
    return file
