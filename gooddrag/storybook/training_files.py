"""What training leaves on disk: checkpoints to go on from, a log, and the folder of weights that ships."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gooddrag.files import atomic_dir, atomic_file
from gooddrag.loading import SD_DDIM

AUTOENCODER = "autoencoder.safetensors"
LOG, HISTORY = "metrics.jsonl", "history.jsonl"  # the log while training, and the same beside the weights


def save_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    progress: dict,
) -> None:
    """Everything needed to go on bit by bit, as one safetensors file that is replaced in one go."""
    tensors = {f"{name}/{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(t) for key, t in state.items()}
    tensors["generator"] = generator.get_state()
    with atomic_file(path) as file:
        save_file({k: t.contiguous() for k, t in tensors.items()}, file, {"progress": json.dumps(progress)})


def load_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
    generator: torch.Generator | None = None,
) -> dict:
    """Put back what `save_checkpoint` wrote, all of it or the named modules only; returns the progress.

    Raises:
        ValueError: the file is damaged, or holds networks of other shapes.
    """
    try:
        return _load_checkpoint(path, modules, optimizer, generator)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"work: {path} cannot be read ({one_line(error)}); expected a whole checkpoint of networks "
                         "with these channels") from error  # fmt: skip


def _load_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer | None,
    generator: torch.Generator | None,
) -> dict:
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
        keys = list(file.keys())
        for name, module in modules.items():
            mine = [k for k in keys if k.startswith(f"{name}/")]
            module.load_state_dict({k.removeprefix(f"{name}/"): file.get_tensor(k) for k in mine})
        if optimizer is not None:
            state: dict[int, dict[str, Tensor]] = {}
            for key in keys:
                if key.startswith("optimizer/"):
                    _, index, field = key.split("/")
                    state.setdefault(int(index), {})[field] = file.get_tensor(key)
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        if generator is not None:
            generator.set_state(file.get_tensor("generator"))
    return progress


def one_line(error: Exception, length: int = 200) -> str:
    """What an error says, for a message of one line."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def append_log(path: Path, **entry: float | str) -> None:
    """One line of JSON more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in entry.items()}) + "\n")


def content_name(module: nn.Module) -> str:
    """A short name that changes with any weight: latents on disk belong to one autoencoder."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def export(out: Path, vae: AutoencoderTiny, unet: UNet2DConditionModel | None, card: dict, log: Path) -> None:
    """Write `out` in diffusers' layout: vae/, unet/, scheduler/ in half precision; training.json, the log, a card."""
    if unet is None:
        refuse_unet(out)
    with atomic_dir(out, "out") as folder:
        for name, module in {"vae": vae, "unet": unet}.items():
            if module is not None:
                copy.deepcopy(module).half().save_pretrained(folder / name)
        DDIMScheduler(**SD_DDIM).save_pretrained(folder / "scheduler")
        (folder / "training.json").write_text(json.dumps(card, indent=2) + "\n")
        if log.exists():
            shutil.copyfile(log, folder / HISTORY)
        (folder / "README.md").write_text(_model_card(card))


def refuse_unet(out: Path) -> None:
    """An autoencoder without its U-Net must not come to lie beside another's: they would load as one model.

    Raises:
        ValueError: `out` has a U-Net.
    """
    if (out / "unet").exists():
        raise ValueError(f"out: {str(out)!r} has a U-Net, which the new autoencoder would not fit; expected a folder "
                         "without unet/, or a training of the U-Net too")  # fmt: skip


def _model_card(card: dict) -> str:
    held_out = "\n".join(f"| {name} | {value:.4g} |" for name, value in card.get("held_out", {}).items())
    return f"""---
license: apache-2.0
library_name: diffusers
---
# storybook

A small latent diffusion model of a picture book that a program draws. It ships with GoodDrag so that drag editing runs
on any laptop. Trained from nothing by the project's own script, without a GPU, on nothing but the program's pages and
crops of the photographs that come with scikit-image.

| | |
|---|---|
| data | storybook world version {card["world"]}; {card["photo_share"]:.0%} photo crops; {card["size"]} px |
| autoencoder | AutoencoderTiny, {card["vae_parameters"] / 1e6:.2f} M parameters, {card["ae_steps"]:,} steps, \
{card["ae_hours"]:.2f} h |
| U-Net | UNet2DConditionModel {card["channels"]}, {card["unet_parameters"] / 1e6:.1f} M parameters, \
{card["steps"]:,} steps, {card["samples"]:,} samples, {card["hours"]:.2f} h |
| where | CPU, {card["threads"]} threads |
| pictures drawn | {card["pictures"]:,} |

Latents are four channels at a quarter of the image's side, with mean 0 and variance 1 as they leave the encoder.
The U-Net predicts the noise (eps) and takes one zero token in place of a text. Single-image LoRAs are fitted at a \
learning rate of {card["lora_lr"]:g}, and edits run with the preset "{card["preset"]}" when no settings are given.

| held-out measure | |
|---|---|
{held_out}

`eps_mse` is the mean squared error of the predicted noise over the whole schedule; `db` is the peak signal-to-noise
ratio of a reconstruction. Held out: pages with seeds from 999000000 on, and the photographs chelsea, camera and rocket.

Made by

```
{card["command"]}
```

Limits: it has seen one picture book and a few photographs. It repairs, moves and redraws what looks like them.
"""
