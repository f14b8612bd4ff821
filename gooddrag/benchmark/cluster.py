"""The same jobs on a Dask cluster: processes here, or any cluster by its address."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from gooddrag.baselines import Method
from gooddrag.benchmark.folder import Folder
from gooddrag.benchmark.job import BUSY_SECONDS, Job, record_death, run_on_worker

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

    from gooddrag.benchmark.runner import Progress

DEATHS = 20  # workers that may die on one job before it counts as deadly
CONNECT = "20s"  # patience with the scheduler
LOOPBACK = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
DIED = "KilledWorker: {} workers died on this edit (out of memory?)"


def run_on_cluster(folder: Folder, groups: Sequence[Sequence[Job]], methods: Mapping[str, Method], model: tuple,
                   workers: int, scheduler: str | None, retry_failed: bool, progress: Progress) -> None:  # fmt: skip
    """Run groups of jobs (see `run_jobs`) on workers, which write their results themselves. A worker that dies is
    replaced and its group given to another, which finds what the first had finished; a group that workers die on again
    and again is taken apart.

    Args:
        methods: slug -> method. model: arguments of `job.worker_model`.

    Raises:
        ValueError: no cluster at the address.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    topic = f"gooddrag-{time.time_ns()}"
    with _client(workers, scheduler) as client:
        client.subscribe_topic(topic, lambda event: progress.told(tuple(event[1][:3]), event[1][3]))
        while groups:
            futures = {client.submit(run_on_worker, str(folder.path.absolute()), group, methods, model, retry_failed,
                                     topic, key=f"{group[0].sample}-seed-{group[0].seed}-{time.time_ns()}", pure=False):
                       group for group in groups}  # fmt: skip
            again: list[Sequence[Job]] = []
            try:
                for future in as_completed(futures):
                    try:
                        told, busy = future.result()
                    except KilledWorker as error:
                        group = futures[future]
                        if len(group) == 1:
                            record_death(folder, group[0], methods, DIED.format(error.allowed_failures + 1))
                        again += [[job] for job in group]
                        continue
                    if busy:
                        again.append(busy)
                    for task, seconds in told:
                        progress.told(task, seconds)
            finally:
                client.cancel(list(futures))
            if groups := again:
                time.sleep(BUSY_SECONDS)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    import dask
    from distributed import Client

    threads = os.environ.get(THREADS[0], str(max(1, (os.cpu_count() or 1) // max(1, workers))))
    settings = {
        "distributed.scheduler.allowed-failures": DEATHS, "distributed.scheduler.work-stealing": True,
        "distributed.admin.tick.limit": "1h", "distributed.comm.timeouts.connect": CONNECT,
        "distributed.worker.profile.enabled": False,
        # Instead of Dask's own, which give memory back after every tensor: 1.8 times slower on a CPU
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, threads),
    }  # fmt: skip
    with dask.config.set(settings):
        if scheduler is None:
            with (
                _environment_kept((*THREADS, "PYTHONHASHSEED")),
                local_cluster(workers) as cluster,
                Client(cluster) as client,
            ):
                yield client
            return
        try:
            client = Client(scheduler, timeout=CONNECT)
        except (OSError, TimeoutError, ValueError) as error:
            raise ValueError(f"scheduler: nothing at {scheduler!r} ({error}); expected a Dask scheduler's address like "
                             "tcp://host:8786") from error  # fmt: skip
        with client:
            yield client


@contextmanager
def _environment_kept(names: Sequence[str]) -> Iterator[None]:
    """What a nanny sets for its worker it sets in this process too; afterwards all is as it was."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def local_cluster(workers: int) -> SpecCluster:
    """Processes on this machine, on its loopback interface only, each with a GPU of its own, or its share of cores."""
    import logging

    from distributed import Nanny, Scheduler, SpecCluster

    spec = {}
    for i in range(workers):
        gpus = torch.cuda.device_count()
        env = {"CUDA_VISIBLE_DEVICES": _visible(i % gpus)} if gpus else {}
        options = {"nthreads": 1, "env": env, **LOOPBACK, "memory_limit": 0,
                   "silence_logs": logging.ERROR}  # fmt: skip
        spec[i] = {"cls": Nanny, "options": options}
    scheduler = {"cls": Scheduler, "options": {**LOOPBACK, "port": 0}}
    return SpecCluster(workers=spec, scheduler=scheduler, silence_logs=logging.ERROR)


def _visible(index: int) -> str:
    """The i-th GPU that this process may use, by the name that it has for the driver."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return names.split(",")[index] if names else str(index)
