"""Zips of strangers: read whole or not at all, within caps, and never outside their folder."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from gooddrag.files import atomic_dir, cache_folder

MAX_FILES = 20_000
MAX_BYTES = 4 * 2**30  # unpacked, all together; Drag100 and DragBench are far below 1 GiB
MAX_RATIO = 200  # unpacked to packed, all together: pictures hardly shrink, bombs shrink a thousandfold
CHUNK = 2**20


def opened(source: str | Path, title: str) -> Path:
    """A local folder as it is; a local zip unpacked into the cache, once per content.

    Raises:
        ValueError: neither; not a zip; a hostile or damaged one (see `extract`).
    """
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"{title}: {source!r}; expected a folder or a zip")
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if not path.is_file():
        raise ValueError(f"{title}: {str(source)!r} is not there; expected a folder or a zip")
    target = cache_folder("datasets") / f"{title}-{_digest(path)[:16]}"
    if not target.is_dir():  # complete, as it appears by a rename
        extract(path, target, title)
    return target


def extract(path: Path, target: Path, title: str) -> None:
    """Unpack a zip into the new folder `target`: all of it, or nothing.

    Raises:
        ValueError: not a zip, damaged or encrypted; an absolute name or one with "..", a link, a name twice; more than
            MAX_FILES files, MAX_BYTES unpacked or MAX_RATIO times the zip's size.
    """
    try:
        with zipfile.ZipFile(path) as zipped, atomic_dir(target) as temporary:
            members = [member for member in zipped.infolist() if not member.is_dir()]
            _check_members(members, path.stat().st_size)
            left = MAX_BYTES
            for member in members:
                left = _write(zipped, member, temporary / member.filename, left)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{title}: {path.name} cannot be unpacked ({error}); expected a whole zip") from error
    except _Refused as error:
        raise ValueError(f"{title}: {path.name} is refused: {error}") from error


class _Refused(Exception):
    pass


def _check_members(members: list[zipfile.ZipInfo], packed: int) -> None:
    if len(members) > MAX_FILES:
        raise _Refused(f"{len(members)} files in it; expected at most {MAX_FILES}")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES or total > MAX_RATIO * max(packed, CHUNK):
        raise _Refused(f"it claims {total / 2**20:.0f} MiB unpacked, from {packed / 2**20:.1f} MiB; expected pictures")
    seen = set()
    for member in members:
        name = PurePosixPath(member.filename)
        if (
            not name.parts
            or name.is_absolute()
            or ".." in name.parts
            or "\\" in member.filename
            or ":" in name.parts[0]
        ):
            raise _Refused(f"{member.filename!r} would land outside its folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _Refused(f"{member.filename!r} is a link")
        folded = member.filename.casefold()  # one file on some file systems
        if folded in seen:
            raise _Refused(f"{member.filename!r} is in it twice")
        seen.add(folded)


def _write(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, left: int) -> int:
    """One file, counted as it is written: the sizes in a zip's directory are only claims. Returns what is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(member) as source, path.open("xb") as sink:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise _Refused(f"more than {MAX_BYTES / 2**30:.0f} GiB unpacked")
            sink.write(chunk)
    return left


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
