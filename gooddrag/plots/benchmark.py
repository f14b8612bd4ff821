"""Sheets and charts of a benchmark: samples, results side by side, tables as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from gooddrag.plots.base import ARROW, HANDLE, TARGET, contact_sheet
from gooddrag.sample import Sample


def marked(sample: Sample, size: int = 128) -> Image.Image:
    """The picture as the user marked it, fitted into a square: frozen part darkened, handles red, targets blue."""
    scale = size / max(sample.image.size)
    picture = fitted(sample.image, size)
    if sample.mask is not None:
        editable = Image.fromarray(sample.mask).convert("L").resize(_scaled(sample.image, size))
        frozen = Image.new("L", picture.size, 0)
        frozen.paste(editable.point(lambda v: 115 if v < 128 else 0), _corner(sample.image, size))
        picture.paste((12, 12, 25), mask=frozen)
    big = picture.resize((4 * size, 4 * size), Image.Resampling.BICUBIC)  # drawn large, shrunk smooth
    draw, r, corner = ImageDraw.Draw(big), 0.028 * 4 * size, np.array(_corner(sample.image, size))
    for handle, target in (((sample.points + 0.5) * scale + corner) * 4).tolist():
        draw.line([*handle, *target], fill="black", width=round(r * 0.7))
        draw.line([*handle, *target], fill=ARROW, width=round(r * 0.4))
        for (x, y), colour in ((target, TARGET), (handle, HANDLE)):
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour, outline="white", width=max(1, round(r / 4)))
    return big.resize((size, size), Image.Resampling.LANCZOS)


def fitted(image: Image.Image, size: int) -> Image.Image:
    """The image scaled to fit a white square of `size` px, in its middle."""
    square = Image.new("RGB", (size, size), "white")
    square.paste(image.resize(_scaled(image, size), Image.Resampling.LANCZOS), _corner(image, size))
    return square


def _scaled(image: Image.Image, size: int) -> tuple[int, int]:
    scale = size / max(image.size)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _corner(image: Image.Image, size: int) -> tuple[int, int]:
    width, height = _scaled(image, size)
    return (size - width) // 2, (size - height) // 2


def edits_sheet(samples: Sequence[Sample], size: int = 96, columns: int = 10) -> Image.Image:
    """Edits as pairs: what the user marked, and the true result (or the picture itself where none is known)."""
    pairs = [image for s in samples for image in (marked(s, size), fitted(s.truth or s.image, size))]
    return contact_sheet(pairs, 2 * columns)
