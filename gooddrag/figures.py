"""Every figure again, from the notebooks that draw them: `gooddrag figures`, without Jupyter open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from gooddrag.files import check_writable

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARK = "here.figures"  # a notebook that names it writes figures
CELL_TIMEOUT = 4 * 3600  # s; on a CPU, Stable Diffusion needs its time


def find_notebooks(folder: Path | None = None, numbers: Sequence[str] = ()) -> list[Path]:
    """The notebooks that write figures, in order.

    Args:
        folder: where they are; default: notebooks/ here, or beside the package in a clone.
        numbers: "04", "4" or whole names; none means all.

    Raises:
        ValueError: no such folder, or no such notebook.
    """
    places = [folder] if folder else [Path("notebooks"), Path(__file__).parents[1] / "notebooks"]
    found = next((sorted(place.glob("[0-9][0-9]_*.ipynb")) for place in places if place.is_dir()), [])
    if not found:
        raise ValueError(f"notebooks: none in {' or '.join(map(str, places))}; expected a clone of the repository")
    known = {path.stem[:2]: path for path in found} | {path.stem: path for path in found}
    if unknown := [n for n in numbers if not n or n.zfill(2) not in known]:
        raise ValueError(f"notebooks: {', '.join(map(repr, unknown))}; expected some of "
                         + ", ".join(p.stem for p in found))  # fmt: skip
    picked = [known[n.zfill(2)] for n in numbers] if numbers else found
    return [path for path in dict.fromkeys(picked) if numbers or MARK in path.read_text("utf-8", errors="replace")]


def regenerate(
    notebooks: Sequence[Path],
    output: Path | None = None,
    model: str | None = None,
    recompute: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Run notebooks from a fresh kernel each; the notebook files stay as they are.

    Args:
        notebooks: as `find_notebooks` returns them.
        output: folder for the figures; default: figures/ beside notebooks/.
        model: what "auto" means in them, a name for `load_model`; a relative folder is meant from here.
        recompute: compute the kept results anew instead of reading them.
        progress: show a bar, one step a cell.

    Returns:
        The figures written, sorted.

    Raises:
        ValueError: nbclient is not installed, a notebook cannot be read, or a cell of it failed.
    """
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        raise ValueError(f'figures: {error}; expected `pip install "gooddrag[notebooks]"`') from error

    output = (output or notebooks[0].absolute().parent.parent / "figures").absolute()
    check_writable(output)
    books = [_read(path) for path in notebooks]
    output.mkdir(parents=True, exist_ok=True)
    before = _times(output)
    total = sum(cell.cell_type == "code" for book in books for cell in book.cells)
    with tqdm(total=total, unit="cell", disable=not progress) as bar, _environment(output, model, recompute):
        for path, book in zip(notebooks, books, strict=True):
            bar.set_description(path.stem)
            client = NotebookClient(book, timeout=CELL_TIMEOUT, kernel_name="python3",
                                    resources={"metadata": {"path": str(path.absolute().parent)}},
                                    on_cell_executed=lambda **_: bar.update())  # fmt: skip
            try:
                client.execute()
            except CellExecutionError as error:
                raise ValueError(f"figures: {path.name} stopped: {error.ename}: {error.evalue}") from error
            except DeadKernelError as error:
                raise ValueError(f"figures: {path.name} stopped: its kernel died (out of memory?)") from error
    return [path for path, time in _times(output).items() if before.get(path) != time]


def _read(path: Path) -> NotebookNode:
    import nbformat

    try:
        book = nbformat.convert(nbformat.reader.reads(path.read_text(encoding="utf-8")), 4)  # `read` logs what is wrong
        nbformat.validate(book)
        return book
    except Exception as error:  # nbformat's own and half a dozen more: all mean the same to a user
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"notebooks: {path.name} cannot be read ({reason}); expected a notebook") from error


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.glob("*.*"))}


@contextmanager
def _environment(output: Path, model: str | None, recompute: bool) -> Iterator[None]:
    """What a kernel inherits: `gooddrag.notebook.setup` and `load_model` read these."""
    wanted: dict[str, Any] = {"GOODDRAG_FIGURES": str(output)}
    if model:
        wanted["GOODDRAG_MODEL"] = str(Path(model).absolute()) if Path(model).is_dir() else model
    if recompute:
        wanted["GOODDRAG_RECOMPUTE"] = "1"
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
