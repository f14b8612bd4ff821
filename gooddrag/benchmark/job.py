"""The unit of work: all methods on one sample with one seed, in one process, since they share LoRA and inversion."""

from __future__ import annotations

import datetime
import errno
import platform
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version

import torch
from filelock import Timeout

import gooddrag
from gooddrag.baselines import Method
from gooddrag.baselines.dragging import keep
from gooddrag.benchmark.folder import Folder, model_identity, settings
from gooddrag.benchmark.measure import TaskMeter, metered, prepared
from gooddrag.benchmark.scores import round_trip, scores
from gooddrag.devices import processor, release
from gooddrag.loading import load_model
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

Task = tuple[str, int, str]
"""Sample, seed and method, the first and the last as slugs."""

Told = Callable[[Task, float | None], object]
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
BUSY_SECONDS = 2.0  # until a job that another process has in hand is asked for again
_alone = threading.RLock()  # threads of one process share its model and what is kept of the last samples


@dataclass(frozen=True)
class Job:
    """`methods` (slugs) on one sample (slug) with one seed."""

    sample: str
    seed: int
    methods: tuple[str, ...]

    def task(self, method: str) -> Task:
        return self.sample, self.seed, method


def unfinished(folder: Folder, job: Job, retry_failed: bool = False) -> list[str]:
    """Methods of the job whose result is not there, or not of this sample and these settings."""
    sample = folder.sample(job.sample)
    keys = {m: folder.key(job.sample, job.seed, m, sample) for m in job.methods}
    records = {m: folder.result(job.sample, job.seed, m) for m in job.methods}
    return [m for m, r in records.items()
            if r is None or r["key"] != keys[m] or (retry_failed and r["state"] == "failed")]  # fmt: skip


def run_jobs(folder: Folder, jobs: Sequence[Job], methods: Mapping[str, Method], model: DiffusionModel,
             retry_failed: bool = False, tell: Told = lambda task, seconds: None) -> list[Job]:  # fmt: skip
    """Run what is unfinished of some jobs and write each result as it comes.

    Args:
        jobs: of one seed, the same methods, and samples of one size. Several share U-Net batches where a method can
            (see `edit_together`), and a batch that fails is tried again in halves.
        methods: slug -> method.
        tell: called with each finished task and its seconds in all (None: it was there already).

    Returns:
        The jobs that another process has in hand; nothing was done for them.
    """
    busy: list[Job] = []
    with _alone, ExitStack() as locks:
        mine: dict[Job, _Work] = {}
        for job in jobs:
            try:
                locks.enter_context(folder.lock(job.sample, job.seed).acquire(timeout=0))
            except Timeout:
                busy.append(job)
                continue
            folder.clean(job.sample, job.seed)
            todo = unfinished(folder, job, retry_failed)  # again: another process may just have finished
            mine[job] = _Work(job, todo, folder.sample(job.sample) if todo else None)
        keep(len(jobs))
        for name in jobs[0].methods:
            for work in mine.values():
                if name not in work.todo:
                    tell(work.job.task(name), None)
            todo = [work for work in mine.values() if name in work.todo]
            together = todo and hasattr(methods[name], "edit_together")
            for part in [todo] if together else [[work] for work in todo]:
                start = time.perf_counter()
                _tasks(folder, part, name, methods[name], model)
                seconds = (time.perf_counter() - start) / len(part)
                for work in part:
                    tell(work.job.task(name), seconds)
    return busy


@dataclass
class _Work:
    """A job in hand: its unfinished methods, its sample, and features of its images that are known already."""

    job: Job
    todo: list[str]
    sample: Sample | None
    known: dict = field(default_factory=dict)


def _tasks(folder: Folder, part: list[_Work], name: str, method: Method, model: DiffusionModel) -> None:
    """Edits, their scores and their records; an error of the method is a result too.

    Raises:
        OSError: the disk is full or cannot be written: that is no method's doing, and the next run goes on from here.
    """
    meters, errors = {}, {}
    for i, work in enumerate(part):
        try:
            meters[i] = prepared(model, method, work.sample, work.job.seed)
        except Exception as error:
            errors[i] = _told(error)
    made = _made(model, method, part, meters, errors)
    for i, work in enumerate(part):
        record = _blank(folder, work.job, name, method, work.sample) | {"machine": machine(model)} | errors.get(i, {})
        image = None
        if i in made:
            image, record["cost"], record["tracked"] = made[i]
            try:
                start = time.perf_counter()
                phi = round_trip(folder, work.job.sample, work.sample, model)
                record["scores"] = scores(model, work.sample, image, phi, work.known)
                record["cost"]["score_seconds"] = round(time.perf_counter() - start, 3)
                record["state"] = "done"
            except Exception as error:
                image, record = None, record | _told(error)
        folder.store(work.job.sample, work.job.seed, name, record, image)


def _made(model: DiffusionModel, method: Method, part: list[_Work], meters: dict[int, TaskMeter],
          errors: dict[int, dict]) -> dict[int, tuple]:  # fmt: skip
    """The edits of the prepared samples of a part. A batch that fails is halved, down to the sample that fails alone:
    its error goes to `errors`.
    """
    made: dict[int, tuple] = {}
    batches = [list(meters)] if meters else []
    while batches:
        batch = batches.pop(0)
        try:
            samples, own = [part[i].sample for i in batch], [meters[i] for i in batch]
            made |= dict(zip(batch, metered(method, samples, own, part[0].job.seed), strict=True))
            continue
        except Exception as error:
            told, half = _told(error), len(batch) // 2
            if half:
                batches[:0] = [batch[:half], batch[half:]]
            else:
                errors[batch[0]] = told
        release(model.device)  # out of the handler: its traceback holds on to every tensor of the failed attempt
    return made


def _told(error: Exception) -> dict[str, str]:
    """An error as a record has it: whatever a method does wrong belongs in the table, and the next one shall run."""
    if isinstance(error, OSError) and error.errno in DISK:
        raise error
    return {"error": f"{type(error).__name__}: {error}"[:500], "traceback": traceback.format_exc()}


def _blank(folder: Folder, job: Job, name: str, method: Method, sample: Sample) -> dict:
    return {
        "state": "failed",
        "key": folder.key(job.sample, job.seed, name, sample),
        "sample": sample.name, "category": sample.category, "task": sample.task, "pairs": len(sample.points),
        "method": folder.method(name)["name"], "seed": job.seed,
        **folder.identity,
        "settings": settings(method), "scores": {}, "cost": {}, "tracked": {}, "machine": "",
        "gooddrag": gooddrag.__version__, "torch": torch.__version__,
        "versions": {name: version(name) for name in ("diffusers", "peft", "transformers")}
        | {"python": platform.python_version()},
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
    return processor()


@lru_cache(maxsize=1)
def worker_model(name: str, vae: str | None, device: str | None, dtype: str | None) -> DiffusionModel:
    """The model of a worker process, loaded once."""
    return load_model(name, device, getattr(torch, dtype) if dtype else None, vae)


def run_on_worker(path: str, jobs: Sequence[Job], methods: Mapping[str, Method], model: tuple,
                  retry_failed: bool, topic: str) -> tuple[list[tuple[Task, float | None]], list[Job]]:  # fmt: skip
    """`run_jobs` in a Dask worker that has nothing yet but this package and a view of the folder.

    Args:
        topic: of the events by which the cluster's clients hear of each finished task: [*task, seconds].

    Returns:
        What `tell` was called with, since an event may come late, and the jobs that another process has in hand.
    """
    from distributed import get_worker

    folder, told, worker = Folder(path), [], get_worker()

    def tell(task: Task, seconds: float | None) -> None:
        told.append((task, seconds))
        worker.log_event(topic, [*task, seconds])

    with _alone:
        loaded = worker_model(*model)
        if model_identity(loaded) != folder.identity:
            raise ValueError(f"model: this worker's {loaded.label} differs from the folder's; expected the same "
                             "weights on every worker")  # fmt: skip
        busy = run_jobs(folder, jobs, methods, loaded, retry_failed, tell)
    return told, busy
