"""The pictures of notebooks 01 to 03: what they mark is where it should be, and they can be drawn."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tiny import picture

from gooddrag import plots
from gooddrag.plots import inversion, noise


def drawn(figure: Figure) -> Image.Image:
    """As a file would have it: errors of layout and text show up only here."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


def axes():
    return Figure().subplots()


def texts(ax):
    return [text.get_text() for text in ax.texts]


# 01


def test_rows_of_pictures_keep_their_aspect():
    rows = [[(f"{i}{j}", picture((48, 24))) for j in range(3)] for i in range(2)]
    figure = plots.picture_rows(rows)
    assert [ax.get_title() or ax.get_title("left") for ax in figure.axes] == ["00", "01", "02", "10", "11", "12"]
    wide, high = drawn(figure).size
    assert wide > 2 * high  # three panels of 2 : 1 beside each other, two below each other


def test_signal_and_noise_are_the_legs_of_a_right_triangle():
    alpha = np.linspace(1, 0.01, 51)
    figure = plots.signal_and_noise(alpha, T=38)
    signal, noise_share, level = figure.axes[0].lines
    np.testing.assert_allclose(signal.get_ydata() ** 2 + noise_share.get_ydata() ** 2, 1)
    assert set(level.get_xdata()) == {38}
    drawn(figure)


def test_every_channel_and_the_histogram_of_every_latent():
    z = np.random.default_rng(0).normal(size=(4, 16, 16))
    figure = plots.latent_channels({"one": z, "two": 2 * z})
    assert len(figure.axes) == 2 * 5
    heights = [patch.get_height() for patch in figure.axes[4].patches]
    assert sum(heights) * 0.2 == pytest.approx(1)  # a density: bins of 0.2 from -4 to 4
    drawn(figure)


def test_eulers_line_starts_at_the_first_measurement_and_falls_with_slope_minus_one():
    errors = np.array([[0.2, 0.22, 0.18], [0.1, 0.1, 0.1], [0.06, 0.05, 0.04]])
    figure = plots.reconstruction_curves([13, 38, 50], {"a": errors[::-1]}, [10, 20, 50], {"a": errors}, T=38)
    left, right = figure.axes
    euler = right.lines[-1]
    np.testing.assert_allclose(euler.get_ydata(), 0.2 * 10 / np.array([10, 20, 50]))
    np.testing.assert_allclose(right.lines[0].get_ydata(), np.median(errors, axis=1))
    assert left.get_ylim()[0] == 0
    low, high = right.get_ylim()
    assert low < 0.04 and high > 0.22  # nothing is cut off
    drawn(figure)


def test_dots_of_a_page_are_joined():
    figure = plots.paired_dots({"without": np.array([3.0, 2, 1]), "with": np.array([1.0, 2, 3])}, "error")
    first = figure.axes[0].lines[0]
    np.testing.assert_allclose(first.get_ydata(), [3, 1])
    drawn(figure)


def test_errors_are_shown_with_their_quartiles():
    ax = axes()
    inversion.draw_errors(ax, [1, 2], {"a": np.array([[1.0, 2, 3], [4, 5, 6]])})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2, 5])
    shaded = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert shaded.min() == 1.5 and shaded.max() == 5.5


# 02


def test_pairs_above_the_line_are_wins_of_the_second_way():
    ax = axes()
    noise.draw_pairs(ax, np.array([20.0, 21, 22, 23]), np.array([25.0, 25, 25, 20]))
    assert texts(ax) == ["above the line:\n75% of 4"]
    assert ax.get_xlim() == ax.get_ylim() == (19, 26)


def test_wins_stand_above_each_strength():
    ax = axes()
    noise.draw_gain(ax, {0.1: np.array([1.0, 2, -1, 1]), 0.4: np.array([-1.0, -1, -1, 3])})
    assert texts(ax) == ["75%", "25%"]
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [1, -1])  # medians, after the dots of both


def test_noise_experiment():
    values = np.random.default_rng(0).uniform(20, 30, (2, 8))
    figure = plots.noise_experiment(
        [(name, picture()) for name in "abc"],
        (values[0], values[1]),
        {0.05: values[1] - values[0], 0.1: values[0] - values[1]},
        {1: values[0], 10: values[1]},
        clean=33.0,
    )
    assert len(figure.axes) == 6
    drawn(figure)
    drawn(plots.damage_by_level([4, 38], [0.1, 1.6], [0.01, 0.02]))


# 03


def test_the_square_covers_whole_pixels():
    ax = axes()
    plots.draw_square(ax, (10, 20), 4, "red")
    box = ax.patches[-1].get_bbox()
    assert (box.x0, box.y0, box.x1, box.y1) == (5.5, 15.5, 14.5, 24.5)  # 9 x 9 pixels around (10, 20)


def test_a_heat_map_covers_the_whole_picture():
    ax = axes()
    plots.draw_heat(ax, picture((48, 24)), np.zeros((3, 6)))
    assert ax.images[1].get_extent() == [-0.5, 47.5, 23.5, -0.5]


def test_the_dot_is_at_the_smallest_distance():
    ax = axes()
    distance = np.ones((5, 7))
    distance[1, 6] = 0
    plots.draw_distance_map(ax, distance, (30, 40), (33, 42))
    cross, dot = ax.lines
    assert cross.get_xydata().tolist() == [[33, 42]] and dot.get_xydata().tolist() == [[36, 41]]
    assert ax.images[0].get_extent() == [29.5, 36.5, 44.5, 39.5]


def test_feature_figures():
    maps = [[np.random.default_rng(0).random((n, n, 3)) for _ in range(3)] for n in (4, 8)]
    figure = plots.feature_grid(maps, ["up block 0", "up block 1"], ["t = 1", "t = 2", "t = 3"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["up block 0", "", "", "up block 1", "", ""]
    drawn(figure)
    errors = {"up block 0": {1: np.array([1.0, 3]), 38: np.array([5.0, 7])}}
    figure = plots.matching_errors(errors, unedited=9.0)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [2, 6])
    drawn(figure)


def test_motion_step_and_the_story_of_a_handle():
    window = ("before", np.arange(25.0).reshape(5, 5), (10, 12), (12, 14))
    wider = ("after", 2 * window[1], *window[2:])
    figure = plots.motion_step(picture(), (20, 22), (18, 20), (40, 40), 4, np.ones((16, 16)), [window, wider])
    assert len(figure.axes) == 4
    assert [ax.images[0].get_clim() for ax in figure.axes[2:]] == [(0, 48), (0, 48)]
    drawn(figure)
    crops = [(f"k = {k}", picture((24, 24))) for k in range(6)]
    figure = plots.handle_story(crops, np.ones((9, 2)), np.ones((10, 2)))
    assert len(figure.axes) == 6 + 2
    assert len(figure.axes[-1].lines) == 2 and len(figure.axes[-1].lines[0].get_xdata()) == 10
    drawn(figure)
