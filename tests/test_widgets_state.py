"""The picker's state and gestures, which know no widget."""

import numpy as np
import pytest
from PIL import Image

from gooddrag.widgets.state import PickerState

SIZE = (40, 30)  # width x height: nothing may pass because the two are the same
PAGE = Image.new("RGB", SIZE)
PAIR = [[5, 6], [20, 21]]


def picked(points=None, mask=None):
    s = PickerState(PAGE, points, mask)
    s.reach, s.click, s.radius = 3, 0.5, 2
    return s


def painted(shape, path, radius=2):
    s = picked(mask=np.zeros(SIZE[::-1]))
    s.radius = radius
    s.paint(shape, path, editable=True)
    return s.mask


def pull(s, *path):
    s.press(*path[0])
    for at in path[1:]:
        s.pull(*at)
    s.release(*path[-1])


def test_a_stroke_is_a_round_brush_along_its_path():
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    distance = np.hypot(x - np.clip(x, 6, 25), y - 12)  # from the way
    for radius in (1, 2, 5):
        mask = painted("stroke", [(6, 12), (20, 12), (25, 12)], radius)
        assert mask[distance < radius - 1].all() and not mask[distance > radius + 1].any()


def test_a_box_and_an_ellipse_have_their_corners_inside_and_are_cut_off_at_the_border():
    box = painted("box", [(30, 4), (10, 9)])  # corners in any order
    assert box[4:10, 10:31].all() and box.sum() == 6 * 21
    ellipse = painted("ellipse", [(10, 4), (31, 15)])
    assert not (ellipse & ~painted("box", [(10, 4), (31, 15)])).any()
    assert abs(ellipse.sum() / (np.pi / 4 * 22 * 12) - 1) < 0.06
    assert painted("box", [(-50, -50), (500, 500)]).all() and not painted("stroke", [(-50, -50)]).any()


def test_the_first_brush_starts_from_nothing_and_the_first_eraser_from_everything():
    s = picked([[[0, 0], [39, 29]]])
    for editable in (True, False):
        s.set(mask=None)
        s.paint("box", [(0, 0), (3, 3)], editable=editable)
        assert (s.mask == editable).sum() == 16
        s.invert_mask()
        assert (s.mask != editable).sum() == 16
    s.set(mask=None)
    s.invert_mask()
    assert not s.mask.any()
    for array in (s.points, s.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_another_image_is_a_change_that_undo_takes_back():
    mask = np.arange(1200).reshape(30, 40) < 700
    s, other = picked([PAIR], mask), PickerState(Image.new("RGB", (30, 40), "red"), mask=mask.reshape(40, 30))
    first = s.now
    s.take(other.now)
    assert s.image is other.image and s.mask.shape == (40, 30) and not len(s.points)
    s.undo()
    assert s.now is first and s.size == SIZE and (s.mask == mask).all()


def seen(s):
    return s.points.tolist(), None if s.mask is None else s.mask.tolist()


def test_undo_and_redo_walk_through_every_state():
    s = picked([PAIR])
    stations, changes = [seen(s)], [{"points": [PAIR, [[1, 2], [3, 4]]]}, {"mask": np.eye(30, 40)}, {"points": None}]
    for change in [*changes, {"mask": None, "points": [PAIR]}, {"mask": np.ones((30, 40))}]:
        s.set(**change)
        stations.append(seen(s))
    s.set(mask=np.ones((30, 40)))  # the same once more is no change
    for forward, way in ((False, stations[-2::-1]), (True, stations[1:])):
        for station in way:
            s.undo(forward=forward)
            assert seen(s) == station
        s.undo(forward=forward)
        assert seen(s) == way[-1]  # there is no more
    s.undo()
    s.set(points=[[[39, 29], [38, 29]]])  # a new way: the old one is forgotten
    assert not s.future and s.mask is None


def test_the_preview_is_what_the_release_makes():
    s = picked([PAIR])
    s.press(30.2, 3.9)
    s.pull(11, 99)  # below the image
    assert s.pulled.tolist() == [PAIR, [[30, 4], [11, 29]]] and len(s.points) == 1
    s.release(11, 99)
    assert s.points.tolist() == s.pulled.tolist() == [PAIR, [[30, 4], [11, 29]]]


def test_an_end_that_is_taken_does_not_jump_and_a_click_selects():
    s = picked([PAIR])
    s.press(22, 22)  # the target is at 20, 21
    assert s.pulled.tolist() == [PAIR]
    s.release(25, 24)
    assert s.points.tolist() == [[[5, 6], [23, 23]]]
    pull(s, (23, 23))
    assert s.selected == 0 and len(s.past) == 1
    pull(s, (30, 3))  # in the open: deselects silently
    assert s.selected is None and not s.path and len(s.past) == 1


def test_a_click_on_the_handle_then_on_the_target():
    s = picked()
    pull(s, (10, 10))
    s.pull(25, 12)  # hovers, the arrow follows
    assert s.pulled.tolist() == [[[10, 10], [25, 12]]] and not len(s.points)
    pull(s, (25, 12))
    assert s.points.tolist() == [[[10, 10], [25, 12]]] and not s.path
    pull(s, (3, 3))
    pull(s, (3.2, 3.1))  # twice on one spot: nothing, and nothing is said
    assert not s.path and len(s.points) == 1
    pull(s, (3, 3))
    s.key("Escape")
    pull(s, (30, 20), (33, 25))
    assert len(s.points) == 2


def test_a_release_that_never_arrived_is_made_up_for_by_the_next():
    s = picked()
    s.key("b")
    s.press(5, 25)
    s.pull(-8, 25)
    s.press(5, 5)
    s.release(5, 5)
    assert s.mask[25, 3] and s.mask[5, 4] and not s.path


def test_keys():
    s = picked([PAIR, [[30, 10], [31, 20]]])
    pull(s, (5, 6))
    s.key("Delete")
    assert s.points.tolist() == [[[30, 10], [31, 20]]]
    for key, shift, count in (("z", False, 2), ("Z", True, 1), ("z", False, 2), ("y", False, 1)):
        s.key(key, ctrl=True, shift=shift)
        assert len(s.points) == count
    s.press(1, 1)
    s.pull(8, 8)
    s.key("z", ctrl=True)  # undoes what is half done
    assert not s.path and len(s.points) == 1
    for keys, radius in (("]]", 4), ("[", 3), ("[" * 9, 1), ("]" * 20, s.largest)):
        for key in keys:
            s.key(key)
        assert s.radius == radius
    for key, mode in (("b", "brush"), ("E", "eraser"), ("q", "eraser"), ("p", "points")):
        s.key(key)
        assert s.mode == mode
    s.key("b", ctrl=True)
    assert s.mode == "points"
    s.key("Backspace")  # nothing selected: the last
    s.key("Delete")
    assert not len(s.points)
