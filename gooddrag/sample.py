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

LABELS = ("name", "category", "task")


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
        ValueError: names the argument, its value and what was expected. What is odd about the mask is a UserWarning.
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
        points = check_points(self.points, image.size)
        mask = load_mask(self.mask, image.size)
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
        scale = 512 / max(self.image.size)
        size = tuple(max(1, round(side * scale)) for side in self.image.size)
        mask = None if self.mask is None else np.asarray(Image.fromarray(self.mask).resize(size))
        return marked(self.image.resize(size, Image.Resampling.LANCZOS), self.points * scale, mask)._repr_png_()

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Self:
        """Read a folder of Drag100's layout: original.*, points.json, and optionally mask.*, truth.*, sample.json.

        The kind of an image is taken from its content, not its name. Without a sample.json the folder names the sample.
        What is missing or wrong is a ValueError that says it.
        """
        folder = expand(folder)
        kept, about = folder / "sample.json", {"name": folder.resolve().name}
        if kept.is_file():
            try:
                about = dict(json.loads(kept.read_text(encoding="utf-8")))
            except (OSError, TypeError, ValueError) as error:
                raise ValueError(f"folder: {str(kept)!r} ({error}); expected what Sample.save writes") from error
        parts = {stem: next(iter(sorted(folder.glob(f"{stem}.*"))), None) for stem in ("original", "mask", "truth")}
        # what an earlier sample left in the same folder
        parts |= {stem: None for stem in ("mask", "truth") if not about.get(f"has_{stem}", True)}
        points, labels = parse_points(folder / "points.json"), (about.get(name, "") for name in LABELS)
        return cls(parts["original"] or folder / "original.*", points, parts["mask"], parts["truth"], *labels)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the folder that `Sample.open` reads; images as PNG, so that nothing is lost."""
        points = {"points": self.points.reshape(-1, 2).tolist()}
        about = {name: getattr(self, name) for name in LABELS}
        about |= {"has_mask": self.mask is not None, "has_truth": self.truth is not None}
        mask = None if self.mask is None else Image.fromarray(self.mask).convert("L")
        with atomic_folder(folder, argument="folder") as temporary:
            for stem, image in (("original", self.image), ("mask", mask), ("truth", self.truth)):
                if image is not None:
                    image.save(temporary / f"{stem}.png", icc_profile=None if stem == "mask" else SRGB)
            (temporary / "points.json").write_text(json.dumps(points) + "\n", encoding="utf-8")
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
    points = as_numbers(points, "points", "finite pairs [[x, y], [x, y]] of handle and target").astype(np.float64)
    if points.size == 0:
        raise ValueError("points: none given; expected at least one pair of handle and target")
    if points.ndim == 2 and points.shape[1] == 2 and len(points) % 2 == 0:
        points = points.reshape(-1, 2, 2)
    if points.shape[1:] != (2, 2):
        raise ValueError(f"points: shape {points.shape}; expected (l, 2, 2), pairs of handle (x, y) and target (x, y)")
    wide, (w, h) = size_text(size), np.array(size) - 1
    for name, point in _named(points):
        if not ((point >= 0) & (point <= (w, h))).all():  # NaN is nowhere
            say = f"points: {name} is outside the image of {wide} px; expected 0 <= x <= {w} and 0 <= y <= {h}"
            raise ValueError(say)
    handles = points[:, 0].tolist()
    if again := [handle for handle in handles if handles.count(handle) > 1]:
        raise ValueError(f"points: two handles at ({again[0][0]:g}, {again[0][1]:g}); expected distinct ones")
    if (points[:, 0] == points[:, 1]).all():
        raise ValueError("points: handle 1 equals its target; expected a target elsewhere")
    return points


def mask_note(points: np.ndarray, mask: np.ndarray | None) -> str:
    """Say in one line what is odd about a checked mask (H, W) for these pairs (l, 2, 2); "" where nothing is."""
    if mask is None:
        return ""
    if mask.all():
        return "mask: everything may change, as without a mask"
    if not mask.any():
        return "mask: empty (nothing above half of white), so nothing may change"
    outside = [name for name, (x, y) in _named(points) if not mask[round(y), round(x)]]
    return f"mask: {', '.join(outside)}: outside of what may change, which is white" if outside else ""


def parse_points(source: str | os.PathLike) -> list:
    """Point pairs, for `check_points`, from text or a file; a ValueError says why there are none.

    Args:
        source: "x,y>x,y;x,y>x,y" (handle > target, in pixels), or the path of a points.json
            `{"points": [[x, y], ...]}` that alternates handle and target.
    """
    try:
        if isinstance(source, str) and ">" in source:
            pairs = [pair.split(">") for pair in source.split(";") if pair.strip()]
            return [[[float(value) for value in point.split(",")] for point in pair] for pair in pairs]
        return json.loads(expand(source).read_text(encoding="utf-8-sig"))["points"]
    except (OSError, TypeError, ValueError, LookupError) as error:
        expected = 'expected "x,y>x,y;...", handle > target, or a file with {"points": [[x, y], ...]}'
        raise ValueError(f"points: {str(source)!r} cannot be read ({error}); {expected}") from error


def _named(points: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """("handle 1 at (3, 4)", the point), ... for every point."""
    return [
        (f"{kind} {number} at ({point[0]:g}, {point[1]:g})", point)
        for number, pair in enumerate(points, start=1)
        for kind, point in zip(("handle", "target"), pair, strict=True)
    ]
