"""Draw the contact sheets of the storybook, one per family and Storybook100, and time the drawing. Needs no model.

python scripts/storybook_sheets.py      writes figures/storybook_FAMILY.jpg and figures/storybook100.jpg
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import gooddrag as gd
from gooddrag import plots
from gooddrag.files import atomic_file
from storybook.edits import picture

ROOT = Path(__file__).parents[1]
PAGES, COLUMNS, SIZE = 32, 8, 128  # of a family's sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "figures")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    sheets = {"storybook100": (plots.edits_sheet(gd.storybook100(), 92), 70)}
    for family in gd.storybook.FAMILIES:
        scenes = [gd.storybook.sample(seed, family) for seed in range(PAGES)]
        start = time.process_time()
        pages = [picture(scene.render(SIZE)) for scene in scenes]
        print(f"{family}: {1000 * (time.process_time() - start) / PAGES:.1f} ms of one core a page")
        sheets[f"storybook_{family}"] = (plots.contact_sheet(pages, COLUMNS), 88)
    for name, (sheet, quality) in sheets.items():
        with atomic_file(folder / f"{name}.jpg") as temporary:
            sheet.save(temporary, quality=quality, optimize=True)
        print(f"{folder / name}.jpg: {(folder / name).with_suffix('.jpg').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
