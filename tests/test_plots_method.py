"""Figures of notebooks 04 to 06: they draw what they are given."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture, random

from experiments.studies.aldd import Step
from gooddrag import plots
from gooddrag.sample import Sample

PAGE = picture()
MASK = np.zeros((64, 64), bool)
MASK[10:40, 10:40] = True
SAMPLE = Sample(PAGE, [[(20, 20), (34, 30)]], MASK)


def png(fig):
    """Rendering finds what drawing alone does not: bad limits, texts, layouts."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png")
    return Image.open(buffer)


def walk(kinds):
    return [Step(kind, 5 - i, i, torch.zeros(1)) for i, kind in enumerate(kinds)]


def test_schedules_draw_every_step_once():
    kinds = ["drag", "drag", "denoise", "drag", "denoise"]
    fig = plots.schedules({"a": walk(kinds), "b": walk(sorted(kinds))})
    drags, denoises = fig.axes[0].lines
    assert list(drags.get_xdata()) == [1, 2, 4] and list(denoises.get_xdata()) == [3, 5]
    assert list(denoises.get_ydata()) == [3, 1]
    assert png(fig).width > 400


def test_duel_is_green_where_the_first_way_is_lower():
    fig = plots.duel({"error": ([1, 5, 1], [2, 4, 30]), "ratio": ([1, 1, 1], [1, 1.1, 1.2])}, "a", "b")
    lines = [line for line in fig.axes[0].lines if line.get_linestyle() == "-"]
    assert sum(line.get_color() == "#3a9b4b" for line in lines) == 2 and len(lines) == 3
    assert [ax.get_xscale() for ax in fig.axes] == ["log", "linear"]
    png(fig)


def test_image_grid_marks_targets_and_leaves_empty_places_empty():
    fig = plots.image_grid([[("user", SAMPLE), ("x", PAGE)], [("y", PAGE)]], targets=SAMPLE.targets)
    assert [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes] == ["user", "x", "y", ""]
    assert not fig.axes[3].axison and len(fig.axes[1].lines) == 2
    png(fig)


def test_image_grid_can_show_a_window():
    window = plots.edited_window(SAMPLE)
    assert window == (7, 7, 43, 43)  # 30 px of mask and a tenth of that on each side
    fig = plots.image_grid([[("user", SAMPLE), ("x", PAGE)]], targets=SAMPLE.targets, window=window)
    assert all((*ax.get_xlim(), *ax.get_ylim()) == (6.5, 42.5, 42.5, 6.5) for ax in fig.axes)
    png(fig)


@pytest.mark.parametrize("points", [[(0, 0), (1, 0)], [(63, 63), (62, 63)], [(0, 0), (63, 63)]])
def test_an_edited_window_stays_in_the_picture_and_holds_the_points(points):
    left, top, right, bottom = plots.edited_window(Sample(PAGE, [points]))
    assert right - left == bottom - top and min(left, top) >= 0 and max(right, bottom) <= 64
    assert all(left <= x < right and top <= y < bottom for x, y in points)


def test_change_maps_and_errors_show_the_difference():
    other = picture(seed=1)
    expected = np.abs(np.asarray(other, float) - np.asarray(PAGE, float)).mean(axis=2) / 255
    for fig in (plots.change_maps(SAMPLE, {"a": PAGE, "b": other}), plots.errors(PAGE, {"a": PAGE, "b": other})):
        nothing, change = (ax.images[0].get_array() for ax in fig.axes[2:4])
        assert float(nothing.max()) == 0
        np.testing.assert_allclose(change, expected)
        png(fig)


def test_manifold_walks_and_ruler():
    names, kinds = ["at once", "alternating"], ["drag", "drag", "denoise"]
    fig = plots.manifold_walks({n: np.random.default_rng(0).normal(size=(3, 2)) for n in names},
                               dict.fromkeys(names, kinds), {n: ([1, 3], [1.0, 1.2]) for n in names})  # fmt: skip
    assert fig.axes[0].lines[0].get_xydata()[0].tolist() == [0, 0]  # both begin at the page
    png(fig)
    fig = plots.ruler({"truth": [1.0, 1.1], "damaged": [2.0, 3.0]})
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["truth", "damaged"]
    png(fig)


def test_heatmaps_cross_the_minimum_on_one_scale():
    maps = {name: [random(9, 11, seed=i).abs() + i for i in range(3)] for name in ("without", "with")}
    fig = plots.heatmaps(maps, [1, 5, 9])
    for ax, distance in zip(fig.axes, [*maps["without"], *maps["with"]], strict=False):
        y, x = divmod(int(distance.argmin()), 11)
        assert ax.lines[0].get_xydata().tolist() == [[x, y]]
        assert ax.get_xlabel() == f"std {float(distance.std()):.2f}"
    assert len({ax.images[0].get_clim() for ax in fig.axes[:6]}) == 1
    png(fig)


@pytest.mark.parametrize("many", [None, {"a": [[1, 2, 3], [3, 4, 5]], "b": [[1, 1, 1], [1, 1, 1]]}])
def test_drift_curves(many):
    fig = plots.drift_curves({"a": [1, 2, 3], "b": [1, 1, 1]}, many=many)
    assert list(fig.axes[0].lines[0].get_ydata()) == [1, 2, 3]
    if many:
        assert list(fig.axes[1].lines[0].get_ydata()) == [2, 3, 4]  # the median
    png(fig)


def test_strips_panels_knobs_and_looks():
    crops = [("before", PAGE.crop((0, 0, 9, 9))), ("k = 1", PAGE.crop((5, 5, 14, 14)))]
    png(plots.drift_strips({"a": crops, "b": crops}))
    png(plots.intermediate([("x", PAGE, SAMPLE.handles), ("y", PAGE, None)]))
    fig = plots.knob({"error": {"low": [1, 2, 3], "high": [10, 20, 30]}}, "rank")
    assert list(fig.axes[0].lines[-1].get_ydata()) == [2, 20] and fig.axes[0].get_yscale() == "log"
    png(fig)
    png(plots.looks_at({"a": (PAGE, (3.0, 4.0), None), "b": (PAGE, None, np.eye(8))}))
