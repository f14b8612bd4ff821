"""Give every notebook its Colab badge and the common set-up cell, from the repository address in pyproject.toml.

    python scripts/stamp_notebooks.py            # all of notebooks/
    python scripts/stamp_notebooks.py --check    # change nothing; exit code 1 if a notebook is out of step

The badge stands below the title, the set-up cell after the first two cells ("what you will learn" is the second);
both are replaced where they are there already. A test checks that every notebook is as this script leaves it.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
BRANCH = "main"
BADGE = re.compile(r"^\[!\[Open in Colab\]\(.*\n?", re.MULTILINE)
FOLDED = {
    "cellView": "form",  # Colab
    "jupyter": {"source_hidden": True},  # JupyterLab and Notebook 7
    "tags": ["hide-input"],  # Jupyter Book
}
MARK = "# @title Set-up"
SETUP = """\
{mark}: on Colab, fetch the package; find the device; print what was found. Nothing to change here.
import sys

if "google.colab" in sys.modules:
    import os

    if not os.path.isdir("/content/{name}"):
        !git clone -q --depth 1 {address} /content/{name}
        %pip install -q "/content/{name}[bench]"
    %cd -q /content/{name}/notebooks

from gooddrag import notebook

here = notebook.setup()
print(here)"""


def address() -> str:
    """The repository's address: it stands in pyproject.toml and nowhere else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].rstrip("/")


def badge(name: str, url: str) -> str:
    """The Colab badge of notebooks/<name>, one line of Markdown."""
    colab = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    return (f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
            f"({colab}/blob/{BRANCH}/notebooks/{name})")  # fmt: skip


def stamp(notebook: nbformat.NotebookNode, name: str, url: str) -> nbformat.NotebookNode:
    """The notebook, changed in place: badge below the title, set-up cell third, or before all other code."""
    title = notebook.cells[0]
    if title.cell_type != "markdown" or not title.source.startswith("# "):
        raise ValueError(f"{name}: the first cell is not a title; expected Markdown that begins with '# '")
    first, _, rest = BADGE.sub("", title.source).partition("\n")
    title.source = f"{first}\n\n{badge(name, url)}\n\n{rest.strip()}".rstrip()

    old = [cell for cell in notebook.cells if cell.source.startswith(MARK)]
    cells = [cell for cell in notebook.cells if cell not in old]
    source = SETUP.format(mark=MARK, address=url, name=url.rsplit("/", 1)[-1])
    setup = nbformat.v4.new_code_cell(source, id=old[0].id if old else "setup", metadata=FOLDED)
    at = min(2, next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells)))
    notebook.cells = [*cells[:at], setup, *cells[at:]]
    return notebook


def text(notebook: nbformat.NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    stale = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = text(stamp(nbformat.reads(before, as_version=4), path.name, address()))
        if after != before:
            stale.append(path.name)
            if not check:
                path.write_text(after, encoding="utf-8")
    if stale:
        print(("out of step: " if check else "stamped: ") + ", ".join(stale))
    raise SystemExit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
