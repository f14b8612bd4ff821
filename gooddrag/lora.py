"""Single-image LoRA (Algorithm 1, line 1): low-rank updates of the U-Net's attentions, fitted with peft.

A fitted LoRA is a plain dict of tensors, `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r). To
use it, `applied` writes W + B A into the weights for as long as a context lasts and then puts the very same W back:
no adapter runs during the hundreds of calls of a drag.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import peft
import torch
from diffusers import UNet2DConditionModel
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from gooddrag.alone import alone
from gooddrag.config import LoraConfig
from gooddrag.ddim import add_noise, check_finite
from gooddrag.model import DiffusionModel
from gooddrag.phases import phase
from gooddrag.progress import Progress, tracked

Lora = dict[str, Tensor]
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]  # every self- and cross-attention projection
WEIGHT_DECAY = 1e-2
ADAPTER = "gooddrag"


def settled(config: LoraConfig | None, model: DiffusionModel) -> LoraConfig:
    """The configuration (default: `LoraConfig()`) with every value decided."""
    config = config or LoraConfig()
    return config if config.lr is not None else replace(config, lr=model.lora_lr)


def check_lora(lora: Lora) -> None:
    """Refuse a dict that is no LoRA, and would change nothing."""
    for name, value in lora.items():
        if not str(name).endswith((".lora_A.weight", ".lora_B.weight")) or not isinstance(value, Tensor):
            raise ValueError(f"lora: {name!r}: {type(value).__name__}; expected <module>.lora_A.weight and "
                             "<module>.lora_B.weight, as gooddrag.lora.fit returns them")  # fmt: skip


@phase("LoRA")
def fit(model: DiffusionModel, z_0: Tensor, config: LoraConfig | None = None, seed: int = 0,
        progress: Progress = False) -> Lora:  # fmt: skip
    """Fit a LoRA to one image's latent: AdamW on the noise-prediction error at random time steps.

    The learning rate is the model's own where `config.lr` is None. The whole image is seen at every step (the released
    code crops tall images to a square).

    Args:
        z_0: (1, C, h, w) clean latent.
        seed: of the initial A, the noise and the time steps.

    Returns:
        float32 tensors on the CPU; empty for zero steps.
    """
    config = settled(config, model)
    if config.steps == 0:
        return {}
    with alone(model.unet):
        return _fitted(model, z_0, config, seed, progress)


def _fitted(model: DiffusionModel, z_0: Tensor, config: LoraConfig, seed: int, progress: Progress) -> Lora:
    unet, generator = model.unet, torch.Generator().manual_seed(seed)
    half = model.dtype in (torch.float16, torch.bfloat16)
    adapter = peft.LoraConfig(r=config.rank, lora_alpha=config.rank, init_lora_weights="gaussian",
                              target_modules=TARGETS)  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # peft draws A from the CPU's generator; a GPU's goes on as it was
        unet.add_adapter(adapter, adapter_name=ADAPTER)
    try:
        weights = [p for p in unet.parameters() if p.requires_grad]
        for p in weights:
            p.data = p.data.float()  # fp16 gradients cannot be unscaled
        optimiser = torch.optim.AdamW(weights, lr=config.lr, weight_decay=WEIGHT_DECAY)
        scaler = torch.amp.GradScaler(z_0.device.type, enabled=model.dtype == torch.float16 and z_0.is_cuda)
        for i in tracked(range(config.steps), "LoRA", config.steps, progress):
            shape = (config.batch_size, *z_0.shape[1:])
            noise = torch.randn(shape, generator=generator).to(z_0)
            t = torch.randint(0, len(model.alphas_cumprod), (config.batch_size,), generator=generator).to(z_0.device)
            z_t = add_noise(z_0, noise, model.alphas_cumprod[t].to(z_0.dtype)[:, None, None, None])
            with torch.autocast(z_0.device.type, dtype=model.dtype, enabled=half):
                loss = (model.eps(z_t, t) - noise).square().mean()
            check_finite("LoRA", f"step {i + 1} of {config.steps}", loss=loss.detach())
            optimiser.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
        state = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
        state = {k: v.detach().float().cpu().clone() for k, v in state.items()}
        check_finite("LoRA", f"step {config.steps}, its end", **state)
        return state
    finally:
        unet.delete_adapters(ADAPTER)
        unet.unload_lora()
        unet.requires_grad_(False)


@contextmanager
def applied(unet: UNet2DConditionModel, lora: Lora | None, scale: float = 1.0) -> Iterator[None]:
    """Inside this context every adapted weight is W + scale * B A; afterwards it is bit for bit what it was. Another
    thread that wants the U-Net waits meanwhile.
    """
    with alone(unet):
        with _written(unet, lora, scale):
            yield


@contextmanager
def _written(unet: UNet2DConditionModel, lora: Lora | None, scale: float) -> Iterator[None]:
    saved: list[tuple[Tensor, Tensor]] = []
    try:
        for name in _adapted(lora or {}):
            try:
                weight = unet.get_submodule(name).weight
                a, b = lora[f"{name}.lora_A.weight"].to(weight.device), lora[f"{name}.lora_B.weight"].to(weight.device)
                accurate = torch.promote_types(weight.dtype, torch.float32)
                change = scale * (b.to(accurate) @ a.to(accurate))
                if change.shape != weight.shape:  # which + might broadcast
                    raise RuntimeError(f"B A is {tuple(change.shape)}; expected {tuple(weight.shape)}")
                merged = weight.data.to(accurate) + change
            except (AttributeError, KeyError, RuntimeError) as error:
                raise ValueError(f"lora: {name} does not fit this model: {error}") from error
            saved.append((weight, weight.data))
            weight.data = merged.to(weight.dtype)
        yield
    finally:
        for weight, data in saved:
            weight.data = data


def _adapted(lora: Lora) -> list[str]:
    """The layers that a LoRA changes."""
    return sorted(k.removesuffix(".lora_A.weight") for k in lora if k.endswith(".lora_A.weight"))
