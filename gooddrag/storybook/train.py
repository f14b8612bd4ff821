"""Train the storybook model from nothing: `gooddrag train-storybook`, or python -m gooddrag.storybook.train."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel

from gooddrag.storybook.pictures import WORLD, Pictures
from gooddrag.storybook.recipe import Recipe
from gooddrag.storybook.sitting import Sitting
from gooddrag.storybook.train_autoencoder import train_autoencoder
from gooddrag.storybook.train_unet import COOLED, TRUNK, train_unet
from gooddrag.storybook.training_files import HISTORY, LOG, export, load_checkpoint, save_checkpoint


def train(
    out: str | Path,
    *,
    work: str | Path,
    minutes: float | None = None,
    ae_minutes: float = 15.0,
    cooldown: float | None = None,
    resume: bool = True,
    start: str | Path | None = None,
    export_only: bool = False,
    seed: int = 0,
    threads: int | None = None,
    processes: int = 2,
    recipe: Recipe | None = None,
    steps: dict[str, int] | None = None,
    command: str = "",
) -> dict:
    """Train the autoencoder, then the U-Net, and write `out` in diffusers' layout with a model card.

    A sitting may end at any time (SIGTERM, SIGINT, the budget, a power cut): the next one with the same `work` goes on.

    Args:
        out: folder of weights: vae/, unet/, scheduler/, training.json, README.md.
        work: folder that survives between sittings: pictures (50 MB per 1,000), checkpoints, metrics.jsonl.
        minutes: budget of the U-Net, counted over all sittings; None trains until it is stopped; 0 leaves it out.
        ae_minutes: budget of the autoencoder, counted over all sittings; more than before refines its decoder.
        cooldown: minutes in which the learning rate falls to zero, on a branch of its own: for the weights to ship.
        resume: False forgets the checkpoints in `work`, but not its pictures.
        start: folder of weights to begin with where `work` has no checkpoint (a new optimiser; the counts go on).
        export_only: only write `out` from the newest checkpoint in `work`; another process may be training there.
        seed: of weights, noise and draws. The pictures do not depend on it.
        threads: for torch; default: as torch likes.
        processes: that draw pictures while the training waits; 0 draws in this one.
        recipe: everything else.
        steps: budgets in steps instead of minutes, by phase: {"autoencoder": 100, "unet": 100}.
        command: for the model card.

    Returns:
        What the model card says, as in training.json.
    """
    out, work, recipe = Path(out), Path(work), recipe or Recipe()
    for name, value in {"minutes": minutes, "ae_minutes": ae_minutes, "cooldown": cooldown}.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name}: {value}; expected a number >= 0")
    if export_only:
        return _export(out, work, recipe, command)
    if not resume:
        for name in ("autoencoder.safetensors", TRUNK, COOLED):
            (work / name).unlink(missing_ok=True)
    if threads:
        torch.set_num_threads(threads)
    budgets = {"autoencoder": ae_minutes} | ({} if minutes is None else {"unet": minutes})
    sitting = Sitting(work, seed, recipe.save_seconds, budgets, steps or {})
    pictures = Pictures(work, recipe.size, recipe.shard, recipe.photos, processes)
    begin = _begin_with(Path(start), work, recipe) if start is not None else None
    with sitting.watching_signals():
        vae, _ = train_autoencoder(recipe, pictures, sitting)
        if not sitting.stopped() and minutes != 0:
            train_unet(recipe, vae, pictures, sitting, begin, cooldown)
    return _export(out, work, recipe, command)


def _begin_with(folder: Path, work: Path, recipe: Recipe) -> tuple[UNet2DConditionModel, dict]:
    """Weights and counts of a folder; its autoencoder becomes that of `work` if `work` has none."""
    try:
        for part in ("vae", "unet"):
            if not (folder / part).is_dir():  # or diffusers would look for it on the Hub
                raise OSError(f"{part}/ is missing")
        vae = AutoencoderTiny.from_pretrained(folder, subfolder="vae")
        unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        card = json.loads((folder / "training.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"start: {str(folder)!r} is not a folder of weights from this training: {error}") from error
    if not (work / "autoencoder.safetensors").exists():
        optimizer = torch.optim.AdamW(vae.parameters())
        progress = {"step": card["ae_steps"], "seconds": 3600 * card["ae_hours"], "folded": True, "done": True}
        progress["held_out"] = {k: v for k, v in card["held_out"].items() if k.startswith("db_")}
        save_checkpoint(work / "autoencoder.safetensors", {"vae": vae}, optimizer, torch.Generator(), progress)
    if (folder / HISTORY).exists() and not (work / LOG).exists():
        shutil.copyfile(folder / HISTORY, work / LOG)
    return unet, {"step": card["steps"], "samples": card["samples"], "seconds": 3600 * card["hours"]}


def _export(out: Path, work: Path, recipe: Recipe, command: str) -> dict:
    """Write what the newest checkpoints hold, with the averaged weights of the U-Net."""
    if not (work / "autoencoder.safetensors").exists():
        raise ValueError(f"work: {str(work)!r} has no autoencoder.safetensors; expected a folder that was trained in")
    vae, unet, progress = recipe.autoencoder(), None, {}
    ae = load_checkpoint(work / "autoencoder.safetensors", {"vae": vae})
    branches = [work / name for name in (TRUNK, COOLED) if (work / name).exists()]
    if branches:
        unet = recipe.unet()
        progress = load_checkpoint(max(branches, key=os.path.getmtime), {"ema": unet})
    card = {
        "world": WORLD,
        "size": recipe.size,
        "photo_share": recipe.photos / recipe.shard,
        "pictures": max(progress.get("pictures", 0), recipe.first_shards * recipe.shard),
        "channels": list(recipe.channels),
        "vae_parameters": sum(p.numel() for p in vae.parameters()),
        "unet_parameters": sum(p.numel() for p in unet.parameters()) if unet else 0,
        "ae_steps": ae["step"],
        "ae_hours": round(ae["seconds"] / 3600, 4),
        "steps": progress.get("step", 0),
        "samples": progress.get("samples", 0),
        "hours": round(progress.get("seconds", 0.0) / 3600, 4),
        "cooled_down": "branched_at" in progress,
        "threads": torch.get_num_threads(),
        "latent_mean": ae.get("latent_mean"),
        "latent_std": ae.get("latent_std"),
        "lora_lr": recipe.lora_lr,
        "held_out": ae["held_out"] | progress.get("held_out", {}),
        "command": command or "gooddrag train-storybook",
    }
    export(out, vae, unet, card, work / LOG)
    return card


def main(argv: list[str] | None = None) -> None:
    """The command line of a background run."""
    parser = argparse.ArgumentParser("python -m gooddrag.storybook.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of weights to write")
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures, checkpoints and metrics.jsonl")
    parser.add_argument("--minutes", type=float, help="budget of the U-Net over all sittings; 0: none")
    parser.add_argument("--ae-minutes", type=float, default=15.0, help="budget of the autoencoder over all sittings")
    parser.add_argument("--cooldown", type=float, help="minutes of falling learning rate, on a branch of its own")
    parser.add_argument("--no-resume", dest="resume", action="store_false", help="forget the checkpoints in --work")
    parser.add_argument("--from", dest="start", type=Path, help="folder of weights to begin with")
    parser.add_argument("--export-only", action="store_true", help="only write --out from the newest checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--processes", type=int, default=2, help="that draw pictures")
    parser.add_argument("--channels", type=int, nargs=3, help="of the U-Net's three levels")
    arguments = vars(parser.parse_args(argv))
    channels = arguments.pop("channels")
    recipe = dataclasses.replace(Recipe(), channels=tuple(channels)) if channels else Recipe()
    command = shlex.join(["python", "-m", "gooddrag.storybook.train", *(argv if argv is not None else sys.argv[1:])])
    try:
        card = train(recipe=recipe, command=command, **arguments)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    json.dump(card["held_out"], sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
