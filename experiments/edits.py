"""The embedded model: what it does by itself, which preset suits it, and sheets of results chosen by rule."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import get_data_path
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from experiments.card import bench
from experiments.latents import denoised, there_and_back
from experiments.study import NO_STOP, Study, changes, page_distance
from gooddrag import plots
from gooddrag.algorithm import State
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import predict_z0
from gooddrag.editor import DragEditor
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.jobs import record_file
from gooddrag.evaluation.methods import METHODS, DragGan, methods_with
from gooddrag.files import load_image
from gooddrag.lora import applied
from gooddrag.marks import marked
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample
from storybook.edits import edit, picture
from storybook.storybook100 import keys, scenes, storybook100
from storybook.training.pages import held_out

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "figures"
PHOTOS = [ROOT / "tests" / "data" / name for name in ("cat_2", "furniture_0")]
PRESET_TITLE = "GoodDrag, preset"
SHORT = 0.3  # of the way
PAGES, SAMPLES = 32, 36  # held-out pictures of each kind; pages from noise


def _noisy(**fields: Any) -> dict:
    """A candidate: 25 levels, a wide patch and fresh noise."""
    return changes(DragConfig.fast(**{**WIDE, "num_steps": 25, "eta": 1.0, **fields}))


HARD = {**NO_STOP, "mask_mode": "replace"}
WIDE = {**HARD, "r1": 8, "r2": 16, "skip_distance": 0.0}
PRESETS = Study(  # on edits that no figure shows: never Storybook100
    "presets",
    {
        "released": {},
        "hard mask": HARD,
        "hard mask, fresh noise": {**HARD, "eta": 1.0},
        "fast, wide patch": changes(DragConfig.fast(lr=0.02, **WIDE)),
        **{f"25 levels, fresh noise, lr {lr}": _noisy(lr=lr) for lr in (0.02, 0.04, 0.06)},
    },
    edits=10,
    first_seed=300,
)
FITS = {  # of the preset's LoRA
    "attention": LoraConfig(),
    "every layer": LoraConfig(layers="all"),
    "every layer, half moved": LoraConfig.preset("storybook"),
}
PRESET_LORA = Study(
    "preset_lora",
    {name: changes(DragConfig.storybook()) for name in FITS},
    edits=12,
    lora=FITS,
    first_seed=334,
)
PRESET_STEPS = Study(  # which step, on more edits
    "preset_steps",
    {"lr 0.02": _noisy(lr=0.02), "lr 0.04": _noisy(lr=0.04), "lr 0.02, K = 105": _noisy(lr=0.02, K=105, B=35)},
    edits=12,
    first_seed=310,
)


def decibel(a: Tensor, b: Tensor) -> float:
    """Mean peak signal-to-noise ratio of pairs of pictures, (B, 3, H, W) in [-1, 1]."""
    errors = (a.clamp(-1, 1) - b.clamp(-1, 1)).div(2).square().mean((1, 2, 3))
    return float(-10 * errors.clamp(min=1e-10).log10().mean())


def measure_model(model: DiffusionModel) -> dict[str, float]:
    """Decibels: the autoencoder, and inversion and denoising against it, on held-out pages and photographs; the two
    photographs of Drag100 there and back with a LoRA, and outside the mask of a short drag. Writes the card's pictures.
    """
    measured = {}
    for name, pictures in zip(("storybook", "photos"), held_out(model.native_size, PAGES, PAGES), strict=True):
        z_0 = model.encode(pictures)
        decoded = model.decode(z_0)
        inverted = model.decode(torch.cat([there_and_back(model, z, 38) for z in z_0.split(8)]))
        measured |= {
            f"autoencoder_db_{name}": decibel(decoded, pictures),
            f"inversion_db_{name}": decibel(inverted, decoded),
        }
    measured |= measure_photographs(model)
    contact_sheet(pages_from_noise(model), 6).save(FIGURES / "storybook_samples.jpg", quality=90)
    training_curves().savefig(FIGURES / "storybook_training.png")
    return measured


def measure_photographs(model: DiffusionModel) -> dict[str, float]:
    """Decibels of Drag100's two photographs, as `measure_model` says; writes the card's picture of them."""
    measured, panels = {}, []
    for folder in PHOTOS:
        sample = Sample.open(folder)
        editor = DragEditor(model, LoraConfig()).set_image(sample.image)
        with applied(model.unet, editor.lora):
            back = model.decode(there_and_back(model, editor.z_0, 38))
        shown = editor.frame.to_tensor(editor.image)
        part = np.stack([sample.handles, sample.handles + SHORT * (sample.targets - sample.handles)], axis=1)
        drags = [editor.drag(replace(sample, points=points)) for points in (part, sample.points)]
        measured[f"photo_db_{sample.name}"] = decibel(back, shown)
        measured[f"photo_outside_db_{sample.name}"] = -10 * float(np.log10(drags[0].metrics["damage_outside_mask"]))
        panels += [marked_small(sample, 256), picture(back[0]), *(drag.image for drag in drags)]
    titles = "the edit", "there and back", f"{SHORT:.0%} of the way", "the whole way"
    contact_sheet(panels, 4, 256, titles).save(FIGURES / "storybook_photos.jpg", quality=88)
    return measured


def training_curves() -> Figure:
    """What the held-out errors did while the U-Net and today's autoencoder were trained (weights/history.jsonl)."""
    lines = (ROOT / "storybook" / "weights" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    log = pd.DataFrame([json.loads(line) for line in lines])
    fig, axes = plots.figure(2, size=3.9, aspect=0.66)
    (left, right), today = axes[0], log[log["db_pages"].notna()]
    for ax, rows, x, columns in (
        (left, log[log["samples"].notna()], "samples", ("eps_mse_storybook", "eps_mse_photos")),
        (right, today, "step", ("db_pages", "db_photos")),
    ):
        names = "pages of the book", "photographs"
        lines = {name: rows[key] for name, key in zip(names, columns, strict=True)}
        plots.curves(ax, rows[x], lines, (plots.WITH, plots.WITHOUT), marker="o", ms=2)
    left.set(title="U-Net", xlabel="samples seen", ylabel="squared error of the noise", xscale="log", yscale="log")
    right.set(title="autoencoder", xlabel="steps", ylabel="PSNR, dB")
    left.set_yticks([0.05, 0.07, 0.1, 0.15], ["0.05", "0.07", "0.1", "0.15"])
    left.set_xticks([20_000, 50_000, 100_000, 200_000], ["20,000", "50,000", "100,000", "200,000"])
    left.minorticks_off()
    return fig


def pages_from_noise(model: DiffusionModel) -> list[Image.Image]:
    """Unconditional samples: DDIM from pure noise in 50 steps."""
    side = model.native_size // model.vae_scale
    shape = SAMPLES, model.unet.config.in_channels, side, side
    z_T = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    return [picture(x) for part in z_T.split(12) for x in model.decode(denoised(model, part, 50)).cpu()]


def contact_sheet(
    pictures: Sequence[Image.Image],
    columns: int,
    side: int = 192,
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Image.Image:
    """Pictures in rows, each fitted into a square of `side` pixels, below the titles of the columns; the name of each
    picture below it.
    """
    font = ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), side // 11)
    line = 3 * font.size // 2
    height, top = side + (line if names else 0), line if titles else 0
    sheet = Image.new("RGB", (columns * side, top + -(-len(pictures) // columns) * height), "white")
    write = partial(ImageDraw.Draw(sheet).text, fill="black", font=font)
    for i, title in enumerate(titles):
        write((i * side + 4, 2), title)
    for i, tile in enumerate(pictures):
        at = i % columns * side, top + i // columns * height
        sheet.paste(small(tile, side), at)
        if names:
            write((at[0] + 4, at[1] + side + 2), names[i])
    return sheet


def small(picture: Image.Image, side: int) -> Image.Image:
    """A picture whose longer side has `side` pixels."""
    scale = side / max(picture.size)
    size = tuple(round(scale * n) for n in picture.size)
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def marked_small(sample: Sample, side: int, points: np.ndarray | None = None, larger: float = 2) -> Image.Image:
    """A sample's picture of that size, with larger marks of its edit, or of other points and no mask."""
    page = small(sample.image, side)
    points, mask = (sample.points, sample.mask) if points is None else (points, None)
    if mask is not None:
        mask = np.asarray(small(Image.fromarray(mask).convert("L"), side).convert("L")) > 127
    return marked(page, points * side / max(sample.image.size), mask, larger)


def animation(model: DiffusionModel, path: Path, number: int = 0, side: int = 288) -> None:
    """README's picture: an edit of Storybook100, the guesses along the run with its handles, the result, the truth."""
    category, task, seed = keys()[number]
    sample, ends = edit(seed, model.native_size, category, task), []

    def watch(state: State) -> None:
        if state.event == "denoise" and state.k == config.K and state.t:
            with torch.no_grad():
                eps = model.eps(state.z, schedule.timestep(state.t))
            ends.append(predict_z0(state.z, eps, schedule.alpha(state.t)))

    config = DragConfig.preset(model.preset)
    schedule = model.schedule(config.num_steps)
    editor = DragEditor(model, lora=True).set_image(sample.image)
    result = editor.drag(sample, config=config, callback=watch, keep_outside=True)

    def shown(z: Tensor) -> Image.Image:
        return result.frame.to_image(model.decode_image(z))

    frames = [("the edit", marked_small(sample, side, larger=1.2), 2000)]
    for op in result.history[::3]:
        points = np.stack([op.handles, sample.targets], axis=1)
        guess = replace(sample, image=shown(op.z0_hat))
        frames.append((f"dragging: {op.k} of {config.K}", marked_small(guess, side, points, 1.2), 90))
    frames += [("denoising", small(shown(z), side), 110) for z in ends]
    frames += [("the result", small(result.image, side), 2500), ("the truth", small(sample.truth, side), 1500)]
    sheets = [contact_sheet([picture], 1, side, [title]) for title, picture, _ in frames]
    durations = [duration for *_, duration in frames]
    sheets[0].save(path, save_all=True, append_images=sheets[1:], duration=durations, loop=0, quality=82)


def fill_nearest_page(folder: Path) -> int:
    """Fill the column nearest_page of a run of `gooddrag bench storybook100`; some ten seconds an edit."""
    samples = storybook100(64)  # only their names count
    return benchmark.rescore(
        folder, samples, lambda sample, image: {"nearest_page": page_distance(image, scenes(sample.name))}
    )


def best_median_worst(method: str = "GoodDrag") -> list[int]:
    """Numbers of the edits with the smallest, the middle and the largest error to the truth in storybook100.csv."""
    table = bench("storybook100")
    names = table[table["method"] == method].sort_values("truth_error_ratio")["sample"]
    return [int(name[:3]) for name in names.iloc[[0, len(names) // 2, -1]]]


def results_sheet(
    folder: Path,
    methods: Sequence[str] = ("GoodDrag",),
    places: Sequence[int] = range(0, 100, 4),
    preset: Path | None = None,
    columns: int = 0,
) -> Image.Image:
    """Edits of a run of `gooddrag bench storybook100`, by rule every fourth: marked page, results, truth.

    Args:
        preset: folder of another run, of GoodDrag with the model's preset, which is one more picture.
        columns: so many pictures a row, each with its name; 0: an edit, or three, a row.
    """
    runs = {method: (folder, method) for method in methods} | ({PRESET_TITLE: (preset, "GoodDrag")} if preset else {})
    one, pages = ["page", *runs, "truth"], storybook100()
    blocks = max(1, 9 // len(one))
    side, tiles, names = 192 if blocks > 1 else 224, [], []
    for sample in (pages[place] for place in places):
        results = [load_image(record_file(*run, 0, sample.name).with_suffix(".png")) for run in runs.values()]
        tiles += [marked_small(sample, side), *results, sample.truth]
        names += [sample.name.split(": ")[-1], *one[1:]] if columns else [sample.name, *[""] * (len(one) - 1)]
    return contact_sheet(tiles, columns or blocks * len(one), side, () if columns else blocks * one, names)


def beside_draggan(folder: Path, preset: Path, model: DiffusionModel) -> Image.Image:
    """Fig. 8: every eighth animal of the 58 that Storybook100 begins with, and one of Drag100's photographs, by DragGAN
    and by GoodDrag; arguments as for `results_sheet`."""
    pages, photo = results_sheet(folder, ("DragGAN", "GoodDrag"), range(0, 58, 8), preset), Sample.open(PHOTOS[0])
    ways = DragGan(), METHODS["GoodDrag"], methods_with("storybook")["GoodDrag"]
    row = [marked_small(photo, 224), *(way(model, photo) for way in ways)]
    below = contact_sheet(row, 5, 224, names=["a photograph of Drag100", "", "", ""])
    sheet = Image.new("RGB", (pages.width, pages.height + below.height), "white")
    sheet.paste(pages, (0, 0))
    sheet.paste(below, (0, pages.height))
    return small(sheet, 1350)
