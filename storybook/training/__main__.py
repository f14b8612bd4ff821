import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from storybook.training.unet import Recipe, train_unet

if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--device", default="cpu")
    p.add_argument("--samples", type=int)
    p.add_argument("--minutes", type=float)
    p.add_argument("--cooldown", type=float, default=0.0)
    p.add_argument("--set", nargs="*", default=[])
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--no-compile", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    card = json.loads((a.weights / "training.json").read_text())
    own = {k: type(getattr(Recipe(), k))(float(v)) if not isinstance(getattr(Recipe(), k), (str, bool)) else (v if isinstance(getattr(Recipe(), k), str) else v == "True") for k, v in (x.split("=") for x in a.set)}
    vae = AutoencoderTiny.from_pretrained(a.weights, subfolder="vae")
    unet = UNet2DConditionModel.from_pretrained(a.weights, subfolder="unet")
    before = {"samples": card["samples"], "seconds": card["hours"] * 3600, "drawn": card["pictures"]}
    ema, progress = train_unet(unet.float(), vae.float(), a.work, Recipe(**own), device=a.device, samples=a.samples,
                               minutes=a.minutes, cooldown=a.cooldown, before=before, compiled=not a.no_compile)
    print(progress)
