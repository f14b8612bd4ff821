"""Kill the benchmark runner and its workers at random moments, and compare what comes out with an undisturbed run.

    python scripts/benchmark_resilience.py kill         20 x kill -9, the tables compared
    python scripts/benchmark_resilience.py overhead     what the runner itself costs beside its tasks

Tiny settings on a tiny random model: minutes on two cores. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

import gooddrag as gd
from gooddrag import benchmark
from gooddrag.baselines import METHODS, CopyPaste, Dragging, SdeDrag, Unedited
from gooddrag.benchmark.folder import Folder

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "tests" / "data" / "conformance" / "tiny-sd"
LORA = gd.LoraConfig(rank=2, steps=2, batch_size=1)
QUICK = {
    "Unedited": Unedited(),
    "Copy-paste": CopyPaste(4),
    "SDE-Drag": SdeDrag(num_steps=8, radius=1, lora=LORA),
    "GoodDrag": Dragging(gd.DragConfig(num_steps=4, K=2, B=1, J=1), LORA),
}
SAME = [c for c in benchmark.COLUMNS if c not in benchmark.TIMES]


def work(folder: Path, workers: int, samples: int):
    """One run as any other."""
    return benchmark.run(folder, [gd.storybook.edit(i, 64) for i in range(samples)], QUICK, model=str(MODEL),
                         workers=workers, progress=False)  # fmt: skip


def start(folder: Path, workers: int, samples: int) -> subprocess.Popen:
    command = [sys.executable, __file__, "work", "--folder", str(folder), "--workers", str(workers), "--samples",
               str(samples)]  # fmt: skip
    with open(folder.with_suffix(".log"), "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def finished(folder: Path) -> int:
    """Results that are complete now. Reading them all is the point: a half-written one would show."""
    if not (folder / "model.json").exists():
        return 0
    states = [Folder(folder).result(*task) for task in Folder(folder).planned()]
    assert all(r is None or r["state"] == "done" for r in states), "a task failed"
    return sum(r is not None for r in states)


def pick_worker(process: subprocess.Popen) -> psutil.Process | None:
    """A Dask worker among the descendants; resource trackers and the like are not meant, nor what is dead already."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has just died
            pass
    return random.choice(found) if found else None


def wait_for_result(folder: Path, process: subprocess.Popen, done: int, patience: float = 300) -> None:
    """Importing PyTorch is no interesting moment: the clock of a kill runs from the first new result."""
    began = time.monotonic()
    while finished(folder) == done and time.monotonic() - began < patience and process.poll() is None:
        time.sleep(0.05)


def kill(samples: int, kills: int, seed: int) -> None:
    random.seed(seed)
    with tempfile.TemporaryDirectory(prefix="gooddrag-resilience-") as scratch:
        whole, broken = Path(scratch, "undisturbed"), Path(scratch, "disturbed-1")
        os.environ["GOODDRAG_CACHE"] = str(Path(scratch, "cache-1"))
        began = time.monotonic()
        reference = work(whole, 0, samples)
        total, each = len(reference), (time.monotonic() - began) / len(reference)
        print(f"undisturbed: {total} edits, {each:.1f} s each\n\n| kill | of | after, s | results then | half-written, "
              "hidden |\n" + "|---" * 5 + "|", flush=True)  # fmt: skip
        os.environ["GOODDRAG_CACHE"] = str(Path(scratch, "cache-2"))  # LoRA files are written under fire, too
        n = rounds = 0
        while n < kills:
            if finished(broken) > 0.7 * total:  # begin again rather than kill an idle process
                broken = Path(scratch, f"disturbed-{int(broken.name.rpartition('-')[2]) + 1}")
            workers, rounds = 2 * (rounds % 2), rounds + 1
            process = start(broken, workers, samples)
            wait_for_result(broken, process, finished(broken))
            for victim in [*["worker"] * (3 if workers else 0), "runner"]:  # workers are replaced, the run goes on
                pause = random.uniform(0, 2 * each)
                time.sleep(pause)
                target = process if victim == "runner" else pick_worker(process)
                if process.poll() is not None or target is None:
                    break
                os.kill(target.pid, signal.SIGKILL)
                n += 1
                hidden = sum(1 for pattern in ("results/*/*/.*", "samples/.*") for _ in broken.glob(pattern))
                name = f"{victim}{' with two workers' if workers and victim == 'runner' else ''}"
                print(f"| {n} | {name} | {pause:.1f} | {finished(broken)} of {total} | {hidden} |", flush=True)
            process.kill()
            process.wait()
        folders = sorted(p for p in Path(scratch).glob("disturbed-*") if p.is_dir())
        for folder in folders:
            two = [start(folder, 0, samples), start(folder, 0, samples)]  # and to the end, two runners at once
            codes = [p.wait() for p in two]
            assert codes == [0, 0], folder.with_suffix(".log").read_text()[-2000:]
            table = benchmark.load(folder)
            assert table[SAME].equals(reference[SAME]), "the table differs from the undisturbed run's"
            assert len(list(folder.glob("results/*/*/*/metrics.json"))) == total, "a task lost or doubled"
            assert not list(folder.glob("results/*/*/.*")), "leftovers"
        print(f"\nafter {n} kills, {len(folders)} folder(s) finished by two runners at once: {total} of {total} edits "
              "in each, every column equal to the undisturbed run's, no leftovers")  # fmt: skip


def overhead(samples: int) -> None:
    """Wall time of a run beyond its tasks, per task; and against the embedded model's tasks."""
    with tempfile.TemporaryDirectory(prefix="gooddrag-overhead-") as scratch:
        os.environ["GOODDRAG_CACHE"] = scratch
        model = gd.load_model(str(MODEL))
        edits = [gd.storybook.edit(i, 128) for i in range(samples)]
        methods = {name: QUICK[name] for name in ("Unedited", "Copy-paste")}
        start = time.perf_counter()
        table = benchmark.run(Path(scratch, "tiny"), edits, methods, model=model, progress=False)
        wall = time.perf_counter() - start
        own = wall - table[["edit_seconds", "score_seconds"]].sum().sum()
        print(f"{len(table)} edits: {1000 * own / len(table):.0f} ms of the runner per edit")
        start = time.perf_counter()
        table = benchmark.run(Path(scratch, "book"), edits[:2], {"GoodDrag": METHODS["GoodDrag"]},
                              model=gd.load_model("storybook"), progress=False)  # fmt: skip
        wall = time.perf_counter() - start
        tasks = table[["lora_seconds", "prepare_seconds", "edit_seconds", "score_seconds"]].sum().sum()
        print(f"GoodDrag with the embedded model, {len(table)} edits: {wall:.1f} s, {tasks:.1f} s of them in the "
              f"tasks: overhead {100 * (wall - tasks) / tasks:.2f} %")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kill", "overhead", "work"))
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.what == "work":
        work(options.folder, options.workers, options.samples)
    elif options.what == "kill":
        kill(options.samples, options.kills, options.seed)
    else:
        overhead(options.samples)


if __name__ == "__main__":
    main()
