"""Every figure's drawing: one function per kind of figure, one module per topic, the same colours everywhere."""

from gooddrag.plots.base import (
    ARROW,
    HANDLE,
    STYLE,
    TARGET,
    contact_sheet,
    draw_image,
    draw_mask,
    draw_path,
    draw_points,
    draw_user_edit,
    edit_overview,
    figure,
)
from gooddrag.plots.benchmark import edits_sheet, fitted, marked

__all__ = [
    "ARROW",
    "HANDLE",
    "STYLE",
    "TARGET",
    "contact_sheet",
    "draw_image",
    "draw_mask",
    "draw_path",
    "draw_points",
    "draw_user_edit",
    "edit_overview",
    "edits_sheet",
    "figure",
    "fitted",
    "marked",
]
