"""Figures: what is drawn, where, in which colour; every one is rendered once."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from tiny import picture

from gooddrag import plots
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

PAGE = picture()
MASK = np.zeros((64, 64), bool)
MASK[10:40, 10:40] = True
SAMPLE = Sample(PAGE, [[(20, 20), (34, 30)]], MASK, picture(seed=1))


@pytest.fixture(scope="module")
def result(tiny):
    config = DragConfig(num_steps=4, K=3, B=1, J=1, stop_unmoved=None, lr=0.1)
    return DragEditor(tiny).set_image(PAGE).drag(SAMPLE, config=config)


def png(fig):
    """Rendering finds what drawing alone does not: bad limits, texts, layouts."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png")
    return Image.open(buffer)


def titles(fig):
    return [ax.get_title(loc="left") for ax in fig.axes]


def dots(ax):
    """Colour -> places of the filled dots."""
    found = {}
    for line in ax.lines:
        if line.get_marker() == "o" and line.get_markerfacecolor() != "none":
            found.setdefault(to_hex(line.get_color()), []).extend(map(tuple, line.get_xydata().tolist()))
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
    png(fig)


def test_without_a_mask_nothing_is_darkened():
    _, axes = plots.figure(1)
    plots.draw_mask(axes[0, 0], None)
    assert not axes[0, 0].images


def test_pictures_and_maps_are_never_blocks():
    fig, axes = plots.figure(3)
    plots.draw_user_edit(axes[0, 0], SAMPLE)
    plots.draw_heat(axes[0, 1], PAGE, np.eye(8))
    plots.draw_distance_map(axes[0, 2], np.eye(5))
    images = [image for ax in fig.axes for image in ax.images]
    assert len(images) == 5 and all(image.get_interpolation() in ("bicubic", "bilinear") for image in images)
    png(fig)


def test_a_path_runs_through_its_points_and_ends_in_a_handle():
    fig, axes = plots.figure(1)
    path = np.array([[[1, 2], [5, 6]], [[3, 4], [7, 9]]], float)  # two moments, two handles
    plots.draw_path(axes[0, 0], path)
    assert [line.get_xydata().tolist() for line in axes[0, 0].lines[::2]] == path.transpose(1, 0, 2).tolist()
    assert dots(axes[0, 0])[plots.HANDLE] == [(3, 4), (7, 9)]


def test_heat_lies_over_its_window_of_the_picture():
    fig, axes = plots.figure(2)
    plots.draw_heat(axes[0, 0], PAGE, np.eye(8))
    plots.draw_heat(axes[0, 1], PAGE, np.eye(8), window=(10, 20, 18, 28), limits=(0, 2))
    assert [ax.images[1].get_extent() for ax in fig.axes] == [[-0.5, 63.5, 63.5, -0.5], [9.5, 17.5, 27.5, 19.5]]
    assert fig.axes[1].images[1].get_clim() == (0, 2)
    assert all((*ax.get_xlim(), *ax.get_ylim()) == (-0.5, 63.5, 63.5, -0.5) for ax in fig.axes)


def test_the_dot_of_a_distance_map_is_its_minimum():
    fig, axes = plots.figure(1)
    distance = np.ones((5, 7))
    distance[3, 2] = 0
    plots.draw_distance_map(axes[0, 0], distance)
    assert dots(axes[0, 0]) == {plots.HANDLE: [(2, 3)]}


def test_a_grid_marks_targets_and_leaves_empty_places_empty():
    fig = plots.image_grid([[("user", SAMPLE), ("x", PAGE)], [("y", PAGE)]], targets=SAMPLE.targets)
    assert titles(fig) == ["user", "x", "y", ""]
    assert not fig.axes[3].axison and len(fig.axes[1].lines) == 2
    png(fig)


def test_a_grid_can_show_a_window():
    window = plots.edited_window(SAMPLE)
    assert window == (7, 7, 43, 43)  # 30 px of mask and a tenth of that on each side
    fig = plots.image_grid([[("user", SAMPLE), ("x", PAGE)]], window=window)
    assert all((*ax.get_xlim(), *ax.get_ylim()) == (6.5, 42.5, 42.5, 6.5) for ax in fig.axes)


@pytest.mark.parametrize("points", [[(0, 0), (1, 0)], [(63, 63), (62, 63)], [(0, 0), (63, 63)]])
def test_an_edited_window_stays_in_the_picture_and_holds_the_points(points):
    left, top, right, bottom = plots.edited_window(Sample(PAGE, [points]))
    assert right - left == bottom - top and min(left, top) >= 0 and max(right, bottom) <= 64
    assert all(left <= x < right and top <= y < bottom for x, y in points)


def test_an_overview_shows_the_truth_where_it_is_known(result):
    fig = plots.edit_overview(result)
    assert titles(fig)[:2] + titles(fig)[3:] == ["before", "user edit", "truth"]
    assert dots(fig.axes[2])[plots.HANDLE] == [tuple(result.handles[0])]
    png(fig)


def test_a_strip_follows_the_handle_while_the_target_stays(result):
    fig = plots.strip(result, 2)
    assert titles(fig) == ["user edit", "k = 1", "k = 3", "result"]
    assert [dots(ax)[plots.TARGET] for ax in fig.axes[1:3]] == [[(34, 30)]] * 2
    assert [dots(ax)[plots.HANDLE] for ax in fig.axes[1:3]] == [[tuple(result.history[i].handles[0])] for i in (0, 2)]
    png(fig)


def test_curves_of_many_edits_are_median_and_quartiles():
    fig, axes = plots.figure(1)
    plots.curves(axes[0, 0], [1, 2], {"one": [3, 4], "many": [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]})
    one, many = axes[0, 0].lines
    assert list(one.get_ydata()) == [3, 4] and list(many.get_ydata()) == [2, 12]
    assert [line.get_color() for line in (one, many)] == [plots.WITHOUT, plots.WITH]
    (band,) = axes[0, 0].collections
    assert {y for _, y in band.get_paths()[0].vertices.tolist()} == {1, 3, 11, 13}
    png(fig)


def test_paired_dots_are_green_where_the_first_way_is_lower():
    fig = plots.paired_dots({"error": ([1, 5, 1], [2, 4, 30]), "ratio": ([1, 1, 1], [1, 1.1, 1.2])}, "a", "b")
    colours = [to_hex(colour) for colour in fig.axes[0].collections[0].get_colors()]
    assert colours == [plots.BETTER, plots.WORSE, plots.BETTER]  # from the smallest of the second way up
    assert dots(fig.axes[0]) == {plots.WITHOUT: [(2, 0), (4, 1), (30, 2)], plots.WITH: [(1, 0), (5, 1), (1, 2)]}
    assert [ax.get_xscale() for ax in fig.axes] == ["log", "linear"]
    assert [fig.axes[0].xaxis.get_major_formatter()(x) for x in (0.003, 1, 30)] == ["0.003", "1", "30"]
    png(fig)


def test_a_thumbnail_is_red_at_the_handle_blue_at_the_target_and_dark_outside_the_mask():
    wide = Sample(picture((128, 64)), [[(20, 20), (80, 40)]], np.arange(128)[None].repeat(64, 0) < 100)
    small = np.asarray(plots.marked(wide, 100)).astype(int)
    assert small.shape == (50, 100, 3)
    (r, _, b), (red, _, blue) = small[16, 16], small[32, 63]
    assert r > 2 * b and blue > 2 * red
    page = np.asarray(wide.image.resize((100, 50)))
    assert small[:, 85:].mean() < 0.8 * page[:, 85:].mean()


def test_a_contact_sheet_fills_row_by_row():
    tiles = [Image.new("RGB", (10, 10), (value, 0, 0)) for value in (10, 20, 30)]
    sheet = np.asarray(plots.contact_sheet(tiles, 2, gap=2))
    assert sheet.shape == (22, 22, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((5, 5), (5, 17), (17, 5), (17, 17))] == [10, 20, 30, 255]
