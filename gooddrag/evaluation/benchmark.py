"""Methods on samples: one atomic JSON and one PNG a job, so that any stop can be resumed; one table of them all.

    table = run("out", storybook100(), {"GoodDrag": METHODS["GoodDrag"]}, model="storybook", workers=2)
    summary(table, ["dai_1", "dai_released_1", "truth_error_inside_mask"])

    out/METHOD/SAMPLE.json, .png        a job's record and its edited image; SAMPLE--seed-1 for another seed

The JSON is written last: where it is, the job is complete. A failure of a method is a record, too.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from gooddrag.evaluation import jobs, metrics
from gooddrag.evaluation.jobs import Job, record_file, slug
from gooddrag.evaluation.methods import METHODS, Method
from gooddrag.evaluation.metrics import Interval
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample

SCORES = [f"dai_{kind}{gamma}" for kind in ("", "released_") for gamma in metrics.GAMMAS]
SCORES += ["md", "md_inside", "md_share", "truth_error_inside_mask", "truth_error_unedited", "truth_error_ratio"]
SCORES += ["damage_outside_mask", "ssim_truth", "nearest_page"]
SCORES += ["IF", "IF_bg", "IF_s2t", "IF_s2s", *metrics.QUALITY]
COST = ["lora_seconds", "edit_seconds", "score_seconds", "unet_calls", "peak_memory_mib"]
NUMBERS = ["pairs", "width", "seed", *SCORES, *jobs.TRACKED, *COST, "threads"]
IDENTITY = ["model", "weights", "vae", "dtype"]
COLUMNS = ["sample", "category", "task", "pairs", "width", "method", "seed", "state"]
COLUMNS += [*SCORES, *jobs.TRACKED, *COST, *IDENTITY, "machine", "threads", "gooddrag", "torch"]
COLUMNS += ["settings", "key", "finished", "error"]
TEXT = [column for column in COLUMNS if column not in NUMBERS]
STATES = ("done", "failed", "unusable", "missing")
TABLE_1 = {
    "DragDiffusion": (0.1477, 0.1439, 0.1298, 0.1146),
    "DragDiffusion*": (0.1189, 0.1101, 0.0979, 0.0924),
    "SDE-Drag": (0.1571, 0.1437, 0.1291, 0.1143),
    "GoodDrag": (0.0696, 0.0673, 0.0642, 0.0623),
}
"""The paper's Table 1: DAI on Drag100 at gamma = 1, 5, 10, 20, very probably by the released convention."""


def run(
    folder: str | os.PathLike,
    samples: Sequence[Sample],
    methods: Mapping[str | tuple[str, int], Method] = METHODS,
    *,
    model: str | Path | Mapping | DiffusionModel = "auto",
    workers: int = 1,
    client=None,
    strict: bool = False,
) -> pd.DataFrame:
    """Run what is not there yet, and return the table of what is.

    Whatever stops it, the same call goes on after the last finished edit. On a CPU every job computes with one thread,
    however it is run, so that its numbers are the same.

    Args:
        samples: with distinct names; a `Dataset` may hold unusable ones, which become rows and are warned about.
        methods: name -> method, with seed 0; (name, seed) -> method for another seed.
        model: a name for `load_model`, its arguments as a dict, or (in one process) a loaded model.
        workers: processes on this machine, by Dask; with several GPUs each takes the next one. In a script the call
            belongs under `if __name__ == "__main__":`.
        client: a `distributed.Client` instead, whose workers see `folder` under the same path.
        strict: an unusable sample is an error, and nothing is run.

    Raises:
        ValueError: bad arguments; the folder holds results of another model, other samples or settings.
        ModuleNotFoundError: a worker cannot import a method.
    """
    if workers < 1 or (isinstance(model, DiffusionModel) and (workers > 1 or client)):
        raise ValueError(f"workers, model: {workers}, {model}; expected 1 or more, and a model's name for workers")
    folder = Path(folder).expanduser().absolute()
    model = {"name": str(model)} if isinstance(model, str | Path) else model
    named = {((key, 0) if isinstance(key, str) else key): method for key, method in methods.items()}
    usable, unusable = [], {}  # unusable: {name: why}
    for i in range(len(samples)):
        try:
            usable.append(samples[i])
        except ValueError as error:
            unusable[samples.names[i]] = str(error)
    for argument, names in (("samples", [*unusable, *(s.name for s in usable)]), ("methods", {n for n, _ in named})):
        files = {slug(name) for name in names}
        if not names or len(files) < len(names) or "" in files:
            raise ValueError(f"{argument}: {', '.join(names) or 'none'}; expected distinct names of letters or digits")
    if unusable:
        told = f"samples: {len(unusable)} of {len(samples)} cannot be used\n" + "\n".join(unusable.values())
        if strict:
            raise ValueError(told)
        warnings.warn(told, stacklevel=2)
    identity = client.submit(jobs.identity_of, model).result() if client else jobs.identity_of(model)
    for name, seed in named:
        for sample, error in unusable.items():
            about = {"sample": sample, "method": name, "seed": seed, "state": "unusable"}
            jobs.write_record(record_file(folder, name, seed, sample), about | identity | {"error": error})
    groups = [[Job(folder, *key, method, sample, identity) for key, method in named.items()] for sample in usable]
    left = [[job for job in group if not job.is_done()] for group in groups]  # or the error, before any work
    todo, gpus, context = [group for group in left if group], 0, nullcontext(client)
    if todo and workers > 1 and not client:
        model = {**model, "name": jobs.resolved(model).name}  # what "auto" is here, it is in every process
        gpus, context = torch.cuda.device_count(), _processes(workers)
    with context as client, tqdm(total=sum(map(len, todo)), desc="bench", unit="edit") as bar:
        serially = (job for group in todo for job in jobs.run_group(group, model))
        for _ in _on_cluster(todo, model, client, gpus) if client else serially:
            bar.update()
    return read(folder)


def forget_failures(folder: str | os.PathLike) -> None:
    """Remove the records of a folder's failed edits, so that `run` does them once more; otherwise a failure stays."""
    for file in Path(folder).expanduser().glob("[!.]*/[!.]*.json"):
        if (record := jobs.read_record(file)) and record["state"] == "failed":
            file.unlink()


def _processes(workers: int):
    """A client of so many processes on this machine, which end with this one, in a `with` block."""
    from dask import config
    from distributed import Client

    jobs.loaded.cache_clear()  # each process has its own
    torch.cuda.empty_cache()
    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None, "silence_logs": "CRITICAL"}
    with config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}):  # or each free trims
        return Client(n_workers=workers, **options)


def _on_cluster(todo: list, model: Mapping, client, gpus: int) -> Iterator[Job]:
    from distributed import KilledWorker, as_completed
    from distributed.protocol.serialize import serialize_bytes

    def sent(group: Sequence[Job]):  # as bytes: a worker that cannot read its task would say nothing, for ever
        return client.submit(jobs.finish, serialize_bytes(group), model, gpus, pure=False)

    futures, suspects = {sent(group): group for group in todo}, []
    try:
        for future in as_completed(futures):
            group = futures.pop(future)
            try:
                future.result()
                yield from group
            except KilledWorker:  # by this group, or by another that its worker had
                suspects += group
    finally:
        client.cancel(list(futures))
    for job in suspects:  # alone, so that it is known on which edit a process dies
        try:
            sent([job]).result()
        except KilledWorker:
            job.write(error="processes died on it again and again (out of memory?)")
        yield job


def read(source: str | os.PathLike) -> pd.DataFrame:
    """The table of a results folder, or of a CSV file of such a table; one row a job.

    A job that only other methods or samples of the folder have is "missing"; `error` says why one is "failed" or
    "unusable". Distances are pixels of the picture, `width` px wide, the largest of a sample's pairs; `lora_seconds` is
    empty where the LoRA was in the cache; `settings` is a hash.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        records = [jobs.read_record(file) for file in sorted(path.glob("[!.]*/[!.]*.json"))]
        table = pd.DataFrame([record for record in records if record], columns=COLUMNS)
        about = ["sample", "category", "task", "pairs", "width"]
        samples = table.groupby("sample", sort=False, as_index=False)[about].first()  # not what an unusable one lacks
        whole = samples.merge(table[["method", "seed"]].drop_duplicates(), how="cross")
        table = whole.merge(table.drop(columns=about[1:]), how="left").fillna({"state": "missing", "pairs": 0})
    else:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))
    if table.empty or not {"sample", "method", "state"} <= set(table):
        raise ValueError(f"source: {str(source)!r} holds no results; expected a folder or a table of the benchmark")
    table = table.reindex(columns=COLUMNS)
    table[NUMBERS], table[TEXT] = table[NUMBERS].astype(float), table[TEXT].astype(object).fillna("").astype(str)
    if table.loc[table["weights"] != "", IDENTITY].drop_duplicates().shape[0] > 1:
        raise ValueError(f"source: {str(source)!r} mixes models; expected results of one")
    order = {name: f"{i:03}" for i, name in enumerate(METHODS)}
    by = {"key": lambda column: column.map(order).fillna(column) if column.name == "method" else column}
    return table.sort_values(["sample", "seed", "method"], ignore_index=True, **by).astype({"pairs": int, "seed": int})


def values(table: pd.DataFrame, method: str, column: str) -> dict[str, float | None]:
    """{sample: value} of a method, the mean over its seeds; None where a job is not done."""
    rows = table[table["method"] == method]
    if rows.empty:
        raise ValueError(f"method: {method!r}; expected one of {', '.join(table['method'].unique())}")
    found = rows.groupby("sample", sort=False)[column].agg(lambda v: v.mean(skipna=False))
    return {name: None if pd.isna(v) else float(v) for name, v in found.items()}


def share(table: pd.DataFrame, method: str, column: str, of: str = "Unedited") -> Interval:
    """A method's mean divided by another one's (paired bootstrap). DAI as a share of the unedited images' is the only
    unit that transfers between data sets."""
    return metrics.ratio_interval(values(table, method, column), values(table, of, column))


def summary(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means by method with the number of jobs of each state; NaN unless all are done."""
    states = {state: (table["state"] == state).astype(int) for state in STATES}
    counts = table[["method"]].assign(**states).groupby("method", sort=False).sum()
    return counts.join(table.groupby("method", sort=False)[list(columns)].agg(lambda v: v.mean(skipna=False)))
