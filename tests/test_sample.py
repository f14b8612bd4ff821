"""One edit: its points, what is said about its mask, its folder, its picture in a notebook."""

import dataclasses
import json
import warnings
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageColor
from test_files import H, W, encoded, noise, same

from gooddrag.files import SRGB, load_image
from gooddrag.marks import HANDLE, TARGET
from gooddrag.sample import Sample, check_points, parse_points

PAIR = [[3, 4], [30, 20]]

number = st.floats(-100, 200) | st.floats() | st.integers(-2, 45) | st.just(10**400)
junk = st.recursive(
    st.none() | st.booleans() | number | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["points", "x"]), inner, max_size=2),
    max_leaves=12,
)


def left_mask():
    mask = np.zeros((H, W), bool)
    mask[:, :20] = True
    return mask


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "points: none given"),
        ([[1, 2], [3, 4], [5, 6]], r"points: shape \(3, 2\); expected \(l, 2, 2\)"),
        ([[[1, 2], [W - 0.99, 4]]], r"points: target 1 at \(39.01, 4\) is outside the image of 40 x 30 px; expected 0"),
        ([[5, 6], [5, 6], [7, 8], [7, 8]], "points: handle 1 equals its target; expected a target elsewhere"),
        ([[1, 2], [3, 4], [1, 2], [7, 8]], r"points: two handles at \(1, 2\)"),
        ([[1, 2], [float("nan"), 4]], r"points: \[\[1, 2\], \[nan, 4\]\]; expected finite pairs"),
        ([[1, 2], [3]], "points: .*expected finite pairs"),
    ],
)
def test_bad_points(points, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_points(points, (W, H))


def test_points_as_tensor_array_or_flat_list_are_the_same():
    flat = [[0, 0], [W - 1, H - 1], [5, 5], [5, 5]]  # corners; a pin beside a pair that moves
    expected = np.array(flat, dtype=np.float64).reshape(2, 2, 2)
    for points in (flat, tuple(flat), expected, torch.tensor(flat), expected.astype(np.float32)):
        checked = check_points(points, (W, H))
        assert checked.dtype == np.float64 and np.array_equal(checked, expected)


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4), min_size=1, max_size=5))
def test_parse_points_reads_what_is_written(values):
    text = " ; ".join(f"{hx!r}, {hy!r} > {tx!r},{ty!r}" for hx, hy, tx, ty in values)
    assert np.array_equal(parse_points(text), np.array(values).reshape(-1, 2, 2))


@given(st.lists(st.lists(st.lists(number, min_size=2, max_size=2), min_size=2, max_size=2), max_size=4) | junk)
def test_any_json_is_points_or_a_value_error(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    try:
        points = check_points(parse_points(path), (W, H))
        assert points.shape[1:] == (2, 2) and (points >= 0).all() and (points <= [W - 1, H - 1]).all()
    except ValueError as error:
        assert str(error).startswith("points: ") and "expected" in str(error)


def test_bad_points_text():
    for text in ("", "1,2", "1,2>3,4>5,6", "1,2>3,4;5,6", "1>2", "a,b>c,d", "1,2>3,nan", ";", "no.json", "a\0b"):
        with pytest.raises(ValueError, match="^points: .*expected"):
            check_points(parse_points(text), (W, H))


LEFT, ACROSS = [[3, 4], [10, 20]], [[30, 4], [10, 20]]


@pytest.mark.parametrize(
    ("points", "mask", "note"),
    [
        ([LEFT], left_mask(), ""),
        ([PAIR], None, ""),
        ([ACROSS, PAIR], left_mask(), "mask: handle 1 at (30, 4), target 2 at (30, 20): outside of what may change"),
        ([LEFT], ~left_mask(), "mask: handle 1 at (3, 4), target 1 at (10, 20): outside of what may change, which is"),
        ([PAIR], np.ones((H, W), bool), "mask: everything may change, as without a mask"),
        ([PAIR], np.zeros((H, W), bool), "mask: empty (nothing above half of white), so nothing may change"),
    ],
)
def test_what_is_odd_about_a_mask_is_said_once(points, mask, note, recwarn):
    sample = Sample(noise(), points, mask)
    assert sample.mask is None if mask is None else np.array_equal(sample.mask, mask)
    assert [str(w.message)[: len(note)] for w in recwarn] == [note] * bool(note)
    assert all(w.filename == __file__ for w in recwarn)


def test_sample_is_checked():
    sample = Sample(noise(), [[3, 4], [10, 20]], left_mask(), noise(seed=1), "name")
    assert sample.handles.tolist() == [[3, 4]] and sample.targets.tolist() == [[10, 20]]
    assert repr(sample) == "Sample('name', 40 x 30 px, 1 pair(s), 50% editable, with truth)"
    assert dataclasses.replace(sample, task="rotation").task == "rotation"
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.points = PAIR
    with pytest.raises(ValueError, match="truth: 30 x 40 px; expected the image's 40 x 30 px"):
        Sample(noise(), PAIR, truth=noise((H, W)))


def test_a_sample_shows_itself():
    white = Image.new("RGB", (256, 192), "white")
    sample = Sample(white, [[[40, 90], [100, 90]], [[100, 150], [100, 150]]], np.arange(256) < np.full((192, 1), 128))
    shown = Image.open(BytesIO(sample._repr_png_()))
    assert shown.size == (512, 384)
    for at, colour in (((80, 180), HANDLE), ((200, 180), TARGET), ((200, 300), HANDLE), ((20, 20), "#ffffff")):
        assert shown.getpixel(at) == ImageColor.getrgb(colour)
    assert max(shown.getpixel((400, 180))) < 160  # the veil
    row = np.asarray(shown)[180, 95:185].min(axis=1)
    assert (row > 240).mean() > 0.8  # the arrow's white shaft, and its head
    assert sample.image.tobytes() == white.tobytes()
    assert Image.open(BytesIO(Sample(noise((16, 4000)), [[3, 4], [3, 900]])._repr_png_())).size == (2, 512)


@given(
    points=st.lists(st.tuples(*[st.integers(0, 15) | st.floats(0, 15)] * 4), min_size=1, unique_by=lambda p: p[:2]),
    mask=st.none() | hnp.arrays(bool, (16, 16)),
    truth=st.booleans(),
    names=st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=5)] * 3),
)
def test_round_trip_is_exact(tmp_path_factory, points, mask, truth, names):
    points = np.reshape([(0, 0, 1, 1) if i == 0 and p[:2] == p[2:] else p for i, p in enumerate(points)], (-1, 2, 2))
    points = points[: 1 if (points[1:, 0] == points[0, 0]).all(axis=1).any() else None]
    folder = tmp_path_factory.getbasetemp() / "sample"  # the same one again: no earlier mask or truth may stay
    image, after = noise((16, 16)), noise((16, 16), seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd about the mask
        sample = Sample(image, points, mask, after if truth else None, *names)
        opened = Sample.open(sample.save(folder))
    assert same(opened.image, image) and np.array_equal(opened.points, points)
    assert opened.mask is None if mask is None else np.array_equal(opened.mask, mask)
    assert same(opened.truth, after) if truth else opened.truth is None
    assert (opened.name, opened.category, opened.task) == names
    assert Image.open(folder / "original.png").info["icc_profile"] == SRGB


def test_content_decides_not_the_name(home):
    (home / "original.JPG").write_bytes(encoded(noise(channels=4)))  # a PNG with alpha, as in Drag100
    (home / "mask.PNG").write_bytes(encoded(noise(channels=1)))
    (home / "points.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"points": PAIR}).encode())
    sample = Sample.open("~")
    assert same(sample.image, load_image(noise(channels=4))) and sample.mask is not None
    assert sample.name == home.name and parse_points("~/points.json") == PAIR


def test_a_missing_or_broken_part_is_named(tmp_path):
    with pytest.raises(ValueError, match="^points: '.*missing/points.json' cannot be read"):
        Sample.open(tmp_path / "missing")
    folder = Sample(noise(), PAIR).save(tmp_path / "folder")
    (folder / "original.png").unlink()
    with pytest.raises(ValueError, match=r"^image: '.*folder/original.\*' cannot be read"):
        Sample.open(folder)
    for about in ("{", "[1]"):
        (folder / "sample.json").write_text(about)
        with pytest.raises(ValueError, match="^folder: '.*sample.json' .*expected what Sample.save writes"):
            Sample.open(folder)
