"""`run`: methods x samples x seeds, one folder each, resumable at any moment, here or on a cluster."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from gooddrag.baselines import METHODS, Method
from gooddrag.benchmark.folder import Folder, slug
from gooddrag.benchmark.job import BUSY_SECONDS, Job, Task, run_jobs, unfinished
from gooddrag.devices import release
from gooddrag.loading import load_model
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

if TYPE_CHECKING:
    from pandas import DataFrame


def run(
    path: str | Path,
    samples: Sequence[Sample],
    methods: Mapping[str, Method] = METHODS,
    seeds: Sequence[int] = (0,),
    model: str | DiffusionModel = "auto",
    vae: str | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    retry_failed: bool = False,
    progress: bool = True,
    batch: int = 1,
) -> DataFrame:
    """Run what is not there yet, and give the table of what is.

    Whatever stops it, an interrupt, a crash, a power cut, the same call goes on after the last finished edit. Two
    processes may run on one folder at a time; they share the work. An error of a method is kept as its result, with
    its traceback, and shows in the table. Equal results to the last bit need equal hardware, batches and, on a CPU, an
    equal number of threads in all sittings and workers ($OMP_NUM_THREADS): sums depend on the order of their terms.

    Args:
        path: the results folder; new, or one of an earlier run with the same model (see `benchmark.folder`).
        samples: with distinct names. methods: name -> method. seeds: each gives every method another go.
        model: a loaded model or a name for `load_model`; workers need a name. vae: as for `load_model`.
        workers: 0: in this process. N: a Dask cluster of N processes here, each with a GPU or a share of the cores.
        scheduler: address of a Dask cluster that is up; its workers must see `path` under the same name.
        retry_failed: run failed tasks again.
        progress: show a bar, with an estimate once every method has run.
        batch: so many samples of one size are dragged at once, in U-Net passes of one batch (see `drag_batch`); where
            that fails, for want of GPU memory say, half as many, down to one. An edit's seconds are then its share of
            the batch's. SDE-Drag and the bounds go one by one.

    Returns:
        `load(path)`: one row per planned task.

    Raises:
        ValueError: bad arguments, or the folder belongs to other weights, samples or settings. KeyboardInterrupt: the
            user stopped it; what was finished stays.
    """
    for name, value, least in (("workers", workers, 0), ("batch", batch, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: {value!r}; expected a whole number, {least} or more")
    if not isinstance(methods, Mapping):
        raise ValueError(f"methods: a {type(methods).__name__}; expected a dict of names and methods")
    if workers and scheduler:
        raise ValueError("workers, scheduler: both given; expected one of them")
    if (workers or scheduler) and isinstance(model, DiffusionModel):
        raise ValueError("model: a loaded one cannot be sent to workers; expected its name")
    from gooddrag.benchmark.table import load  # pandas, before any work is done

    loaded = model if isinstance(model, DiffusionModel) else load_model(model, vae=vae)
    samples, folder = list(samples), Folder(path)
    folder.prepare(loaded, samples, methods, seeds)
    by_slug = {slug(name): method for name, method in methods.items()}
    jobs = [Job(slug(s.name), seed, tuple(by_slug)) for s in samples for seed in seeds]
    with progress_bar(folder, jobs, retry_failed, max(1, workers), progress) as bar:
        sizes = {slug(s.name): s.image.size for s in samples}
        waiting = {task[:2] for task in bar.waiting}
        todo = _groups([job for job in jobs if (job.sample, job.seed) in waiting], sizes, batch)
        if not todo:
            pass
        elif workers or scheduler:
            from gooddrag.benchmark.cluster import run_on_cluster

            name, device = (loaded.name, vae, None, None), loaded.device
            del loaded  # the workers have their own
            gc.collect()
            release(device)
            run_on_cluster(folder, todo, by_slug, name, workers, scheduler, retry_failed, bar)
        else:
            while todo:  # what another process has in hand comes round again
                busy = [run_jobs(folder, group, by_slug, loaded, retry_failed, bar.told) for group in todo]
                if todo := [jobs for jobs in busy if jobs]:
                    time.sleep(BUSY_SECONDS)
    return load(path)


def _groups(jobs: Sequence[Job], sizes: Mapping[str, tuple[int, int]], most: int) -> list[list[Job]]:
    """Jobs of one seed, and of samples of one size, so many at a time."""
    alike: dict[tuple, list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.seed, sizes[job.sample] if most > 1 else None), []).append(job)
    return [jobs[i : i + most] for jobs in alike.values() for i in range(0, len(jobs), most)]


class Progress:
    """A bar over tasks whose estimate knows that methods differ: an unedited image takes no time, a drag minutes."""

    def __init__(self, bar: tqdm, waiting: set[Task], processes: int):
        self.bar, self.waiting, self.processes = bar, waiting, processes
        self.seconds: dict[str, list[float]] = {}
        self._one_at_a_time = threading.Lock()  # a cluster's events come in a thread of their own

    def told(self, task: Task, seconds: float | None) -> None:
        """A task is finished; seconds of None: another process did it. What was told before changes nothing."""
        with self._one_at_a_time:
            if task not in self.waiting:
                return
            self.waiting.remove(task)
            if seconds is not None:
                self.seconds.setdefault(task[2], []).append(seconds)
            self.bar.set_postfix_str(self.estimate, refresh=False)
            self.bar.update()

    @property
    def estimate(self) -> str:
        """ "12 min left"; unknown while a method that is still to come has never been timed."""
        left = Counter(method for _, _, method in self.waiting)
        if left.keys() - self.seconds.keys():
            return "time left unknown until each method has run once"
        seconds = sum(n * mean(self.seconds[method]) for method, n in left.items()) / self.processes
        return f"{duration(seconds)} left" if left else ""


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress_bar(folder: Folder, jobs: Sequence[Job], retry_failed: bool, processes: int,
                 show: bool) -> Iterator[Progress]:  # fmt: skip
    """The bar of a run, with what was there before already counted."""
    waiting = {job.task(method) for job in jobs for method in unfinished(folder, job, retry_failed)}
    total = sum(len(job.methods) for job in jobs)
    bar = tqdm(total=total, initial=total - len(waiting), desc="bench", unit="edit", disable=not show,
               bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} edits in {elapsed}{postfix}")  # fmt: skip
    with bar:
        yield Progress(bar, waiting, processes)
