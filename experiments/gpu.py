"""One command on a bare machine with a GPU: PyTorch is there, diffusers and the network are not. Run it as a script:

wheels                with the network, here: fill wheels/ (git ignores it), which then has to be carried along
train --minutes 8     train the embedded model; the U-Net in pieces, the log and training.json come back in $OUT
measure               an edit of Stable Diffusion 1.5's shape with random weights, beside what `cost` predicts; float64
                      beside the CPU and the recording; a bare pass compiled. $OUT/measure.json
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT, SITE, WHEELS = Path(os.environ.get("OUT", "out")).resolve(), ROOT / ".site", ROOT / "wheels"
PACKAGES = ("diffusers", "importlib_metadata", "platformdirs")  # what such a machine lacks
TARGET = ["--no-deps", "--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]
TARGET += [f"--platform=manylinux{n}_x86_64" for n in ("_2_28", "_2_27", "_2_17", "2014", "1")]
PIP = [sys.executable, "-m", "pip", "--quiet"]


def train(device: str, minutes: float, recipe: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work, weights = Path(folder, "work"), Path(folder, "weights")
        training = [sys.executable, "-m", "storybook.training"]
        how = ["--device", device, "--minutes", str(minutes), "--cooldown", "0.25", "--set", *recipe]
        how += ["--eager"] if device == "cpu" else []
        subprocess.run([*training, "unet", "--work", work, *how], check=True)
        subprocess.run([*training, "export", "--work", work, "--out", weights, "--pieces", "15MB"], check=True)
        OUT.mkdir(parents=True, exist_ok=True)
        for file in (*weights.glob("unet/*"), *weights.glob("*.json*")):  # few files come back: nothing that is known
            shutil.copy(file, OUT / file.name)


def measure(device: str, *, tiny: bool) -> None:
    import numpy as np
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    from experiments import cost
    from experiments.keep import machine, write_json
    from gooddrag.checkpoints import SD_DDIM
    from gooddrag.config import DragConfig, LoraConfig
    from gooddrag.editor import DragEditor
    from gooddrag.model import DiffusionModel, load_model
    from gooddrag.sample import Sample
    from storybook.edits import edit

    dtype = torch.float16 if device == "cuda" else torch.float32
    smaller = {"block_out_channels": (32,) * 4} if tiny else {}
    shape = {**cost.SD15_UNET, **smaller}, {**cost.SD15_VAE, **smaller}
    unet, vae = UNet2DConditionModel.from_config(shape[0]), AutoencoderKL.from_config(shape[1])
    parts = unet.to(device, dtype), vae.to(device, dtype), DDIMScheduler(**SD_DDIM), torch.zeros(1, 77, 768)
    model = DiffusionModel("sd15-shape", *parts)
    config = DragConfig(K=1 if tiny else 70, stop_distance=None, stop_unmoved=None)
    sample, lora = edit(100, 128 if tiny else 512), LoraConfig(steps=1 if tiny else 70)
    report: dict = {"machine": machine(model), "dtype": str(dtype)}
    for name, low in {"full": False, "low": True}.items():
        needs = cost.needs(*shape, dtype, size=sample.image.width // 8, low=low)
        editor = DragEditor(model, lora, seed=int(low), low_memory=low)  # another seed: no LoRA of the first run
        acts = {"LoRA": partial(editor.set_image, sample.image), "inversion": partial(editor.invert, config)}
        acts |= dict.fromkeys(("drag", "second drag"), partial(editor.drag, sample, config=config))
        report[name] = {"predicted": cost.memory_plan(needs, config, low=low), "measured": cost.measured(model, acts)}
        write_json(OUT / "measure.json", report)  # what comes after it may run out of time
    case = ROOT / "tests" / "data" / "conformance"
    known, latents = Sample.open(case / "case_A"), {}
    for place in ("cpu", device):
        net = load_model(case / "tiny-sd", device=place, dtype=torch.float64)
        latents[place] = DragEditor(net, None).set_image(known.image).drag(known, config=DragConfig()).latent.cpu()
    with np.load(case / "case_A" / "released_float64.npz") as recorded:
        latents["recorded"] = torch.from_numpy(recorded["final/latent"])
    report["float64, largest difference to"] = {k: float((latents[device] - z).abs().max()) for k, z in latents.items()}
    report["bare pass, forward and with backward"] = cost.bare_seconds(model, editor.z_0)
    model.unet.compile()
    report["the same, compiled"] = cost.bare_seconds(model, editor.z_0)
    write_json(OUT / "measure.json", report)
    print((OUT / "measure.json").read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["wheels", "train", "measure"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--set", nargs="*", default=["batch=256", "workers=14"], help="fields of the recipe")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: a small U-Net, 128 px, one drag operation")
    options = parser.parse_args()
    if options.task == "wheels":
        raise SystemExit(subprocess.run([*PIP, "download", *TARGET, "-d", str(WHEELS), *PACKAGES]).returncode)
    if WHEELS.exists():
        offline = ["--no-index", "--find-links", str(WHEELS), "--no-deps", "--upgrade", "--target", str(SITE)]
        subprocess.run([*PIP, "install", *offline, *PACKAGES], check=True)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(SITE)])
    sys.path[:0] = [str(ROOT), str(SITE)]
    if options.task == "train":
        train(options.device, options.minutes, options.set)
    else:
        measure(options.device, tiny=options.tiny)
