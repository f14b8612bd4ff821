"""One command on a bare machine with a GPU: PyTorch is there, diffusers and the network are not.

python experiments/gpu.py wheels                on a machine with the network: fill wheels/ (ignored by git)
python experiments/gpu.py train --minutes 8     train the embedded model, leave its weights in pieces in $OUT
python experiments/gpu.py measure               an edit of Stable Diffusion 1.5's shape, random weights; JSON in $OUT
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT, SITE, WHEELS = Path(os.environ.get("OUT", "out")).resolve(), ROOT / ".site", ROOT / "wheels"
PACKAGES = ("diffusers", "importlib_metadata", "platformdirs", "cma", "ipywidgets", "ipycanvas", "comm", "traitlets")
PACKAGES += ("ipython", "widgetsnbextension", "jupyterlab_widgets", "decorator", "stack_data", "prompt_toolkit")
PLATFORMS = [f"--platform=manylinux{n}_x86_64" for n in ("_2_28", "_2_27", "_2_17", "2014", "1")]
PIECE = 15_000_000  # bytes


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def fetch_wheels() -> None:
    target = ["--no-deps", "--only-binary=:all:", "--python-version=3.12", "--implementation=cp", *PLATFORMS]
    pip("download", "-q", *target, "-d", str(WHEELS), *PACKAGES)
    print(f"{sum(wheel.stat().st_size for wheel in WHEELS.iterdir()) / 2**20:.1f} MiB in {WHEELS.name}/")


def install() -> None:
    """The wheels into a folder beside the package, for this process and those that it starts."""
    if WHEELS.exists():
        there = ["--no-index", "--find-links", str(WHEELS), "--no-deps", "--upgrade", "--target", str(SITE)]
        pip("install", "-q", *there, *map(str, WHEELS.glob("*.whl")))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(SITE)])
    sys.path[:0] = [str(ROOT), str(SITE)]


def train(options: argparse.Namespace) -> None:
    """Run the training; its weights and logs come back in pieces (`cat NAME.* > NAME`), also when it fails."""
    command = [sys.executable, "-m", "storybook.training", "--weights", str(ROOT / "storybook" / "weights")]
    command += ["--work", str(OUT / "work"), "--device", options.device, "--minutes", str(options.minutes)]
    try:
        subprocess.run([*command, "--cooldown", "0.25", "--set", *options.set], check=True)
    finally:
        for file in (f for f in (OUT / "work").rglob("*") if f.suffix in (".safetensors", ".json", ".jsonl")):
            with file.open("rb") as source:
                for i, piece in enumerate(iter(lambda: source.read(PIECE), b"")):
                    (OUT / f"{file.name}.{i:02d}").write_bytes(piece)
        shutil.rmtree(OUT / "work")


def measure(options: argparse.Namespace) -> None:
    """An edit of Stable Diffusion 1.5's shape beside what `cost` predicts; float64 beside the CPU and the recording."""
    import numpy as np
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    from experiments import cost
    from experiments.keep import machine, write_json
    from gooddrag import model as models
    from gooddrag.config import DragConfig, LoraConfig
    from gooddrag.editor import DragEditor
    from gooddrag.sample import Sample
    from storybook.edits import edit

    device, tiny, case = options.device, options.tiny, ROOT / "tests" / "data" / "conformance"
    dtype = torch.float16 if device == "cuda" else torch.float32
    small = {"block_out_channels": (32,) * 4}
    shape = {**cost.SD15_UNET, **(small if tiny else {})}, {**cost.SD15_VAE, **(small if tiny else {})}
    unet, vae = UNet2DConditionModel.from_config(shape[0]), AutoencoderKL.from_config(shape[1])
    parts = unet.to(device, dtype), vae.to(device, dtype), DDIMScheduler(**models.SD_DDIM)
    model = models.DiffusionModel("sd15-shape", *parts, torch.zeros(1, 77, 768))
    sample, lora = edit(100, 64 if tiny else 512), LoraConfig(steps=1 if tiny else 70)
    config = DragConfig(K=1 if tiny else 70, stop_distance=None, stop_unmoved=None)
    report: dict = {"machine": machine(model), "dtype": str(dtype)}
    for low in (False, True):
        needs = cost.needs(*shape, lora, dtype, size=sample.image.width // 8, low=low)
        acts = cost.profile(model, sample, config, lora, low_memory=low)
        report["low" if low else "full"] = {"predicted": cost.memory_plan(needs, config, low=low), "acts": acts}
        write_json(OUT / "measure.json", report)
    short, latents = DragConfig(K=1, stop_distance=None, stop_unmoved=None), {}
    report["labels"] = cost.label_seconds(
        lambda: DragEditor(model, None).set_image(sample.image).drag(sample, config=short)
    )
    for place in ("cpu", device):
        net = models.load_model(case / "tiny-sd", device=place, dtype=torch.float64)
        known = Sample.open(case / "case_A")
        latents[place] = DragEditor(net, None).set_image(known.image).drag(known, config=DragConfig()).latent.cpu()
    with np.load(case / "case_A" / "released_float64.npz") as recorded:
        latents["recorded"] = torch.from_numpy(recorded["final/latent"])
    report["float64"] = {name: float((latents[device] - z).abs().max()) for name, z in latents.items()}
    write_json(OUT / "measure.json", report)
    model.unet.compile()
    report["compiled"] = cost.profile(model, sample, config, lora)
    write_json(OUT / "measure.json", report)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["wheels", "train", "measure"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--set", nargs="*", default=["batch=256", "workers=14"], help="the recipe's fields")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: a small U-Net, 64 px, one drag operation")
    options = parser.parse_args()
    if options.task == "wheels":
        fetch_wheels()
    else:
        install()
        {"train": train, "measure": measure}[options.task](options)
