"""Results that are computed once and kept in results/, with what made them."""

import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gooddrag.files import atomic_file
from gooddrag.model import DiffusionModel

RESULTS = Path(__file__).parent / "results"


@contextmanager
def one_thread(model: DiffusionModel) -> Iterator[None]:
    """On a CPU compute with one thread, however the run is split: rounding decides what Adam does."""
    before = torch.get_num_threads()
    if model.device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine(model: DiffusionModel) -> str:
    """Where a result was computed, without naming the machine: "x86_64, 1 thread, torch 2.13.0"."""
    if model.device.type == "cuda":
        return f"{torch.cuda.get_device_name(model.device)}, torch {torch.__version__}"
    return f"{platform.machine()}, 1 thread, torch {torch.__version__}"


def plain(data: Any) -> Any:
    """Data as they come back from a JSON file."""
    return json.loads(json.dumps(data))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, data: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def save_results(path: Path, model: DiffusionModel, settings: dict, data: Any, seconds: float) -> dict[str, Any]:
    """Keep data with what made them; returns what was written."""
    threads = 1 if model.device.type == "cpu" else None
    record = {"model": model.label, "weights": model.fingerprint, "machine": machine(model), "threads": threads}
    record |= {"seconds": round(seconds, 1), "settings": plain(settings), "data": plain(data)}
    write_json(path, record)
    return record


def read_results(path: str | Path, model: DiffusionModel | None = None) -> dict[str, Any]:
    """A file of results: {"model", "weights", "machine", "threads", "seconds", "settings", "data"}.

    Args:
        path: results/NAME.json. Where `model` has a file of its own beside it (NAME-LABEL.json), that one is read.
        model: warn if the file is of other weights of this model; None = whatever made it.

    Raises:
        ValueError: no such file, or not a file of results.
    """
    path = Path(path)
    if model is not None and (own := path.with_name(f"{path.stem}-{model.label}.json")).exists():
        path = own
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {"model", "weights", "settings", "data"} - set(record)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"path: {path.name} cannot be read ({error}); expected a file of results") from error
    if missing:
        raise ValueError(f"path: {path.name} lacks {', '.join(sorted(missing))}; expected a file of results")
    if model is not None and record["model"] == model.label and record["weights"] != model.fingerprint:
        warnings.warn(f"{path.name} was made with other weights ({record['weights']}); recompute it", stacklevel=2)
    return record


def compute_or_read(
    path: str | Path, model: DiffusionModel, settings: dict, compute: Callable[[], Any], *, recompute: bool = False
) -> dict[str, Any]:
    """Read what `compute()` returned when it last ran, or run it: where there is no file, or `recompute` asks for it.

    A model other than the file's is read, and written when recomputed, as NAME-LABEL.json.
    """
    path = Path(path)
    if path.exists() and not recompute:
        return read_results(path, model)
    if path.exists() and read_results(path)["model"] != model.label:
        path = path.with_name(f"{path.stem}-{model.label}.json")
    start = time.perf_counter()
    with one_thread(model):
        data = compute()
    return save_results(path, model, settings, data, time.perf_counter() - start)
