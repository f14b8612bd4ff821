"""LoRA files: today's diffusers format, the attention-processor format of the released code (diffusers 0.20), and a
cache of fitted ones."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gooddrag.config import LoraConfig
from gooddrag.files import atomic_file, cache_folder
from gooddrag.lora import Lora, fit, settled
from gooddrag.model import DiffusionModel
from gooddrag.progress import Progress

FILE_NAMES = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
SEAL = "sha256, version 1"
_PROCESSOR = re.compile(r"\.processor\.to_(q|k|v|out)_lora\.")


def load_lora(path: str | Path) -> Lora:
    """Read a LoRA for a U-Net: a safetensors or .bin file, or a folder that holds `pytorch_lora_weights.*`.

    Understands the released code's attention-processor layers (`...attn1.processor.to_q_lora.down.weight`), what
    diffusers' `save_lora_weights` writes today (`unet....to_q.lora_A.weight`) and wrote before (`.lora.down.weight`).

    Returns:
        `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r), float32 or wider; alphas are folded in.

    Raises:
        ValueError: no such file, unreadable, or no LoRA of a U-Net in it.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in FILE_NAMES if (path / name).is_file()]
        if not found:
            raise ValueError(f"lora: {path} holds none of {', '.join(FILE_NAMES)}")
        path = found[0]
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True) if path.suffix == ".bin" else load_file(path)
        raw = {str(key): value for key, value in dict(raw).items()}
    except Exception as error:  # whatever torch finds in a file that is something else
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # whose own text advises to run what is in the file
            reason = "it is no file of tensors"
        raise ValueError(f"lora: cannot read {path}: {reason}") from error

    lora: Lora = {}
    alphas: dict[str, float] = {}
    for key, value in raw.items():
        if not isinstance(value, Tensor) or key.startswith("text_encoder."):
            continue
        name = _PROCESSOR.sub(lambda m: f".to_{m[1]}{'.0' if m[1] == 'out' else ''}.lora.", key.removeprefix("unet."))
        if name.endswith(".alpha"):
            if value.numel() != 1:
                raise ValueError(f"lora: {path}: {key!r} has shape {tuple(value.shape)}; expected one number")
            alphas[name.removesuffix(".alpha").removesuffix(".lora")] = float(value)
            continue
        name = name.replace(".lora.down.", ".lora_A.").replace(".lora.up.", ".lora_B.")
        if not name.endswith((".lora_A.weight", ".lora_B.weight")):
            raise ValueError(f"lora: {path}: unknown key {key!r}; expected a U-Net's attention projections")
        if value.ndim != 2 or not torch.isfinite(value).all():
            raise ValueError(f"lora: {path}: {key!r}, {tuple(value.shape)}; expected a matrix of finite numbers")
        lora[name] = value.to(torch.promote_types(value.dtype, torch.float32))

    modules = {k.removesuffix(".lora_A.weight").removesuffix(".lora_B.weight") for k in lora}
    if not modules:
        raise ValueError(f"lora: {path} holds no LoRA of a U-Net")
    for module in modules:
        if f"{module}.lora_A.weight" not in lora or f"{module}.lora_B.weight" not in lora:
            raise ValueError(f"lora: {path}: {module} has only one of its two matrices")
        if module in alphas:
            lora[f"{module}.lora_B.weight"] = lora[f"{module}.lora_B.weight"] * (
                alphas[module] / lora[f"{module}.lora_A.weight"].shape[0]
            )
    return lora


def save_lora(lora: Lora, path: str | Path) -> Path:
    """Write a LoRA as diffusers' `save_lora_weights` does, for other programs (`pipeline.load_lora_weights(folder)`
    reads it) and to be given again (`DragEditor(model, lora=path)`): `save_lora(editor.lora, path)`.

    Args:
        path: a .safetensors file, or a folder, in which it is called pytorch_lora_weights.safetensors.

    Returns:
        The file.

    Raises:
        ValueError: the path cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path / FILE_NAMES[0]
    with atomic_file(path, argument="path") as temporary:
        save_file({f"unet.{k}": v.contiguous() for k, v in lora.items()}, temporary, metadata={"format": "pt"})
    return path


def fit_cached(model: DiffusionModel, z_0: Tensor, config: LoraConfig | None = None, seed: int = 0,
               progress: Progress = False) -> Lora:  # fmt: skip
    """`fit`, remembered in `cache_folder("lora")` under a hash of the latent, the model, the settings and the seed.

    A cache file that cannot be read is fitted anew, with a warning; an unwritable cache folder is only a warning too.
    """
    config = settled(config, model)
    key = hashlib.sha256(f"{model.fingerprint} {model.dtype} {config} {seed}".encode())
    key.update(z_0.detach().cpu().numpy().tobytes())
    path = cache_folder("lora") / f"{key.hexdigest()[:24]}.safetensors"
    if path.is_file():
        try:
            return _read_cached(path)
        except (SafetensorError, OSError, ValueError) as error:
            warnings.warn(f"LoRA cache {path.name} is unreadable ({error}); fitting anew", stacklevel=2)
    lora = fit(model, z_0, config, seed, progress)
    try:
        with atomic_file(path) as temporary:
            save_file(lora, temporary, {SEAL: _digest(lora)})
    except (OSError, ValueError, SafetensorError) as error:  # safetensors' own error where the disk is full
        warnings.warn(f"LoRA not cached in {path.parent}: {error}", stacklevel=2)
    return lora


def _read_cached(path: Path) -> Lora:
    """A cache file's tensors, if they are the ones that were written."""
    with safe_open(path, "pt") as file:
        about = file.metadata() or {}
    lora = load_file(path)
    if about.get(SEAL, _digest(lora)) != _digest(lora):  # older files have none
        raise ValueError("its content is not what was written")
    return lora


def _digest(lora: Lora) -> str:
    hashed = hashlib.sha256()
    for name in sorted(lora):
        hashed.update(name.encode() + lora[name].contiguous().numpy().tobytes())
    return hashed.hexdigest()
