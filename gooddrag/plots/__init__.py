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
from gooddrag.plots.features import (
    draw_distance_map,
    draw_heat,
    draw_square,
    feature_grid,
    handle_story,
    matching_errors,
    motion_step,
)
from gooddrag.plots.inversion import (
    latent_channels,
    paired_dots,
    picture_rows,
    reconstruction_curves,
    signal_and_noise,
)
from gooddrag.plots.noise import (
    damage_by_level,
    noise_experiment,
)

__all__ = [
    "ARROW",
    "HANDLE",
    "STYLE",
    "TARGET",
    "contact_sheet",
    "damage_by_level",
    "draw_distance_map",
    "draw_heat",
    "draw_image",
    "draw_mask",
    "draw_path",
    "draw_points",
    "draw_square",
    "draw_user_edit",
    "edit_overview",
    "edits_sheet",
    "feature_grid",
    "figure",
    "fitted",
    "handle_story",
    "latent_channels",
    "marked",
    "matching_errors",
    "motion_step",
    "noise_experiment",
    "paired_dots",
    "picture_rows",
    "reconstruction_curves",
    "signal_and_noise",
]
