"""Train the storybook model: `python -m storybook.training unet --work .training/unet --minutes 60`."""

import argparse
import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from storybook.training import autoencoder, unet
from storybook.training.files import export, load_checkpoint

WEIGHTS = Path(__file__).parents[1] / "weights"


def changed(recipe, settings: list[str]):
    """The recipe with settings like "batch=256", each read as its field's type."""
    types = {f.name: f.type for f in fields(recipe)}
    pairs = dict(setting.split("=", 1) for setting in settings)
    if unknown := sorted(pairs.keys() - types.keys()):
        raise SystemExit(f"--set: {unknown[0]}; expected one of {', '.join(types)}")
    read = {name: (value == "True") if types[name] is bool else types[name](value) for name, value in pairs.items()}
    return replace(recipe, **read)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m storybook.training", description=__doc__)
    parser.add_argument("part", choices=("unet", "autoencoder", "export"), nargs="?", default="unet")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="weights to begin with")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint and the log")
    parser.add_argument("--out", type=Path, help="export: folder that is written")
    parser.add_argument("--autoencoder", type=Path, help="export: work folder of another autoencoder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, help="budget; without one it trains until SIGTERM")
    parser.add_argument("--samples", type=int, help="the same in samples (U-Net) or steps (autoencoder)")
    parser.add_argument("--cooldown", type=float, default=0.0, help="last share of the budget, with a falling rate")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--pieces", default="1GB", help="export: largest file of weights")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="numbers of the recipe")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    card = json.loads((options.weights / "training.json").read_text(encoding="utf-8"))
    teacher = options.weights / "teacher"  # gives the latents of pages of half the size; without one the model's own
    vae = AutoencoderTiny.from_pretrained(teacher if teacher.exists() else options.weights / "vae").float()
    net = UNet2DConditionModel.from_pretrained(options.weights, subfolder="unet").float()
    budget = {"device": options.device, "minutes": options.minutes}
    if options.part == "autoencoder":
        recipe = changed(autoencoder.Recipe(), options.set)
        autoencoder.train_autoencoder(
            vae, options.work, recipe, steps=options.samples, compiled=not options.eager, **budget
        )
        return
    if options.part == "unet":
        recipe = changed(unet.Recipe(), options.set)
        before = {"samples": card["samples"], "seconds": 3600 * card["hours"], "drawn": card["pictures"]}
        more = {"samples": options.samples, "cooldown": options.cooldown, "compiled": not options.eager}
        unet.train_unet(net, vae, options.work, recipe, before=before, **budget, **more)
        return
    progress = load_checkpoint(options.work / "unet.safetensors", {"ema": net})
    card |= {
        "samples": progress["samples"],
        "hours": round(progress["seconds"] / 3600, 3),
        "pictures": progress["drawn"],
    }
    card["held_out"] = card.get("held_out", {}) | progress.get("held_out", {})
    vae = AutoencoderTiny.from_pretrained(options.weights / "vae")
    if options.autoencoder:
        vae = autoencoder.Recipe().build()
        card["held_out"] |= load_checkpoint(options.autoencoder / "autoencoder.safetensors", {"vae": vae})["held_out"]
        card["size"] = autoencoder.Recipe().size
    export(options.out, net, vae, card, options.work / "metrics.jsonl", options.pieces)
    if teacher.exists():
        shutil.copytree(teacher, options.out / "teacher", dirs_exist_ok=True)


if __name__ == "__main__":
    main()
