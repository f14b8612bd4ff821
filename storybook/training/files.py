"""Checkpoints: everything needed to go on after a kill, in one safetensors file that is replaced at once."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from gooddrag.files import atomic_file


def save_checkpoint(path: Path, modules: dict[str, nn.Module], optimizers: list, progress: dict) -> None:
    """Write the modules' weights, the optimizers' states and `progress` (JSON)."""
    tensors = {f"{name}/{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for which, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer{which}/{index}/{key}": torch.as_tensor(t) for key, t in state.items()}
    with atomic_file(path) as file:
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, file,
                  {"progress": json.dumps(progress)})


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
