"""Images and masks in, whole files out."""

import os
import sys
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms
from tiny import picture

from gooddrag.files import SRGB, atomic_file, atomic_folder, cache_folder, load_image, load_mask

DATA = Path(__file__).parent / "data"
CASES = DATA / "cases"
W, H = 40, 30
INSIDE = np.zeros((H, W), bool)
INSIDE[8:20, 10:30] = True


def noise(size=(W, H), channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[..., 0])


def encoded(image, format="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def same(a, b):
    return a.size == b.size and a.mode == b.mode and a.tobytes() == b.tobytes()


def test_modes():
    rgb, grey = noise(), noise(channels=1)
    for source in (rgb, encoded(rgb), encoded(rgb, "WEBP", lossless=True), encoded(rgb, "TIFF"), encoded(rgb, "BMP")):
        assert same(load_image(source), rgb)
    for source in (encoded(grey), grey.convert("LA"), grey.convert("RGBA").convert("RGBa"), grey.convert("RGBX")):
        assert same(load_image(source), grey.convert("RGB"))
    palette = rgb.quantize(16)
    assert same(load_image(encoded(palette)), palette.convert("RGB"))
    assert same(load_image(rgb.convert("CMYK")), rgb.convert("CMYK").convert("RGB"))
    assert load_image(grey.convert("1")).getextrema() == ((0, 255),) * 3
    rgb.info["dpi"] = (72, 72)  # what is given stays as it is
    assert not load_image(rgb).info and rgb.info == {"dpi": (72, 72)}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_deep_grey_is_scaled(dtype):
    values = np.linspace(0, 65535, W * H).reshape(H, W).astype(dtype)
    image = Image.fromarray(values)
    for source in (image, encoded(image, "TIFF")):
        assert np.abs(np.asarray(load_image(source))[..., 1] - values / 257).max() <= 0.51


def test_transparency_is_over_white():
    rgba = noise(channels=4)
    pixels = np.asarray(rgba).astype(float)
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(load_image(encoded(rgba))) - expected).max() <= 1
    palette = noise().quantize(8)
    opened = load_image(encoded(palette, transparency=palette.getpixel((0, 0))))
    assert opened.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(format):
    upright = Image.new("RGB", (W, H), "black")
    upright.paste("white", (0, 0, W // 2, H // 2))  # one bright quarter tells all eight apart
    for orientation, turn in enumerate((None, 0, 3, 1, 5, 2, 6, 4), start=1):  # as a camera stores an upright image
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = upright if turn is None else upright.transpose(Image.Transpose(turn))
        opened = load_image(encoded(stored, format, exif=exif))
        assert opened.size == (W, H) and not opened.info and not opened.getexif()
        assert np.abs(np.asarray(opened, dtype=int) - np.asarray(upright)).mean() < 12  # JPEG's losses at the edges


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_of_several_frames(format):
    first, second = noise().quantize(200).convert("RGB"), noise(seed=1)
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(first, format, save_all=True, append_images=[second], **options)
    assert same(load_image(content), first)


def test_heic(monkeypatch, tmp_path):
    content = (CASES / "iphone.heic").read_bytes()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="^image: bytes is not an image; .*`pip install pillow-heif`, HEIC"):
        load_image(content)
    monkeypatch.undo()
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(picture((64, 48))).save(tmp_path / "photo.heic", quality=95, chroma=444)
    opened = load_image(tmp_path / "photo.heic")
    assert np.abs(np.asarray(opened).astype(int) - np.asarray(picture((64, 48)))).mean() < 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "image: bytes is not an image"),
        (encoded(noise())[:-600], r"image: bytes cannot be read \(.*\); expected a whole image"),
        (encoded(Image.new("1", (20000, 16)), "PPM").replace(b"0 16", b"0 9000"), "image: .*exceeds limit of 17"),
        (noise((1, 1)), "image: 1 x 1 px; expected at least 16 px on each side"),
        ("no/such/file.png", "image: 'no/such/file.png' cannot be read .*No such file"),
        ("null\0byte", "image: .* cannot be read"),
        (str(DATA / "README.md"), "image: .*README.md' is not an image"),
        (Image.new("F", (W, H)), "image: floating-point pixels"),
        (np.zeros((H, W, 3)), "image: ndarray is not an image"),
    ],
)
def test_bad_images(source, message):
    with pytest.raises(ValueError, match=f"^{message}.*"):
        load_image(source)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]), st.data())
def test_damaged_images_raise_only_value_errors(format, data):
    content = bytearray(encoded(noise((20, 20)), format))[: data.draw(st.integers(1, 5000))]
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for load in (load_image, lambda source: Image.fromarray(load_mask(source, (20, 20))).convert("RGB")):
            try:
                assert load(bytes(content)).mode == "RGB"
            except ValueError as error:
                assert str(error).startswith(("image: ", "mask: ")) and "expected" in str(error)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_large_photograph_opens():
    assert load_image(encoded(Image.new("1", (12000, 9000)))).size == (12000, 9000)


def p3_to_srgb(pixels):
    """uint8 P3 of the file's gamma -> float sRGB in [0, 255], by the matrix between the two sets of primaries."""
    linear = (pixels / 255) ** (0x233 / 256)
    matrix = [[1.22494, -0.22494, 0], [-0.04206, 1.04206, 0], [-0.01964, -0.07864, 1.09828]]
    v = np.clip(linear @ np.transpose(matrix), 0, 1)
    return 255 * np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)


def test_display_p3_becomes_srgb():
    stored = np.asarray(Image.open(CASES / "photo_display_p3.jpg"))
    expected = p3_to_srgb(stored)
    assert np.abs(expected - stored).mean() > 5
    loaded = load_image(CASES / "photo_display_p3.jpg")
    assert np.abs(np.asarray(loaded) - expected).mean() < 0.6
    assert same(load_image(encoded(loaded, icc_profile=SRGB)), loaded)


@pytest.mark.filterwarnings("error")
def test_srgb_and_grey_stay_bit_for_bit():
    assert same(load_image(encoded(noise(), icc_profile=SRGB)), noise())
    assert same(load_image(encoded(noise(channels=1), icc_profile=SRGB)), noise(channels=1).convert("RGB"))
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(SRGB))).strip() == "sRGB built-in"


def test_a_broken_block_does_not_spoil_the_picture():
    assert same(load_image(encoded(noise(), icc_profile=b"no profile")), noise())
    assert same(load_image(encoded(noise(), exif=b"Exif\0\0no tiff header")), noise())


GREY = (INSIDE * 255).astype(np.uint8)
MASKS = {
    "bool": INSIDE,
    "0 and 1": INSIDE.astype(np.uint8),
    "0 and 255": GREY,
    "float to 1": np.where(INSIDE, 0.8, 0.3),
    "video range": np.where(INSIDE, 235, 16).astype(np.uint8),
    "coloured": np.dstack([GREY, GREY * 0, GREY * 0]),
    "mode 1": Image.fromarray(INSIDE),
    "16 bits": encoded(Image.fromarray(INSIDE.astype(np.uint16) * 65535)),
    "CMYK": encoded(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "TIFF"),
    "opaque": np.dstack([GREY] * 3 + [GREY * 0 + 255]),
    "painted layer": np.dstack([GREY * 0, GREY * 0, GREY * 0, GREY]),
    "LA": encoded(Image.merge("LA", (Image.new("L", (W, H), 255), Image.fromarray(GREY)))),
    "palette with a transparent white": encoded(Image.fromarray(~INSIDE).convert("P"), transparency=255),
    "photo with an opaque part": np.dstack([np.asarray(noise()), GREY]),
}


@pytest.mark.filterwarnings("error")
def test_kinds_of_masks():
    for kind, mask in MASKS.items():
        loaded = load_mask(mask, (W, H))
        assert loaded.dtype == bool and np.array_equal(loaded, INSIDE), kind
    assert load_mask(None, (W, H)) is None


@given(st.integers(1, 100), st.booleans())
def test_jpeg_masks_at_any_quality(quality, everything):
    mask = np.ones((64, 80), bool) if everything else np.kron(INSIDE, np.ones((4, 4), bool))
    for subsampling in ("4:4:4", "4:2:0"):
        image = Image.fromarray(mask).convert("RGB")
        content = encoded(image, "JPEG", quality=quality, subsampling=subsampling)
        limit = 0 if everything else 0.002 if quality > 20 else 0.03
        for given_as in (content, np.asarray(Image.open(BytesIO(content)).convert("L"))):
            assert (load_mask(given_as, image.size) != mask).mean() <= limit


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((H, H)), r"mask: 30 x 30; expected the size of the image, 40 x 30 px \(width x height\)"),
        (np.ones(H * W), "mask: 1200; expected the size of the image"),
        ([[1], [1, 2]], "mask: .*expected an image or an array"),
        ([["a"]], r"mask: \[\['a'\]\]; expected an image"),
        (np.full((H, W), np.nan), "mask: .*nan nan.*; expected an image or an array .* of finite numbers"),
        ("missing.png", "mask: 'missing.png' cannot be read"),
    ],
)
def test_bad_masks(mask, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        load_mask(mask, (W, H))


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=4, max_side=5, min_side=0) | st.just((H, W, 3))))
def test_any_array_is_a_mask_or_a_value_error(mask):
    try:
        assert load_mask(mask, (W, H)).shape == (H, W)
    except ValueError as error:
        assert str(error).startswith("mask: ") and "expected" in str(error)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_folder_appears_whole_and_keeps_what_is_not_replaced(tmp_path):
    out = tmp_path / "a" / "b"
    with atomic_folder(out) as temporary:
        (temporary / "kept.txt").write_text("old")
        (temporary / "replaced.txt").write_text("old")
        assert not out.exists() and temporary.parent == out.parent
    out.chmod(0o710)
    with atomic_folder(out) as temporary:
        (temporary / "replaced.txt").write_text("new")
        (temporary / "sub").mkdir()
        (temporary / "sub" / "added.txt").write_text("new")
    assert tree(tmp_path) == {"a/b/kept.txt": "old", "a/b/replaced.txt": "new", "a/b/sub/added.txt": "new"}
    assert os.listdir(out.parent) == ["b"] and out.stat().st_mode & 0o777 == 0o710  # who may read it stays


@pytest.mark.parametrize("writer", [atomic_folder, atomic_file])
def test_failure_leaves_nothing(tmp_path, writer):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.txt").write_text("old")
    for name in ("new", "old"):
        path = tmp_path / name if writer is atomic_folder else tmp_path / name / "old.txt"
        with pytest.raises(KeyboardInterrupt), writer(path) as temporary:
            (temporary / "half.txt" if writer is atomic_folder else temporary).write_text("half")
            raise KeyboardInterrupt
        assert tree(tmp_path) == {"old/old.txt": "old"}


@pytest.mark.parametrize("writer", [atomic_folder, atomic_file])
@pytest.mark.parametrize("name", ["file/below", "null\0byte", "n" * 300, "of the wrong kind"])
def test_unwritable_paths_are_value_errors(tmp_path, writer, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("a file")
    if name == "of the wrong kind":
        name = "file" if writer is atomic_folder else "folder"
    with pytest.raises(ValueError, match="^results: .*expected"), writer(tmp_path / name, argument="results"):
        raise AssertionError("the block must not run: the work would be lost")
    assert tree(tmp_path) == {"file": "a file"}


def test_home_is_expanded(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("GOODDRAG_CACHE", "~/kept")
    noise().save("in.png")
    with atomic_folder("~/made") as temporary:
        Image.fromarray(INSIDE).save(temporary / "mask.png")
    files = []
    for text in "01":
        with atomic_file("~/made/one.txt") as temporary:
            temporary.write_text(text)
        files.append(os.stat("made/one.txt").st_ino)
    assert files[0] != files[1] and Path("made/one.txt").read_text() == "1"  # another file, not the old one's bytes
    assert same(load_image("~/in.png"), noise()) and load_mask("~/made/mask.png", (W, H)).any()
    assert cache_folder("lora") == home / "kept" / "lora"
    assert sorted(os.listdir()) == ["in.png", "made"] and sorted(os.listdir("made")) == ["mask.png", "one.txt"]
