"""One edit: image, points, mask and, where known, the true result; its checks, and its files in Drag100's layout."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.files import atomic_dir
from gooddrag.images import ImageSource, load_image, picture_file, read_image, size_text

FORMAT_VERSION = 1
FILES = ("original.png", "mask.png", "truth.png", "points.json", "sample.json")
SHOWN = 80  # characters of a bad value in a message


@dataclass(frozen=True, eq=False)
class Sample:
    """An image and how to drag it.

    Attributes:
        image: PIL RGB; given as anything that `load_image` takes.
        points: float64 (l, 2, 2): l pairs of [handle (x, y), target (x, y)] in pixels of `image`; see `check_points`.
        mask: bool (H, W), True = editable; None = everything is editable; see `check_mask`.
        truth: PIL RGB of the size of `image`, the true edited image; None = not known.
        name, category, task: free text.
    """

    image: Image.Image
    points: np.ndarray
    mask: np.ndarray | None = None
    truth: Image.Image | None = None
    name: str = ""
    category: str = ""
    task: str = ""

    def __post_init__(self):
        image = load_image(self.image)
        truth = None if self.truth is None else load_image(self.truth, argument="truth")
        if truth is not None and truth.size != image.size:
            raise ValueError(f"truth: {size_text(truth.size)} px; expected the image's {size_text(image.size)} px")
        if odd := [name for name in ("name", "category", "task") if not isinstance(getattr(self, name), str)]:
            raise ValueError(f"{odd[0]}: {str(getattr(self, odd[0]))[:80]}; expected text")
        checked = {
            "image": image,
            "points": check_points(self.points, image.size),
            "mask": check_mask(self.mask, image.size),
            "truth": truth,
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def handles(self) -> np.ndarray:
        """(l, 2) starting points, (x, y) in pixels of the image."""
        return self.points[:, 0]

    @property
    def targets(self) -> np.ndarray:
        """(l, 2) where the handles should go, (x, y) in pixels of the image."""
        return self.points[:, 1]

    def __repr__(self) -> str:
        mask = "no mask" if self.mask is None else f"{self.mask.mean():.0%} editable"
        truth = "with truth" if self.truth else "no truth"
        return f"Sample({self.name!r}, {size_text(self.image.size)} px, {len(self.points)} pair(s), {mask}, {truth})"

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Sample:
        """Read a folder of Drag100's layout: original.*, points.json, and optionally mask.*, truth.*, sample.json.

        The kind of an image is taken from its content, not its name. Without a sample.json the folder names the sample.
        A ValueError says what is missing or wrong.
        """
        try:
            folder = Path(folder)
            files = {path.name.lower(): path for path in sorted(folder.iterdir())}
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"folder: {str(folder)!r} cannot be read; expected a folder with a sample") from error
        images = {stem: picture_file(files, stem) for stem in ("original", "mask", "truth")}
        parts = {"original": images["original"], "points.json": files.get("points.json")}
        about = {"name": folder.resolve().name}
        if "sample.json" in files:
            about = _read_about(files["sample.json"])
            for part in ("mask", "truth"):
                if about.pop(f"has_{part}"):
                    parts[part] = images[part]
                else:
                    images[part] = None  # a file that is there was left by an earlier sample in the same folder
        if missing := [part for part, path in parts.items() if path is None]:
            raise ValueError(f"folder: {str(folder)!r} has no {' and no '.join(missing)}; expected {', '.join(parts)}")
        return cls(images["original"], parse_points(parts["points.json"]), images["mask"], images["truth"], **about)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the folder that `Sample.open` reads; images as PNG, so that nothing is lost."""
        points = [[int(v) if v == int(v) else v for v in point] for point in self.points.reshape(-1, 2).tolist()]
        about = {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "category": self.category,
            "task": self.task,
            "has_mask": self.mask is not None,
            "has_truth": self.truth is not None,
        }
        with atomic_dir(folder, argument="folder") as temporary:
            self.image.save(temporary / "original.png")
            if self.mask is not None:
                Image.fromarray(self.mask.astype(np.uint8) * 255).save(temporary / "mask.png")
            if self.truth is not None:
                self.truth.save(temporary / "truth.png")
            (temporary / "points.json").write_text(json.dumps({"points": points}) + "\n", encoding="utf-8")
            (temporary / "sample.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return Path(folder)


def check_points(points: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Point pairs as float64 (l, 2, 2), or a ValueError that names the first thing wrong with them.

    Args:
        points: (l, 2, 2) pairs of [handle (x, y), target (x, y)], or Drag100's flat (2l, 2) list that alternates
            handle and target; in pixels. Pixel centres are whole numbers: 0 <= x <= W - 1 and 0 <= y <= H - 1.
        size: (W, H) of the image.
    """
    points = _pairs(points)
    limit = np.array(size) - 1
    seen = {}
    for number, pair in enumerate(points, start=1):
        for kind, point in zip(("handle", "target"), pair, strict=True):
            if (point < 0).any() or (point > limit).any():
                raise ValueError(
                    f"points: {kind} {number} at {_at(point)} is outside the image of {size_text(size)} px; "
                    f"expected 0 <= x <= {limit[0]} and 0 <= y <= {limit[1]}"
                )
        handle, target = pair
        if (handle == target).all():
            raise ValueError(f"points: handle {number} equals its target {_at(handle)}; expected a target elsewhere")
        first = seen.setdefault(tuple(handle.tolist()), number)
        if first != number:
            raise ValueError(
                f"points: handles {first} and {number} are both at {_at(handle)}; expected distinct handles"
            )
    return points


def check_mask(mask: ArrayLike | ImageSource | None, size: tuple[int, int]) -> np.ndarray | None:
    """The editable region as bool (H, W), or None for everything; or a ValueError that says what is wrong with it.

    Args:
        mask: (H, W) numbers or bools, (H, W, C) channels, an image or its file; a pixel with any channel above 0 is
            editable, alpha (of 2 or 4 channels, the last) does not count. None = everything is editable.
        size: (W, H) of the image.

    Warns:
        UserWarning: the mask is empty, so nothing may change.
    """
    if mask is None:
        return None
    if isinstance(mask, ImageSource):
        mask = read_image(mask, "mask")
    array = _numbers(mask, "mask", "an image or an array (H, W)", kinds="biuf")
    if not np.isfinite(array).all():
        raise ValueError("mask: NaN or infinity in it; expected finite numbers, above 0 where the image may change")
    if array.ndim == 3 and array.shape[2] <= 4:
        colours = array.shape[2] - (array.shape[2] in (2, 4))
        array = (array[..., :colours] > 0).any(axis=2)
    if array.shape != (size[1], size[0]):
        given = size_text(array.shape[::-1]) if array.ndim == 2 else f"shape {array.shape}"
        turned = ", which its EXIF orientation may have turned" if array.shape == size else ""
        raise ValueError(
            f"mask: {given}; expected the size of the image{turned}, {size_text(size)} px (width x height)"
        )
    editable = array > 0
    if not editable.any():
        warnings.warn("mask: empty (no pixel above 0), which means that nothing may change", stacklevel=2)
    return editable


def parse_points(source: str | os.PathLike) -> np.ndarray:
    """Point pairs from text or a file, or a ValueError that says why there are none.

    Args:
        source: "x,y>x,y;x,y>x,y" (handle > target, in pixels), or the path of a points.json
            `{"points": [[x, y], ...]}` that alternates handle and target.

    Returns:
        float64 (l, 2, 2): pairs of [handle (x, y), target (x, y)]; whether they fit an image, `check_points` tells.
    """
    if isinstance(source, str) and (">" in source or not source.strip()):
        return _pairs([_parse_pair(pair) for pair in source.split(";") if pair.strip()])
    expected = 'expected "x,y>x,y;..." or a file with {"points": [[x, y], ...]}'
    try:
        content = json.loads(Path(source).read_text(encoding="utf-8-sig"))
    except (OSError, TypeError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"points: {str(source)[:SHOWN]!r} cannot be read ({reason}); {expected}") from error
    if not isinstance(content, dict) or "points" not in content:
        raise ValueError(f'points: {str(source)[:SHOWN]!r} has no "points"; {expected}')
    return _pairs(content["points"])


def _pairs(points: ArrayLike) -> np.ndarray:
    array = _numbers(points, "points", "pairs [[x, y], [x, y]] of handle and target", kinds="iuf").astype(np.float64)
    if array.size == 0:
        raise ValueError("points: none given; expected at least one pair of handle and target")
    if array.ndim == 2 and array.shape[1] == 2:
        if len(array) % 2:
            raise ValueError(f"points: {len(array)} points; expected an even number, handle and target in turn")
        array = array.reshape(-1, 2, 2)
    if array.ndim != 3 or array.shape[1:] != (2, 2):
        raise ValueError(f"points: shape {array.shape}; expected (l, 2, 2), pairs of handle (x, y) and target (x, y)")
    if not np.isfinite(array).all():
        raise ValueError(f"points: {str(array.tolist())[:SHOWN]}; expected finite numbers")
    return array


def _numbers(values: object, argument: str, expected: str, kinds: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{argument}: {str(values)[:80]} ({error}); expected {expected}") from error
    if array.dtype.kind not in kinds:
        raise ValueError(f"{argument}: {str(values)[:80]} holds no plain numbers; expected {expected}")
    return array


def _parse_pair(text: str) -> list[list[float]]:
    try:
        (hx, hy), (tx, ty) = (map(float, point.split(",")) for point in text.split(">"))
    except ValueError as error:
        raise ValueError(f'points: {text.strip()!r}; expected a pair "x,y>x,y", handle > target') from error
    return [[hx, hy], [tx, ty]]


def _read_about(path: Path) -> dict:
    """sample.json as keyword arguments of Sample, with has_mask and has_truth."""
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
        if about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format_version {about['format_version']!r} is not {FORMAT_VERSION}")
        if not all(isinstance(about[name], bool) for name in ("has_mask", "has_truth")):
            raise ValueError("has_mask or has_truth is neither true nor false")
        return {name: about[name] for name in ("name", "category", "task", "has_mask", "has_truth")}
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"folder: {str(path)!r} cannot be read ({error}); expected what Sample.save writes") from error


def _at(point: np.ndarray) -> str:
    return f"({point[0]:g}, {point[1]:g})"
