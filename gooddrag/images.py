"""Any still image, from wherever it comes, as upright pixels; or one clear line why not."""

from __future__ import annotations

import os
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MIN_SIDE = 16  # px; below this there is nothing to drag, and no VAE latent to speak of
MAX_PIXELS = 170_000_000  # 12000 x 9000 photographs open; Pillow itself refuses from 179 million on
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "F")  # numpy sees the values as they are; others are converted

ImageSource = str | os.PathLike | bytes | Image.Image


def load_image(source: ImageSource, argument: str = "image") -> Image.Image:
    """Any still image as upright 8-bit RGB: EXIF orientation applied, transparency over white, 16-bit grey scaled.

    Args:
        source: path, content of an image file, or PIL image (which is left as it is).
        argument: what an error calls it.

    Raises:
        ValueError: unreadable, not an image, truncated, below 16 px on a side, or above 170 million pixels.
    """
    image = read_image(source, argument)
    if min(image.size) < MIN_SIDE:
        raise ValueError(f"{argument}: {size_text(image.size)} px; expected at least {MIN_SIDE} px on each side")
    if image.mode == "F":
        raise ValueError(f"{argument}: floating-point pixels, which have no agreed range; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float64) / 257  # 65535 / 255
        image = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image.info.clear()  # nothing of the file's metadata belongs to the edited image
    return image


def read_image(source: ImageSource, argument: str) -> Image.Image:
    """A fully read, upright copy of an image; its mode is one of _PLAIN_MODES or a 16-bit one.

    Raises:
        ValueError: unreadable, not an image, truncated, or above 170 million pixels.
    """
    if not isinstance(source, ImageSource):
        raise ValueError(f"{argument}: {type(source).__name__}; expected a path, bytes or a PIL image")
    if isinstance(source, Image.Image):
        shown = f"PIL image of {size_text(source.size)} px"
    else:
        shown = f"{len(source)} bytes" if isinstance(source, bytes) else repr(os.fspath(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = source if isinstance(source, Image.Image) else _open(source)
            pixels = image.width * image.height
            if pixels <= MAX_PIXELS:
                image.load()
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except UnidentifiedImageError as error:
        raise ValueError(f"{argument}: {shown} is not an image; expected PNG, JPEG or another Pillow format") from error
    except Exception as error:  # Pillow's decoders raise half a dozen kinds for broken files
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{argument}: {shown} cannot be read ({reason}); expected a whole image") from error
    if pixels > MAX_PIXELS:
        raise ValueError(f"{argument}: {shown} is too large; expected at most {MAX_PIXELS / 1e6:.0f} million pixels")
    return _plain(_upright(image, argument), argument)


def _open(source: str | os.PathLike | bytes) -> Image.Image:
    content = source if isinstance(source, bytes) else Path(source).read_bytes()  # so that no file stays open
    return Image.open(BytesIO(content))


def _upright(image: Image.Image, argument: str) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a camera's broken EXIF block, which raises anything, does not spoil the picture
        warnings.warn(f"{argument}: its EXIF block is broken, so the orientation is taken as stored", stacklevel=4)
        return image.copy()


def _plain(image: Image.Image, argument: str) -> Image.Image:
    if image.mode in _PLAIN_MODES or image.mode.startswith("I;16"):
        return image
    try:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except ValueError as error:
        raise ValueError(f"{argument}: pixels of mode {image.mode}; expected RGB, grey or palette") from error


def picture_file(files: dict[str, Path], stem: str) -> Path | None:
    """original.png, mask.jpg, ... among a folder's files by their names in lower case."""
    return next((files[stem + suffix] for suffix in _SUFFIXES if stem + suffix in files), None)


def size_text(size: tuple[int, ...]) -> str:
    """512 x 384, for messages: width x height."""
    return " x ".join(str(side) for side in size)
