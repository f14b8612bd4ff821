"""How an edit is drawn on a PIL image: handles red, targets blue, arrows white, what may not change veiled."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter

HANDLE, TARGET, ARROW, RIM, VEIL = "#e62828", "#285aeb", "#ffffff", "#0d0d1a", "#0d0d1a73"


def marked(image: Image.Image, points: ArrayLike, mask: np.ndarray | None = None, larger: float = 1) -> Image.Image:
    """Draw points (l, 2, 2), pairs of [handle (x, y), target (x, y)] in pixels, and mask, bool (H, W), True = editable,
    on a copy of an RGB image; `larger`: how many times the usual size the marks have, in pictures that are shown small.
    """
    image = image.convert("RGBA")
    if mask is not None:
        veil, inside = Image.new("RGBA", image.size, VEIL), Image.fromarray(mask).convert("L")
        veil.paste("#ffffffa0", mask=inside.filter(ImageFilter.MaxFilter(3)))  # a thin outline
        veil.paste("#00000000", mask=inside)
        image.alpha_composite(veil)
    fine = 4 if max(image.size) <= 1024 else 1  # drawn larger, then averaged: smooth edges
    layer = Image.new("RGBA", (image.width * fine, image.height * fine), "#ffffff00")
    draw, radius = ImageDraw.Draw(layer), larger * fine * max(3, max(image.size) / 80)
    for handle, target in np.asarray(points, dtype=np.float64) * fine:
        way = target - handle
        if (length := float(np.hypot(*way))) > radius:
            along, across = way / length, np.array([-way[1], way[0]]) / length
            tip = target - along * 0.8 * radius  # at the rim of the target's dot
            base = tip - along * min(1.8 * radius, 0.6 * length)
            for colour, more in ((RIM, 0.22 * radius), (ARROW, 0)):
                side = across * (0.9 * radius + 1.5 * more)
                draw.line([*handle, *base], colour, round(0.4 * radius + 2 * more))
                draw.polygon(
                    [*(tip + along * 2 * more), *(base - along * more + side), *(base - along * more - side)], colour
                )
        for (x, y), colour in ((target, TARGET), (handle, HANDLE)):
            for fill, r in ((RIM, 1.12 * radius), (ARROW, radius), (colour, 0.76 * radius)):
                draw.ellipse([x - r, y - r, x + r, y + r], fill)
    image.alpha_composite(layer.reduce(fine))
    return image.convert("RGB")
