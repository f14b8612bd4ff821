"""Train the storybook model from nothing: `gooddrag train-storybook`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors import SafetensorError

from gooddrag.files import check_writable
from gooddrag.storybook.pictures import WORLD, Pictures, photo_folder
from gooddrag.storybook.recipe import Recipe
from gooddrag.storybook.sitting import Sitting
from gooddrag.storybook.train_autoencoder import train_autoencoder
from gooddrag.storybook.train_unet import COOLED, TRUNK, no_trunk, train_unet, trunk_is_done
from gooddrag.storybook.training_files import (
    AUTOENCODER,
    HISTORY,
    LOG,
    export,
    load_checkpoint,
    one_line,
    refuse_unet,
    save_checkpoint,
)

COUNTS = ("ae_steps", "ae_hours", "steps", "samples", "hours", "held_out")  # what a training goes on with


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
) -> dict:
    """Train the autoencoder, then the U-Net, and write `out` in diffusers' layout with a model card.

    A sitting may end at any time (SIGTERM, SIGINT, the budget, a power cut): the next one with the same `work` goes on.

    Args:
        out: folder of weights: vae/, unet/, scheduler/, training.json, README.md.
        work: folder that survives between sittings: pictures (50 MB per 1,000), checkpoints, metrics.jsonl.
        minutes: budget of the U-Net, counted over all sittings; None trains until it is stopped, or with `cooldown` not
            at all; 0 leaves it out.
        ae_minutes: budget of the autoencoder, counted over all sittings; more than before refines its decoder.
        cooldown: minutes in which the learning rate falls to zero, after those of `minutes`, on a branch of its own:
            for the weights to ship.
        resume: False forgets the checkpoints and the log in `work`, but not its pictures.
        start: folder of weights to begin with where `work` has no checkpoint (a new optimiser; the counts go on).
        export_only: only write `out` from the newest checkpoint in `work`; another process may be training there.
        seed: of weights, noise and draws. The pictures do not depend on it.
        threads: for torch; default: as torch likes.
        processes: that draw pictures while the training waits; 0 draws in this one.
        recipe: everything else.
        steps: budgets in steps instead of minutes, by phase: {"autoencoder": 100, "unet": 100}.

    Returns:
        What the model card says, as in training.json.

    Raises:
        ValueError: an argument, or a file in a folder that it names, is not what it should be. Nothing that was
            trained is lost.
    """
    out, work, recipe, steps = Path(out), Path(work), recipe or Recipe(), steps or {}
    _check_numbers(recipe.channels, minutes=minutes, ae_minutes=ae_minutes, cooldown=cooldown)
    check_writable(out, "out")
    if export_only:
        return _export(out, work, recipe, _command(out, work, recipe, {}, {"--export-only": True}))
    options = {"--minutes": minutes, "--ae-minutes": ae_minutes, "--cooldown": cooldown, "--no-resume": not resume,
               "--from": start, "--seed": seed, "--threads": threads, "--processes": processes}  # fmt: skip
    command = _command(out, work, recipe, steps, options)
    check_writable(work, "work")
    photo_folder()
    trunk = minutes != 0 and (cooldown is None or minutes is not None or "unet" in steps)
    kept = resume and any((work / name).exists() for name in (TRUNK, COOLED))
    if cooldown is None and not (trunk or kept):
        refuse_unet(out)
    if cooldown is not None and not (trunk or kept or start is not None):
        raise no_trunk(work)
    if trunk and start is None and resume and (work / COOLED).exists() and not (work / TRUNK).exists():
        raise ValueError(f"start: none given; {str(work)!r} has a cooldown of weights that it no longer has; expected "
                         "--from with these, or another work folder")  # fmt: skip
    weights = None if start is None else _read_weights(Path(start), recipe)
    if weights and resume and not kept:
        _check_encoder(weights[0], Path(start), work, recipe)
    if not resume:  # now that nothing is left to refuse
        for name in (AUTOENCODER, TRUNK, COOLED, LOG):
            (work / name).unlink(missing_ok=True)
    begin = None if weights is None else _begin_with(*weights, Path(start), work)
    if threads:
        torch.set_num_threads(threads)
    budgets = {"autoencoder": ae_minutes} | ({} if minutes is None else {"unet": minutes})
    sitting = Sitting(work, seed, recipe.save_seconds, budgets, steps)
    pictures = Pictures(work, recipe.size, recipe.shard, recipe.photos, processes)
    with sitting.watching_signals():
        vae, _ = train_autoencoder(recipe, pictures, sitting)
        if trunk and not sitting.stopped() and (cooldown is None or not trunk_is_done(sitting)):
            train_unet(recipe, vae, pictures, sitting, begin)
        if cooldown is not None and not sitting.stopped():
            train_unet(recipe, vae, pictures, sitting, begin, cooldown)
    return _export(out, work, recipe, command)


def _check_numbers(channels: tuple[int, ...], **budgets: float | None) -> None:
    for name, value in budgets.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name}: {value}; expected a number >= 0")
    if any(c < 1 or c % 16 for c in channels):
        raise ValueError(f"channels: {channels}; expected multiples of 16")


def _command(out: Path, work: Path, recipe: Recipe, steps: dict[str, int], options: dict[str, object]) -> str:
    """The command line that asks for the same; a comment has what only Python can ask for."""
    words = ["gooddrag", "train-storybook", "--output", str(out), "--work", str(work)]
    words += ["--channels", *map(str, recipe.channels)]
    for option, value in options.items():
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    own = {f.name: getattr(recipe, f.name) for f in fields(recipe) if getattr(recipe, f.name) != f.default}
    own = {k: v for k, v in own.items() if k != "channels"} | ({"steps": steps} if steps else {})
    return shlex.join(words) + (f"  # {own}" if own else "")


def _read_weights(folder: Path, recipe: Recipe) -> tuple[AutoencoderTiny, dict, UNet2DConditionModel, dict]:
    """The autoencoder of a folder of weights with its progress, and the U-Net with its."""
    vae, unet = recipe.autoencoder(), recipe.unet()
    try:
        card = json.loads((folder / "training.json").read_text())  # first: diffusers has much to say of other models
        if missing := [name for name in COUNTS if name not in card]:
            raise ValueError(f"training.json has no {', '.join(missing)}")
        for name, module in {"vae": vae, "unet": unet}.items():
            if not (folder / name).is_dir():  # or diffusers would look for it on the Hub
                raise OSError(f"{name}/ is missing")
            module.load_state_dict(type(module).from_pretrained(folder, subfolder=name).state_dict())
        ae = {"step": int(card["ae_steps"]), "seconds": 3600 * float(card["ae_hours"]), "folded": True, "done": True}
        ae["held_out"] = {k: float(v) for k, v in dict(card["held_out"]).items() if k.startswith("db_")}
        ae |= {name: card.get(name) for name in ("latent_mean", "latent_std")}
        counts = {"step": int(card["steps"]), "samples": int(card["samples"]), "seconds": 3600 * float(card["hours"])}
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"start: {str(folder)!r} is not a folder of weights from this training, with channels "
                         f"{recipe.channels}: {one_line(error)}") from error  # fmt: skip
    return vae, ae, unet, counts


def _check_encoder(vae: AutoencoderTiny, folder: Path, work: Path, recipe: Recipe) -> None:
    """A U-Net may only go on with the latents that it was trained on: those of this encoder, its decoder aside."""
    if (work / AUTOENCODER).exists():
        load_checkpoint(work / AUTOENCODER, {"vae": (own := recipe.autoencoder())})
        pairs = zip(own.encoder.parameters(), vae.encoder.parameters(), strict=True)
        if not all(torch.equal(a.half(), b.half()) for a, b in pairs):
            raise ValueError(f"start: {str(folder)!r} has another encoder than {str(work)!r}; expected the same, or "
                             "another work folder")  # fmt: skip


def _begin_with(
    vae: AutoencoderTiny, ae: dict, unet: UNet2DConditionModel, counts: dict, folder: Path, work: Path
) -> tuple[UNet2DConditionModel, dict]:
    """The U-Net and its progress; the autoencoder and the log become those of `work` if `work` has none."""
    if not (work / AUTOENCODER).exists():
        optimizer = torch.optim.AdamW(vae.parameters())
        save_checkpoint(work / AUTOENCODER, {"vae": vae}, optimizer, torch.Generator(), ae)
    if (folder / HISTORY).exists() and not (work / LOG).exists():
        shutil.copyfile(folder / HISTORY, work / LOG)
    return unet, counts


def _export(out: Path, work: Path, recipe: Recipe, command: str) -> dict:
    """Write what the newest checkpoints hold, with the averaged weights of the U-Net."""
    if not (work / AUTOENCODER).exists():
        raise ValueError(f"work: {str(work)!r} has no {AUTOENCODER}; expected a folder that was trained in")
    vae, unet, progress = recipe.autoencoder(), None, {}
    ae = load_checkpoint(work / AUTOENCODER, {"vae": vae})
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
        "preset": recipe.preset,
        "held_out": ae["held_out"] | progress.get("held_out", {}),
        "command": command,
    }
    export(out, vae, unet, card, work / LOG)
    return card
