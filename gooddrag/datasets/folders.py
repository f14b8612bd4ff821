"""Drag100, and folders of one's own in its layout: `<name>/original.*, points.json, mask.*`, read by `Sample.open`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from PIL import Image

from gooddrag.datasets.archive import opened
from gooddrag.datasets.dataset import Dataset
from gooddrag.datasets.download import from_drive
from gooddrag.images import picture_file
from gooddrag.sample import Sample

DRAG100_DRIVE_ID = "1qzUizzrSRd4bBaT-0bCYZr-MDpiKXjhW"
PAPER_COMPOSITION = {"animal": 58, "painting": 5, "landscape": 16, "plant": 5, "portrait": 6, "object": 10}  # Sec. 4.1
DEPTH = 4  # folders below the root in which samples are looked for: Drag100.zip may hold Drag100/dataset/<name>/
Labels = Mapping[str, Mapping[str, str]]


def drag100(source: str | Path | None = None, labels: Labels | str | Path | None = None) -> Dataset:
    """Drag100 (Sec. 4.1): 100 images with points and masks. There is no truth.

    On disk a sample has neither category nor task. The category is taken from the folder's name ("cat_2" is an
    animal), with the words in `categories.json`; a name that is not there has none, and tasks are "" without `labels`.

    Args:
        source: a folder or a zip; None: download it from the authors' Google Drive, once.
        labels: {name: {"category": ..., "task": ...}}, or a JSON file of that; goes before what the name says.

    Raises:
        ValueError: the download was refused, the zip is not safe, or no sample is in it.
    """
    if source is None:
        source = from_drive(DRAG100_DRIVE_ID, "drag100")
    return _dataset(source, labels, "drag100", published=True)


def folder(source: str | Path, labels: Labels | str | Path | None = None) -> Dataset:
    """A folder or a zip of samples in Drag100's layout (also what `Sample.save` writes, with its truth).

    Args:
        labels: as in `drag100`; nothing is taken from the names.

    Raises:
        ValueError: no such folder or zip, the zip is not safe, or no sample is in it; labels that cannot be read.
    """
    return _dataset(source, labels, "folder", published=False)


def _dataset(source: str | Path, labels: Labels | str | Path | None, title: str, published: bool) -> Dataset:
    root = opened(source, title)
    named = _labels(labels)

    def read(path: Path) -> Sample:
        if published and _picture(path, "mask") is None:
            raise ValueError("mask.png is missing; every sample of Drag100 has one")
        sample = Sample.open(path)
        label = named.get(path.name, {})
        category = label.get("category") or sample.category or (category_of(path.name) if published else "")
        return replace(sample, category=category, task=label.get("task") or sample.task)

    def notes(path: Path) -> list[str]:
        found = _picture_notes(path)
        if published and "category" not in named.get(path.name, {}):
            found.append("category from the name" if category_of(path.name) else "category unknown")
        if _picture(path, "mask") is None:
            found.append("no mask: everything is editable")
        return found

    return Dataset(title, root, sample_folders(root, "points.json", title, source), read, notes)


def sample_folders(root: Path, marker: str, title: str, source: str | Path) -> dict[str, Path]:
    """The folders that hold a file `marker` or would be expected to, by name; those named alike by their whole path.

    Beside a folder with the marker every other one counts too: a sample that lacks it must be reported, not lost.

    Args:
        source: what errors call `root`, which may lie in the cache.
    """
    marked = [p.parent for depth in range(DEPTH + 1) for p in root.glob("*/" * depth + marker)]
    if root in marked:
        raise ValueError(
            f"{title}: {str(source)!r} is one sample; expected a folder of samples (Sample.open reads one)"
        )
    beside = [p for parent in {m.parent for m in marked} for p in parent.iterdir() if p.is_dir()]
    below = {parent for m in marked for parent in m.parents}
    found = sorted(p for p in {*marked, *beside} - below if not p.name.startswith((".", "__MACOSX")))
    found = [p for p in found if not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(root).parts)]
    if not found:
        raise ValueError(f"{title}: no sample in {str(source)!r}; expected folders with {marker}")
    names = [p.name for p in found]
    return {p.name if names.count(p.name) == 1 else p.relative_to(root).as_posix(): p for p in found}


def category_of(name: str) -> str:
    """The category that a sample's name tells: "cat_2" -> "animal"; "" for a word that `categories.json` lacks."""
    words = re.findall(r"[a-z]+", name.lower())
    known = _words()
    return next((known[w] for w in words if w in known), "")


@cache
def _words() -> dict[str, str]:
    text = files("gooddrag.datasets").joinpath("categories.json").read_text(encoding="utf-8")
    return {word: category for category, words in json.loads(text).items() for word in words}


def _labels(labels: Labels | str | Path | None) -> Labels:
    if labels is None or isinstance(labels, Mapping):
        return labels or {}
    try:
        content = json.loads(Path(labels).read_text(encoding="utf-8"))
        if not all(isinstance(label, dict) for label in content.values()):
            raise ValueError("a label is not an object")
        return content
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"labels: {str(labels)!r} cannot be read ({error}); expected "
                         '{name: {"category": ..., "task": ...}}') from error  # fmt: skip


def _picture(path: Path, stem: str) -> Path | None:
    """The image file that `Sample.open` takes."""
    return picture_file({file.name.lower(): file for file in sorted(path.iterdir())}, stem)


def _picture_notes(path: Path) -> list[str]:
    original = _picture(path, "original")
    with Image.open(original) as image:
        kind, alpha = image.format, image.has_transparency_data
    suffix = {"JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}.get(kind, (f".{kind.lower()}",))
    notes = [] if original.suffix.lower() in suffix else [f"{original.name} is a {kind}"]
    return notes + (["transparent parts are put over white"] if alpha else [])
