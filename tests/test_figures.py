"""`gooddrag figures`: notebooks run without Jupyter open, and what they write is named."""

import os
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from gooddrag.cli import app
from gooddrag.figures import find_notebooks, regenerate

DRAW = """\
import os
from pathlib import Path
folder = Path(os.environ["GOODDRAG_FIGURES"])  # as here.figures
seen = [os.environ.get(f"GOODDRAG_{name}", "-") for name in ("MODEL", "RECOMPUTE")]
(folder / "fig09_x.png").write_text(" ".join([*seen, Path.cwd().name]))
"""


ROOT = Path(__file__).parents[1]


def write(folder, name, *sources):
    cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, sources)]
    folder.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / name)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder that looks like a clone: one notebook that draws, one that does not."""
    monkeypatch.chdir(tmp_path)
    for name in ("FIGURES", "MODEL", "RECOMPUTE"):
        monkeypatch.delenv(f"GOODDRAG_{name}", raising=False)
    write(tmp_path / "notebooks", "09_draws.ipynb", DRAW)
    write(tmp_path / "notebooks", "10_talks.ipynb", "x = 1")
    return tmp_path


def test_the_notebooks_that_draw(clone):
    assert [p.name for p in find_notebooks()] == ["09_draws.ipynb"]
    assert [p.name for p in find_notebooks(clone / "notebooks", ["10", "9", "09_draws"])] == [
        "10_talks.ipynb", "09_draws.ipynb"]  # fmt: skip
    (clone / "notebooks" / "00_first.ipynb").touch()
    for number in ("77", ""):
        with pytest.raises(ValueError, match=f"notebooks: '{number}'; expected some of 00_first, 09_draws, 10_talks"):
            find_notebooks(numbers=[number, "09"])
    with pytest.raises(ValueError, match="nowhere"):
        find_notebooks(clone / "nowhere")


def test_run_them_and_name_what_they_wrote(clone):
    (clone / "figures").mkdir()
    (clone / "figures" / "old.png").write_text("stays")
    before = (clone / "notebooks" / "09_draws.ipynb").read_bytes()
    written = regenerate(find_notebooks(), progress=False)
    assert written == [clone / "figures" / "fig09_x.png"] and written[0].read_text() == "- - notebooks"
    assert (clone / "notebooks" / "09_draws.ipynb").read_bytes() == before
    assert "GOODDRAG_FIGURES" not in os.environ


def test_from_the_shell(clone):
    (clone / "a-model").mkdir()
    done = CliRunner().invoke(app, ["figures", "9", "-o", "out", "--model", "a-model", "--recompute"])
    assert done.exit_code == 0, done.output
    assert "fig09_x.png" in done.stdout and "09_draws" in done.stderr  # the bar names the notebook
    assert (clone / "out" / "fig09_x.png").read_text() == f"{clone / 'a-model'} 1 notebooks"


def test_a_failing_cell_is_one_line(clone):
    write(clone / "notebooks", "11_breaks.ipynb", "assert 1 == 2, 'not so'")
    done = CliRunner().invoke(app, ["figures", "11"])
    assert done.exit_code == 2 and "11_breaks.ipynb stopped: AssertionError: not so" in done.stderr
    assert "GOODDRAG_FIGURES" not in os.environ


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"\xff", b"[]", b'{"a": 1}', b'{"nbformat": 9}',
     b'{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{}]}'],
)  # fmt: skip
def test_what_is_no_notebook_is_named_and_leaves_nothing(clone, content):
    (clone / "notebooks" / "11_spoilt.ipynb").write_bytes(content)
    assert [p.name for p in find_notebooks()] == ["09_draws.ipynb"]
    done = CliRunner().invoke(app, ["figures", "9", "11", "-o", "out"])
    (error,) = done.stderr.splitlines()
    assert done.exit_code == 2 and error.startswith("gooddrag: notebooks: 11_spoilt.ipynb cannot be read (")
    assert not (clone / "out").exists()


def test_every_figure_loads_quickly_in_readme():
    heavy = {file.name: file.stat().st_size for file in (ROOT / "figures").iterdir() if file.stat().st_size > 300_000}
    assert not heavy
