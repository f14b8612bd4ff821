import dataclasses
import json
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from gooddrag.sample import Sample, check_mask, check_points, load_image, parse_points

DATA = Path(__file__).parent / "data"
W, H = 40, 30
PAIR = [[3, 4], [30, 20]]


def noise(size=(W, H), channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[..., 0])


def encoded(image, format="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def same(a, b):
    return a.size == b.size and a.mode == b.mode and a.tobytes() == b.tobytes()


# points


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "points: none given"),
        ([[1, 2], [3, 4], [5, 6]], "points: 3 points; expected an even number"),
        (
            [[[1, 2], [W, 4]]],
            r"points: target 1 at \(40, 4\) is outside the image of 40 x 30 px; expected 0 <= x <= 39",
        ),
        ([[[1, -0.5], [3, 4]]], "points: handle 1 .* is outside"),
        ([[1, 2], [3, 4], [5, 6], [5, 6]], r"points: handle 2 equals its target \(5, 6\)"),
        ([[1, 2], [3, 4], [1, 2], [7, 8]], r"points: handles 1 and 2 are both at \(1, 2\)"),
        ([[1, 2], [float("nan"), 4]], "points: .*nan.*expected finite"),
        ([[1, 2], [float("inf"), 4]], "points: .*inf.*expected finite"),
        ([1, 2, 3, 4], r"points: shape \(4,\); expected \(l, 2, 2\)"),
        ([[1, 2, 3], [4, 5, 6]], r"points: shape \(2, 3\)"),
        ([[1, 2], [3]], "points: .*expected pairs"),
        ([["1", "2"], ["3", "4"]], "points: .*no plain numbers"),
        ([[True, False], [True, True]], "points: .*no plain numbers"),
        (None, "points: .*no plain numbers"),
        ([[10**400, 0], [3, 4]], "points: "),
    ],
)
def test_bad_points(points, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_points(points, (W, H))


def test_points_on_the_border_are_inside():
    corners = [[[0, 0], [W - 1, H - 1]], [[W - 1, 0], [0, H - 1]]]
    assert np.array_equal(check_points(corners, (W, H)), corners)
    with pytest.raises(ValueError, match="outside"):
        check_points([[[0, 0], [W - 0.99, 0]]], (W, H))


def test_points_as_tensor_array_or_flat_list_are_the_same():
    flat = [[3, 4], [30, 20], [5, 5], [6, 7]]
    expected = np.array(flat, dtype=np.float64).reshape(2, 2, 2)
    for points in (flat, tuple(flat), expected, torch.tensor(flat), expected.astype(np.float32)):
        checked = check_points(points, (W, H))
        assert checked.dtype == np.float64
        assert np.array_equal(checked, expected)


number = st.floats(-1e6, 1e6)
pairs = st.lists(st.tuples(*[number] * 4), min_size=1, max_size=5)


@given(pairs)
def test_parse_points_reads_what_is_written(values):
    text = " ; ".join(f"{hx!r}, {hy!r} > {tx!r},{ty!r}" for hx, hy, tx, ty in values)
    assert np.array_equal(parse_points(text), np.array(values).reshape(-1, 2, 2))


@given(st.text(st.characters() | st.sampled_from("0123456789.,>;-e "), max_size=40))
def test_parse_points_only_raises_value_errors(text):
    try:
        assert parse_points(text).shape[1:] == (2, 2)
    except ValueError as error:
        assert str(error).startswith("points: ") and "expected" in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["points", "x"]), inner, max_size=2),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_points_or_a_value_error(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    try:
        assert check_points(parse_points(path), (W, H)).shape[1:] == (2, 2)
    except ValueError as error:
        assert str(error).startswith("points: ") and "expected" in str(error)


@pytest.mark.parametrize(
    "text",
    ["", "1,2", "1,2>", "1,2>3,4>5,6", "1,2>3,4;5,6", "1>2", "a,b>c,d", "1,2>3,nan", ";", ">", "no.json", "a\0b"],
)
def test_bad_points_text(text):
    with pytest.raises(ValueError, match="^points: .*expected"):
        parse_points(text)


@pytest.mark.parametrize("content", ["", "[[1, 2], [3, 4]]", '{"point": []}', '{"points": 3}', "[" * 100_000, "\xff"])
def test_bad_points_file(tmp_path, content):
    path = tmp_path / "points.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="^points: .*expected"):
        parse_points(path)


def test_points_file_may_be_given_as_text_or_path():
    path = DATA / "cat_2" / "points.json"
    expected = [[[147, 67], [202, 46]], [[410, 88], [336, 54]]]
    assert np.array_equal(parse_points(path), expected)
    assert np.array_equal(parse_points(str(path)), expected)


# masks


@given(hnp.arrays(bool, (H, W)))
def test_mask_round_trip(mask):
    if not mask.any():
        mask[3, 5] = True
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    for given_mask in (mask, mask.astype(np.float32), torch.from_numpy(mask), grey, grey.convert("1"), encoded(grey)):
        assert np.array_equal(check_mask(given_mask, (W, H)), mask)


def test_any_channel_above_zero_is_editable_and_alpha_does_not_count():
    pixels = np.zeros((H, W, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[2, 3, 1] = 1
    expected = pixels[..., 1] > 0
    rgba = Image.fromarray(pixels)
    palette = Image.fromarray(expected.astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 200, 0, 0])
    sixteen = Image.fromarray(expected.astype(np.uint16))
    for mask in (pixels, pixels[..., :3], pixels[..., 1:2], rgba, rgba.convert("RGB"), palette, sixteen):
        assert np.array_equal(check_mask(mask, (W, H)), expected)


def test_empty_mask_means_nothing_may_change_and_says_so():
    with pytest.warns(UserWarning, match="mask: empty .* nothing may change"):
        assert not check_mask(np.zeros((H, W)), (W, H)).any()
    assert check_mask(None, (W, H)) is None


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((H, H)), r"mask: 30 x 30; expected the size of the image, 40 x 30 px \(width x height\)"),
        (np.ones((W, H)), "mask: 30 x 40; expected the size of the image, which its EXIF orientation may have turned"),
        (np.ones((1, H, W)), r"mask: shape \(1, 30, 40\)"),
        (np.ones(H * W), r"mask: shape \(1200,\)"),
        (np.ones((1, 1, H, W)), "mask: shape"),
        ([[1], [1, 2]], "mask: .*expected an image or an array"),
        ([["a"]], "mask: .*no plain numbers"),
        (np.full((H, W), np.nan), "mask: NaN"),
        (noise((W + 1, H), 1), "mask: 41 x 30"),
        ("missing.png", "mask: 'missing.png' cannot be read"),
        (b"text", "mask: 4 bytes is not an image"),
    ],
)
def test_bad_masks(mask, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_mask(mask, (W, H))


# images


def test_image_modes():
    rgb = noise()
    for source in (rgb, encoded(rgb), encoded(rgb, "WEBP", lossless=True), encoded(rgb, "TIFF"), encoded(rgb, "BMP")):
        assert same(load_image(source), rgb)
    grey = noise(channels=1)
    assert same(load_image(encoded(grey)), grey.convert("RGB"))
    assert same(load_image(grey.convert("LA")), grey.convert("RGB"))
    palette = rgb.quantize(16)
    assert same(load_image(encoded(palette)), palette.convert("RGB"))
    assert load_image(encoded(rgb.convert("CMYK"), "JPEG")).mode == "RGB"
    assert load_image(encoded(palette, "GIF")).size == (W, H)
    assert load_image(grey.convert("1")).getextrema() == ((0, 255),) * 3


def test_sixteen_bits_are_scaled():
    values = np.linspace(0, 65535, W * H).reshape(H, W).astype(np.uint16)
    expected = np.rint(values / 257)
    for source in (encoded(Image.fromarray(values)), Image.fromarray(values.astype(np.int32))):
        assert np.array_equal(np.asarray(load_image(source))[..., 0], expected)


def test_transparency_is_over_white():
    rgba = noise(channels=4)
    pixels = np.asarray(rgba).astype(float)
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(load_image(encoded(rgba))) - expected).max() <= 1
    palette = noise().quantize(8)
    clear = palette.getpixel((0, 0))
    opened = load_image(encoded(palette, transparency=clear))
    assert opened.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(format, orientation):
    upright = Image.new("RGB", (W, H), "black")
    upright.paste("white", (0, 0, W // 2, H // 2))  # one bright quarter tells all eight apart
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that stores what the tag turns back
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = load_image(encoded(stored, format, exif=exif))
    assert opened.size == (W, H)
    assert np.abs(np.asarray(opened, dtype=int) - np.asarray(upright)).mean() < 12  # JPEG's losses at the edges
    assert not opened.getexif()


def test_broken_exif_does_not_spoil_the_picture():
    content = encoded(noise(), "PNG", exif=b"Exif\0\0no tiff header")
    with pytest.warns(UserWarning, match="image: its EXIF block is broken"):
        assert same(load_image(content), noise())


def test_given_image_stays_as_it_is():
    image = noise(channels=4)
    image.info["dpi"] = (72, 72)
    before = image.copy()
    load_image(image)
    assert same(image, before) and image.info == {"dpi": (72, 72)}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "image: 0 bytes is not an image"),
        (b"GIF89a", "image: 6 bytes"),
        (encoded(noise())[:-600], r"image: \d+ bytes cannot be read \(.*\); expected a whole image"),
        (encoded(noise((200, 200)), "JPEG")[:-2000], "image: .*truncated"),
        (noise((1, 1)), "image: 1 x 1 px; expected at least 16 px on each side"),
        (noise((400, 15)), "image: 400 x 15 px; expected at least 16"),
        ("no/such/file.png", "image: 'no/such/file.png' cannot be read .No such file"),
        (str(DATA), "image: .* cannot be read"),
        ("null\0byte", "image: .* cannot be read"),
        (str(DATA / "README.md"), "image: .*README.md' is not an image"),
        (Image.new("F", (W, H)), "image: floating-point pixels"),
        (np.zeros((H, W, 3)), "image: ndarray; expected a path, bytes or a PIL image"),
        (None, "image: NoneType"),
    ],
)
def test_bad_images(source, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        load_image(source)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0"]))
def test_any_bytes_are_an_image_or_a_value_error(content, magic):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on broken TIFF tags
        with pytest.raises(ValueError, match="^image: .*expected"):
            load_image(magic + content)


@given(st.data())
def test_damaged_images_raise_only_value_errors(data):
    content = bytearray(encoded(noise((20, 20)), data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert load_image(bytes(content)).mode == "RGB"
        except ValueError as error:
            assert str(error).startswith("image: ") and "expected" in str(error)


def test_a_large_photograph_opens_quietly():
    content = encoded(Image.new("L", (12000, 9000)), compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(content).size == (12000, 9000)


@pytest.mark.parametrize("height", [9000, 15000])  # above our limit, above Pillow's
def test_too_large_is_refused(height):
    content = bytearray(encoded(Image.new("1", (20000, 16)), "PPM"))
    content = content.replace(b"20000 16", f"20000 {height}".encode(), 1)  # the header alone is read
    with pytest.raises(ValueError, match="^image: .*too large; expected at most 170 million pixels"):
        load_image(bytes(content))


# samples


def test_sample_is_checked():
    mask = np.zeros((H, W), dtype=bool)
    mask[:10] = True
    sample = Sample(noise(), PAIR, mask, noise(seed=1), "name")
    assert sample.handles.tolist() == [[3, 4]] and sample.targets.tolist() == [[30, 20]]
    assert repr(sample) == "Sample('name', 40 x 30 px, 1 pair(s), 33% editable, with truth)"
    assert dataclasses.replace(sample, task="rotation").task == "rotation"
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.points = PAIR
    with pytest.raises(ValueError, match="truth: 30 x 40 px; expected the image's 40 x 30 px"):
        Sample(noise(), PAIR, truth=noise((H, W)))
    with pytest.raises(ValueError, match="^truth: 2 bytes is not an image"):
        Sample(noise(), PAIR, truth=b"no")


coordinate = st.integers(0, 15) | st.floats(0, 15)


@given(
    points=st.lists(st.tuples(*[coordinate] * 4), min_size=1, max_size=3, unique_by=lambda p: p[:2]),
    mask=st.none() | hnp.arrays(bool, (16, 16)),
    truth=st.booleans(),
    names=st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=5)] * 3),
)
def test_round_trip_is_exact(tmp_path_factory, points, mask, truth, names):
    points = [p for p in points if p[:2] != p[2:]] or [(0, 0, 1, 1)]
    folder = tmp_path_factory.getbasetemp() / "sample"  # the same one again: no earlier mask or truth may stay
    image, after = noise((16, 16)), noise((16, 16), seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty mask warns
        sample = Sample(image, np.reshape(points, (-1, 2, 2)), mask, after if truth else None, *names)
        opened = Sample.open(sample.save(folder))
    assert same(opened.image, image)
    assert np.array_equal(opened.points, sample.points)
    assert opened.mask is None if mask is None else np.array_equal(opened.mask, mask)
    assert same(opened.truth, after) if truth else opened.truth is None
    assert (opened.name, opened.category, opened.task) == names


@pytest.mark.parametrize(("name", "pairs"), [("cat_2", 2), ("furniture_0", 3)])
def test_drag100_folders_open(name, pairs):
    sample = Sample.open(DATA / name)
    assert sample.name == name and sample.image.size == (512, 512) and sample.truth is None
    assert sample.points.shape == (pairs, 2, 2) and 0.1 < sample.mask.mean() < 0.3


def test_content_decides_not_the_name(tmp_path):
    (tmp_path / "Original.JPG").write_bytes(encoded(noise(channels=4)))  # a PNG with alpha, as in Drag100
    (tmp_path / "MASK.PNG").write_bytes(encoded(noise(channels=1)))
    (tmp_path / "points.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"points": PAIR}).encode())
    sample = Sample.open(tmp_path)
    assert same(sample.image, load_image(noise(channels=4))) and sample.mask is not None


@pytest.mark.parametrize("missing", ["original.png", "points.json", "mask.png", "truth.png"])
def test_a_missing_part_is_named(tmp_path, missing):
    (Sample(noise(), PAIR, np.ones((H, W)), noise()).save(tmp_path) / missing).unlink()
    with pytest.raises(ValueError, match=f"^folder: .* has no {missing.removesuffix('.png')}; expected"):
        Sample.open(tmp_path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ("1", "cannot be read"),
        ('{"format_version": 2}', "version 2 is not 1"),
    ],
)
def test_bad_sample_json(tmp_path, about, message):
    (Sample(noise(), PAIR).save(tmp_path) / "sample.json").write_text(about)
    with pytest.raises(ValueError, match=f"^folder: .*{message}.*expected"):
        Sample.open(tmp_path)


@pytest.mark.parametrize("folder", ["missing", "null\0byte", DATA / "README.md"])
def test_unreadable_folder(folder):
    with pytest.raises(ValueError, match="^folder: .*cannot be read; expected"):
        Sample.open(folder)
