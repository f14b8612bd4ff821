"""Drag100, DragBench and SDE-Drag's set as `Sample`s, from a folder, a zip or Google Drive; a report on each sample."""

import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gooddrag.evaluation.unpack import opened, read_meta
from gooddrag.files import cache_folder
from gooddrag.sample import Sample

DRAG100_DRIVE_ID = "1qzUizzrSRd4bBaT-0bCYZr-MDpiKXjhW"
DRAG100_SHA256 = "3aed266b391053192ba55746ce7d06ca54b6228f81e2adb3a9b14c55568fa918"  # see `fingerprint`
BY_HAND = f"open https://drive.google.com/uc?id={DRAG100_DRIVE_ID} in a browser and give drag100() the zip"
COMPOSITION = dict(animal=58, painting=5, landscape=16, plant=5, portrait=6, object=10)  # Sec. 4.1, Fig. 7
WORDS = {"nature": "landscape", "lighthouse": "landscape", "face": "portrait", "human": "portrait"}
WORDS |= {"art": "painting", "plants": "plant"}
WORDS |= dict.fromkeys(("boat", "car", "clock", "drink", "furniture", "guitar"), "object")


class Dataset(Sequence[Sample]):
    """Samples by number or name, read from their files whenever one is asked for; a slice is a Dataset.

    Attributes:
        title: what errors call it. names: of the samples, sorted. folders: name -> folder.
    """

    def __init__(self, title: str, folders: Mapping[str, Path], read: Callable[[Path], Sample] = Sample.open):
        self.title, self.folders, self.read, self.names = title, dict(folders), read, list(folders)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | str | slice) -> "Sample | Dataset":
        if isinstance(key, slice):
            return Dataset(self.title, {name: self.folders[name] for name in self.names[key]}, self.read)
        name = key if isinstance(key, str) else self.names[key]
        if name not in self.folders:
            raise ValueError(f"{self.title}: no sample {name!r}; expected one of {', '.join(self.names[:4])}, ...")
        try:
            return relabelled(self.read(self.folders[name]), name=name)
        except ValueError as error:
            raise ValueError(f"{self.title}: sample {name!r}: {error}") from error

    def __repr__(self) -> str:
        return f"Dataset({self.title}, {len(self)} samples)"


def relabelled(sample: Sample, **labels: str) -> Sample:
    """The sample under another name or category; what it warned of was said when it was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return replace(sample, **labels)


def _dataset(
    title: str, source: str | os.PathLike, marker: str, read: Callable[[Path], Sample] = Sample.open
) -> Dataset:
    """The folders that hold a file `marker`, by name, and those beside them, which should: a sample that lacks it must
    be reported, not lost. Samples named alike get their whole path."""
    root = opened(source, title)
    marked = {p.parent for p in root.rglob(marker)} - {root}
    beside = {p for m in marked for p in m.parent.iterdir() if p.is_dir()}
    found = sorted(beside - {parent for m in marked for parent in m.parents})
    found = [p for p in found if not any(part.startswith((".", "__")) for part in p.relative_to(root).parts)]
    if not found:
        raise ValueError(f"{title}: no sample in {str(root)!r}; expected folders with {marker}")
    names = Counter(p.name for p in found)
    folders = {p.name if names[p.name] == 1 else p.relative_to(root).as_posix(): p for p in found}
    return Dataset(title, folders, read)


def drag100(source: str | os.PathLike | None = None) -> Dataset:
    """Drag100 (Sec. 4.1): 100 images with points and masks, without truths.

    The category is told by the folder's name, as the paper's composition needs it; tasks are not on disk.

    Args:
        source: a folder or a zip; None: the authors' Google Drive, once.
    """

    def read(folder: Path) -> Sample:
        sample = Sample.open(folder)
        if sample.mask is None:
            raise ValueError("mask.png is missing; every sample of Drag100 has one")
        return relabelled(sample, category=category(folder.name))

    if source is not None:
        return _dataset("drag100", source, "points.json", read)
    data = _dataset("drag100", zipped := _from_drive(), "points.json", read)
    if fingerprint(data) != DRAG100_SHA256:
        other = "is not the copy that the package's numbers were made with"
        raise ValueError(f"drag100: what Google Drive gave {other}; to use it all the same, drag100({str(zipped)!r})")
    return data


def category(name: str) -> str:
    """The paper's category of a sample of Drag100: "generated_9_lighthouse" is a landscape, "cat_2" an animal."""
    return WORDS.get(re.sub(r"^generated_\d+_|_\d+$", "", name), "animal")


def folder(source: str | os.PathLike) -> Dataset:
    """A folder or a zip of samples as `Sample.save` writes them: `<name>/original.*, points.json, mask.*`."""
    return _dataset("folder", source, "points.json")


def dragbench(source: str | os.PathLike) -> Dataset:
    """DragBench (Shi et al., 2023; releases of github.com/Yujun-Shi/DragDiffusion) from a folder or a zip.

    A sample is `CATEGORY/NAME/original_image.png` with `meta_data.pkl`, or with `drag_instruction.json` and `mask.png`.
    Without a drawn mask everything is editable, as in DragDiffusion's code.
    """

    def read(path: Path) -> Sample:
        if (path / "drag_instruction.json").is_file():
            (points,), mask = _json(path / "drag_instruction.json", "points"), path / "mask.png"
        else:
            points, mask = read_meta(path / "meta_data.pkl")
        return _sample(path / "original_image.png", points, mask, path.parent.name)

    return _dataset("dragbench", source, "original_image.png", read)


def sde_dragbench(source: str | os.PathLike) -> Dataset:
    """SDE-Drag's images (Nie et al., 2023; README of github.com/ML-GSAI/SDE-Drag) from a folder or a zip.

    A sample is `NAME/origin_image.png, mask.png, prompt.json`; an empty mask means that everything is editable.
    """

    def read(path: Path) -> Sample:
        source, target = (np.reshape(end, (-1, 2)) for end in _json(path / "prompt.json", "source", "target"))
        if len(source) != len(target):
            raise ValueError(f"prompt.json: {len(source)} source and {len(target)} target points; expected as many")
        return _sample(path / "origin_image.png", np.stack([source, target], axis=1), path / "mask.png")

    return _dataset("sde_dragbench", source, "prompt.json", read)


def _sample(image: Path, points: object, mask: object, category: str = "") -> Sample:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mask: empty")  # means the opposite in these two sets
        sample = Sample(image, points, mask, category=category)
    return sample if sample.mask is not None and sample.mask.any() else replace(sample, mask=None)


def _json(path: Path, *keys: str) -> list:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        return [content[key] for key in keys]
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read ({error}); expected an object with {', '.join(keys)}") from error


def report(data: Dataset) -> list[dict]:
    """One row a sample, for a table: what is in it, why it cannot be used (problem), what one should know (notes)."""
    rows = []
    for name in data.names:
        rows.append(dict(name=name, category="", width=0, height=0, pairs=0, editable=0.0, problem="", notes=""))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                sample = data[name]
            except ValueError as error:
                rows[-1]["problem"] = str(error)
                continue
        (width, height), mask = sample.image.size, sample.mask
        notes = [str(warning.message) for warning in caught if "outside" not in str(warning.message)]
        notes += ["no mask: everything is editable"] if mask is None else []
        mask = np.ones((height, width), bool) if mask is None else mask
        counts = {"pairs at rest": (sample.handles == sample.targets).all(axis=1).sum()}
        for kind, points in (("handles", sample.handles), ("targets", sample.targets)):
            x, y = np.rint(points).astype(int).T
            counts[f"{kind} outside the mask"] = (~mask[y, x]).sum()
        notes += [f"{what}: {n}" for what, n in counts.items() if n]
        found = dict(category=sample.category, width=width, height=height, pairs=len(sample.points))
        rows[-1] |= found | dict(editable=round(float(mask.mean()), 4), notes="; ".join(notes))
    return rows


def composition(data: Dataset) -> dict[str, int]:
    """Fig. 7 (a): how many of Drag100's names are of each category."""
    return dict(Counter(category(name) for name in data.names))


def fingerprint(data: Dataset) -> str:
    """SHA-256 over the files that make up the samples, by name."""
    hashed = hashlib.sha256()
    for name, path in data.folders.items():
        for file in sorted(path.glob("[opm]*.*")):  # original.*, points.json, mask.*
            hashed.update(f"{name}/{file.name}".encode() + file.read_bytes())
    return hashed.hexdigest()


def _from_drive() -> Path:
    path = cache_folder("datasets") / "drag100.zip"
    try:
        import gdown
        from gdown.exceptions import DownloadError
    except ModuleNotFoundError as error:
        raise ValueError(f'drag100: the download needs gdown: pip install -e ".[bench]"; or {BY_HAND}') from error
    try:
        gdown.cached_download(id=DRAG100_DRIVE_ID, path=str(path), quiet=True)
    except (DownloadError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"drag100: Google Drive did not give the file ({reason}); {BY_HAND}") from error
    return path
