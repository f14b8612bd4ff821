"""One edit of a benchmark: a method on a sample, its scores, its cost, and the record that says so."""

import hashlib
import json
import platform
import re
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import gooddrag
from gooddrag.editor import DragEditor
from gooddrag.evaluation import metrics
from gooddrag.evaluation.methods import Method
from gooddrag.files import atomic_file
from gooddrag.model import DiffusionModel, load_model, sampled_weights
from gooddrag.sample import Sample

TRACKED = ["drag_operations", "updates", "distance_asked_px", "distance_left_px"]
_model_in_use = threading.RLock()
loaded = lru_cache(maxsize=1)(load_model)


@dataclass(frozen=True)
class Job:
    """A method on a sample with a seed by a model (`identity_of`), and the folder of its record."""

    folder: Path
    name: str
    seed: int
    method: Method
    sample: Sample
    identity: Mapping[str, str]

    @property
    def file(self) -> Path:
        return record_file(self.folder, self.name, self.seed, self.sample.name)

    def key(self) -> str:
        """A hash of all that decides the result."""
        s = self.sample
        hashed = hashlib.sha256(repr([dict(self.identity), settings(self.method), self.seed]).encode())
        for array in (s.points, s.image, *(x for x in (s.mask, s.truth) if x is not None)):
            hashed.update(repr(np.shape(array)).encode() + np.asarray(array).tobytes())
        return hashed.hexdigest()[:16]

    def is_done(self) -> bool:
        """Whether the record is there. Raises ValueError if it is of another sample, model or setting."""
        record = read_record(self.file)
        if record is None or record["state"] == "unusable":
            return False
        if record["key"] != self.key():
            raise ValueError(f"folder: {self.file} is of another sample, model or setting; expected another folder")
        return record["state"] == "failed" or self.file.with_suffix(".png").exists()

    def write(self, **result: object) -> None:
        """Write the record: "failed", unless the result says otherwise."""
        s, plain, cuda = self.sample, settings(self.method), torch.cuda.is_available()
        record = dict(sample=s.name, category=s.category, task=s.task, pairs=len(s.points), width=s.image.width)
        record |= dict(method=self.name, seed=self.seed, state="failed", **self.identity, method_settings=plain)
        record |= {"settings": hashlib.sha256(repr(plain).encode()).hexdigest()[:16], "key": self.key()}
        record |= {"machine": torch.cuda.get_device_name() if cuda else platform.machine()}
        record |= {"threads": torch.get_num_threads(), "gooddrag": gooddrag.__version__, "torch": torch.__version__}
        write_record(self.file, record | {"finished": datetime.now(UTC).isoformat(timespec="seconds")} | result)


def run_group(jobs: Sequence[Job], model: Mapping | DiffusionModel) -> Iterator[Job]:
    """Run what is unfinished of all jobs on one sample, which share its LoRA; yields each when its record is there."""
    model, known = resolved(model), {}
    with _model_in_use:  # or another thread's LoRA may be in the weights
        if (here := identity_of(model)) != jobs[0].identity:
            raise ValueError(f"model: {here} here; expected {jobs[0].identity} in every process")
    for job in jobs:
        with _model_in_use, one_thread(model.device):
            if not job.is_done():  # another process may have done it by now
                _run(job, model, known)
        yield job


def finish(packed: bytes, model: Mapping, gpus: int) -> None:
    """`run_group` to its end, in a worker of Dask's: one of many that share so many GPUs, or 0: that has its own."""
    from distributed import get_worker
    from distributed.protocol.serialize import deserialize_bytes

    if gpus:
        torch.cuda.set_device(get_worker().name % gpus)
    for _ in run_group(deserialize_bytes(packed), model):
        pass


def _run(job: Job, model: DiffusionModel, known: dict) -> None:
    result: dict = {}
    try:
        image = _edited(job, model, result)
        with metered(model) as cost:
            result |= scores(model, job.sample, image, known)
        result |= {"score_seconds": cost["seconds"], "state": "done"}
    except OSError:
        raise  # a full disk or a lost network is no method's failure
    except Exception as error:  # a method is anybody's code, and what it does wrong its result
        result |= {"error": f"{type(error).__name__}: {error}"[:500], "traceback": traceback.format_exc()}
    else:
        with atomic_file(job.file.with_suffix(".png"), "folder") as temporary:
            image.save(temporary)
    job.write(**result)  # last, so that a record means a whole result


def _edited(job: Job, model: DiffusionModel, result: dict) -> Image.Image:
    """The edited image; what it cost, and what a drag tells of itself, goes into the result."""
    method, sample, seed = job.method, job.sample, job.seed
    lora = method.lora_for(model) if hasattr(method, "lora_for") else getattr(method, "lora", None)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    if lora is not None:  # fitted into the cache, so that the edit's own time does not depend on what ran before
        with metered(model) as cost:
            DragEditor(model, lora, seed=seed).set_image(sample.image)
        result["lora_seconds"] = cost["seconds"] if cost["calls"] else None
    with metered(model) as cost:
        made = method.edit(model, sample, seed) if hasattr(method, "edit") else method(model, sample, seed)
    result |= {"edit_seconds": cost["seconds"], "unet_calls": cost["calls"]}
    if model.device.type == "cuda":
        result["peak_memory_mib"] = round(torch.cuda.max_memory_allocated(model.device) / 2**20, 1)
    if hasattr(made, "metrics"):
        result |= {name: float(np.max(made.metrics[name])) for name in TRACKED}
        made = made.image
    if not isinstance(made, Image.Image) or made.mode != "RGB" or made.size != sample.image.size:
        raise ValueError(f"method: returned {made!r}; expected an RGB image of {sample.image.size} px")
    return made


@contextmanager
def metered(model: DiffusionModel) -> Iterator[dict]:
    """Count a block's seconds and U-Net calls into the dict that it gets."""
    cost, start = {"calls": 0}, time.perf_counter()

    def counted(unet: torch.nn.Module, args: tuple) -> None:
        cost["calls"] += 1

    with model.unet.register_forward_pre_hook(counted):
        yield cost
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    cost["seconds"] = round(time.perf_counter() - start, 3)


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """One thread on a CPU, however the work is split: sums depend on the order of their terms, and Adam makes much of a
    last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if device.type == "cpu" else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def scores(model: DiffusionModel, sample: Sample, image: Image.Image, known: dict) -> dict[str, float]:
    """The metrics that need no download; those that need a truth where the sample has one.

    `dai_*` is Eq. 10, with the image through the VAE as phi(z_0); `dai_released_*` is as released, with the file.
    `known`: as for `metrics.mean_distance`; the image through the VAE is kept there, too.
    """
    if "phi" not in known:
        known["phi"] = metrics.vae_round_trip(model, sample.image)
    found = {}
    for column, convention, original in (("dai_", "paper", known["phi"]), ("dai_released_", "released", sample.image)):
        for gamma in metrics.GAMMAS:
            found[f"{column}{gamma}"] = metrics.dai(original, image, sample.points, gamma, convention)
    found["md"] = metrics.mean_distance(model, sample, image, known=known)
    found["md_inside"] = metrics.mean_distance(model, sample, image, inside=True, known=known)
    found["md_share"] = found["md"] / metrics.drag_length(sample)
    if sample.truth is not None:
        found["ssim_truth"] = metrics.ssim(sample.truth, image)
    return found | metrics.edit_metrics(sample, image)


def read_record(file: Path) -> dict | None:
    """A job's record; None if there is none, or none that is whole."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def slug(name: str) -> str:
    """A name as a file name: "DragDiffusion*" -> "dragdiffusion-star", "007 animal: nod" -> "007-animal-nod"."""
    return re.sub(r"[\W_]+", "-", name.lower().replace("*", " star")).strip("-")[:60]


def settings(method: Method) -> dict | str:
    """A method as plain data: its class and, of a dataclass, every field; else its name alone."""
    fields = asdict(method) if is_dataclass(method) else getattr(method, "__qualname__", "")
    return json.loads(json.dumps({"class": type(method).__qualname__, "fields": fields}, default=str))


def record_file(folder: Path, method: str, seed: int, sample: str) -> Path:
    return folder / slug(method) / f"{slug(sample)}{f'--seed-{seed}' if seed else ''}.json"


def write_record(file: Path, record: Mapping) -> None:
    with atomic_file(file, "folder") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def resolved(model: Mapping | DiffusionModel) -> DiffusionModel:
    """The model that the arguments of `load_model` name; a process keeps the last one."""
    return model if isinstance(model, DiffusionModel) else loaded(**model)


def identity_of(model: Mapping | DiffusionModel) -> dict[str, str]:
    """Which weights, in which precision: what a result depends on, and no path of this machine."""
    model = resolved(model)
    vae = hashlib.sha256(sampled_weights(model.vae)).hexdigest()[:16]
    about = {"model": model.label, "weights": model.fingerprint, "vae": vae}
    return about | {"dtype": str(model.dtype).removeprefix("torch.")}
