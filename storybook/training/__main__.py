"""Train the storybook model: `python -m storybook.training unet --work .training/unet --minutes 60`."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel

from gooddrag.checkpoints import SD_DDIM
from gooddrag.files import atomic_folder
from storybook.training import autoencoder, unet
from storybook.training.sitting import load_checkpoint

WEIGHTS = Path(__file__).parents[1] / "weights"


def changed(recipe, settings: list[str]):
    """The recipe with settings like "batch=256", each read as the type of its field."""
    pairs = (setting.split("=", 1) for setting in settings)
    return replace(recipe, **{name: type(getattr(recipe, name))(value) for name, value in pairs})


def export(options: argparse.Namespace, net: UNet2DConditionModel, card: dict) -> None:
    """Write diffusers' layout in half precision, and beside it training.json, the whole log and the teacher."""
    progress = load_checkpoint(options.work / "unet.safetensors", {"ema": net})
    card |= {"samples": progress["samples"], "hours": round(progress["seconds"] / 3600, 3)}
    card |= {"pictures": progress["drawn"], "held_out": card.get("held_out", {}) | progress.get("held_out", {})}
    vae = AutoencoderTiny.from_pretrained(options.weights / "vae")
    if options.autoencoder:
        vae, card["size"] = autoencoder.Recipe().build(), autoencoder.Recipe().size
        card["held_out"] |= load_checkpoint(options.autoencoder / "autoencoder.safetensors", {"vae": vae})["held_out"]
    logs, teacher = (options.weights / "history.jsonl", options.work / "metrics.jsonl"), options.weights / "teacher"
    with atomic_folder(options.out, argument="out") as folder:
        net.half().save_pretrained(folder / "unet", max_shard_size=options.pieces)
        vae.half().save_pretrained(folder / "vae")
        DDIMScheduler(**SD_DDIM).save_pretrained(folder / "scheduler")
        (folder / "training.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (folder / "history.jsonl").write_text("".join(log.read_text() for log in logs if log.exists()))
        if teacher.exists():
            shutil.copytree(teacher, folder / "teacher")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m storybook.training", description=__doc__)
    parser.add_argument("part", choices=("unet", "autoencoder", "export"))
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
    card = json.loads((options.weights / "training.json").read_text(encoding="utf-8"))
    teacher = options.weights / "teacher"  # gives the latents of pages of half the size; without one the model's own
    vae = AutoencoderTiny.from_pretrained(teacher if teacher.exists() else options.weights / "vae").float()
    net = UNet2DConditionModel.from_pretrained(options.weights, subfolder="unet").float()
    if options.part == "export":
        export(options, net, card)
        return
    more = {"device": options.device, "compiled": not options.eager, "cooldown": options.cooldown}
    more |= {"budget": options.samples, "minutes": options.minutes}
    if options.part == "autoencoder":
        autoencoder.train_autoencoder(vae, options.work, changed(autoencoder.Recipe(), options.set), **more)
    else:
        before = {"samples": card["samples"], "seconds": 3600 * card["hours"], "drawn": card["pictures"]}
        unet.train_unet(net, vae, options.work, changed(unet.Recipe(), options.set), before=before, **more)


if __name__ == "__main__":
    main()
