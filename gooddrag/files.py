"""Images and masks in, whole files out: what is written gets a temporary name beside its target, then is renamed."""

import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import numpy as np
import platformdirs
from numpy.typing import ArrayLike
from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

ImageSource = str | os.PathLike | bytes | Image.Image
# What Pillow's decoders raise for broken files.
BROKEN = (OSError, ValueError, TypeError, AttributeError, SyntaxError, LookupError, ArithmeticError, EOFError)
BROKEN += (RuntimeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError)

_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB = _srgb.tobytes()[:24] + bytes(12) + _srgb.tobytes()[36:]  # without its date: equal images are equal files


def load_image(source: ImageSource, argument: str = "image") -> Image.Image:
    """Read any still image, or the first frame, as upright 8-bit sRGB, mode RGB without metadata: transparency over
    white, 65535 as the white of grey of more than 8 bits.

    Args:
        source: a path, the content of an image file, or a PIL image (which stays as it is).
        argument: what errors call it.

    Raises:
        ValueError: unreadable, not an image, truncated, below 16 px on a side, or above Pillow's 179 million pixels.
    """
    image = _read(source, argument)
    if min(image.size) < 16:  # nothing to drag, and no VAE latent to speak of
        raise ValueError(f"{argument}: {size_text(image.size)} px; expected at least 16 px on each side")
    if image.mode == "F":
        raise ValueError(f"{argument}: floating-point pixels, which have no agreed range; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    profile = image.info.get("icc_profile")
    image = _to_srgb(image, profile) if profile else image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    image.info = {}
    return image


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by a colour profile, if it can be used; pixels that move by 2 at most, as from sRGB itself, stay."""
    plain = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        coloured = image if image.mode in ("L", "CMYK") else plain
        converted = ImageCms.profileToProfile(coloured, source, _srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # damaged, or of another kind of pixels
        return plain
    moved = max(high for _, high in ImageChops.difference(plain, converted).getextrema())
    return converted if moved > 2 else plain


def load_mask(mask: ArrayLike | ImageSource | None, size: tuple[int, int]) -> np.ndarray | None:
    """Read what may change as bool (H, W), True = editable; None stays None, which means everything.

    A pixel is editable above half of white, in its brightest channel; white is 1 where nothing is larger, else 255 or,
    of more than 8 bits, 65535. An alpha channel that varies is the mask, and the colours do not count.

    Args:
        mask: (H, W) or (H, W, C) numbers or bools (of 2 or 4 channels the last is alpha), an image, or its path.
        size: (W, H) of the upright image.

    Raises:
        ValueError: unreadable, another size, or not finite.
    """
    if mask is None:
        return None
    if isinstance(mask, ImageSource):
        mask = _read(mask, "mask")
        mask = mask if mask.mode.startswith(("I", "F")) else mask.convert("RGBA")
    array = as_numbers(mask, "mask", "an image or an array (H, W) of finite numbers")
    if array.shape[:2] != size[::-1]:
        given = size_text(array.shape[1::-1])
        raise ValueError(f"mask: {given}; expected the size of the image, {size_text(size)} px (width x height)")
    array = array.reshape(*array.shape[:2], -1)
    if array.shape[2] in (2, 4):
        alpha = array[..., -1:]
        array = array[..., :-1] if alpha.min() == alpha.max() else alpha
    values = array.max(axis=2)
    white = next((white for white in (1, 255) if values.max() <= white), 65535)
    return values > white / 2


def as_numbers(values: object, argument: str, expected: str) -> np.ndarray:
    """Return `values` as an array of bools or finite numbers; ValueError if they are none."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{argument}: {str(values)[:80]} ({error}); expected {expected}") from error
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"{argument}: {' '.join(str(values).split())[:80]}; expected {expected}")
    return array


def _read(source: ImageSource, argument: str) -> Image.Image:
    """Upright copy of the first frame, of any mode."""
    is_path = isinstance(source, str | os.PathLike)
    shown = repr(os.fspath(source)) if is_path else type(source).__name__
    try:
        with suppress(ImportError):  # the extra that reads HEIC
            import pillow_heif

            pillow_heif.register_heif_opener()
        content = expand(source).read_bytes() if is_path else source  # so that no file stays open
        image = content if isinstance(content, Image.Image) else Image.open(BytesIO(content))
        image.load()
        try:
            return ImageOps.exif_transpose(image)
        except BROKEN:  # a camera's broken EXIF block does not spoil the picture
            return image.copy()
    except UnidentifiedImageError as error:
        expected = "PNG, JPEG, another Pillow format or, with `pip install pillow-heif`, HEIC"
        raise ValueError(f"{argument}: {shown} is not an image; expected {expected}") from error
    except BROKEN as error:
        raise ValueError(f"{argument}: {shown} cannot be read ({error}); expected a whole image") from error


def size_text(size: tuple[int, ...]) -> str:
    """512 x 384, for messages: width x height."""
    return " x ".join(str(side) for side in size)


def expand(path: str | os.PathLike) -> Path:
    """The path with `~` as the home folder."""
    return Path(os.path.expanduser(path))


def cache_folder(kind: str) -> Path:
    """Where what can be made again is kept: $GOODDRAG_CACHE/kind, or the same in the user's cache folder."""
    return expand(os.environ.get("GOODDRAG_CACHE") or platformdirs.user_cache_dir("gooddrag")) / kind


@contextmanager
def atomic_folder(path: str | os.PathLike, argument: str = "output") -> Iterator[Path]:
    """Fill a temporary folder, which becomes `path` when the block ends well and vanishes when it does not.

    If `path` is a folder already, the new files replace files of the same name in it and the others stay. A path that
    is a file or cannot be written is a ValueError, which calls it `argument`.
    """
    path = expand(path)
    with _writing(path, argument):
        if path.is_file():
            raise NotADirectoryError("it is a file")
        # inside a folder that exists: it may be a mount point, and a rename must not cross file systems
        beside = path / "new" if path.is_dir() else path
        temporary = beside.with_name(f".{beside.name}-{uuid4().hex[:12]}")
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with _writing(path, argument):
            if not path.is_dir():
                temporary.rename(path)
                return
            for file in sorted(temporary.rglob("*")):  # a folder comes before what is in it
                new = path / file.relative_to(temporary)
                new.mkdir(exist_ok=True) if file.is_dir() else os.replace(file, new)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_file(path: str | os.PathLike, argument: str = "output") -> Iterator[Path]:
    """Write a temporary file of the same name, which becomes `path` when the block ends well."""
    path = expand(path)
    with _writing(path, argument):
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path.parent, argument) as folder:
        with _writing(path, argument):
            (folder / path.name).touch()
        yield folder / path.name


@contextmanager
def _writing(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ValueError(f"{argument}: {str(path)!r} cannot be written ({error}); expected another path") from error
