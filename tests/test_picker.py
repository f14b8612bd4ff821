"""The picker widget, by the messages that a browser sends."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import picture

import gooddrag as gd

PAIR = [[10, 20], [30, 25]]


def send(picker, event, **content):
    """What the browser sends to the canvas."""
    picker.canvas.layers._handle_custom_msg({"event": event, **content}, [])


def at(picker, point):
    return dict(zip("xy", map(float, picker.canvas.to_canvas(point)), strict=True))


def mouse(picker, *points):
    """Press at the first point, pull through the others, release at the last; (x, y) in pixels of the image."""
    send(picker, "mouse_down", **at(picker, points[0]))
    for point in points[1:]:
        send(picker, "mouse_move", **at(picker, point))
    send(picker, "mouse_up", **at(picker, points[-1]))


def press_key(picker, key, shift=False, ctrl=False, meta=False):
    send(picker, "key_down", key=key, shift_key=shift, ctrl_key=ctrl, meta_key=meta)


def mode(picker, name):
    picker.modes.value = name


@pytest.fixture
def picker():
    return gd.PointPicker(picture((80, 60)))


@pytest.fixture
def messages(picker, monkeypatch):
    """Every message of drawing that goes to the browser, as lists of [command, arguments]."""
    sent = []
    manager = picker.canvas.layers._canvas_manager
    monkeypatch.setattr(manager, "send", lambda _, buffers: sent.append(json.loads(bytes(buffers[0]))))
    return sent


def test_a_drag_deleted_undone_and_redone(picker):
    mouse(picker, *PAIR)
    mouse(picker, (60, 5), (65, 22), (70, 40))
    press_key(picker, "Delete")
    press_key(picker, "z", ctrl=True)
    assert len(picker.points) == 2
    press_key(picker, "z", meta=True)
    assert picker.points.tolist() == [PAIR]
    picker.buttons["redo"].click()
    assert picker.points.tolist() == [PAIR, [[60, 5], [70, 40]]] and picker.message == ""


def test_the_tools_choose_paint_and_change_the_whole_mask(picker):
    press_key(picker, "b")
    assert picker.modes.value == "brush" and picker.radius.layout.visibility == "visible"
    picker.radius.value = 4
    mouse(picker, (20, 30), (40, 30))
    assert picker.mask[30, 18:43].all() and not picker.mask[30, :15].any() and 200 < picker.mask.sum() < 300
    for name, way in (("eraser", [(30, 30)]), ("ellipse", [(50, 2), (70, 12)]), ("box", [(5, 5)])):  # a click: no box
        mode(picker, name)
        mouse(picker, *way)
    assert not picker.mask[30, 30] and picker.mask[7, 60] and not picker.mask[5, 5]
    before = picker.mask
    picker.buttons["invert"].click()
    assert (picker.mask == ~before).all()
    picker.buttons["whole"].click()
    assert picker.mask is None and not picker.buttons["undo"].disabled and picker.buttons["redo"].disabled


def test_touch(picker):
    touches = [[at(picker, point)] for point in PAIR]
    send(picker, "touch_start", touches=touches[0])
    send(picker, "touch_move", touches=touches[1])
    send(picker, "touch_end", touches=[])
    assert picker.points.tolist() == [PAIR]
    send(picker, "touch_start", touches=touches[1])
    send(picker, "touch_move", touches=[*touches[0], *touches[1]])  # a second finger: not a drag
    send(picker, "touch_end", touches=touches[1])
    assert picker.points.tolist() == [PAIR] and picker.message == ""


def test_a_pull_that_leaves_the_canvas_goes_on_and_may_end_outside(picker):
    send(picker, "mouse_down", **at(picker, (70, 30)))
    send(picker, "mouse_out", x=700.0, y=100.0)
    assert picker.state.pointer is None and picker.state.path
    send(picker, "mouse_move", **at(picker, (50, 40)))
    assert not len(picker.points)
    send(picker, "mouse_up", **at(picker, (200, 30)))
    assert picker.points.tolist() == [[[70, 30], [79, 30]]]


@settings(max_examples=15, deadline=None)
@given(st.integers(16, 300), st.integers(16, 300), st.integers(50, 700), st.data())
def test_the_display_size_does_not_show_in_the_points(width, height, longest, data):
    picker = gd.PointPicker(Image.new("RGB", (width, height)), longest=longest)
    assert max(picker.canvas.size) == 2 * longest
    handle, target = (data.draw(st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))) for _ in range(2))
    mouse(picker, handle, target)
    pulled = np.linalg.norm(np.subtract(handle, target)) / picker.state.click
    if pulled > 1.01:
        assert picker.points.tolist() == [[list(handle), list(target)]]
    elif pulled < 0.99:
        assert not len(picker.points)


def test_a_gesture_sends_neither_picture_nor_mask_again(messages, picker):
    large = gd.PointPicker(Image.new("RGB", (4000, 3000), "teal"))
    large.mask = np.ones((3000, 4000))
    messages.clear()  # the manager is one for all canvases
    mouse(large, (100, 200), *[(100 + 40 * i, 200 + 30 * i) for i in range(1, 60)], (3999, 2999))
    assert large.points.tolist() == [[[100, 200], [3999, 2999]]] and not messages
    assert len(large.canvas.marks.value) < 3000


def test_the_marks_show_points_brush_and_what_a_gesture_covers(picker):
    mouse(picker, *PAIR)
    x, y = (picker.canvas.to_canvas(PAIR[0]) / 2).round(1)  # CSS pixels
    assert f'cx="{x}" cy="{y}" r="5" style="fill:#e62828"' in picker.canvas.marks.value
    assert "#ffd23f" not in picker.canvas.marks.value
    mouse(picker, PAIR[0])
    assert "#ffd23f" in picker.canvas.marks.value  # it is selected
    for name, shown in (("box", "<rect"), ("ellipse", "<ellipse"), ("brush", 'stroke-width="1.5"><circle')):
        mode(picker, name)
        send(picker, "mouse_down", **at(picker, (20, 30)))
        send(picker, "mouse_move", **at(picker, (30, 40)))
        assert shown in picker.canvas.marks.value
        send(picker, "mouse_up", **at(picker, (30, 40)))


def test_errors_stay_until_the_next_action_and_are_escaped(picker):
    mouse(picker, *PAIR)
    assert picker.message == "" and "1 pair" in picker.about.value
    mouse(picker, (50, 50), (60, 50))
    mouse(picker, (50, 50), (10, 20))
    assert "two handles at (10, 20)" in picker.message and "gooddrag-error" in picker.notice.value
    send(picker, "mouse_move", **at(picker, (3, 3)))
    send(picker, "mouse_out", x=1.0, y=1.0)
    assert "two handles" in picker.message  # the pointer only hovered
    mode(picker, "box")
    assert picker.message == ""
    mouse(picker, (45, 45), (70, 55))
    assert "gooddrag-warning" in picker.notice.value and "outside" in picker.notice.value

    picker.act(lambda: {}["<b>"])
    assert picker.message == "KeyError: '<b>'" and "&lt;b&gt;" in picker.notice.value
    assert "<b>" not in picker.notice.value


def test_points_and_mask_can_be_assigned(picker):
    mouse(picker, *PAIR)
    picker.points = [[[1, 2], [3, 4]]]
    picker.mask = np.ones((60, 80))
    assert picker.points.tolist() == [[[1, 2], [3, 4]]] and picker.mask.all() and "100% may" in picker.about.value
    assert picker.sample.points.tolist() == [[[1, 2], [3, 4]]] and picker.sample.mask.all()
    picker.undo()
    picker.undo()
    assert picker.points.tolist() == [PAIR] and picker.mask is None
    picker.points = None
    for name, value, says in (("points", [[[1, 2], [300, 4]]], "outside the"), ("mask", np.ones((80, 60)), "60 x 80")):
        with pytest.raises(ValueError, match=says):
            setattr(picker, name, value)
    assert picker.points.shape == (0, 2, 2) and picker.mask is None
    with pytest.raises(ValueError, match="points: none given"):
        _ = picker.sample


def test_sample_keeps_truth_and_name_until_something_changes():
    sample = gd.Sample(picture((80, 60)), [PAIR], None, picture((80, 60), seed=1), "a name")
    picker = gd.PointPicker(sample)
    assert picker.sample is sample
    mouse(picker, (50, 50), (60, 50))
    assert picker.sample.truth is None and len(picker.sample.points) == 2
    picker.undo()
    assert picker.sample is sample


def test_load_starts_anew_and_a_bad_image_changes_nothing(picker):
    mouse(picker, *PAIR)
    mode(picker, "brush")
    picker.load(picture((30, 90)))
    assert len(picker.points) == 0 and not picker.state.past and picker.canvas.size == (341, 1024)
    assert picker.state.mode == "brush"
    with pytest.raises(ValueError, match="image"):
        picker.load(b"not an image")
    assert picker.image.size == (30, 90)
