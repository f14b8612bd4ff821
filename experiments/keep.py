"""Results that are computed once and kept in results/, with what made them."""

import json
import platform
from pathlib import Path
from typing import Any

import torch

from gooddrag.files import atomic_file
from gooddrag.model import DiffusionModel

RESULTS = Path(__file__).parent / "results"


def machine(model: DiffusionModel) -> str:
    """What computes, without naming the machine: "x86_64, 1 thread, torch 2.13.0"."""
    gpu = model.device.type == "cuda"
    what = torch.cuda.get_device_name(model.device) if gpu else f"{platform.machine()}, 1 thread"
    return f"{what}, torch {torch.__version__}"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, data: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def save_results(path: Path, model: DiffusionModel, settings: dict, data: Any, seconds: float) -> None:
    """Keep data of one model with what made them."""
    made_by = {"model": model.label, "weights": model.fingerprint, "size": model.native_size}
    made_by |= {"machine": machine(model), "threads": None if model.device.type == "cuda" else 1}
    write_json(path, {**made_by, "seconds": round(seconds, 1), "settings": settings, "data": data})
