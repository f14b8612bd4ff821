"""Images and masks in, whole files out: what is written gets a temporary name beside its target, then is renamed."""

import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import numpy as np
import platformdirs
from numpy.typing import ArrayLike
from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

ImageSource = str | os.PathLike | bytes | Image.Image

MIN_SIDE = 16  # px; below this there is nothing to drag, and no VAE latent to speak of
MAX_PIXELS = 170_000_000  # 12000 x 9000 photographs open; Pillow itself refuses from 179 million on
WHITES = (1, 255, 1023, 4095, 16383, 65535, 2**31 - 1)  # the largest value, by the depth of an image
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation: the Image.Transpose that makes it upright
BROKEN = (OSError, ValueError, TypeError, AttributeError, SyntaxError, LookupError, ArithmeticError, EOFError)
BROKEN += (RuntimeError, MemoryError, struct.error, zlib.error)  # what Pillow's decoders raise for broken files
_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB = _srgb.tobytes()[:24] + bytes(12) + _srgb.tobytes()[36:]  # without its date: equal images are equal files


def load_image(source: ImageSource, argument: str = "image") -> Image.Image:
    """Read any still image as upright 8-bit sRGB, mode RGB: transparency over white, deep grey scaled to 8 bits.

    Its metadata goes, but for the EXIF orientation, which is in `info["orientation"]` if the image was stored turned.

    Args:
        source: a path, the content of an image file, or a PIL image (which stays as it is).
        argument: what errors and notes call it.

    Raises:
        ValueError: unreadable, not an image, truncated, below 16 px on a side, or above 170 million pixels.

    Warns:
        UserWarning: a colour profile was converted, the depth was guessed, or further frames were left out.
    """
    image = _read(source, argument)
    orientation = image.info["orientation"]
    if min(image.size) < MIN_SIDE:
        raise ValueError(f"{argument}: {size_text(image.size)} px; expected at least {MIN_SIDE} px on each side")
    if image.mode == "F":
        raise ValueError(f"{argument}: floating-point pixels, which have no agreed range; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        if (white := _white(values, 255)) != 65535:
            warnings.warn(f"{argument}: grey values up to {values.max():g}; {white} is taken as white", stacklevel=2)
        image = Image.fromarray((values * 255 / white).round().clip(0, 255).astype(np.uint8))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    image = _to_srgb(image, profile, argument) if profile else image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    image.info = {"orientation": orientation} if orientation in TURNS else {}
    return image


def _to_srgb(image: Image.Image, profile: bytes, argument: str) -> Image.Image:
    """Convert L, RGB or CMYK pixels; those that move by 2 at most, as from sRGB itself, stay."""
    plain = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        coloured = plain if source.profile.xcolor_space.strip() == "RGB" else image
        converted = ImageCms.profileToProfile(coloured, source, _srgb, outputMode="RGB")
        note = f"{argument}: colours converted from {ImageCms.getProfileDescription(source).strip()} to sRGB"
    except (ImageCms.PyCMSError, *BROKEN):
        converted = plain
        note = f"{argument}: its colour profile cannot be used; its colours are taken as sRGB"
    else:
        if max(high for _, high in ImageChops.difference(plain, converted).getextrema()) <= 2:
            return plain
    warnings.warn(note, stacklevel=3)
    return converted


def load_mask(mask: ArrayLike | ImageSource | None, size: tuple[int, int], orientation: int = 1) -> np.ndarray | None:
    """Read what may change as bool (H, W), True = editable; None stays None, which means everything.

    A pixel is editable above half of white, in its brightest channel; masks of 0 and 1 are taken as they are. An alpha
    channel that varies, or is 0 all over, is the mask: opaque = editable, and the colours do not count.

    Args:
        mask: (H, W) or (H, W, C) numbers or bools with C <= 4 (2 and 4: the last is alpha), an image, or its path.
        size: (W, H) of the upright image.
        orientation: EXIF orientation of the image's file; a mask of the stored image's shape is turned along.

    Raises:
        ValueError: unreadable, another size, not finite, or 1 in all of its 8-bit pixels, which is black or white.

    Warns:
        UserWarning: the shape does not tell whether the mask is of the upright image or of the stored one.
    """
    if mask is None:
        return None
    lossy = False
    if isinstance(mask, ImageSource):
        mask = _read(mask, "mask")
        lossy = mask.format in ("JPEG", "MPO", "WEBP", "AVIF")  # in which black may be 1
        if mask.mode == "CMYK" or (mask.has_transparency_data and not mask.mode.startswith(("I", "F"))):
            mask = mask.convert("RGB" if mask.mode == "CMYK" else "RGBA")
    array = as_numbers(mask, "mask", "an image or an array (H, W)", kinds="biuf")
    upright, stored = array.shape[:2] == size[::-1], orientation >= 5 and array.shape[:2] == size
    if not (upright or stored) or array.shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        given = size_text(array.shape[::-1]) if array.ndim == 2 else f"shape {array.shape}"
        raise ValueError(f"mask: {given}; expected the size of the image, {size_text(size)} px (width x height)")
    if not np.isfinite(array).all():
        raise ValueError("mask: NaN or infinity in it; expected finite numbers, 0 where nothing may change")
    editable = _editable(array.reshape(*array.shape[:2], -1), lossy=lossy)
    if not upright:
        return np.asarray(Image.fromarray(editable).transpose(Image.Transpose(TURNS[orientation])))
    if orientation in TURNS and (stored or orientation < 5):
        note = "mask: its image is stored turned (EXIF); the mask is taken as of the upright image"
        warnings.warn(note, stacklevel=2)
    return editable


def _editable(array: np.ndarray, *, lossy: bool) -> np.ndarray:
    """(H, W, C) values -> bool (H, W)."""
    if array.shape[2] in (2, 4):
        array, alpha = array[..., :-1], array[..., -1].astype(np.float64)
        low, high = alpha.min(), alpha.max()
        if high - low > 0.1 * high or high == 0:
            return alpha > (low + high) / 2
    values = array.max(axis=2)
    if values.dtype == np.uint8 and not lossy and (values == 1).all():  # as a black JPEG may be decoded
        raise ValueError("mask: 1 in all of its 8-bit pixels, which is black or white; expected bools, or 0 and 255")
    return values > _white(values, 255 if lossy else 1) / 2


def _white(values: np.ndarray, least: int) -> int:
    return next((white for white in WHITES if white >= max(least, values.max())), WHITES[-1])


def as_numbers(values: object, argument: str, expected: str, kinds: str) -> np.ndarray:
    """Return `values` as an array whose dtype is of one of these kinds (numpy's letters); ValueError if it is not."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{argument}: {str(values)[:80]} ({error}); expected {expected}") from error
    if array.dtype.kind not in kinds:
        raise ValueError(f"{argument}: {str(values)[:80]} holds no plain numbers; expected {expected}")
    return array


def _open(source: str | os.PathLike | bytes) -> Image.Image:
    content = source if isinstance(source, bytes) else expand(source).read_bytes()  # so that no file stays open
    if content[4:8] == b"ftyp" and content[8:12] not in (b"avif", b"avis"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return Image.open(BytesIO(content))


def _read(source: ImageSource, argument: str) -> Image.Image:
    """Upright copy of the first frame; its mode is 1, L, LA, RGB, RGBA, CMYK, F or begins with I."""
    if isinstance(source, Image.Image):
        shown = f"PIL image of {size_text(source.size)} px"
    elif isinstance(source, ImageSource):
        shown = f"{len(source)} bytes" if isinstance(source, bytes) else repr(os.fspath(source))
    else:
        raise ValueError(f"{argument}: {type(source).__name__}; expected a path, bytes or a PIL image")
    orientation, notes = 1, []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = source if isinstance(source, Image.Image) else _open(source)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        try:
            orientation = int(image.getexif().get(0x0112, 1))
            upright = ImageOps.exif_transpose(image)
        except BROKEN:  # a camera's broken EXIF block does not spoil the picture
            notes.append(f"{argument}: its EXIF block is broken, so it is taken as it is stored")
            upright = image.copy()
        if upright.mode not in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "F") and not upright.mode.startswith("I"):
            upright = upright.convert("RGBA" if upright.has_transparency_data or upright.mode == "RGBa" else "RGB")
        frames = 1 if image.format in ("MPO", "PSD") else getattr(image, "n_frames", 1)  # theirs are previews, layers
        if frames > 1:
            notes.append(f"{argument}: {frames} frames; number {image.tell() + 1} is taken")
    except Image.DecompressionBombError as error:
        raise ValueError(f"{argument}: {shown} is too large; expected at most {MAX_PIXELS:,} pixels") from error
    except ImportError as error:
        raise ValueError(f"{argument}: {shown} is HEIC; expected a JPEG, or `pip install pillow-heif` first") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{argument}: {shown} is not an image; expected PNG, JPEG or another Pillow format") from error
    except BROKEN as error:
        raise ValueError(f"{argument}: {shown} cannot be read ({_why(error)}); expected a whole image") from error
    for note in notes:
        warnings.warn(note, stacklevel=3)
    upright.format, upright.info["orientation"] = image.format, orientation
    return upright


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
        # inside a folder that exists: it may be a mount point, and a rename must not cross file systems
        temporary = _temporary(path / "new" if path.is_dir() else path)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError("it is a file")
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with _writing(path, argument):
            if not path.is_dir():
                temporary.rename(path)
                return
            for file in temporary.rglob("*"):
                old = path / file.relative_to(temporary)
                if old.exists() and old.is_dir() != file.is_dir():
                    raise FileExistsError(f"{old.name} in it is {'a folder' if old.is_dir() else 'a file'}")
            for file in sorted(temporary.rglob("*")):  # a folder comes before what is in it
                new = path / file.relative_to(temporary)
                new.mkdir(exist_ok=True) if file.is_dir() else os.replace(file, new)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_file(path: str | os.PathLike, argument: str = "output") -> Iterator[Path]:
    """Write a temporary file, beside `path` and of its suffix, which replaces it when the block ends well."""
    path = expand(path)
    with _writing(path, argument):
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        temporary.touch()
    try:
        yield temporary
        with _writing(path, argument):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem[:40]}-{uuid4().hex[:12]}{path.suffix}")


@contextmanager
def _writing(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ValueError(
            f"{argument}: {str(path)!r} cannot be written ({_why(error)}); expected another path"
        ) from error


def _why(error: Exception) -> object:
    return getattr(error, "strerror", None) or error
