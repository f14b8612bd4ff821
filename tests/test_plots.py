"""Figures: what is drawn, where, in which colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from tiny import mask_of, picture

from gooddrag import plots
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

PAGE = picture()
MASK = mask_of((64, 64), (10, 10, 40, 40))
SAMPLE = Sample(PAGE, [[(20, 20), (34, 30)]], MASK, picture(seed=1))


@pytest.fixture(scope="module")
def result(tiny):
    config = DragConfig(num_steps=4, K=3, B=1, J=1, stop_unmoved=None, lr=0.1)
    return DragEditor(tiny).set_image(PAGE).drag(SAMPLE, config=config)


def titles(fig):
    return [ax.get_title(loc="left") for ax in fig.axes]


def dots(ax, rings=False):
    """Colour -> places of the dots, or of the rings."""
    found = {}
    for line in ax.lines:
        if line.get_marker() == "o" and (line.get_markerfacecolor() == "none") is rings:
            colour = line.get_markeredgecolor() if rings else line.get_color()
            found.setdefault(to_hex(colour), []).extend(map(tuple, line.get_xydata().tolist()))
    return found


def test_a_user_edit_shows_handle_red_target_blue_arrow_white_and_a_veil():
    fig, axes = plots.figure(1)
    plots.draw_user_edit(axes[0, 0], SAMPLE)
    ax = axes[0, 0]
    assert dots(ax) == {plots.HANDLE: [(20, 20)], plots.TARGET: [(34, 30)]}
    (arrow,) = ax.texts
    assert arrow.xy == (34, 30) and to_hex(arrow.arrow_patch.get_edgecolor()) == "#ffffff"
    page, veil = ax.images
    assert (page.get_array() == np.asarray(PAGE)).all()
    assert ((veil.get_array()[..., 3] == 0) == MASK).all()
    (outline,) = ax.collections
    assert to_hex(outline.get_edgecolor()) == "#ffffff"


def test_pictures_and_maps_are_never_blocks_and_lie_where_they_belong():
    fig, (axes,) = plots.figure(3)
    distance = np.ones((5, 7))
    distance[3, 2] = 0
    plots.draw_user_edit(axes[0], SAMPLE)
    plots.draw_heat(axes[1], PAGE, np.eye(8))
    plots.draw_distance_map(axes[2], distance)
    images = [image for ax in fig.axes for image in ax.images]
    assert len(images) == 5 and all(image.get_interpolation() in ("bicubic", "bilinear") for image in images)
    assert axes[1].images[1].get_extent() == [*axes[1].get_xlim(), *axes[1].get_ylim()] == [-0.5, 63.5, 63.5, -0.5]
    assert dots(axes[2]) == {plots.HANDLE: [(2, 3)]}  # the minimum


def test_an_overview_shows_the_truth_where_it_is_known(result):
    fig = plots.edit_overview(result)
    assert titles(fig) == ["user edit", "paths of the handles", "after", "truth"]
    assert fig.axes[1].lines[0].get_xydata().tolist() == result.path[:, 0].tolist()
    assert dots(fig.axes[1])[plots.HANDLE] == [tuple(result.handles[0])] and dots(fig.axes[2]) == {}


def test_a_strip_follows_the_handle_while_the_target_stays(result):
    fig = plots.strip(result, 2)
    assert titles(fig) == ["user edit", "k = 1", "k = 3", "result"]
    rings = [dots(ax, rings=True) for ax in fig.axes[1:]]
    places = [{plots.TARGET: [(34, 30)], plots.HANDLE: [tuple(result.history[i].handles[0])]} for i in (0, 2)]
    assert rings == [*places, {}]  # none on the result


def test_paired_dots_are_green_where_the_first_way_is_lower():
    fig = plots.paired_dots({"error": ([1, 5, 1], [2, 4, 30]), "ratio": ([1, 1, 1], [1, 1.1, 1.2])}, "a", "b")
    colours = [to_hex(colour) for colour in fig.axes[0].collections[0].get_colors()]
    assert colours == [plots.BETTER, plots.WORSE, plots.BETTER]  # from the smallest of the second way up
    assert dots(fig.axes[0]) == {plots.WITHOUT: [(2, 0), (4, 1), (30, 2)], plots.WITH: [(1, 0), (5, 1), (1, 2)]}
    assert [ax.get_xscale() for ax in fig.axes] == ["log", "log"]
    assert [fig.axes[0].xaxis.get_major_formatter()(x) for x in (0.003, 1, 30)] == ["0.003", "1", "30"]
