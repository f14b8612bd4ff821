"""The picker's state, regions and gestures, which know no widget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gooddrag.picker import regions
from gooddrag.picker.gestures import Gestures
from gooddrag.picker.state import HANDLE, TARGET, UNDO_STEPS, PickerState

SIZE = (40, 30)  # width x height: nothing may pass because the two are the same
PAIR = [[5, 6], [20, 21]]


def whole(size, region):
    mask = np.zeros(size[::-1], bool)
    mask[region.rows, region.columns] = region.inside
    return mask


# regions


@given(
    st.lists(st.tuples(st.floats(-10, 50), st.floats(-10, 40)), min_size=1, max_size=5),
    st.floats(1, 12),
)
def test_stroke_covers_what_is_near_its_path_and_nothing_else(path, radius):
    mask = whole(SIZE, regions.stroke(SIZE, path, radius))
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    distance = np.full(mask.shape, np.inf)
    for (ax, ay), (bx, by) in zip(path, [*path[1:], path[-1]], strict=True):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1) if length else 0
        distance = np.minimum(distance, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
    assert mask[distance < radius - 1.5].all()
    assert not mask[distance > radius + 1.5].any()


def test_thinnest_stroke_is_unbroken_and_a_click_paints_its_pixel():
    mask = whole(SIZE, regions.stroke(SIZE, [(2, 3), (30, 20)], 0.5))
    assert mask[3, 2] and mask[20, 30]
    assert mask[:, 2:31].any(axis=0).all()
    assert whole(SIZE, regions.stroke(SIZE, [(7, 8)], 0.5))[8, 7]


def test_box_and_ellipse_have_their_corners_inside_and_are_clipped():
    box = whole(SIZE, regions.box(SIZE, (30, 4), (10, 9)))  # corners in any order
    assert box[4:10, 10:31].all() and box.sum() == 6 * 21
    ellipse = whole(SIZE, regions.ellipse(SIZE, (10, 4), (31, 15)))
    assert not (ellipse & ~whole(SIZE, regions.box(SIZE, (10, 4), (31, 15)))).any()
    assert abs(ellipse.sum() / (np.pi / 4 * 22 * 12) - 1) < 0.06
    assert whole(SIZE, regions.box(SIZE, (-50, -50), (500, 500))).all()
    assert regions.stroke(SIZE, [(-50, -50)], 3).inside.size == 0


def test_mask_around_drags_holds_both_ends_and_grows_with_the_drag():
    short = regions.around_drags((200, 100), np.array([[[50, 50], [53, 50]]]))
    long = regions.around_drags((200, 100), np.array([[[50, 50], [90, 50]]]))
    for mask, end in ((short, 53), (long, 90)):
        assert mask[50, 50] and mask[50, end]
    assert long.sum() > 4 * short.sum()
    assert short[50, 50 - 17] and not short[50, 50 - 20]  # 0.18 x 100 px


# state


def test_every_change_is_checked_and_a_bad_one_leaves_no_trace():
    state = PickerState(SIZE, [PAIR])
    for change in (
        lambda: state.add([5, 6], [9, 9]),  # two handles on one spot
        lambda: state.add([7, 7], [7, 7]),  # no way to go
        lambda: state.add([40, 0], [1, 1]),  # outside
        lambda: state.move(0, TARGET, [5, 6]),
        lambda: state.move(3, TARGET, [5, 6]),
        lambda: state.delete(1),
        lambda: state.set_mask(np.ones(SIZE)),  # (W, H) instead of (H, W)
        lambda: PickerState(SIZE).mask_from_points(),
    ):
        with pytest.raises(ValueError, match=": .*expected"):
            change()
    assert state.points.tolist() == [PAIR] and state.mask is None and not state.can_undo


def test_border_points_are_allowed():
    state = PickerState(SIZE)
    state.add([0, 0], [39, 29])
    assert state.points.tolist() == [[[0, 0], [39, 29]]]


def test_what_it_gives_out_cannot_be_changed():
    mask = np.ones(SIZE[::-1])
    state = PickerState(SIZE, [PAIR], mask)
    mask[:] = 0
    assert state.mask.all()
    for array in (state.points, state.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_first_brush_starts_from_nothing_and_first_eraser_from_everything():
    state = PickerState(SIZE)
    state.paint(regions.box(SIZE, (0, 0), (3, 3)), True)
    assert state.mask.sum() == 16
    state = PickerState(SIZE)
    state.paint(regions.box(SIZE, (0, 0), (3, 3)), False)
    assert (~state.mask).sum() == 16


def test_notes_on_a_mask_that_hardly_is_meant():
    state = PickerState(SIZE, [PAIR, [[30, 10], [31, 12]]])
    assert state.notes() == []
    state.paint(regions.box(SIZE, (28, 8), (35, 15)), True)
    assert state.notes() == ["Handle 1 at (5, 6) is outside the mask: what it holds may not change."]
    state.set_mask(np.zeros(SIZE[::-1]))
    assert state.notes() == ["The mask is empty, so nothing may change."]


def test_a_change_to_the_same_is_none():
    state = PickerState(SIZE, [PAIR])
    state.set_points([PAIR])
    state.set_mask(None)
    assert not state.can_undo


def test_history_has_an_end():
    state = PickerState(SIZE)
    for i in range(UNDO_STEPS + 5):
        state.set_points([[[0, 0], [1 + i % 39, 1 + i // 39]]])
    undone = 0
    while state.undo():
        undone += 1
    assert undone == UNDO_STEPS and len(state.points) == 1


changes = st.one_of(
    st.tuples(st.just("add"), st.tuples(*[st.integers(0, 29)] * 4)),
    st.tuples(st.just("move"), st.tuples(st.integers(0, 3), st.sampled_from([HANDLE, TARGET]), st.integers(0, 29))),
    st.tuples(st.just("delete"), st.integers(0, 3)),
    st.tuples(st.just("paint"), st.tuples(st.integers(0, 29), st.integers(0, 29), st.booleans())),
    st.tuples(st.just("mask"), st.booleans()),
    st.tuples(st.just("clear"), st.none()),
)


def make(state, change):
    kind, what = change
    try:
        if kind == "add":
            state.add(what[:2], what[2:])
        elif kind == "move":
            state.move(what[0], what[1], (what[2], what[2]))
        elif kind == "delete":
            state.delete(what)
        elif kind == "paint":
            state.paint(regions.stroke(SIZE, [what[:2]], 4), what[2])
        elif kind == "mask":
            state.set_mask(None) if what else state.mask_from_points()
        else:
            state.clear()
    except ValueError:
        pass


def seen(state):
    return state.points.tolist(), None if state.mask is None else state.mask.tolist()


@given(st.lists(changes, max_size=20))
def test_undo_and_redo_walk_through_every_state(sequence):
    state = PickerState(SIZE, [PAIR])
    stations = [seen(state)]
    for change in sequence:
        make(state, change)
        if seen(state) != stations[-1]:
            stations.append(seen(state))
    for station in reversed(stations[:-1]):
        assert state.undo() and seen(state) == station
    assert not state.undo()
    for station in stations[1:]:
        assert state.redo() and seen(state) == station
    assert not state.redo()
    make(state, ("paint", (0, 0, True)))
    make(state, ("paint", (25, 25, True)))
    state.undo()
    state.add([39, 29], [38, 29])  # a new way: the old one is forgotten
    assert not state.can_redo


# gestures


def gestures(**options):
    return Gestures(PickerState(SIZE, **options), reach=3, radius=2)


def test_preview_is_what_the_release_makes():
    g = gestures(points=[PAIR])
    g.press(30.2, 3.9)
    g.pull(10, 10)
    assert g.points.tolist() == [PAIR, [[30, 4], [10, 10]]] and len(g.state.points) == 1
    g.release(11, 99)  # below the image
    assert g.state.points.tolist() == g.points.tolist() == [PAIR, [[30, 4], [11, 29]]]


def test_an_end_that_is_taken_does_not_jump():
    g = gestures(points=[PAIR])
    g.press(22, 22)  # the target is at 20, 21
    assert g.points.tolist() == [PAIR] and g.selected == 0
    g.pull(25, 24)
    g.release(25, 24)
    assert g.state.points.tolist() == [[[5, 6], [23, 23]]]
    g.press(23, 23)
    g.release(23, 23)  # a click selects
    assert g.selected == 0 and g.state.points.tolist() == [[[5, 6], [23, 23]]]


def test_click_in_the_open_says_how_it_is_done():
    g = gestures()
    g.press(10, 10)
    with pytest.raises(ValueError, match=r"both at \(10, 10\); press at the handle, pull, and release"):
        g.release(10.3, 9.8)
    assert g.live is None and not g.state.can_undo


def test_moving_a_handle_onto_another_is_refused():
    g = gestures(points=[PAIR, [[30, 10], [31, 20]]])
    g.press(30, 10)
    g.pull(5, 6)
    with pytest.raises(ValueError, match="handles 1 and 2 are both at"):
        g.release(5, 6)
    assert g.state.points[1, HANDLE].tolist() == [30, 10]


def test_keys():
    g = gestures(points=[PAIR, [[30, 10], [31, 20]]])
    g.press(5, 6)
    g.release(5, 6)
    assert g.key("Delete") and g.state.points.tolist() == [[[30, 10], [31, 20]]]
    assert g.key("z", ctrl=True) and len(g.state.points) == 2
    assert g.key("Z", shift=True, ctrl=True) and len(g.state.points) == 1
    g.key("z", ctrl=True)
    assert g.key("y", ctrl=True) and len(g.state.points) == 1
    g.press(1, 1)
    g.pull(8, 8)
    g.key("z", ctrl=True)  # undoes what is half done
    assert g.live is None and len(g.state.points) == 1
    before = g.radius
    assert g.key("]") and g.radius > before and g.key("[") and g.radius == pytest.approx(before)
    for _ in range(100):
        g.key("]")
    assert g.radius == 40
    assert not g.key("q")
    g.key("Backspace")  # nothing selected: the last
    assert not len(g.state.points)
    with pytest.raises(ValueError, match="no pair"):
        g.key("Delete")
