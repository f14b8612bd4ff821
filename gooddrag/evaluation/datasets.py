"""Drag100, DragBench and SDE-Drag's set as `Sample`s, from a folder, a zip or Google Drive.

Zips and pickles are strangers': they are read whole or not at all, within caps, and without doing what they ask.
"""

import hashlib
import json
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gooddrag.files import atomic_folder, cache_folder, load_image
from gooddrag.sample import Sample, parse_points

DRAG100_DRIVE_ID = "1qzUizzrSRd4bBaT-0bCYZr-MDpiKXjhW"
DRAG100_SHA256 = "3aed266b391053192ba55746ce7d06ca54b6228f81e2adb3a9b14c55568fa918"  # see `fingerprint`
BY_HAND = f"open https://drive.google.com/uc?id={DRAG100_DRIVE_ID} in a browser and give drag100() the zip"
COMPOSITION = dict(animal=58, painting=5, landscape=16, plant=5, portrait=6, object=10)  # Sec. 4.1, Fig. 7
WORDS = {"nature": "landscape", "lighthouse": "landscape", "face": "portrait", "human": "portrait"}
WORDS |= {"art": "painting", "plants": "plant"}
WORDS |= dict.fromkeys(("boat", "car", "clock", "drink", "furniture", "guitar"), "object")
MAX_FILES, MAX_BYTES = 20_000, 4 * 2**30  # of a zip, unpacked
BAD_PICKLE = (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, ImportError)
BAD_PICKLE += (ArithmeticError, MemoryError, RecursionError, OSError, struct.error)
NUMBERS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")  # dtypes of arrays in a pickle


class Dataset(Sequence[Sample]):
    """Samples by number or name, read from their files whenever one is asked for.

    Attributes:
        title: what errors call it. names: of the samples, sorted. folders: name -> folder.
    """

    def __init__(self, title: str, folders: Mapping[str, Path], read: Callable[[Path], Sample]):
        self.title, self.folders, self.read, self.names = title, dict(folders), read, list(folders)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | str) -> Sample:
        name = key if isinstance(key, str) else self.names[key]
        if name not in self.folders:
            raise ValueError(f"{self.title}: no sample {name!r}; expected one of {', '.join(self.names[:4])}, ...")
        try:
            sample = self.read(self.folders[name])
        except ValueError as error:
            raise ValueError(f"{self.title}: sample {name!r}: {error}") from error
        return sample if sample.name == name else replace(sample, name=name)


def _dataset(title: str, source: str | os.PathLike, marker: str, read: Callable[[Path], Sample]) -> Dataset:
    """The folders that hold a file `marker`, by name, and those beside them, which should: a sample that lacks it must
    be reported, not lost. Samples named alike get their whole path."""
    root = _opened(source, title)
    beside = {p for file in root.rglob(f"*/{marker}") for p in file.parent.parent.iterdir() if p.is_dir()}
    found = sorted(p for p in beside if any(p.glob("*.*")))  # which hold files, and not only folders of samples
    found = [p for p in found if not re.search(r"(^|/)(\.|__)", p.relative_to(root).as_posix())]
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
        if not (folder / "mask.png").is_file():
            raise ValueError("mask.png is missing; every sample of Drag100 has one")
        points, labels = parse_points(folder / "points.json"), {"name": folder.name, "category": category(folder.name)}
        return Sample(folder / "original.jpg", points, folder / "mask.png", **labels)

    given = _from_drive() if source is None else source
    data = _dataset("drag100", given, "points.json", read)
    if source is None and fingerprint(data) != DRAG100_SHA256:
        other = "is not the copy that the package's numbers were made with"
        raise ValueError(f"drag100: what Google Drive gave {other}; to use it all the same, drag100({str(given)!r})")
    return data


def category(name: str) -> str:
    """The paper's category of a sample of Drag100: "generated_9_lighthouse" is a landscape, "cat_2" an animal."""
    return WORDS.get(re.sub(r"^generated_\d+_|_\d+$", "", name), "animal")


def fingerprint(data: Dataset) -> str:
    """SHA-256 over the files that make up the samples, by name."""
    hashed = hashlib.sha256()
    for name, path in data.folders.items():
        for file in sorted(path.glob("[opm]*.*")):  # original.*, points.json, mask.*
            hashed.update(f"{name}/{file.name}".encode() + file.read_bytes())
    return hashed.hexdigest()


def folder(source: str | os.PathLike) -> Dataset:
    """A folder or a zip of samples as `Sample.save` writes them: `<name>/original.*, points.json, mask.*`."""
    return _dataset("folder", source, "points.json", Sample.open)


def dragbench(source: str | os.PathLike) -> Dataset:
    """DragBench (Shi et al., 2023; releases of github.com/Yujun-Shi/DragDiffusion) from a folder or a zip.

    A sample is `CATEGORY/NAME/original_image.png, meta_data.pkl`; without a drawn mask everything is editable, as in
    DragDiffusion's code.
    """

    def read(path: Path) -> Sample:
        points, mask = _unpickled(path / "meta_data.pkl")
        labels = {"name": path.name, "category": path.parent.name}
        return Sample(path / "original_image.png", points, mask if np.any(mask) else None, **labels)

    return _dataset("dragbench", source, "original_image.png", read)


def sde_dragbench(source: str | os.PathLike) -> Dataset:
    """SDE-Drag's images (Nie et al., 2023; README of github.com/ML-GSAI/SDE-Drag) from a folder or a zip.

    A sample is `NAME/origin_image.png, mask.png, prompt.json`; an empty mask means that everything is editable.
    """

    def read(path: Path) -> Sample:
        try:
            prompt = json.loads((path / "prompt.json").read_text(encoding="utf-8-sig"))
            points = np.stack([np.reshape(prompt[end], (-1, 2)) for end in ("source", "target")], axis=1)
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"prompt.json cannot be read ({error}); expected source and target in it") from error
        mask = np.asarray(load_image(path / "mask.png", "mask"))
        return Sample(path / "origin_image.png", points, mask if np.any(mask) else None, name=path.name)

    return _dataset("sde_dragbench", source, "prompt.json", read)


def _from_drive() -> Path:
    import gdown
    from gdown.exceptions import DownloadError

    path = cache_folder("datasets") / "drag100.zip"
    try:
        gdown.cached_download(id=DRAG100_DRIVE_ID, path=str(path), quiet=True)
    except (DownloadError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"drag100: Google Drive did not give the file ({reason}); {BY_HAND}") from error
    return path


def _opened(source: str | os.PathLike, title: str) -> Path:
    """A folder as it is; a zip unpacked into the cache, once per content."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if not path.is_file():
        raise ValueError(f"{title}: {str(source)!r} is not there; expected a folder or a zip")
    with path.open("rb") as file:
        target = cache_folder("datasets") / f"{title}-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    if not target.is_dir():  # complete, as it appears by a rename
        try:
            with zipfile.ZipFile(path) as zipped, atomic_folder(target) as temporary:
                members = zipped.infolist()
                if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_FILES} files in it, or {MAX_BYTES >> 30} GiB unpacked")
                for member in members:
                    member.filename = member.filename.replace("\\", "/")  # as some programs on Windows write them
                zipped.extractall(temporary, members)  # in its folder, without links, no more than file_size
        except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error, ValueError) as error:
            raise ValueError(f"{title}: {path.name} cannot be unpacked ({error}); expected a plain zip") from error
    return target


def _unpickled(path: Path) -> tuple[object, object]:
    """Points and mask of DragBench's meta_data.pkl."""
    try:
        with path.open("rb") as file:
            meta = _Unpickler(file).load()
        mask = meta.get("mask")
        return meta["points"], None if mask is None else np.asarray(mask)
    except BAD_PICKLE as error:
        raise ValueError(f"{path.name} cannot be read ({error}); expected a dict of points and mask") from error


class _Unpickler(pickle._Unpickler):  # in Python, where no number in a file makes it allocate gigabytes
    """A pickle is a program: this one builds plain values and arrays of numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        return PLAIN[module.replace("numpy._core", "numpy.core"), name]


class _Dtype:  # in place of numpy's own, whose states in a damaged pickle crash the process
    def __init__(self, code: str, *_: object):
        self.code = NUMBERS[NUMBERS.index(code)]

    def __setstate__(self, state: tuple) -> None:
        self.code = np.dtype({"<": "<", ">": ">"}.get(state[1], "|") + self.code)


class _Array:
    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.values = np.frombuffer(data, dtype.code).reshape(shape, order="F" if fortran else "C")

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        return self.values


PLAIN = {
    ("numpy", "ndarray"): None,  # named by pickles, called by none
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),  # its shape and content follow
    ("numpy.core.multiarray", "scalar"): lambda dtype, data: np.frombuffer(data, dtype.code)[0].item(),
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
}
