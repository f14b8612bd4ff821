"""The embedded model: which preset suits it, and sheets of results chosen by rule."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from experiments.claims import SYSTEMS
from experiments.latents import denoised
from experiments.study import NO_STOP, Study, changes
from experiments.tables import ROOT, bench
from gooddrag.algorithm import State
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import predict_z0
from gooddrag.editor import DragEditor
from gooddrag.evaluation.jobs import read_record, record_file, write_record
from gooddrag.evaluation.methods import METHODS, DragGan, methods_with
from gooddrag.files import load_image
from gooddrag.marks import marked
from gooddrag.model import DiffusionModel
from gooddrag.sample import Sample
from storybook.edits import picture
from storybook.nearest import nearest
from storybook.storybook100 import scenes, storybook100

FIGURES = ROOT / "figures"
PHOTOS = [ROOT / "tests" / "data" / name for name in ("cat_2", "furniture_0")]
PRESET_TITLE = "GoodDrag, preset"


def _noisy(**fields: Any) -> dict:
    """A candidate: 25 levels, a wide patch and fresh noise."""
    return changes(DragConfig.fast(**{**WIDE, "num_steps": 25, "eta": 1.0, **fields}))


HARD = {**NO_STOP, "mask_mode": "replace"}
WIDE = {**HARD, "r1": 8, "r2": 16, "skip_distance": 0.0}
CANDIDATES = {
    "released": {},
    "hard mask": HARD,
    "hard mask, fresh noise": {**HARD, "eta": 1.0},
    "fast, wide patch": changes(DragConfig.fast(lr=0.02, **WIDE)),
    **{f"25 levels, fresh noise, lr {lr}": _noisy(lr=lr) for lr in (0.02, 0.04, 0.06)},
}
STEPS = {"lr 0.02": _noisy(lr=0.02), "lr 0.04": _noisy(lr=0.04), "lr 0.02, K = 105": _noisy(lr=0.02, K=105, B=35)}
FITS = {  # of the preset's LoRA
    "attention": LoraConfig(),
    "every layer": LoraConfig(layers="all"),
    "every layer, half moved": LoraConfig.preset("storybook"),
}
# On edits that no figure shows: never Storybook100.
PRESETS = Study("presets", CANDIDATES, edits=10, first_seed=300)
PRESET_STEPS = Study("preset_steps", STEPS, edits=12, first_seed=310)
PRESET_LORA = Study(
    "preset_lora", dict.fromkeys(FITS, changes(DragConfig.storybook())), edits=12, lora=FITS, first_seed=334
)


def samples(model: DiffusionModel) -> Image.Image:
    """Pages that the model makes from pure noise."""
    side = model.native_size // model.vae_scale
    shape = 36, model.unet.config.in_channels, side, side
    z_T = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    pages = [picture(x) for part in z_T.split(12) for x in model.decode(denoised(model, part, 50)).cpu()]
    return contact_sheet(pages, 6, 192)


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, side: int, titles: Sequence[str] = (), names: Sequence[str] = ()
) -> Image.Image:
    """Pictures in rows, each in a square of `side` pixels, below the titles of the columns and above its name."""
    font = ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), side // 11)
    line = 3 * font.size // 2
    height, top = side + (line if names else 0), line if titles else 0
    sheet = Image.new("RGB", (columns * side, top + -(-len(pictures) // columns) * height), "white")
    corners = [(i % columns * side, top + i // columns * height) for i in range(len(pictures))]
    for tile, corner in zip(pictures, corners, strict=True):
        sheet.paste(small(tile, side), corner)
    texts = [((i * side, 0), title) for i, title in enumerate(titles)]
    for (x, y), text in texts + [((x, y + side), name) for (x, y), name in zip(corners, names, strict=False)]:
        ImageDraw.Draw(sheet).text((x + 4, y + 2), text, fill="black", font=font)
    return sheet


def small(picture: Image.Image, side: int) -> Image.Image:
    """A picture whose longer side has `side` pixels."""
    return ImageOps.contain(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)


def marked_small(sample: Sample, side: int, larger: float = 2) -> Image.Image:
    """A sample's picture of that size, with larger marks of its edit."""
    mask = sample.mask
    if mask is not None:
        mask = np.asarray(small(Image.fromarray(mask).convert("L"), side).convert("L")) > 127
    return marked(small(sample.image, side), sample.points * side / max(sample.image.size), mask, larger)


def animation(model: DiffusionModel, path: Path, number: int = 0, side: int = 288) -> None:
    """README's picture: an edit of Storybook100, the guesses along the run with its handles, the result, the truth."""
    sample, ends = storybook100(model.native_size)[number], []
    config = DragConfig.preset(model.preset)
    schedule = model.schedule(config.num_steps)

    def watch(state: State) -> None:
        if state.event == "denoise" and state.k == config.K and state.t:
            with torch.no_grad():
                eps = model.eps(state.z, schedule.timestep(state.t))
            ends.append(predict_z0(state.z, eps, schedule.alpha(state.t)))

    editor = DragEditor(model, lora=True).set_image(sample.image)
    result = editor.drag(sample, config=config, callback=watch, keep_outside=True)

    def shown(z: Tensor) -> Image.Image:
        return result.frame.to_image(model.decode_image(z))

    frames = [("the edit", marked_small(sample, side, 1.2), 2000)]
    for op in result.history[::3]:
        points = np.stack([op.handles, sample.targets], axis=1)
        guess = replace(sample, image=shown(op.z0_hat), points=points, mask=None)
        frames.append((f"dragging: {op.k} of {config.K}", marked_small(guess, side, 1.2), 90))
    frames += [("denoising", shown(z), 110) for z in ends]
    frames += [("the result", result.image, 2500), ("the truth", sample.truth, 1500)]
    first, *others = [contact_sheet([picture], 1, side, [title]) for title, picture, _ in frames]
    durations = [duration for *_, duration in frames]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, quality=82)


def fill_nearest_page(folder: Path) -> None:
    """Fill the column nearest_page of a run of `gooddrag bench storybook100`; some ten seconds an edit."""
    for file in folder.glob("[!.]*/[!.]*.json"):
        if (record := read_record(file)) and record["state"] == "done":
            distance = nearest(load_image(file.with_suffix(".png")), *scenes(record["sample"]))[0]
            write_record(file, record | {"nearest_page": distance})


def results_sheet(
    runs: dict[str, tuple[Path, str]], places: Sequence[int], columns: int, *, each_named: bool = False
) -> Image.Image:
    """Edits of Storybook100: marked page, results, truth.

    Args:
        runs: title -> folder of `gooddrag bench storybook100`, method.
        places: numbers of the edits. columns: so many pictures a row.
        each_named: each picture has its title below it; otherwise the edit's name, and titles above the columns.
    """
    one, pages, side = ["page", *runs, "truth"], storybook100(), 192 if columns == 9 else 224
    tiles, names = [], []
    for sample in (pages[place] for place in places):
        results = [load_image(record_file(*run, 0, sample.name).with_suffix(".png")) for run in runs.values()]
        tiles += [marked_small(sample, side), *results, sample.truth]
        names += [sample.name.split(": ")[-1], *one[1:]] if each_named else [sample.name, *[""] * (len(one) - 1)]
    return contact_sheet(tiles, columns, side, () if each_named else columns // len(one) * one, names)


def preset_sheet(folder: Path) -> Image.Image:
    return results_sheet({PRESET_TITLE: (folder, "GoodDrag")}, range(0, 100, 4), 9)


def fig09(folder: Path, preset: Path) -> Image.Image:
    """All systems on the edits with the smallest, the middle and the largest error to the truth of GoodDrag."""
    table = bench("storybook100")
    names = table[table["method"] == "GoodDrag"].sort_values("truth_error_ratio")["sample"]
    runs = {method: (folder, method) for method in [*SYSTEMS[1:], "GoodDrag"]} | {PRESET_TITLE: (preset, "GoodDrag")}
    places = [int(name[:3]) for name in names.iloc[[0, len(names) // 2, -1]]]
    return results_sheet(runs, places, 5, each_named=True)


def fig08(folder: Path, preset: Path, model: DiffusionModel) -> Image.Image:
    """Every eighth animal of the 58 that Storybook100 begins with, and one of Drag100's photographs, by DragGAN and by
    GoodDrag; `folder` and `preset`: of `gooddrag bench storybook100`, the latter with GoodDrag's preset."""
    runs = {method: (folder, method) for method in ("DragGAN", "GoodDrag")} | {PRESET_TITLE: (preset, "GoodDrag")}
    pages, photo = results_sheet(runs, range(0, 58, 8), 5), Sample.open(PHOTOS[0])
    ways = DragGan(), METHODS["GoodDrag"], methods_with("storybook")["GoodDrag"]
    row = [marked_small(photo, 224), *(way(model, photo) for way in ways)]
    below = contact_sheet(row, 5, 224, names=["a photograph of Drag100", "", "", ""])
    return small(Image.fromarray(np.vstack([pages, below])), 1350)
