"""Every number of one result, and of a whole folder again without rerunning anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from tqdm.auto import tqdm

from gooddrag import metrics
from gooddrag.benchmark.folder import Folder, model_identity
from gooddrag.files import atomic_file
from gooddrag.images import load_image
from gooddrag.loading import load_model
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample


def scores(model: DiffusionModel, sample: Sample, image: Image.Image, round_trip: Image.Image,
           known: dict | None = None) -> dict[str, float]:  # fmt: skip
    """The metrics of an edited image; what needs a truth is there for samples that have one.

    Args:
        round_trip: `vae_round_trip(model, sample.image)`, Eq. 10's phi(z_0), the same for every method.
        known: features of images, shared by calls on one sample (see `metrics.mean_distance`).

    Returns:
        dai_1, dai_5, ...: Eq. 10 at Table 1's radii, as printed; dai_released_1, ...: as the released code has it.
        md, md_truth: px; where the model's features find the handle of the original, and the target of the truth.
        ssim_truth, psnr_truth, and what `metrics.edit_metrics` gives.
    """
    found, known = {}, {} if known is None else known
    for gamma in metrics.GAMMAS:
        found[f"dai_{gamma}"] = metrics.dai(round_trip, image, sample.points, gamma)
        found[f"dai_released_{gamma}"] = metrics.dai(sample.image, image, sample.points, gamma, "released")
    found["md"] = metrics.mean_distance(model, sample, image, known=known)
    if sample.truth is not None:
        found["md_truth"] = metrics.mean_distance(model, sample, image, "truth", known=known)
        found["ssim_truth"] = metrics.ssim(sample.truth, image)
        psnr = metrics.psnr(sample.truth, image)
        found["psnr_truth"] = min(psnr, 100.0)  # JSON has no infinity; 8 bits cannot tell more than 48 dB a pixel apart
    return found | metrics.edit_metrics(sample, image)


def round_trip(folder: Folder, name: str, sample: Sample, model: DiffusionModel) -> Image.Image:
    """The sample through the VAE, kept in its folder."""
    file = folder.path / "samples" / name / "round_trip.png"
    if not file.exists():
        with atomic_file(file) as temporary:
            metrics.vae_round_trip(model, sample.image).save(temporary)
    return load_image(file)


def score(path: str | Path, model: str | DiffusionModel | None = None, vae: str | None = None,
          progress: bool = False, learned: Sequence[str] = ()) -> int:  # fmt: skip
    """Compute the metrics of every finished result in a folder anew, from the images; nothing is edited again.

    Args:
        path: a folder of `run`.
        model: the model of the folder, or what `load_model` takes; default: the model by the name that the folder has
            for it, which is enough for "storybook" and "sd15".
        learned: some of `metrics.LEARNED` besides, trained networks that want their extra and download their weights.
            Those of an earlier call stay.

    Returns:
        How many results were scored.

    Raises:
        ValueError: no such folder; the model is not the one whose results these are; another name in `learned`.
        ImportError: a learned metric's library is missing.
    """
    folder = Folder(path)
    if learned:  # before anything is rewritten
        nothing = Image.new("RGB", (256, 256))
        metrics.learned_scores(learned, nothing, nothing)
    identity = folder.identity
    if model is None and identity["model"] not in ("storybook", "sd15"):
        raise ValueError(f"model: none given, and this folder only knows the last part of its name, "
                         f"{identity['model']!r}; expected its folder or Hub id")  # fmt: skip
    if not isinstance(model, DiffusionModel):
        model = load_model(model or identity["model"], dtype=getattr(torch, identity["dtype"]), vae=vae)
    if model_identity(model) != identity:
        raise ValueError(f"model: {model.label} with weights {model.fingerprint}; expected this folder's "
                         f"{identity['model']} with weights {identity['weights']} and its VAE and dtype")  # fmt: skip
    count, last = 0, None
    for name, seed, method in tqdm(folder.planned(), desc="score", unit="result", disable=not progress, leave=False):
        if name != last:
            sample, known, last = folder.sample(name), {}, name
            phi = round_trip(folder, name, sample, model)
        with folder.lock(name, seed):
            record = folder.result(name, seed, method)
            if record is not None and record["state"] == "done":
                image = load_image(folder.place(name, seed, method) / "image.png")
                kept = {name: value for name, value in record["scores"].items() if name in metrics.LEARNED}
                asked = metrics.learned_scores(learned, sample.image, image, model.device)
                record["scores"] = scores(model, sample, image, phi, known) | kept | asked
                folder.rewrite(name, seed, method, record)
                count += 1
    return count
