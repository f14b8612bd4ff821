"""The picker widget, by the messages that a browser sends."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipycanvas.canvas import COMMANDS
from PIL import Image
from tiny import DATA, picture

import gooddrag as gd
from gooddrag.picker.canvas import ARROWS, IMAGE, TOUCH

PAIR = [[10, 20], [30, 25]]


def send(picker, event, **content):
    """What the browser sends to the canvas."""
    picker.canvas.widget._handle_custom_msg({"event": event, **content}, [])


def mouse(picker, *points):
    """Press at the first point, pull through the others, release at the last; (x, y) in pixels of the image."""
    at = [dict(zip("xy", map(float, picker.canvas.to_canvas(point)), strict=True)) for point in points]
    send(picker, "mouse_down", **at[0])
    for point in at[1:]:
        send(picker, "mouse_move", **point)
    send(picker, "mouse_up", **at[-1])


def press_key(picker, key, shift=False, ctrl=False, meta=False):
    send(picker, "key_down", key=key, shift_key=shift, ctrl_key=ctrl, meta_key=meta)


def mode(picker, name):
    picker._tools.modes.value = name


@pytest.fixture
def picker():
    return gd.PointPicker(picture((80, 60)))


@pytest.fixture
def messages(picker, monkeypatch):
    """Every message of drawing that goes to the browser, as lists of [command, arguments]."""
    sent = []
    manager = picker.canvas.widget._canvas_manager
    monkeypatch.setattr(manager, "send", lambda _, buffers: sent.append(json.loads(bytes(buffers[0]))))
    return sent


# gestures, through the canvas' own dispatch


def test_two_drags_moved_deleted_undone(picker):
    mouse(picker, (10, 20), (15, 22), (30, 25))
    mouse(picker, (60, 5), (70, 40))
    assert picker.points.tolist() == [PAIR, [[60, 5], [70, 40]]]
    mouse(picker, (30, 25), (33, 35))
    assert picker.points[0].tolist() == [[10, 20], [33, 35]]
    press_key(picker, "Delete")
    assert picker.points.tolist() == [[[60, 5], [70, 40]]]
    press_key(picker, "z", ctrl=True)
    press_key(picker, "z", meta=True)
    assert picker.points.tolist() == [PAIR, [[60, 5], [70, 40]]]
    picker.redo()
    assert picker.points[0].tolist() == [[10, 20], [33, 35]]
    assert picker.message == ""


def test_brush_eraser_box_ellipse(picker):
    mode(picker, "brush")
    picker._tools.size.value = 4
    mouse(picker, (20, 30), (40, 30))
    painted = picker.mask.sum()
    assert picker.mask[30, 18:43].all() and not picker.mask[30, :15].any() and 200 < painted < 300
    mode(picker, "eraser")
    mouse(picker, (30, 30), (30, 30))
    assert not picker.mask[30, 30] and picker.mask[30, 20]
    mode(picker, "box")
    mouse(picker, (70, 50), (60, 40))
    assert picker.mask[40:51, 60:71].all()
    mouse(picker, (5, 5), (5, 5))  # a click is no box
    assert not picker.mask[5, 5]
    mode(picker, "ellipse")
    mouse(picker, (50, 2), (70, 12))
    assert picker.mask[7, 60] and not picker.mask[2, 50]
    picker._tools.whole.click()
    assert picker.mask is None
    for _ in range(5):
        picker.undo()
    assert picker.mask is None and not picker.state.can_undo and picker.state.can_redo


def test_mask_around_the_points_by_button(picker):
    assert picker._tools.around.disabled
    mouse(picker, *PAIR)
    picker._tools.around.click()
    assert picker.mask[20, 10] and picker.mask[25, 30] and 0 < picker.mask.mean() < 0.6


def test_touch(picker):
    at = [tuple(map(float, picker.canvas.to_canvas(p))) for p in PAIR]
    touches = [[{"x": x, "y": y}] for x, y in at]
    send(picker, "touch_start", touches=touches[0])
    send(picker, "touch_move", touches=touches[1])
    send(picker, "touch_end", touches=[])
    assert picker.points.tolist() == [PAIR]
    send(picker, "touch_start", touches=touches[1])
    send(picker, "touch_move", touches=[*touches[0], *touches[1]])  # a second finger: not a drag
    send(picker, "touch_end", touches=touches[1])
    send(picker, "touch_cancel", touches=[])
    assert picker.points.tolist() == [PAIR] and picker.message == ""


def test_a_pull_out_of_the_canvas_ends_at_its_border(picker):
    start = dict(zip("xy", map(float, picker.canvas.to_canvas((70, 30))), strict=True))
    send(picker, "mouse_down", **start)
    send(picker, "mouse_move", x=picker.canvas.size[0] - 1.0, y=start["y"])
    send(picker, "mouse_out", x=picker.canvas.size[0] + 40.0, y=start["y"])
    assert picker.points.tolist() == [[[70, 30], [79, 30]]]
    send(picker, "mouse_move", **start)  # back without a button: nothing is held any more
    send(picker, "mouse_up", **start)
    assert len(picker.points) == 1


gesture = st.one_of(
    st.tuples(
        st.sampled_from(["points", "brush", "eraser", "box", "ellipse"]),
        st.lists(st.tuples(st.integers(-5, 85), st.integers(-5, 65)), min_size=1, max_size=4),
    ),
    st.tuples(st.just("key"), st.sampled_from(["Delete", "[", "]", "Escape", "x"])),
    st.tuples(st.just("button"), st.sampled_from(["clear", "whole", "around", "delete"])),
)


@settings(max_examples=25)
@given(st.lists(gesture, max_size=8))
def test_undo_takes_back_any_sequence_of_gestures_and_redo_makes_it_again(sequence):
    picker = gd.PointPicker(picture((80, 60)), [PAIR], longest=160)
    first = picker.state.now
    for kind, what in sequence:
        if kind == "key":
            press_key(picker, what)
        elif kind == "button":
            getattr(picker._tools, what).click()
        else:
            mode(picker, kind)
            mouse(picker, *what)
    last, steps = picker.state.now, 0
    while picker.state.can_undo:
        press_key(picker, "z", ctrl=True)
        steps += 1
    assert picker.state.now == first and picker.points.tolist() == [PAIR] and picker.mask is None
    for _ in range(steps):
        press_key(picker, "Z", ctrl=True, shift=True)
    assert picker.state.now == last and not picker.state.can_redo
    assert np.array_equal(picker.state.mask, picker.mask) and np.array_equal(picker.state.points, picker.points)


# coordinates: always pixels of the image


@settings(max_examples=40)
@given(st.integers(16, 300), st.integers(16, 300), st.integers(50, 700), st.data())
def test_the_display_size_does_not_show_in_the_points(width, height, longest, data):
    picker = gd.PointPicker(Image.new("RGB", (width, height)), longest=longest)
    assert max(picker.canvas.size) <= longest
    handle, target = (data.draw(st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))) for _ in range(2))
    mouse(picker, handle, target)
    if handle == target:
        assert not len(picker.points)
    else:
        assert picker.points.tolist() == [[list(handle), list(target)]]


def test_tiny_image_is_enlarged_and_the_canvas_corners_are_its_corner_pixels():
    picker = gd.PointPicker(picture((16, 16)))
    assert picker.canvas.size == (384, 384)
    send(picker, "mouse_down", x=0.0, y=0.0)
    send(picker, "mouse_up", x=384.0, y=384.0)
    assert picker.points.tolist() == [[[0, 0], [15, 15]]]


def test_transparent_grey_and_palette_images_and_a_photograph_file():
    rgba = Image.new("RGBA", (40, 30), (255, 0, 0, 0))
    assert gd.PointPicker(rgba).image.getpixel((0, 0)) == (255, 255, 255)
    for image in (picture().convert("L"), picture().convert("P")):
        assert gd.PointPicker(image).image.mode == "RGB"
    sample = gd.Sample.open(DATA / "cat_2")
    picker = gd.PointPicker(DATA / "cat_2" / "original.jpg", sample.points, sample.mask)
    assert picker.image.size == sample.image.size and (picker.mask == sample.mask).all()


def test_a_large_photograph_takes_one_small_message_per_redraw():
    picker = gd.PointPicker(Image.new("RGB", (4000, 3000), "teal"), mask=np.ones((3000, 4000)))
    manager, sent = picker.canvas.widget._canvas_manager, []
    original = manager.send
    manager.send = lambda content, buffers: sent.append(sum(memoryview(b).nbytes for b in buffers))
    try:
        mouse(picker, (100, 200), *[(100 + 40 * i, 200 + 30 * i) for i in range(1, 60)], (3999, 2999))
    finally:
        manager.send = original
    assert picker.points.tolist() == [[[100, 200], [3999, 2999]]]
    assert len(sent) == 1 + 60 + 1  # press, moves, release
    assert max(sent) < 8000  # bytes: the picture and the mask do not travel again
    assert len(picker.canvas._picture.value) < 400_000


# painting


def test_one_message_per_event_and_each_names_its_layer(picker, messages):
    mouse(picker, *PAIR)
    mode(picker, "brush")
    mouse(picker, (20, 30), (40, 30))
    assert len(messages) == 3 + 1 + 3  # a change of mode repaints too
    for commands in messages:
        assert commands[0][0] == COMMANDS["switchCanvas"]  # a reloaded page would not know otherwise


def test_a_browser_that_comes_back_gets_everything(picker, messages):
    mouse(picker, *PAIR)
    messages.clear()
    send(picker, "client_ready")
    drawn = {command for commands in messages for command, *_ in commands}
    assert {COMMANDS["drawImage"], COMMANDS["fillCircle"], COMMANDS["strokeLine"]} <= drawn


def test_an_error_while_painting_does_not_hold_the_canvas_for_good(picker, monkeypatch):
    def broken(layer):
        raise RuntimeError("no paint")

    with monkeypatch.context() as patch:
        patch.setattr(picker.canvas, "_paint_touch", broken)
        mouse(picker, *PAIR)
    assert picker.message == "RuntimeError: no paint" and "no paint" in picker._says.value
    assert not picker.canvas.widget._canvas_manager._caching
    assert picker.points.tolist() == [PAIR]


def test_layers_have_the_size_of_the_canvas(picker):
    for layer in (IMAGE, ARROWS, TOUCH):
        assert (picker.canvas.widget[layer].width, picker.canvas.widget[layer].height) == picker.canvas.size


# what the widget says


def test_errors_and_warnings_are_shown(picker):
    mouse(picker, (10, 10), (10, 10))
    assert "press at the handle" in picker._says.value
    mouse(picker, *PAIR)
    assert picker._says.value == "" and "1 pair" in picker._side.list.value and "10, 20" in picker._side.list.value
    mouse(picker, (50, 50), (60, 50))
    mouse(picker, (50, 50), (10, 20))
    assert "handles 1 and 2 are both at (10, 20)" in picker.message
    assert picker.points[1].tolist() == [[50, 50], [60, 50]]
    mode(picker, "box")
    mouse(picker, (45, 45), (70, 55))
    assert "Handle 1 at (10, 20) is outside the mask" in picker._says.value


def test_html_of_an_error_is_escaped(picker):
    def bad(_change):
        raise ValueError("<b>bold</b>")

    picker.observe(bad, "points")
    mouse(picker, *PAIR)
    assert "&lt;b&gt;" in picker._says.value and picker.points.tolist() == [PAIR]


# traits, samples, files


def test_traits_can_be_observed_and_assigned(picker):
    seen = []
    picker.observe(lambda change: seen.append((change["name"], change["new"])), ["points", "mask"])
    mouse(picker, *PAIR)
    assert [name for name, _ in seen] == ["points"] and seen[0][1].tolist() == [PAIR]
    mode(picker, "box")
    mouse(picker, (1, 1), (9, 9))
    assert [name for name, _ in seen] == ["points", "mask"]
    seen.clear()
    picker.points = [[[1, 2], [3, 4]]]
    picker.mask = None
    assert [name for name, _ in seen] == ["points", "mask"]  # once each
    assert picker.state.points.tolist() == [[[1, 2], [3, 4]]] and picker.state.mask is None
    picker.undo()
    picker.undo()
    assert picker.points.tolist() == [PAIR]
    picker.points = None
    assert picker.points.shape == (0, 2, 2)
    with pytest.raises(ValueError, match="outside the image"):
        picker.points = [[[1, 2], [300, 4]]]
    with pytest.raises(ValueError, match="mask: 60 x 80; expected"):
        picker.mask = np.ones((80, 60))
    assert picker.points.shape == (0, 2, 2)


def test_sample_keeps_truth_and_name_until_something_changes():
    sample = gd.Sample(picture((80, 60)), [PAIR], None, picture((80, 60), seed=1), "a name")
    picker = gd.PointPicker(sample)
    assert picker.sample is sample
    mouse(picker, (50, 50), (60, 50))
    assert picker.sample.truth is None and len(picker.sample.points) == 2
    picker.undo()
    assert picker.sample is sample
    with pytest.raises(ValueError, match="beside a Sample"):
        gd.PointPicker(sample, [PAIR])


def test_save_and_open_are_exact(picker, tmp_path):
    with pytest.raises(ValueError, match="points: none given"):
        picker.save(tmp_path / "edit")
    assert not (tmp_path / "edit").exists()
    mouse(picker, *PAIR)
    mode(picker, "ellipse")
    mouse(picker, (5, 5), (50, 40))
    picker.save(tmp_path / "edit")
    again = gd.PointPicker.open(tmp_path / "edit")
    assert again.image.tobytes() == picker.image.tobytes()
    assert (again.points == picker.points).all() and (again.mask == picker.mask).all()
    flat = json.loads((tmp_path / "edit" / "points.json").read_text())
    assert flat == {"points": PAIR}


def test_load_starts_anew(picker):
    mouse(picker, *PAIR)
    mode(picker, "brush")
    picker.load(picture((30, 90)))
    assert len(picker.points) == 0 and not picker.state.can_undo and picker.canvas.size == (171, 512)
    assert picker.gestures.mode == "brush"
    mode(picker, "points")
    mouse(picker, (29, 89), (0, 0))
    assert picker.points.tolist() == [[[29, 89], [0, 0]]]
    with pytest.raises(ValueError, match="image"):
        picker.load(b"not an image")
    assert picker.image.size == (30, 90)


# numbers instead of the mouse


def test_numbers_reach_the_same_state(picker):
    numbers = picker._numbers
    assert not numbers.is_open and not numbers.preview.value
    picker._tools.numbers.value = True
    numbers.add.click()
    numbers.add.click()
    assert len(picker.points) == 2 and len(numbers.rows) == 2
    for field, value in zip(numbers.rows[0], (10, 20, 30, 25), strict=True):
        field.value = value
    assert picker.points[0].tolist() == PAIR
    numbers.rows[0][0].value = 500
    assert "outside the image" in picker.message and picker.points[0].tolist() == PAIR
    assert numbers.rows[0][0].value == 10  # the field shows what is
    numbers.table.children[2].children[-1].click()  # the bin beside the second pair
    assert picker.points.tolist() == [PAIR]
    assert bytes(numbers.preview.value).startswith(b"\x89PNG")


def test_json_reaches_the_same_state_in_one_change(picker):
    picker._tools.numbers.value = True
    numbers = picker._numbers
    numbers.json.value = json.dumps({"points": PAIR, "mask": [[0, 0, 40, 30], [50, 50, 60, 55]]})
    numbers.apply.click()
    assert picker.points.tolist() == [PAIR] and picker.mask[:31, :41].all() and picker.mask.sum() == 31 * 41 + 11 * 6
    picker.undo()
    assert len(picker.points) == 0 and picker.mask is None
    numbers.json.value = json.dumps({"points": PAIR, "mask": "around points"})
    numbers.apply.click()
    assert picker.mask[20, 10]
    numbers.json.value = json.dumps({"points": [[1, 2], [3, 4]]})
    numbers.apply.click()
    assert picker.points.tolist() == [[[1, 2], [3, 4]]] and picker.mask[20, 10]
    for text in ("{", "[]", '{"points": [[1, 2]]}', '{"points": [[1, 2], [3, 4]], "mask": [[1, 2]]}', '{"points": 5}',
                 '{"points": [[1, 2], [3, 4]], "mask": "some"}', '{"points": [["a", 2], [3, 4]]}',
                 f'{{"points": [[1, 2], [3, 4]], "mask": [[1{"0" * 400}, 2, 3, 4]]}}',
                 f'{{"points": [[1{"0" * 400}, 2], [3, 4]]}}'):  # fmt: skip
        numbers.json.value = text
        numbers.apply.click()
        assert picker.message and "Error" not in picker.message, picker.message
        assert picker.points.tolist() == [[[1, 2], [3, 4]]], text
    numbers.json.value = json.dumps({"points": [], "mask": "all"})
    numbers.apply.click()
    assert len(picker.points) == 0 and picker.mask is None
