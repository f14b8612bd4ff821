"""How every notebook is built: cells, exercises, folding, links. That they run is what nbval tests."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from experiments.run import PRIVATE, WIDGET
from gooddrag.model import load_model

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BOOKS = {path: nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
LESSONS = [path for path in BOOKS if path.name < "08"]  # the arc's first two parts
BOXED = ("01", "02", "04", "05", "06", "07")  # the paper and the released code differ there
COLAB = "https://colab.research.google.com/github/"
MISTAKES = re.compile(r"printed above|the cell above says|\b\w+: \w+ \?|TODO|FIXME", re.IGNORECASE)


def folded(cell):
    return "hide-input" in cell.metadata.get("tags", [])


def solutions(path):
    return [cell for cell in BOOKS[path].cells if cell.source.startswith("# @title Solution")]


def sources(path, kind):
    return "\n\n".join(cell.source for cell in BOOKS[path].cells if cell.cell_type == kind)


def test_the_arc_has_no_gaps_is_small_and_shows_the_shipped_weights():
    assert [path.name[:2] for path in BOOKS] == [f"{i:02d}" for i in range(len(BOOKS))]
    assert sum(path.stat().st_size for path in BOOKS) <= 8_000_000
    weights = {path.name: book.metadata.gooddrag.weights for path, book in BOOKS.items()}
    assert weights == dict.fromkeys(weights, load_model("storybook", device="cpu").fingerprint)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_it_is_valid_and_its_outputs_are_clean(path):
    book = BOOKS[path]
    nbformat.validate(book)
    ids = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]  # reading mends equal ones
    assert len(set(ids)) == len(ids) and all(ids) and "widgets" not in book.metadata
    assert book.metadata.kernelspec.name == "python3"  # without it JupyterLab stops at a dialogue
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert kinds & {"image/png", "image/jpeg", "text/html"} and WIDGET not in kinds
    assert not any(cell.get("execution_count") or "execution" in cell.metadata for cell in book.cells)
    assert not any(output.get("execution_count") for output in shown)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in shown)
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in shown]
    assert not [text for text in texts if PRIVATE.search(text)]
    assert path.stat().st_size <= 1_000_000


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_title_badge_setup_links_and_folds(path):
    cells = BOOKS[path].cells
    title, _, setup = cells[:3]
    assert title.source.startswith(f"# {path.name[:2]} · ")
    (badge,) = re.findall(rf"\({re.escape(COLAB)}[^)]*\)", title.source)
    assert badge.endswith(f"/blob/main/notebooks/{path.name})")
    assert folded(setup) and setup.source.startswith("# @title Set-up") and "notebook.setup()" in setup.source
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", sources(path, "markdown"))
    assert links and all((path.parent / link).exists() for link in links if "{" not in link)
    for cell in cells:
        assert folded(cell) == bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        assert not folded(cell) or cell.source.startswith("# @title ")
    assert solutions(path) and all(cell.cell_type == "code" and folded(cell) for cell in solutions(path))
    assert all(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in solutions(path))  # so they cannot rot


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson(path):
    cells, text, code = BOOKS[path].cells, sources(path, "markdown"), sources(path, "code")
    assert "**What you will learn**" in text and "## The problem" in text or path.name.startswith("00")
    assert text.rindex("## Recap") > text.rindex("## Exercises")
    assert re.findall(r"\*\*(\d)\. (\w+)", text) == [("1", "Predict"), ("2", "Code"), ("3", "Open")]
    assert len(solutions(path)) == 3
    following = list(BOOKS)[list(BOOKS).index(path) + 1].name
    assert f"]({following})" in cells[-1].source
    assert len(cells) <= 38 and len(text.split()) <= 1600 and not MISTAKES.search(text)
    assert "say(" in code or "Markdown(" in code  # a result in words, made from what was measured
    assert re.search(r"from gooddrag\.widgets import|DragStudio\(", code)
    assert "import experiments" not in code and "from experiments" not in code
    assert "> **Printed / released.**" in text or not path.name.startswith(BOXED)
    for cell in cells:
        if cell.cell_type == "code" and not folded(cell):
            assert len(cell.source.splitlines()) <= 62, cell.source.splitlines()[0]


def test_the_capstone_names_every_line_of_the_loop():
    (path,) = (path for path in LESSONS if path.name.startswith("06"))
    (loop,) = (cell.source for cell in BOOKS[path].cells if cell.source.startswith("def gooddrag("))
    named = {int(n) for comment in re.findall(r"# lines?([^\n]*)", loop) for n in re.findall(r"\d+", comment)}
    assert set(range(1, 17)) <= named
    assert not re.search(r"\b(motion|ddim|algorithm|DragEditor)\b", loop)  # from scratch
