"""The marks on the canvas: arrows, points, numbers, brush, mask. Each shows on any image: light inside dark."""

from __future__ import annotations

import numpy as np
from ipycanvas import Canvas

DARK, LIGHT, MARK = "rgba(10, 10, 25, 0.75)", "white", "#ffd23f"


def veil(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What lies over the pixels that may not change: dark with light stripes, and an edge that shows on any image.

    Args:
        mask: bool (H, W). size: (w, h) of the canvas.

    Returns:
        uint8 (h, w, 4).
    """
    rows = (np.arange(size[1]) + 0.5) * mask.shape[0] / size[1]
    columns = (np.arange(size[0]) + 0.5) * mask.shape[1] / size[0]
    shown = mask[np.ix_(rows.astype(int), columns.astype(int))]
    painted = np.zeros((*shown.shape, 4), np.uint8)
    painted[~shown] = (10, 10, 25, 125)
    y, x = np.indices(shown.shape)
    painted[~shown & ((x + y) % 16 < 2)] = (235, 235, 245, 60)
    padded = np.pad(shown, 1, mode="edge")
    around = [padded[1:-1, 2:], padded[1:-1, :-2], padded[2:, 1:-1], padded[:-2, 1:-1]]
    painted[shown & ~np.logical_and.reduce(around)] = (255, 255, 255, 255)
    painted[~shown & np.logical_or.reduce(around)] = (10, 10, 25, 255)
    return painted


def arrow(layer: Canvas, handle: np.ndarray, target: np.ndarray) -> None:
    way = target - handle
    length = float(np.hypot(*way))
    if length < 1:
        return
    along, across = way / length, np.array([-way[1], way[0]]) / length
    tip = target - along * min(6.0, 0.3 * length)  # at the rim of the target's dot
    head = min(12.0, 0.6 * length)
    base = tip - along * head
    triangle = np.array([tip, base + across * head * 0.5, base - across * head * 0.5])
    layer.line_cap = "round"
    for colour, width in ((DARK, 6), (LIGHT, 3)):
        layer.stroke_style, layer.line_width = colour, width
        layer.stroke_line(*handle, *base)
        layer.line_width = width - 2
        layer.stroke_polygon(triangle)
    layer.fill_style = LIGHT
    layer.fill_polygon(triangle)


def dot(layer: Canvas, at: np.ndarray, colour: str, chosen: bool) -> None:
    for fill, radius in ((MARK if chosen else DARK, 9.5 if chosen else 7.5), (LIGHT, 6.5), (colour, 5)):
        layer.fill_style = fill
        layer.fill_circle(*at, radius)


def label(layer: Canvas, text: str, at: np.ndarray, size: tuple[int, int]) -> None:
    """A number beside a point, on the side where there is room."""
    x, y = at
    layer.font, layer.text_baseline = "bold 13px sans-serif", "middle"
    layer.text_align = "left" if x < size[0] - 24 else "right"
    x += 11 if x < size[0] - 24 else -11
    y = y - 10 if y > 20 else y + 12
    layer.stroke_style, layer.line_width, layer.line_join = DARK, 3.5, "round"
    layer.stroke_text(text, x, y)
    layer.fill_style = LIGHT
    layer.fill_text(text, x, y)


def readout(layer: Canvas, text: str, size: tuple[int, int]) -> None:
    width = 7.4 * len(text) + 12
    layer.fill_style = DARK
    layer.fill_rect(0, size[1] - 20, width, 20)
    layer.fill_style, layer.font = LIGHT, "12px ui-monospace, monospace"
    layer.text_align, layer.text_baseline = "left", "middle"
    layer.fill_text(text, 6, size[1] - 10)


def brush(layer: Canvas, pointer: np.ndarray, path: np.ndarray | None, radius: float, editable: bool) -> None:
    radius = max(radius, 1.0)
    if path is not None:
        layer.stroke_style = "rgba(120, 230, 150, 0.55)" if editable else "rgba(240, 110, 90, 0.55)"
        layer.line_width, layer.line_cap, layer.line_join = 2 * radius, "round", "round"
        layer.stroke_lines(path if len(path) > 1 else np.concatenate([path, path + 0.1]))
    for colour, width in ((DARK, 3), (LIGHT, 1.5)):
        layer.stroke_style, layer.line_width = colour, width
        layer.stroke_circle(*pointer, radius)


def shape(layer: Canvas, corner: np.ndarray, opposite: np.ndarray, round_: bool) -> None:
    low, extent = np.minimum(corner, opposite), np.abs(opposite - corner)
    for colour, width in ((DARK, 4), (LIGHT, 2)):
        layer.stroke_style, layer.line_width = colour, width
        if round_:
            layer.begin_path()
            layer.ellipse(*(low + extent / 2), *(extent / 2), 0, 0, 2 * np.pi)
            layer.stroke()
        else:
            layer.stroke_rect(*low, *extent)
