"""Do bfloat16 and channels_last pay on a CPU? One pass and a whole drag in each format, in turn, there and back.

    python benchmarks/cpu_formats.py            the embedded model; writes results/cpu_formats.json

A pass is the U-Net forward, and there and back to the latent. A drag is short, without a LoRA and without early stops;
"apart" is how far its picture lies from that of float32, root mean square of images in [0, 1]. Ratios are float32 /
format, above 1 where the format is faster; the best of both turns, since a machine that warms up, or is disturbed,
would favour whoever comes last.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import gooddrag as gd
from experiments.cost.bare import bare_times
from gooddrag.devices import machine
from gooddrag.files import atomic_file

ROOT = Path(__file__).parents[1]
CONFIG = gd.DragConfig(num_steps=20, K=6, B=2, J=2, stop_unmoved=None, stop_distance=None)
FORMATS = {
    "float32": (torch.float32, torch.contiguous_format),
    "float32, channels_last": (torch.float32, torch.channels_last),
    "bfloat16": (torch.bfloat16, torch.contiguous_format),
    "bfloat16, channels_last": (torch.bfloat16, torch.channels_last),
}


def measured(name: str, dtype: torch.dtype, layout: torch.memory_format, edit: gd.Sample, repeats: int) -> tuple:
    """Seconds of a forward pass, of the way back, and of a drag; and its picture."""
    model = gd.load_model(name, device="cpu", dtype=dtype)
    model.unet.to(memory_format=layout)
    editor = gd.DragEditor(model).set_image(edit.image)
    editor.invert(CONFIG)
    bare = bare_times(model, editor.z_0.to(memory_format=layout), [1, 4], repeats)
    seconds = []
    for _ in range(2):  # the first one warms up
        editor.forget_source()
        start = time.perf_counter()
        result = editor.drag(edit, config=CONFIG)
        seconds.append(time.perf_counter() - start)
    times = {"forward": bare.forward[1][0], "forward, four latents": bare.forward[4][0],
             "there and back": bare.there_and_back[1][0], "drag": seconds[-1]}  # fmt: skip
    return times, result.tensor.float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "results" / "cpu_formats.json")
    options = parser.parse_args()
    edit, best, pictures = gd.storybook.edit(100), {}, {}
    for title in [*FORMATS, *reversed(FORMATS)]:
        times, pictures[title] = measured(options.model, *FORMATS[title], edit, options.repeats)
        best[title] = {what: min(value, best.get(title, times)[what]) for what, value in times.items()}
        print(title, times)
    plain = next(iter(FORMATS))
    rows = {title: {
        "seconds": {what: round(value, 4) for what, value in best[title].items()},
        "ratio": {what: round(best[plain][what] / value, 2) for what, value in best[title].items()},
        "apart": round(float((pictures[title] - pictures[plain]).square().mean().sqrt()), 5),
    } for title in FORMATS}  # fmt: skip
    report = {"model": options.model, "rows": rows,
              "machine": f"{machine()}, {torch.backends.cpu.get_cpu_capability()}"}  # fmt: skip
    with atomic_file(options.out) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
