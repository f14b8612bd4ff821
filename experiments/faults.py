"""Break an edit in every way that life knows, run it again, and compare with an undisturbed one.

    python scripts/faults.py            every row of the table
    python scripts/faults.py kill       the rows with this word in them

A tiny random model, so a row takes seconds. Needs Linux.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MODEL = Path(__file__).parents[1] / "tests" / "data" / "conformance" / "tiny-sd"
PHASES = ("LoRA", "inversion", "drag", "decode", "save")
BENCH = "the second edit of a benchmark"


def work(phase: str, fault: str) -> None:
    """One edit from image to folder, or a benchmark of two edits; the fault happens as the phase is entered."""
    import gooddrag as gd
    from gooddrag import phases

    def strike(name: str) -> None:
        if name != phase or not fault:
            return
        if fault == "interrupt":
            raise KeyboardInterrupt
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "full disk":  # a file may not grow beyond a page: what writing to a full disk looks like
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        if fault == "swap":  # the files of the model that is running
            for file in Path(MODEL.name).rglob("*.safetensors"):
                file.write_bytes(b"another model")
        if fault == "clock":
            time.time = lambda: 0.0

    class Watcher:
        def enter(self, name: str) -> None:
            strike(name)

        def leave(self, name: str) -> None:
            pass

    folder = MODEL.name if Path(MODEL.name).is_dir() else str(MODEL)
    model, lora = gd.load_model(folder, device="cpu"), gd.LoraConfig(rank=2, steps=3, batch_size=1)
    config = gd.DragConfig(num_steps=4, K=2, B=1, J=1)
    if phase == BENCH:
        bench(model, lora, config, strike)
        return
    with phases.watched(Watcher()):
        sample = gd.storybook.edit(3, 64)
        result = gd.DragEditor(model, lora).set_image(sample.image).drag(sample, config=config)
    strike("save")
    result.save("out")


def bench(model, lora, config, strike: Callable[[str], None]) -> None:
    """Two edits by two methods; what is equal in every run of it goes into a table."""
    import gooddrag as gd
    from gooddrag import benchmark
    from gooddrag.baselines import Dragging

    class Struck(Dragging):
        def edit(self, model, sample, seed=0, callback=None):
            if sample.points.tolist() == second.points.tolist():
                strike(BENCH)
            return super().edit(model, sample, seed, callback)

    first, second = (gd.storybook.edit(i, 64) for i in (3, 4))
    methods = {"GoodDrag": Struck(config, lora), "without IP": Struck(dataclasses.replace(config, ip=False), lora)}
    table = benchmark.run("out", [first, second], methods, model=model, progress=False)
    same = [c for c in benchmark.COLUMNS if c not in benchmark.TIMES]
    Path("out", "table.json").write_text(table[same].to_json(orient="records", indent=1))


def start(place: Path, phase: str = "", fault: str = "") -> subprocess.Popen:
    env = {**os.environ, "GOODDRAG_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    place.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, __file__, "--work", phase, fault], cwd=place, env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip


def run(place: Path, phase: str = "", fault: str = "") -> str:
    """What happened: "ended", or how it did not."""
    process = start(place, phase, fault)
    _, said = process.communicate(timeout=600)
    if process.returncode == 0:
        return "ended"
    last = (said.strip().splitlines() or [""])[-1]
    return f"signal {-process.returncode}" if process.returncode < 0 else last.split(": ")[0][:40]


def files(place: Path) -> dict[str, bytes]:
    """What an edit or a benchmark wrote and what is equal in every run, leftovers of an interrupted writer with it."""
    found = sorted((place / "out").rglob("*")) if (place / "out").is_dir() else []
    benched = (place / "out" / "results").is_dir()  # its records hold times, its samples are inputs
    return {str(p.relative_to(place)): p.read_bytes() for p in found if p.is_file() and p.name != "overview.png"
            and (not benched or p.name in ("image.png", "table.json"))}  # fmt: skip


def damaged_cache(place: Path, damage: Callable[[bytes], bytes]) -> str:
    run(place)
    (file,) = place.glob("cache/lora/*")
    file.write_bytes(damage(file.read_bytes()))
    return run(place)


def swapped_weights(place: Path) -> str:
    """The model's folder is overwritten while the model runs."""
    shutil.copytree(MODEL, place / MODEL.name)
    happened = run(place, "drag", "swap")
    shutil.rmtree(place / MODEL.name)
    return happened


def two_at_once(place: Path) -> str:
    both = [start(place), start(place)]
    return "; ".join("ended" if p.wait(600) == 0 else f"code {p.returncode}" for p in both)


def in_the_way(place: Path, name: str) -> str:
    """A file where the edit wants a folder."""
    place.mkdir(exist_ok=True)
    (place / name).write_text("")
    happened = run(place)
    (place / name).unlink()
    return happened


ROWS: dict[str, Callable[[Path], str]] = {
    **{f"{fault} in {phase}": lambda place, f=fault, p=phase: run(place, p, f)
       for fault in ("interrupt", "kill", "full disk") for phase in (*PHASES, BENCH)},
    "clock jumps in drag": lambda place: run(place, "drag", "clock"),
    "weights swapped in drag": swapped_weights,
    "cached LoRA truncated": lambda place: damaged_cache(place, lambda b: b[:-100]),
    "cached LoRA with one bit flipped":
        lambda place: damaged_cache(place, lambda b: b[:-3] + bytes([b[-3] ^ 1]) + b[-2:]),
    "two processes on one cache and output": two_at_once,
    "output is a file": lambda place: in_the_way(place, "out"),
    "cache cannot be written": lambda place: in_the_way(place, "cache"),
}  # fmt: skip


def main(word: str = "") -> int:
    bad = 0
    with tempfile.TemporaryDirectory(prefix="gooddrag-faults-") as scratch:
        expected = {}
        for phase in ("", BENCH):
            run(Path(scratch, f"undisturbed {phase}"), phase)
            expected[phase] = files(Path(scratch, f"undisturbed {phase}"))
            assert expected[phase], "the undisturbed run wrote nothing"
        print("| fault | what happened | half-written output | plain rerun |\n|---|---|---|---|", flush=True)
        for number, (name, disturb) in enumerate(row for row in ROWS.items() if word in row[0]):
            place, phase = Path(scratch, str(number)), BENCH if BENCH in name else ""
            happened = disturb(place)
            there, whole = files(place), expected[phase]
            # a benchmark keeps the edits that were finished; an edit's folder is there or not
            half = there.items() <= whole.items() if phase else there in ({}, whole)
            again = run(place, phase)
            same = again == "ended" and files(place) == whole
            bad += not (half and same)
            print(f"| {name} | {happened} | {'none' if half else 'YES'} | "
                  f"{'same result, nothing lost' if same else f'differs ({again})'} |", flush=True)  # fmt: skip
    return bad


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:4])
    else:
        sys.exit(main(*sys.argv[1:2]))
