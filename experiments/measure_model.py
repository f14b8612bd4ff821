"""Measure what the embedded model can do by itself, on pictures it has never seen.

    python scripts/measure_model.py            about four minutes on two cores

Writes results/storybook_model.json, the table of the model card (storybook/weights/README.md), and
figures/storybook_samples.jpg (pages from pure noise), storybook_photos.png, storybook_training.png.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from gooddrag.storybook.pictures import held_out
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

import gooddrag as gd
from gooddrag import ddim, experiments, plots
from gooddrag.config import level
from gooddrag.files import atomic_file
from gooddrag.lora import applied
from storybook.edits import picture

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "gooddrag" / "storybook" / "weights"
SHORT = 0.3  # of the way
SAMPLES = [ROOT / "tests" / "data" / name for name in ("cat_2", "furniture_0")]


def decibel(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Peak signal-to-noise ratio of each pair of (B, 3, H, W) in [-1, 1]."""
    mse = (a.clamp(-1, 1) - b.clamp(-1, 1)).div(2).square().mean((1, 2, 3))
    return (-10 * mse.clamp(min=1e-10).log10()).tolist()


@torch.no_grad()
def round_trip(model: gd.DiffusionModel, z_0: torch.Tensor, strength: float = 0.75) -> torch.Tensor:
    """z_0 after DDIM inversion to T and denoising (Eq. 3, then Eq. 2)."""
    schedule, T = model.schedule(50), level(strength, 50)
    *_, z_T = ddim.invert(model.eps, z_0, schedule, T)
    *_, z = ddim.denoise(model.eps, z_T, schedule, T)
    return z


def reconstruction(model: gd.DiffusionModel, pages: int) -> dict[str, float]:
    """Mean decibels of the autoencoder, and of inversion and denoising measured on what the autoencoder gives."""
    storybook, photos = held_out(pages, pages, model.native_size)
    measured = {}
    for name, pictures in {"storybook": storybook, "photos": photos}.items():
        z_0 = model.encode(pictures)
        decoded = model.decode(z_0)
        inverted = model.decode(torch.cat([round_trip(model, z) for z in z_0.split(8)]))
        measured[f"autoencoder_db_{name}"] = float(np.mean(decibel(decoded, pictures)))
        measured[f"inversion_db_{name}"] = float(np.mean(decibel(inverted, decoded)))
    return measured


def user_photos(model: gd.DiffusionModel) -> tuple[dict[str, float], list[tuple[str, Image.Image]]]:
    """The two Drag100 samples: encoded, LoRA, inverted and denoised; and dragged, a short way and all of it."""
    measured, panels = {}, []
    for folder in SAMPLES:
        sample = gd.Sample.open(folder)
        editor = gd.DragEditor(model, gd.LoraConfig()).set_image(sample.image)
        with applied(model.unet, editor.lora):
            back = model.decode(round_trip(model, editor.z_0))
        small = editor.frame.to_tensor(editor.image)
        measured[f"photo_db_{sample.name}"] = decibel(back, small)[0]
        handles, targets = sample.points.swapaxes(0, 1)
        short = replace(sample, points=np.stack([handles, handles + SHORT * (targets - handles)], axis=1))
        drags = [editor.drag(short), editor.drag(sample)]
        measured[f"photo_outside_db_{sample.name}"] = -10 * np.log10(drags[0].metrics["damage_outside_mask"])
        panels += [(f"{sample.name}, {small.shape[-1]} px", picture(small[0])), ("there and back", picture(back[0])),
                   *zip((f"{SHORT:.0%} of the drag", "the whole drag"),
                        (picture(result.tensor[0] * 2 - 1) for result in drags), strict=True)]  # fmt: skip
    return measured, panels


@torch.no_grad()
def pages_from_noise(model: gd.DiffusionModel, count: int, seed: int = 0) -> list[Image.Image]:
    """Unconditional samples: DDIM from pure noise in 50 steps."""
    schedule = model.schedule(50)
    side = model.native_size // model.vae_scale
    z_T = torch.randn(count, model.unet.config.in_channels, side, side, generator=torch.Generator().manual_seed(seed))
    drawn = []
    for part in z_T.split(12):
        *_, z = ddim.denoise(model.eps, part, schedule, 50)
        drawn += [picture(x) for x in model.decode(z)]
    return drawn


def training_curve(lines: list[dict]) -> Figure:
    """Held-out measures over training, from the log that ships with the weights."""
    fig, axes = plots.figure(2, size=3.6, aspect=0.7)
    unet = [x for x in lines if x["phase"] in ("unet", "cooldown")]
    for name, label in {"eps_mse_storybook": "storybook pages", "eps_mse_photos": "photographs"}.items():
        points = [(x["samples"], x[name]) for x in unet]
        axes[0, 0].plot(*zip(*points, strict=True), ".-", ms=3, lw=1, label=label)
    axes[0, 0].set(
        xscale="log", yscale="log", xlabel="samples seen", ylabel="mean squared error", title="U-Net: eps, held out"
    )
    for axis, digits in ((axes[0, 0].xaxis, (1, 2, 5)), (axes[0, 0].yaxis, (1, 1.5, 6, 8))):
        axis.set_major_locator(LogLocator(subs=digits))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter(NullFormatter())
    axes[0, 0].legend()
    ae = [x for x in lines if x["phase"] == "autoencoder"]
    for name, label in {"db_storybook": "storybook pages", "db_photos": "photographs"}.items():
        axes[0, 1].plot([x["step"] for x in ae], [x[name] for x in ae], ".-", ms=3, lw=1, label=label)
    axes[0, 1].set(xlabel="steps", ylabel="PSNR, dB", title="autoencoder, held out")
    axes[0, 1].legend()
    return fig


def fill_card(measured: dict[str, float], pages: int) -> None:
    """The table of measures in the model card."""
    rows = "\n".join(f"| {name} | {value:.2f} |" for name, value in measured.items())
    path, begin = WEIGHTS / "README.md", "\n## Measured with `python scripts/measure_model.py`\n"
    text = path.read_text(encoding="utf-8").split(begin)[0]
    about = (f"Mean decibels, higher is better, over {pages} pages and as many photographs; inversion and back without "
             "LoRA, the two photographs of Drag100 with it. `photo_outside`: outside the mask, after a drag of "
             f"{SHORT:.0%} of the way.")  # fmt: skip
    with atomic_file(path) as temporary:
        temporary.write_text(f"{text}{begin}\n{about}\n\n| measure | dB |\n|---|---|\n{rows}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=32, help="held-out pictures of each kind")
    parser.add_argument("--samples", type=int, default=36)
    options = parser.parse_args()
    model, panels = gd.load_model("storybook", device="cpu"), []

    def measure() -> dict[str, float]:
        photos, drawn = user_photos(model)
        panels.extend(drawn)
        return reconstruction(model, options.pages) | photos

    record = experiments.kept(ROOT / "results" / "storybook_model.json", model, vars(options), measure, recompute=True)
    fill_card(record["data"], options.pages)
    figures = ROOT / "figures"
    plots.contact_sheet(pages_from_noise(model, options.samples), 6).save(figures / "storybook_samples.jpg", quality=88)
    fig, axes = plots.figure(len(panels) // 2, 2)
    for ax, (title, image) in zip(axes.flat, panels, strict=True):
        plots.draw_image(ax, image, title)
    fig.savefig(figures / "storybook_photos.png")
    log = (WEIGHTS / "history.jsonl").read_text(encoding="utf-8").splitlines()
    training_curve([json.loads(line) for line in log]).savefig(figures / "storybook_training.png")
    print(json.dumps(record["data"], indent=2))


if __name__ == "__main__":
    main()
