"""Break an edit in every way that life knows, run it again, and compare with an undisturbed one.

    python scripts/faults.py            every row of the table
    python scripts/faults.py kill       the rows with this word in them

A tiny random model, so a row takes seconds. Needs Linux.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MODEL = Path(__file__).parents[1] / "tests" / "data" / "conformance" / "tiny-sd"
PHASES = ("LoRA", "inversion", "drag", "decode", "save")


def work(phase: str, fault: str) -> None:
    """One edit from image to folder; the fault happens as the phase is entered. In the folder that it runs in."""
    import gooddrag as gd
    from gooddrag import phases

    def strike(name: str) -> None:
        if name != phase:
            return
        if fault == "interrupt":
            raise KeyboardInterrupt
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "full disk":  # a file may not grow beyond a page: what writing to a full disk looks like
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        if fault == "clock":
            time.time = lambda: 0.0

    class Watcher:
        def enter(self, name: str) -> None:
            strike(name)

        def leave(self, name: str) -> None:
            pass

    with phases.watched(Watcher()):
        editor = gd.DragEditor(gd.load_model(str(MODEL), device="cpu"), gd.LoraConfig(rank=2, steps=3, batch_size=1))
        sample = gd.storybook.edit(3, 64)
        editor.set_image(sample.image)
        result = editor.drag(sample, config=gd.DragConfig(num_steps=4, K=2, B=1, J=1))
    strike("save")
    result.save("out")


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
    """What the edit wrote, leftovers of an interrupted writer with it."""
    found = sorted((place / "out").rglob("*")) if (place / "out").is_dir() else []
    return {p.name: p.read_bytes() for p in found if p.is_file() and p.name != "overview.png"}


def damaged_cache(place: Path, damage: Callable[[bytes], bytes]) -> str:
    run(place)
    (file,) = place.glob("cache/lora/*")
    file.write_bytes(damage(file.read_bytes()))
    return run(place)


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
       for fault in ("interrupt", "kill", "full disk") for phase in PHASES},
    "clock jumps in drag": lambda place: run(place, "drag", "clock"),
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
        run(Path(scratch, "undisturbed"))
        expected = files(Path(scratch, "undisturbed"))
        assert expected, "the undisturbed run wrote nothing"
        print("| fault | what happened | half-written output | plain rerun |\n|---|---|---|---|", flush=True)
        for number, (name, disturb) in enumerate(row for row in ROWS.items() if word in row[0]):
            place = Path(scratch, str(number))
            happened = disturb(place)
            half = "none" if files(place) in ({}, expected) else "YES"
            again = run(place)
            same = (
                "same result, nothing lost" if again == "ended" and files(place) == expected else f"differs ({again})"
            )
            bad += half != "none" or same.startswith("differs")
            print(f"| {name} | {happened} | {half} | {same} |", flush=True)
    return bad


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:4])
    else:
        sys.exit(main(*sys.argv[1:2]))
