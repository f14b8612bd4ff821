"""Single-image LoRA (Algorithm 1, line 1): low-rank updates of the U-Net's layers, fitted with peft.

A LoRA is a plain dict of tensors, `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r); those of a
convolution are (r, in, k, k) and (out, r, 1, 1). To use it, `applied` writes W + B A into the weights for as long as a
context lasts and then puts the very same W back: no adapter runs during the hundreds of calls of a drag.
"""

import hashlib
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from weakref import WeakKeyDictionary

import peft
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm  # as text: a bar of widgets is an error message where a saved notebook is opened again

from gooddrag.checkpoints import UNREADABLE, first_line, quiet
from gooddrag.config import LoraConfig
from gooddrag.ddim import add_noise, check_finite
from gooddrag.files import atomic_file, cache_folder
from gooddrag.model import DiffusionModel

Lora = dict[str, Tensor]
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]  # every self- and cross-attention projection
ADAPTER = "gooddrag"
Progress = bool | Callable[[str, int, int], object]
"""True: a tqdm bar; False: nothing; a function: called with (stage, steps done, steps in all). What it raises ends the
loop, and whoever runs the loop puts everything back: that is how a stop button works."""

_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()


def tracked(steps: Iterable, stage: str, total: int, progress: Progress) -> Iterator:
    """The same steps, and their progress told."""
    if not callable(progress):
        yield from tqdm(steps, desc=stage, total=total, disable=not progress)
        return
    progress(stage, 0, total)
    for done, step in enumerate(steps, start=1):
        yield step
        progress(stage, done, total)


def unet_lock(unet: nn.Module) -> threading.RLock:
    """The lock of whoever works with a U-Net, since LoRAs are written into its weights; a thread may hold it twice."""
    return _locks.setdefault(unet, threading.RLock())


def fit(model: DiffusionModel, z_0: Tensor, config: LoraConfig, seed: int = 0, *, progress: Progress = False) -> Lora:
    """Fit a LoRA to one image's latent: AdamW on the noise-prediction error at random time steps.

    The whole image is seen at every step (the released code crops tall images to a square). `seed` is that of the
    initial A, the noise and the time steps. The tensors are float32 on the CPU; there are none for zero steps.
    FloatingPointError: the loss or a weight is not finite.
    """
    if config.steps == 0:
        return {}
    unet, r = model.unet, config.rank
    every = [name for name, layer in unet.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    layers = TARGETS if config.layers == "attention" else every
    adapter = peft.LoraConfig(r=r, lora_alpha=r, init_lora_weights="gaussian", target_modules=layers)
    with unet_lock(unet):
        try:
            with torch.random.fork_rng(devices=[]):  # peft draws A from the CPU's generator; a GPU's goes on as it was
                torch.default_generator.manual_seed(seed)
                unet.add_adapter(adapter, adapter_name=ADAPTER)
            _train(model, z_0, config, torch.Generator().manual_seed(seed), progress)
            state = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
            state = {k: v.detach().float().cpu().clone() for k, v in state.items()}
        finally:
            unet.unload_lora()
    check_finite("LoRA", f"step {config.steps}, its end", **state)
    return state


def _train(model: DiffusionModel, z_0: Tensor, config: LoraConfig, draw: torch.Generator, progress: Progress) -> None:
    """AdamW on the adapter's weights, which are those that ask for gradients."""
    half, size = model.dtype in (torch.float16, torch.bfloat16), config.batch_size
    weights = [p for p in model.unet.parameters() if p.requires_grad]
    for p in weights:
        p.data = p.data.float()  # fp16 gradients cannot be unscaled
    lr = model.lora_lr if config.lr is None else config.lr
    optimiser = torch.optim.AdamW(weights, lr=lr, weight_decay=1e-2)
    scaler = torch.amp.GradScaler(z_0.device.type, enabled=model.dtype == torch.float16 and z_0.is_cuda)
    for i in tracked(range(config.steps), "LoRA", config.steps, progress):
        noise = torch.randn((size, *z_0.shape[1:]), generator=draw).to(z_0)
        t = torch.randint(0, len(model.alphas_cumprod), (size,), generator=draw).to(z_0.device)
        z = half_moved(z_0, size, config.shift, draw, i * size) if config.shift else z_0
        z_t = add_noise(z, noise, model.alphas_cumprod[t].to(z_0.dtype)[:, None, None, None])
        with torch.autocast(z_0.device.type, dtype=model.dtype, enabled=half):
            loss = (model.eps(z_t, t) - noise).square().mean()
        check_finite("LoRA", f"step {i + 1} of {config.steps}", loss=loss.detach())
        optimiser.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()


def half_moved(z_0: Tensor, n: int, shift: int, draw: torch.Generator, first: int = 0) -> Tensor:
    """n copies of z_0 (1, C, h, w), those with odd numbers from `first` on moved by up to `shift` cells along y and x:
    (n, C, h, w).
    """
    (h, w), padded = z_0.shape[-2:], F.pad(z_0, [shift] * 4, mode="replicate")
    corners = torch.randint(2 * shift + 1, (n, 2), generator=draw)
    corners[first % 2 :: 2] = shift
    return torch.cat([padded[..., y : y + h, x : x + w] for y, x in corners.tolist()])


@contextmanager
def applied(unet: UNet2DConditionModel, lora: Lora | None, scale: float = 1.0) -> Iterator[None]:
    """Inside this context every adapted weight is W + scale * B A; afterwards it is bit for bit what it was.

    Other threads that want the U-Net wait meanwhile. ValueError: the LoRA does not fit the U-Net.
    """
    saved: list[tuple[Tensor, Tensor]] = []
    with unet_lock(unet):
        try:
            for name in sorted({key.rsplit(".lora_", 1)[0] for key in lora or {}}):
                try:
                    weight = unet.get_submodule(name).weight
                    a, b = (lora[f"{name}.lora_{x}.weight"].to(weight.device).flatten(1) for x in "AB")
                    accurate = torch.promote_types(weight.dtype, torch.float32)
                    change = scale * (b.to(accurate) @ a.to(accurate))
                    if change.shape != weight.flatten(1).shape:  # which + might broadcast
                        raise RuntimeError(f"B A is {tuple(change.shape)}; expected {tuple(weight.flatten(1).shape)}")
                except (AttributeError, KeyError, RuntimeError) as error:
                    raise ValueError(f"lora: {name} does not fit this model: {error}") from error
                saved.append((weight, weight.data))
                weight.data = (weight.data.to(accurate) + change.view_as(weight)).to(weight.dtype)
            yield
        finally:
            for weight, data in saved:
                weight.data = data


def load_lora(path: str | Path, unet: UNet2DConditionModel) -> Lora:
    """Read a LoRA for a U-Net from a .safetensors file, or from the folder of a pytorch_lora_weights.safetensors.

    diffusers converts what it, today or when the released code was written, or kohya's trainers wrote, and peft knows
    its strength (alpha / r), which goes into B. A text encoder's half is left out, as no prompt is used.

    Raises:
        ValueError: no such file, damaged, of another kind (DoRA, LyCORIS's LoHa, LoKr, ...) or of another U-Net.
    """
    path = Path(path).expanduser()
    file = path / "pytorch_lora_weights.safetensors" if path.is_dir() else path
    library, lora = StableDiffusionLoraLoaderMixin, {}
    with unet_lock(unet):
        try:
            names = " ".join(load_file(file))
            if "lora" not in names or "dora_scale" in names:  # diffusers reads a DoRA as if it were a LoRA
                raise ValueError("expected a plain LoRA, as diffusers or kohya's trainers write them")
            with quiet():
                options = {"unet_config": unet.config, "return_lora_metadata": True, "use_safetensors": True}
                state, alphas, metadata = library.lora_state_dict(file, **options)
                # of diffusers of old, whose keys lack the prefix
                state = {k if k.startswith(("unet.", "text_encoder")) else f"unet.{k}": v for k, v in state.items()}
                library.load_lora_into_unet(state, alphas, unet, ADAPTER, metadata=metadata)
            for name, layer in unet.named_modules():
                if ADAPTER in getattr(layer, "lora_A", {}):
                    lora[f"{name}.lora_A.weight"] = layer.lora_A[ADAPTER].weight
                    lora[f"{name}.lora_B.weight"] = layer.lora_B[ADAPTER].weight * layer.scaling[ADAPTER]
            own = [key for key in state if not key.startswith("text_encoder")]
            if not lora or len(lora) != len(own):
                raise ValueError(f"{len(lora)} of its {len(own)} matrices fit this U-Net; expected all")
        except UNREADABLE as error:
            raise ValueError(f"lora: cannot read {file}: {first_line(error)}") from error
        finally:
            unet.unload_lora()
    return {k: v.detach().to(torch.promote_types(v.dtype, torch.float32)) for k, v in lora.items()}


def fit_cached(
    model: DiffusionModel, z_0: Tensor, config: LoraConfig, seed: int = 0, *, progress: Progress = False
) -> Lora:
    """`fit`, remembered in `cache_folder("lora")` under a hash of the latent, the model, the settings and the seed, and
    of the number of threads on a CPU, whose rounding depends on it. A cache that cannot be written is only a warning.
    """
    config = replace(config, lr=model.lora_lr) if config.lr is None else config
    threads = torch.get_num_threads() if model.device.type == "cpu" else None
    key = hashlib.sha256(f"{model.fingerprint} {model.dtype} {config} {seed} {threads}".encode())
    key.update(z_0.detach().cpu().numpy().tobytes())
    path = cache_folder("lora") / f"{key.hexdigest()[:24]}.safetensors"
    with suppress(OSError, SafetensorError):  # none yet, or damaged
        return load_file(path)
    lora = fit(model, z_0, config, seed, progress=progress)
    try:
        with atomic_file(path) as temporary:
            save_file(lora, temporary)
    except (SafetensorError, OSError, ValueError) as error:  # safetensors' own error where the disk is full
        warnings.warn(f"LoRA not cached in {path.parent}: {error}", stacklevel=2)
    return lora
