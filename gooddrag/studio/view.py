"""What the studio shows of a run: before and after with a divider, the handles' way, a row of the history."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from gooddrag.plots.base import HANDLE, TARGET

SMOOTH = 3  # lines are drawn so many times larger, and scaled down


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(W, H) scaled so that its long side is `longest`."""
    scale = longest / max(size)
    return tuple(max(1, round(n * scale)) for n in size)


def shown(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image at the size of the screen; whole pixels where it grows."""
    grows = size[0] >= image.width
    return image.resize(size, Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS, reducing_gap=3)


def with_path(image: Image.Image, path: np.ndarray, targets: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Draw where the handles went on an image of the screen's size.

    Args:
        path: (n, l, 2), (x, y) in pixels of an image of `size` (W, H). targets: (l, 2), likewise.
    """
    scale = SMOOTH * np.array(image.size) / size
    overlay = Image.new("RGBA", (image.width * SMOOTH, image.height * SMOOTH))
    draw = ImageDraw.Draw(overlay)
    path, targets = (path + 0.5) * scale, (targets + 0.5) * scale
    for i, target in enumerate(targets):
        way = [tuple(p) for p in path[:, i].tolist()]
        for colour, width in (("#0a0a19c0", 5), ("#ffffff", 3), (HANDLE, 2)):
            if len(way) > 1:
                draw.line(way, fill=colour, width=width * SMOOTH, joint="curve")
        for (x, y), colour in ((target, TARGET), (path[-1, i], HANDLE)):
            for fill, radius in (("#0a0a19", 7), ("white", 6), (colour, 4.5)):
                r = radius * SMOOTH
                draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)
    overlay = overlay.resize(image.size, Image.Resampling.BOX)
    return Image.alpha_composite(image.convert("RGBA"), overlay).convert("RGB")


def wiped(before: Image.Image, after: Image.Image, share: float) -> Image.Image:
    """`before` on the left of a divider, `after` on the right; the divider stands at `share` of the width."""
    at = round(share * after.width)
    both = after.copy()
    both.paste(before.crop((0, 0, at, before.height)), (0, 0))
    if 0 < at < after.width:
        draw = ImageDraw.Draw(both)
        draw.line([at, 0, at, after.height], fill="#0a0a19", width=4)
        draw.line([at, 0, at, after.height], fill="white", width=2)
    return both


def jpeg(image: Image.Image) -> bytes:
    """The image as a JPEG file that keeps colour edges sharp."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def thumbnail(image: Image.Image, longest: int = 72) -> str:
    """An <img> of the image with its content inside."""
    content = base64.b64encode(jpeg(shown(image, fitted(image.size, longest)))).decode()
    return f'<img src="data:image/jpeg;base64,{content}" style="display:block;border-radius:3px">'
