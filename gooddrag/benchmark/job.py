"""The unit of work: all methods on one sample with one seed, in one process, since they share LoRA and inversion."""

from __future__ import annotations

import datetime
import errno
import platform
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from filelock import Timeout

import gooddrag
from gooddrag.baselines import Method
from gooddrag.benchmark.folder import Folder, model_identity, settings
from gooddrag.benchmark.measure import measured
from gooddrag.benchmark.scores import round_trip, scores
from gooddrag.loading import load_model
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

Told = Callable[[str, float | None], object]
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
BUSY_SECONDS = 2.0  # until a job that another process has in hand is asked for again
_alone = threading.RLock()  # threads of one process share its model and what is kept of the last sample


@dataclass(frozen=True)
class Job:
    """`methods` (slugs) on one sample (slug) with one seed."""

    sample: str
    seed: int
    methods: tuple[str, ...]


def unfinished(folder: Folder, job: Job, retry_failed: bool = False) -> list[str]:
    """Methods of the job whose result is not there, or not of this sample and these settings."""
    sample = folder.sample(job.sample)
    keys = {m: folder.key(job.sample, job.seed, m, sample) for m in job.methods}
    records = {m: folder.result(job.sample, job.seed, m) for m in job.methods}
    return [m for m, r in records.items()
            if r is None or r["key"] != keys[m] or (retry_failed and r["state"] == "failed")]  # fmt: skip


def run_job(folder: Folder, job: Job, methods: Mapping[str, Method], model: DiffusionModel,
            retry_failed: bool = False, tell: Told = lambda method, seconds: None) -> bool:  # fmt: skip
    """Run what is unfinished of a job and write each result as it comes.

    Args:
        methods: slug -> method.
        tell: called with each finished method and its seconds in all (None: it was there already).

    Returns:
        False if another process has this job in hand; nothing was done then.
    """
    with _alone:
        try:
            lock = folder.lock(job.sample, job.seed).acquire(timeout=0)
        except Timeout:
            return False
        with lock:
            folder.clean(job.sample, job.seed)
            todo = unfinished(folder, job, retry_failed)  # again: another process may just have finished
            sample, known = folder.sample(job.sample) if todo else None, {}
            for method in job.methods:
                start = time.perf_counter()
                if method in todo:
                    _task(folder, job, method, methods[method], sample, model, known)
                tell(method, time.perf_counter() - start if method in todo else None)
    return True


def _task(folder: Folder, job: Job, name: str, method: Method, sample: Sample, model: DiffusionModel,
          known: dict) -> dict:  # fmt: skip
    """One edit, its scores and its record; an error of the method is a result too.

    Raises:
        OSError: the disk is full or cannot be written: that is no method's doing, and the next run goes on from here.
    """
    record, image = _blank(folder, job, name, method, sample) | {"machine": machine(model)}, None
    try:
        image, record["cost"], record["tracked"] = measured(model, method, sample, job.seed)
        start = time.perf_counter()
        record["scores"] = scores(model, sample, image, round_trip(folder, job.sample, sample, model), known)
        record["cost"]["score_seconds"] = round(time.perf_counter() - start, 3)
        record["state"] = "done"
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK:
            raise
        # whatever a method does wrong belongs in the table, and the next one shall run
        image = None
        record["error"] = f"{type(error).__name__}: {error}"[:500]
        record["traceback"] = traceback.format_exc()
    return folder.store(job.sample, job.seed, name, record, image)


def _blank(folder: Folder, job: Job, name: str, method: Method, sample: Sample) -> dict:
    return {
        "state": "failed",
        "key": folder.key(job.sample, job.seed, name, sample),
        "sample": sample.name, "category": sample.category, "task": sample.task, "pairs": len(sample.points),
        "method": folder.methods()[name]["name"], "seed": job.seed,
        **folder.identity,
        "settings": settings(method), "scores": {}, "cost": {}, "tracked": {}, "machine": "",
        "gooddrag": gooddrag.__version__, "torch": torch.__version__,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def record_death(folder: Folder, job: Job, methods: Mapping[str, Method], reason: str) -> None:
    """Workers died on this job, again and again: that is the result of the first method that is not finished."""
    with folder.lock(job.sample, job.seed):
        if todo := unfinished(folder, job):
            sample = folder.sample(job.sample)
            record = _blank(folder, job, todo[0], methods[todo[0]], sample)
            folder.store(job.sample, job.seed, todo[0], record | {"error": reason, "traceback": ""})


def machine(model: DiffusionModel) -> str:
    """What ran it, without naming it: "x86_64, 2 threads", or the GPU."""
    if model.device.type == "cuda":
        return torch.cuda.get_device_name(model.device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


@lru_cache(maxsize=1)
def worker_model(name: str, vae: str | None, device: str | None, dtype: str | None) -> DiffusionModel:
    """The model of a worker process, loaded once."""
    return load_model(name, device, getattr(torch, dtype) if dtype else None, vae)


def run_on_worker(path: str, job: Job, methods: Mapping[str, Method], model: tuple, retry_failed: bool) -> dict | None:
    """`run_job` in a process that has nothing yet but this package and a view of the folder.

    Returns:
        {method: seconds or None}, or None if another process has the job in hand.
    """
    folder, told = Folder(path), {}
    with _alone:
        loaded = worker_model(*model)
        if model_identity(loaded) != folder.identity:
            raise ValueError(f"model: this worker's {loaded.label} differs from the folder's; expected the same "
                             "weights on every worker")  # fmt: skip
        return told if run_job(folder, job, methods, loaded, retry_failed, told.__setitem__) else None
