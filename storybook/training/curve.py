"""Draw the model card's curve from weights/history.jsonl: `python -m storybook.training.curve OUT.png`."""

import sys
from pathlib import Path

import pandas as pd

from gooddrag import plots

if __name__ == "__main__":
    log = pd.read_json(Path(__file__).parents[1] / "weights" / "history.jsonl", lines=True)
    fig, ((left, right),) = plots.figure(2, size=3.9, aspect=0.66)
    unet, autoencoder = ("samples", "eps_mse_pages", "eps_mse_photos"), ("step", "db_pages", "db_photos")
    for ax, (x, pages, photos) in ((left, unet), (right, autoencoder)):
        rows = log[log[pages].notna()]
        lines = {"pages of the book": rows[pages], "photographs": rows[photos]}
        plots.curves(ax, rows[x], lines, (plots.WITH, plots.WITHOUT), marker="o", ms=2)
    left.set(title="U-Net", xlabel="samples seen", ylabel="squared error of the noise", xscale="log", yscale="log")
    right.set(title="autoencoder", xlabel="steps", ylabel="PSNR, dB")
    left.set_yticks([0.05, 0.07, 0.1, 0.15], ["0.05", "0.07", "0.1", "0.15"])
    left.set_xticks([20_000, 50_000, 100_000, 200_000], ["20,000", "50,000", "100,000", "200,000"])
    left.minorticks_off()
    fig.savefig(sys.argv[1])
