"""What training leaves: one checkpoint to go on from, replaced at once; a log; and the folder of weights that ships."""

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from gooddrag.checkpoints import SD_DDIM
from gooddrag.files import atomic_file, atomic_folder


def save_checkpoint(path: Path, modules: dict[str, nn.Module], optimizers: list, progress: dict) -> None:
    """Write the modules' weights, the optimizers' states and `progress` (JSON)."""
    tensors = {f"{name}/{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for which, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer{which}/{index}/{key}": torch.as_tensor(t) for key, t in state.items()}
    with atomic_file(path) as file:
        save_file(
            {k: t.detach().cpu().contiguous() for k, t in tensors.items()}, file, {"progress": json.dumps(progress)}
        )


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizers: list = ()) -> dict:
    """Put back what `save_checkpoint` wrote (the named modules and optimizers); returns the progress."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        progress = json.loads(file.metadata()["progress"])
    for name, module in modules.items():
        module.load_state_dict({k.removeprefix(f"{name}/"): t for k, t in tensors.items() if k.startswith(f"{name}/")})
    for which, optimizer in enumerate(optimizers):
        state: dict[int, dict] = {}
        for key, tensor in tensors.items():
            if key.startswith(f"optimizer{which}/"):
                _, index, field = key.split("/")
                state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return progress


def log(path: Path, **entry: float | str) -> None:
    """Append one line of JSON."""
    with path.open("a") as file:
        file.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in entry.items()}) + "\n")


def export(
    out: Path, unet: UNet2DConditionModel, vae: AutoencoderTiny, card: dict, log: Path, pieces: str = "1GB"
) -> None:
    """Write diffusers' layout in half precision: unet/, vae/, scheduler/, and training.json and the log beside them.

    Args:
        card: what training.json says: counts, held-out measures, and "lora_lr" and "preset" for `load_model`.
        pieces: largest size of a file of weights.
    """
    with atomic_folder(out, argument="out") as folder:
        copy.deepcopy(unet).half().save_pretrained(folder / "unet", max_shard_size=pieces)
        copy.deepcopy(vae).half().save_pretrained(folder / "vae", max_shard_size=pieces)
        DDIMScheduler(**SD_DDIM).save_pretrained(folder / "scheduler")
        (folder / "training.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        if log.exists():
            shutil.copyfile(log, folder / "history.jsonl")
