"""The embedded model: what it does by itself, which preset suits it, and sheets of results chosen by rule."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from experiments.latents import denoised, there_and_back
from experiments.study import NO_STOP, Study, drag_and_compare, page_distance
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.jobs import record_file
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


def _changes(config: DragConfig) -> dict:
    return {name: value for name, value in asdict(config).items() if value != getattr(DragConfig(), name)}


def _noisy(**changes: Any) -> dict:
    """A candidate: 25 levels, a wide patch and fresh noise."""
    return _changes(DragConfig.fast(**{**WIDE, "num_steps": 25, "eta": 1.0, **changes}))


HARD = {**NO_STOP, "mask_mode": "replace"}
WIDE = {**HARD, "r1": 8, "r2": 16, "skip_distance": 0.0}
PRESETS = Study(  # on edits that no figure shows: never Storybook100
    "presets",
    {
        "released": {},
        "hard mask": HARD,
        "hard mask, fresh noise": {**HARD, "eta": 1.0},
        "fast, wide patch": _changes(DragConfig.fast(lr=0.02, **WIDE)),
        **{f"25 levels, fresh noise, lr {lr}": _noisy(lr=lr) for lr in (0.02, 0.04, 0.06)},
    },
    drag_and_compare,
    edits=10,
    first_seed=300,
)
PRESET_STEPS = Study(  # which step, on more edits
    "preset_steps",
    {"lr 0.02": _noisy(lr=0.02), "lr 0.04": _noisy(lr=0.04), "lr 0.02, K = 105": _noisy(lr=0.02, K=105, B=35)},
    drag_and_compare,
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
    measured, panels = {}, []
    for name, pictures in zip(("storybook", "photos"), held_out(model.native_size, PAGES, PAGES), strict=True):
        z_0 = model.encode(pictures)
        decoded = model.decode(z_0)
        inverted = model.decode(torch.cat([there_and_back(model, z, 38) for z in z_0.split(8)]))
        measured |= {
            f"autoencoder_db_{name}": decibel(decoded, pictures),
            f"inversion_db_{name}": decibel(inverted, decoded),
        }
    for folder in PHOTOS:
        sample = Sample.open(folder)
        editor = DragEditor(model, LoraConfig()).set_image(sample.image)
        with applied(model.unet, editor.lora):
            back = model.decode(there_and_back(model, editor.z_0, 38))
        small = editor.frame.to_tensor(editor.image)
        part = np.stack([sample.handles, sample.handles + SHORT * (sample.targets - sample.handles)], axis=1)
        drags = [editor.drag(replace(sample, points=points)) for points in (part, sample.points)]
        measured[f"photo_db_{sample.name}"] = decibel(back, small)
        measured[f"photo_outside_db_{sample.name}"] = -10 * float(np.log10(drags[0].metrics["damage_outside_mask"]))
        panels += [picture(small[0]), picture(back[0]), *(drag.image for drag in drags)]
    contact_sheet(panels, 4).save(FIGURES / "storybook_photos.jpg", quality=90)
    contact_sheet(pages_from_noise(model), 6).save(FIGURES / "storybook_samples.jpg", quality=90)
    return measured


def pages_from_noise(model: DiffusionModel) -> list[Image.Image]:
    """Unconditional samples: DDIM from pure noise in 50 steps."""
    side = model.native_size // model.vae_scale
    shape = SAMPLES, model.unet.config.in_channels, side, side
    z_T = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    return [picture(x) for part in z_T.split(12) for x in model.decode(denoised(model, part, 50)).cpu()]


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, side: int = 192, titles: Sequence[str] = ()
) -> Image.Image:
    """Pictures in rows, each fitted into a square of `side` pixels, below the titles of the columns."""
    font = side // 9
    top = font + 9 if titles else 0
    sheet = Image.new("RGB", (columns * side, top + -(-len(pictures) // columns) * side), "white")
    for i, title in enumerate(titles):
        ImageDraw.Draw(sheet).text((i * side + 4, 3), title, "black", font_size=font)
    for i, tile in enumerate(pictures):
        tile = tile.convert("RGB")
        tile.thumbnail((side, side), Image.Resampling.LANCZOS)
        sheet.paste(tile, (i % columns * side, top + i // columns * side))
    return sheet


def animation(model: DiffusionModel, path: Path, number: int = 14, side: int = 288) -> None:
    """README's picture: an edit of Storybook100, the guesses along the run with its handles, the result."""
    category, task, seed = keys()[number]
    sample = edit(seed, model.native_size, category, task)
    result = DragEditor(model, LoraConfig()).set_image(sample.image).drag(sample)
    scale = side / sample.image.width

    def frame(image: Image.Image, points: np.ndarray, mask: np.ndarray | None = None) -> Image.Image:
        return marked(image.resize((side, side), Image.Resampling.LANCZOS), points * scale, mask)

    mask = np.asarray(Image.fromarray(sample.mask).resize((side, side), Image.Resampling.BICUBIC))
    frames = [frame(sample.image, sample.points, mask)] * 2
    for op in result.history[::2]:
        guess = result.frame.to_image(model.decode_image(op.z0_hat))
        frames.append(frame(guess, np.stack([op.handles, sample.targets], axis=1)))
    last = result.image.resize((side, side), Image.Resampling.LANCZOS)
    durations = [1000, 1000, *[90] * (len(frames) - 2), 2500]
    frames[0].save(path, save_all=True, append_images=[*frames[1:], last], duration=durations, loop=0, quality=82)


def fill_nearest_page(folder: Path) -> int:
    """Fill the column nearest_page of a run of `gooddrag bench storybook100`; some ten seconds an edit."""
    samples = storybook100(64)  # only their names count
    return benchmark.rescore(
        folder, samples, lambda sample, image: {"nearest_page": page_distance(image, scenes(sample.name))}
    )


def results_sheet(
    folder: Path, methods: Sequence[str] = ("GoodDrag",), places: slice = slice(0, 100, 4), preset: Path | None = None
) -> Image.Image:
    """Edits of a run of `gooddrag bench storybook100`, by rule every fourth: marked page, results, truth.

    `preset`: folder of another run, of GoodDrag with the model's preset, which is one more column.
    """
    runs = {method: (folder, method) for method in methods} | ({PRESET_TITLE: (preset, "GoodDrag")} if preset else {})
    tiles, one = [], ["page", *runs, "truth"]
    for sample in storybook100()[places]:
        page = marked(sample.image, sample.points, sample.mask)
        style = {"font_size": 23, "stroke_width": 2, "stroke_fill": "black"}
        ImageDraw.Draw(page).text((6, page.height - 60), sample.name.replace(": ", ":\n", 1), "white", **style)
        results = [load_image(record_file(*run, 0, sample.name).with_suffix(".png")) for run in runs.values()]
        tiles += [page, *results, sample.truth]
    blocks = max(1, 9 // len(one))
    return contact_sheet(tiles, blocks * len(one), 192 if blocks > 1 else 224, blocks * one)
