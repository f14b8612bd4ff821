"""Zips and pickles of strangers: read whole or not at all, within caps, and without doing what they ask."""

import hashlib
import os
import pickle
import pickletools
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from gooddrag.files import atomic_folder, cache_folder

MAX_FILES, MAX_BYTES = 20_000, 4 * 2**30  # of a zip, unpacked
MAX_PICKLE = 64 * 2**20  # bytes
NUMBERS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")  # dtypes of arrays in a pickle
BAD_ZIP = (zipfile.BadZipFile, RuntimeError, EOFError, OSError, zlib.error, ValueError)
BAD_PICKLE = (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, ImportError)
BAD_PICKLE += (ArithmeticError, MemoryError, RecursionError, OSError)


def opened(source: str | os.PathLike, title: str) -> Path:
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
                # `extract` keeps to its folder, makes no link, and reads no more than file_size
                written = [zipped.extract(member, temporary) for member in members if not member.is_dir()]
                if len(set(written)) < len(written):
                    raise ValueError("two files of one name in it")
        except BAD_ZIP as error:
            raise ValueError(f"{title}: {path.name} cannot be unpacked ({error}); expected a plain zip") from error
    return target


def read_meta(path: Path) -> tuple[object, object]:
    """Points and mask of DragBench's meta_data.pkl."""
    try:
        content = path.read_bytes()[:MAX_PICKLE]
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if opcode.name.endswith("PUT") and int(argument) > number:  # would make the unpickler allocate gigabytes
                raise pickle.UnpicklingError(f"{opcode.name} {argument}")
        meta = _Unpickler(BytesIO(content)).load()
        return meta["points"], meta.get("mask")
    except BAD_PICKLE as error:
        raise ValueError(f"{path.name} cannot be read ({error}); expected a dict of points and mask") from error


class _Unpickler(pickle.Unpickler):
    """A pickle is a program: this one builds plain values and arrays of numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        return PLAIN[module.replace("numpy._core", "numpy.core"), name]


def _dtype(code: str, *_: object) -> np.dtype:
    return np.dtype(NUMBERS[NUMBERS.index(code)], False, True)


PLAIN = {
    ("numpy", "ndarray"): None,  # named by pickles, called by none
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: np.empty(0),  # its shape and content follow
    ("numpy.core.multiarray", "scalar"): lambda dtype, data: np.frombuffer(data, dtype)[0].item(),
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
}
