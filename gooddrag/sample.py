"""One edit: image, points, mask and, where known, the true result; its checks, and its files in Drag100's layout."""

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gooddrag.files import SRGB, as_numbers, atomic_folder, expand, load_image, load_mask, size_text
from gooddrag.marks import marked

FORMAT_VERSION = 1
LABELS = ("name", "category", "task")
SHOWN_SIDE = 512  # px, long side of a sample in a notebook


@dataclass(frozen=True, eq=False)
class Sample:
    """An image and how to drag it. In a notebook it shows itself: handles red, targets blue, what is frozen veiled.

    Attributes:
        image: PIL RGB; given as anything that `load_image` takes.
        points: float64 (l, 2, 2): l pairs of [handle (x, y), target (x, y)] in pixels of `image`; see `check_points`.
        mask: bool (H, W), True = editable; None = everything is editable; given as anything that `load_mask` takes.
        truth: PIL RGB of the size of `image`, the true edited image; None = not known.
        name, category, task: free text.

    Raises:
        ValueError: names the argument, its value and what was expected.

    Warns:
        UserWarning: `mask_note`, and those of `load_image` and `load_mask`.
    """

    image: Image.Image
    points: np.ndarray
    mask: np.ndarray | None = None
    truth: Image.Image | None = None
    name: str = ""
    category: str = ""
    task: str = ""

    def __post_init__(self) -> None:
        image = load_image(self.image)
        truth = None if self.truth is None else load_image(self.truth, argument="truth")
        if truth is not None and truth.size != image.size:
            raise ValueError(f"truth: {size_text(truth.size)} px; expected the image's {size_text(image.size)} px")
        for name in LABELS:
            if not isinstance(text := getattr(self, name), str):
                raise ValueError(f"{name}: {str(text)[:80]}; expected text")
        points = check_points(self.points, image.size)
        mask = load_mask(self.mask, image.size, image.info.pop("orientation", 1))
        if note := mask_note(points, mask):
            warnings.warn(note, stacklevel=3)
        for name, value in {"image": image, "points": points, "mask": mask, "truth": truth}.items():
            object.__setattr__(self, name, value)

    @property
    def handles(self) -> np.ndarray:
        """(l, 2) where the drags begin, (x, y) in pixels of the image."""
        return self.points[:, 0]

    @property
    def targets(self) -> np.ndarray:
        """(l, 2) where the handles should go, (x, y) in pixels of the image."""
        return self.points[:, 1]

    def __repr__(self) -> str:
        mask = "no mask" if self.mask is None else f"{self.mask.mean():.0%} editable"
        truth = "with truth" if self.truth else "no truth"
        return f"Sample({self.name!r}, {size_text(self.image.size)} px, {len(self.points)} pair(s), {mask}, {truth})"

    def _repr_png_(self) -> bytes:
        scale = SHOWN_SIDE / max(self.image.size)
        size = tuple(max(1, round(side * scale)) for side in self.image.size)
        mask = None if self.mask is None else np.asarray(Image.fromarray(self.mask).resize(size))
        return marked(self.image.resize(size, Image.Resampling.LANCZOS), self.points * scale, mask)._repr_png_()

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Self:
        """Read a folder of Drag100's layout: original.*, points.json, and optionally mask.*, truth.*, sample.json.

        The kind of an image is taken from its content, not its name. Without a sample.json the folder names the sample.
        What is missing or wrong is a ValueError that says it.
        """
        try:
            folder = expand(folder)
            files = {path.name.lower(): path for path in sorted(folder.iterdir())}
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"folder: {str(folder)!r} cannot be read; expected a folder with a sample") from error
        parts = {  # by their names in lower case: original.png, mask.jpg, ...
            stem: next((path for name, path in files.items() if Path(name).stem == stem), None)
            for stem in ("original", "mask", "truth")
        }
        about, wanted = {"name": folder.resolve().name}, ["original"]
        if "sample.json" in files:
            about = _read_about(files["sample.json"])
            for stem in ("mask", "truth"):
                if about.pop(f"has_{stem}"):
                    wanted.append(stem)
                else:
                    parts[stem] = None  # a file that is there was left by an earlier sample in the same folder
        wanted, parts["points.json"] = [*wanted, "points.json"], files.get("points.json")
        if missing := [part for part in wanted if parts[part] is None]:
            raise ValueError(f"folder: {str(folder)!r} has no {' and no '.join(missing)}; expected {', '.join(wanted)}")
        return cls(parts["original"], parse_points(parts["points.json"]), parts["mask"], parts["truth"], **about)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the folder that `Sample.open` reads; images as PNG, so that nothing is lost."""
        points = [[int(v) if v == int(v) else v for v in point] for point in self.points.reshape(-1, 2).tolist()]
        about = {"format_version": FORMAT_VERSION, **{name: getattr(self, name) for name in LABELS}}
        about |= {"has_mask": self.mask is not None, "has_truth": self.truth is not None}
        mask = None if self.mask is None else Image.fromarray(self.mask).convert("L")
        with atomic_folder(folder, argument="folder") as temporary:
            for stem, image in (("original", self.image), ("mask", mask), ("truth", self.truth)):
                if image is not None:
                    image.save(temporary / f"{stem}.png", icc_profile=None if stem == "mask" else SRGB)
            (temporary / "points.json").write_text(json.dumps({"points": points}) + "\n", encoding="utf-8")
            (temporary / "sample.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return expand(folder)


def check_points(points: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Point pairs as float64 (l, 2, 2), or a ValueError that names the first thing wrong with them.

    A pair whose target is its handle is a pin: it is tracked and not pulled. At least one pair must not be one.

    Args:
        points: (l, 2, 2) pairs of [handle (x, y), target (x, y)], or Drag100's flat (2l, 2) list that alternates
            handle and target; in pixels. Pixel centres are whole numbers: 0 <= x <= W - 1 and 0 <= y <= H - 1.
        size: (W, H) of the image.
    """
    points, limit = _pairs(points), np.array(size) - 1
    for name, point in _named(points):
        if (point < 0).any() or (point > limit).any():
            raise ValueError(
                f"points: {name} is outside the image of {size_text(size)} px; "
                f"expected 0 <= x <= {limit[0]} and 0 <= y <= {limit[1]}"
            )
    handles = points[:, 0].tolist()
    for number, handle in enumerate(handles, start=1):
        if (first := handles.index(handle) + 1) != number:
            raise ValueError(f"points: handles {first} and {number} are both at {_at(handle)}; expected distinct ones")
    if (points[:, 0] == points[:, 1]).all():
        raise ValueError(f"points: handle 1 equals its target {_at(handles[0])}; expected a target elsewhere")
    return points


def mask_note(points: np.ndarray, mask: np.ndarray | None) -> str:
    """Say in one line what is odd about a checked mask (H, W) for these pairs (l, 2, 2); "" where nothing is."""
    if mask is not None and mask.all():
        return "mask: everything may change, as without a mask"
    if mask is not None and not mask.any():
        return "mask: empty (nothing above half of white), so nothing may change"
    outside = [name for name, (x, y) in _named(points) if mask is not None and not mask[round(y), round(x)]]
    if not outside:
        return ""
    inverted = "; is it inverted? White is what may change" if len(outside) == 2 * len(points) else ""
    return f"mask: {', '.join(outside[:4])}: outside of what may change{inverted}"


def parse_points(source: str | os.PathLike) -> np.ndarray:
    """Point pairs from text or a file, or a ValueError that says why there are none.

    Args:
        source: "x,y>x,y;x,y>x,y" (handle > target, in pixels), or the path of a points.json
            `{"points": [[x, y], ...]}` that alternates handle and target.

    Returns:
        float64 (l, 2, 2): pairs of [handle (x, y), target (x, y)]; whether they fit an image, `check_points` tells.
    """
    if isinstance(source, str) and (">" in source or not source.strip()):
        pairs = [pair.split(">") for pair in source.split(";") if pair.strip()]
        try:
            return _pairs([[[float(value) for value in point.split(",")] for point in pair] for pair in pairs])
        except ValueError as error:
            wanted = 'finite numbers as "x,y>x,y;x,y>x,y", handle > target'
            raise ValueError(f"points: {source.strip()[:80]!r}; expected {wanted}") from error
    try:
        points = json.loads(expand(source).read_text(encoding="utf-8-sig"))["points"]
    except (OSError, TypeError, ValueError, LookupError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        expected = 'expected "x,y>x,y;..." or a file with {"points": [[x, y], ...]}'
        raise ValueError(f"points: {str(source)[:80]!r} cannot be read ({reason}); {expected}") from error
    return _pairs(points)


def _named(points: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """("handle 1 at (3, 4)", the point), ... for every point."""
    return [
        (f"{kind} {number} at {_at(point)}", point)
        for number, pair in enumerate(points, start=1)
        for kind, point in zip(("handle", "target"), pair, strict=True)
    ]


def _pairs(points: ArrayLike) -> np.ndarray:
    array = as_numbers(points, "points", "pairs [[x, y], [x, y]] of handle and target", kinds="iuf").astype(np.float64)
    if array.size == 0:
        raise ValueError("points: none given; expected at least one pair of handle and target")
    if array.ndim == 2 and array.shape[1] == 2 and len(array) % 2 == 0:
        array = array.reshape(-1, 2, 2)
    if array.ndim != 3 or array.shape[1:] != (2, 2):
        raise ValueError(f"points: shape {array.shape}; expected (l, 2, 2), pairs of handle (x, y) and target (x, y)")
    if not np.isfinite(array).all():
        raise ValueError(f"points: {str(array.tolist())[:80]}; expected finite numbers")
    return array


def _read_about(path: Path) -> dict:
    """sample.json as keyword arguments of Sample, with has_mask and has_truth."""
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
        if about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format_version {about['format_version']!r} is not {FORMAT_VERSION}")
        return {name: about[name] for name in (*LABELS, "has_mask", "has_truth")}
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"folder: {str(path)!r} cannot be read ({error}); expected what Sample.save writes") from error


def _at(point: ArrayLike) -> str:
    return f"({point[0]:g}, {point[1]:g})"
