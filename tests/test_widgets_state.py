"""The picker's state, shapes and gestures, which know no widget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gooddrag.widgets.gestures import HANDLE, TARGET, Gestures
from gooddrag.widgets.state import UNDO_STEPS, PickerState, around_drags, painted

SIZE = (40, 30)  # width x height: nothing may pass because the two are the same
PAGE = Image.new("RGB", SIZE)
PAIR = [[5, 6], [20, 21]]


def shape(name, path, radius=0.0):
    return painted(np.zeros(SIZE[::-1], bool), name, path, True, radius)


def state(points=None, mask=None):
    return PickerState(PAGE, points, mask)


# shapes


@given(st.lists(st.tuples(st.floats(-10, 50), st.floats(-10, 40)), min_size=1, max_size=5), st.floats(1, 12))
def test_stroke_covers_what_is_near_its_path_and_nothing_else(path, radius):
    mask = shape("stroke", path, radius)
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    distance = np.full(mask.shape, np.inf)
    for (ax, ay), (bx, by) in zip(path, [*path[1:], path[-1]], strict=True):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1) if length else 0
        distance = np.minimum(distance, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
    assert mask[distance < radius - 1.6].all()
    assert not mask[distance > radius + 1.6].any()


def test_thinnest_stroke_is_unbroken_and_a_click_paints_its_pixel():
    mask = shape("stroke", [(2, 3), (30, 20)], 0.5)
    assert mask[3, 2] and mask[20, 30] and mask[:, 2:31].any(axis=0).all()
    assert shape("stroke", [(7, 8)], 0.5)[8, 7]


def test_box_and_ellipse_have_their_corners_inside_and_are_cut_off_at_the_border():
    box = shape("box", [(30, 4), (10, 9)])  # corners in any order
    assert box[4:10, 10:31].all() and box.sum() == 6 * 21
    ellipse = shape("ellipse", [(10, 4), (31, 15)])
    assert not (ellipse & ~shape("box", [(10, 4), (31, 15)])).any()
    assert abs(ellipse.sum() / (np.pi / 4 * 22 * 12) - 1) < 0.06
    assert shape("box", [(-50, -50), (500, 500)]).all() and not shape("stroke", [(-50, -50)], 3).any()


def test_mask_around_drags_holds_both_ends_and_grows_with_the_drag():
    short = around_drags((200, 100), np.array([[[50, 50], [53, 50]]]))
    long = around_drags((200, 100), np.array([[[50, 50], [90, 50]]]))
    for mask, end in ((short, 53), (long, 90)):
        assert mask[50, 50] and mask[50, end]
    assert long.sum() > 4 * short.sum()
    assert short[50, 50 - 17] and not short[50, 50 - 20]  # 0.18 x 100 px


# state


def test_every_change_is_checked_and_a_bad_one_leaves_no_trace():
    s = state([PAIR])
    for changes in (
        {"points": [PAIR, [[5, 6], [9, 9]]]},  # two handles on one spot
        {"points": [[[7, 7], [7, 7]]]},  # no way to go
        {"points": [[[40, 0], [1, 1]]]},  # outside
        {"mask": np.ones(SIZE)},  # (W, H) instead of (H, W)
    ):
        with pytest.raises(ValueError, match=": .*expected"):
            s.set(**changes)
    assert s.points.tolist() == [PAIR] and s.mask is None and not s.past


def test_border_points_are_allowed_and_what_it_gives_out_cannot_be_changed():
    mask = np.ones(SIZE[::-1])
    s = state([[[0, 0], [39, 29]]], mask)
    mask[:] = 0
    assert s.mask.all()
    for array in (s.points, s.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_first_brush_starts_from_nothing_first_eraser_from_everything_and_invert_swaps():
    s = state()
    s.paint("box", [(0, 0), (3, 3)], True)
    assert s.mask.sum() == 16
    s.invert_mask()
    assert (~s.mask).sum() == 16
    s = state()
    s.paint("box", [(0, 0), (3, 3)], False)
    assert (~s.mask).sum() == 16
    s.set(mask=None)
    s.invert_mask()
    assert not s.mask.any()


def test_notes_on_a_mask_that_is_rarely_intended():
    s = state([PAIR, [[30, 10], [31, 12]]])
    assert s.note() == ""
    s.paint("box", [(28, 8), (35, 15)], True)
    assert "handle 1" in s.note() and "outside" in s.note() and "handle 2" not in s.note()
    s.set(points=[PAIR])
    assert "inverted" in s.note()
    s.set(mask=np.zeros(SIZE[::-1]))
    assert "nothing may change" in s.note()


def test_a_change_to_the_same_is_none_and_history_has_an_end():
    s = state([PAIR])
    s.set(points=[PAIR], mask=None, image=PAGE)
    assert not s.past
    for i in range(UNDO_STEPS + 5):
        s.set(points=[[[0, 0], [1 + i % 39, 1 + i // 39]]])
    undone = 0
    while s.undo():
        undone += 1
    assert undone == UNDO_STEPS and len(s.points) == 1


def test_another_image_is_a_change_that_undo_takes_back():
    s, other = state([PAIR], np.ones(SIZE[::-1])), Image.new("RGB", (20, 50), "red")
    first = s.now
    s.set(image=other, points=[[[10, 49], [1, 1]]], mask=None)
    assert s.size == (20, 50) and s.mask is None
    assert s.undo() and s.now is first and s.size == SIZE and s.mask.shape == (30, 40)
    assert s.redo() and s.now.image is other


changes = st.one_of(
    st.tuples(st.just("add"), st.tuples(*[st.integers(0, 29)] * 4)),
    st.tuples(st.just("paint"), st.tuples(st.integers(0, 29), st.integers(0, 29), st.booleans())),
    st.tuples(st.just("mask"), st.booleans()),
    st.tuples(st.just("clear"), st.none()),
)


def make(s, change):
    kind, what = change
    try:
        if kind == "add":
            s.set(points=[*s.points, [what[:2], what[2:]]])
        elif kind == "paint":
            s.paint("stroke", [what[:2]], what[2], 4)
        elif kind == "mask":
            s.set(mask=None) if what else s.invert_mask()
        else:
            s.set(points=None, mask=None)
    except ValueError:
        pass


def seen(s):
    return s.points.tolist(), None if s.mask is None else s.mask.tolist()


@given(st.lists(changes, max_size=20))
def test_undo_and_redo_walk_through_every_state(sequence):
    s = state([PAIR])
    stations = [seen(s)]
    for change in sequence:
        make(s, change)
        if seen(s) != stations[-1]:
            stations.append(seen(s))
    for station in reversed(stations[:-1]):
        assert s.undo() and seen(s) == station
    assert not s.undo()
    for station in stations[1:]:
        assert s.redo() and seen(s) == station
    assert not s.redo()
    s.set(points=[[[39, 28], [38, 29]]])
    s.undo()
    s.set(points=[[[39, 29], [38, 29]]])  # a new way: the old one is forgotten
    assert not s.redo()


# gestures


def gestures(points=None):
    g = Gestures(state(points))
    g.reach, g.click, g.radius = 3, 0.5, 2
    return g


def pull(g, *path):
    g.press(*path[0])
    for at in path[1:]:
        g.pull(*at)
    g.release(*path[-1])


def test_preview_is_what_the_release_makes():
    g = gestures([PAIR])
    g.press(30.2, 3.9)
    g.pull(10, 10)
    assert g.points.tolist() == [PAIR, [[30, 4], [10, 10]]] and len(g.state.points) == 1
    g.release(11, 99)  # below the image
    assert g.state.points.tolist() == g.points.tolist() == [PAIR, [[30, 4], [11, 29]]]


def test_an_end_that_is_taken_does_not_jump():
    g = gestures([PAIR])
    g.press(22, 22)  # the target is at 20, 21
    assert g.points.tolist() == [PAIR]
    g.pull(25, 24)
    g.release(25, 24)
    assert g.state.points.tolist() == [[[5, 6], [23, 23]]]
    pull(g, (23, 23))  # a click selects
    assert g.selected == 0 and g.state.points.tolist() == [[[5, 6], [23, 23]]]


def test_click_on_the_handle_then_on_the_target():
    g = gestures()
    pull(g, (10, 10))
    g.pull(25, 12)  # hovers, the arrow follows
    assert g.points.tolist() == [[[10, 10], [25, 12]]] and not len(g.state.points)
    pull(g, (25, 12))
    assert g.state.points.tolist() == [[[10, 10], [25, 12]]] and g.live is None
    pull(g, (3, 3))
    pull(g, (3.2, 3.1))  # twice on one spot: nothing, and nothing is said
    assert g.live is None and len(g.state.points) == 1
    pull(g, (3, 3))
    g.key("Escape")
    pull(g, (30, 20), (33, 25))
    assert len(g.state.points) == 2


def test_a_click_in_the_open_deselects_silently():
    g = gestures([PAIR])
    pull(g, (5, 6))
    assert g.selected == 0
    pull(g, (30, 3))
    assert g.selected is None and g.live is None and g.state.points.tolist() == [PAIR]


def test_a_pull_or_stroke_that_leaves_and_comes_back_goes_on():
    g = gestures()
    g.press(10, 10)
    g.pull(39, 10)
    g.leave()
    assert g.pointer is None and g.live is not None
    g.pull(30, 15)
    g.release(30, 15)
    assert g.state.points.tolist() == [[[10, 10], [30, 15]]]
    g.mode = "brush"
    g.press(5, 25)
    g.pull(-8, 25)
    g.leave()
    g.press(5, 5)  # the release outside never arrived: this one ends the stroke
    g.release(5, 5)
    assert g.state.mask[25, 3] and g.state.mask[5, 4] and g.live is None


def test_moving_a_handle_onto_another_is_refused():
    g = gestures([PAIR, [[30, 10], [31, 20]]])
    with pytest.raises(ValueError, match="handles 1 and 2 are both at"):
        pull(g, (30, 10), (5, 6))
    assert g.state.points[1, HANDLE].tolist() == [30, 10] and g.state.points[1, TARGET].tolist() == [31, 20]


def test_keys():
    g = gestures([PAIR, [[30, 10], [31, 20]]])
    pull(g, (5, 6))
    g.key("Delete")
    assert g.state.points.tolist() == [[[30, 10], [31, 20]]]
    g.key("z", ctrl=True)
    assert len(g.state.points) == 2
    g.key("Z", ctrl=True, shift=True)
    assert len(g.state.points) == 1
    g.key("z", ctrl=True)
    g.key("y", ctrl=True)
    assert len(g.state.points) == 1
    g.press(1, 1)
    g.pull(8, 8)
    g.key("z", ctrl=True)  # undoes what is half done
    assert g.live is None and len(g.state.points) == 1
    before = g.radius
    g.key("]")
    assert g.radius > before
    for _ in range(100):
        g.key("]")
    assert g.radius == 40
    for key, mode in (("b", "brush"), ("E", "eraser"), ("q", "eraser"), ("p", "points")):
        g.key(key)
        assert g.mode == mode
    g.key("b", ctrl=True)
    assert g.mode == "points"
    g.key("Backspace")  # nothing selected: the last
    assert not len(g.state.points)
    with pytest.raises(ValueError, match="no pair"):
        g.key("Delete")
