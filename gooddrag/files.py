"""Files that are there completely or not at all: write under a temporary name beside the target, then rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import platformdirs


@contextmanager
def atomic_dir(path: str | os.PathLike, argument: str = "output") -> Iterator[Path]:
    """Fill a temporary folder, which becomes `path` when the block ends well and vanishes when it does not.

    If `path` is a folder already, the new files replace files of the same name in it and the others stay.

    Args:
        path: the folder to write; folders above it are made.
        argument: what an error calls `path`.

    Yields:
        The temporary folder, on the file system of `path`.

    Raises:
        ValueError: `path` is a file, or cannot be written.
    """
    path = Path(path)
    with _writing(path, argument):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError("it is a file")
        # inside a folder that exists: it may be a mount point, and a rename must not cross file systems
        temporary = _temporary(path / "new" if path.is_dir() else path)
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with _writing(path, argument):
            if path.is_dir():
                _move_files(temporary, path)
            else:
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def cache_folder(kind: str) -> Path:
    """Where what can be made again is kept: $GOODDRAG_CACHE/kind, or the same in the user's cache folder."""
    root = os.environ.get("GOODDRAG_CACHE") or platformdirs.user_cache_dir("gooddrag")
    return Path(root) / kind


def check_writable(folder: str | os.PathLike, argument: str = "output", files: Iterable[str] = (),
                   inputs: Iterable[str | os.PathLike] = ()) -> None:  # fmt: skip
    """Refuse a folder that cannot be made or written, before hours are spent on what should go into it.

    Args:
        files: names that will be written into it.
        inputs: the user's own files, which these must not replace.

    Raises:
        ValueError: `folder` is a file, is below one, may not be written, or holds what may not be replaced.
    """
    folder = Path(folder)
    with _writing(folder, argument):
        above = next(p for p in (folder, *folder.absolute().parents) if p.exists() or p.is_symlink())
    if not above.is_dir():
        what = "a file" if above.exists() else "a link to nothing"
        raise ValueError(f"{argument}: {above} is {what}; expected a folder")
    with _writing(folder, argument), tempfile.TemporaryFile(dir=above):  # asking is not enough: /proc grants root all
        pass
    mine = {Path(path).resolve() for path in inputs}
    for path in (folder / name for name in files):
        if path.is_dir():
            raise ValueError(f"{argument}: {path} is a folder; expected a file, which would be replaced")
        if path.resolve() in mine:
            raise ValueError(f"{argument}: {str(folder)!r} holds {path.name}, which is given and would be replaced; "
                             "expected another folder")  # fmt: skip


def check_writable_file(path: str | os.PathLike, argument: str = "output") -> None:
    """The same for a file that is to be written, or replaced."""
    if Path(path).is_dir():
        raise ValueError(f"{argument}: {str(path)!r} is a folder; expected a file")
    check_writable(Path(path).parent, argument)


@contextmanager
def atomic_file(path: str | os.PathLike, argument: str = "output") -> Iterator[Path]:
    """Write a temporary file of the same suffix, which replaces `path` when the block ends well.

    Args:
        path: the file to write; folders above it are made.
        argument: what an error calls `path`.

    Yields:
        The temporary path, in the folder of `path`. The block must write it.

    Raises:
        ValueError: `path` is a folder, or cannot be written.
    """
    path = Path(path)
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


def _move_files(source: Path, target: Path) -> None:
    files = sorted(source.rglob("*"))
    for file in files:
        moved = target / file.relative_to(source)
        if moved.exists() and moved.is_dir() != file.is_dir():
            raise FileExistsError(f"{moved.name} in it is {'a folder' if moved.is_dir() else 'a file'}")
    for file in files:
        moved = target / file.relative_to(source)
        if file.is_dir():
            moved.mkdir(exist_ok=True)
        else:
            os.replace(file, moved)


@contextmanager
def _writing(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{argument}: {str(path)!r} cannot be written ({reason}); expected a path that can be"
        ) from error
