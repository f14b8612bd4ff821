"""How every notebook is built: cells, exercises, folding, links. That they run is what nbval tests."""

import re
from pathlib import Path

import nbformat
import pytest

from experiments.run import PRIVATE, WIDGET
from gooddrag.model import load_model

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEW = [path for path in PATHS if path.name < "08"]  # the arc's first two parts
COLAB = "https://colab.research.google.com/github/"
MISTAKES = re.compile(r"printed above|the cell above says|\b\w+: \w+ \?|TODO|FIXME", re.IGNORECASE)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return request.param, nbformat.read(request.param, as_version=4)


@pytest.fixture(params=NEW, ids=lambda path: path.stem)
def lesson(request):
    return request.param, nbformat.read(request.param, as_version=4)


def folded(cell):
    return "hide-input" in cell.metadata.get("tags", []) and cell.metadata.get("jupyter", {}).get("source_hidden")


def markdown(book):
    return "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


def code(book):
    return "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "code")


def test_the_arc_has_no_gaps():
    assert [path.name[:2] for path in PATHS] == [f"{i:02d}" for i in range(len(PATHS))]


def test_it_is_valid_and_asserts(notebook):
    _, book = notebook
    nbformat.validate(book)
    ids = [cell["id"] for cell in book.cells]
    assert len(set(ids)) == len(ids) and all(ids) and "widgets" not in book.metadata
    assert book.metadata.kernelspec.name == "python3"  # without it JupyterLab stops at a dialogue
    assert "assert" in code(book)


def test_outputs_are_of_the_shipped_weights_and_clean(notebook):
    path, book = notebook
    assert book.metadata.gooddrag.weights == load_model("storybook", device="cpu").fingerprint
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert kinds & {"image/png", "image/jpeg", "text/html"} and WIDGET not in kinds
    assert not any(cell.get("execution_count") or "execution" in cell.metadata for cell in book.cells)
    assert not any(output.get("execution_count") for output in shown)
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in shown)
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in shown]
    assert not [text for text in texts if PRIVATE.search(text)]
    assert path.stat().st_size <= 1_000_000


def test_all_notebooks_together_are_small():
    assert sum(path.stat().st_size for path in PATHS) <= 8_000_000


def test_title_badge_and_setup(notebook):
    path, book = notebook
    title, _, setup = book.cells[:3]
    assert title.source.startswith(f"# {path.name[:2]} · ")
    (badge,) = re.findall(rf"\({re.escape(COLAB)}[^)]*\)", title.source)
    assert badge.endswith(f"/blob/main/notebooks/{path.name})")
    assert folded(setup) and setup.source.startswith("# @title Set-up") and "notebook.setup()" in setup.source


def test_links_lead_to_notebooks_that_are_there(notebook):
    path, book = notebook
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", markdown(book))
    assert links and all((path.parent / link).exists() for link in links if "{" not in link)


def test_folded_cells_say_what_they_hold_and_solutions_are_folded_and_assert(notebook):
    _, book = notebook
    solutions = [cell for cell in book.cells if cell.source.startswith("# @title Solution")]
    assert solutions and all(cell.cell_type == "code" and folded(cell) for cell in solutions)
    assert all(re.search(r"^\s*assert ", cell.source, re.MULTILINE) for cell in solutions)  # so they cannot rot
    for cell in book.cells:
        tagged = "hide-input" in cell.metadata.get("tags", [])
        assert tagged == bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        assert not tagged or cell.source.startswith("# @title ")


def test_a_lesson_says_what_it_teaches_has_three_exercises_sums_up_and_goes_on(lesson):
    path, book = lesson
    text = markdown(book)
    assert "**What you will learn**" in text and "## The problem" in text or path.name.startswith("00")
    assert text.rindex("## Recap") > text.rindex("## Exercises")
    assert re.findall(r"\*\*(\d)\. (\w+)", text) == [("1", "Predict"), ("2", "Code"), ("3", "Open")]
    assert sum(cell.source.startswith("# @title Solution") for cell in book.cells) == 3
    following = sorted(PATHS)[PATHS.index(path) + 1].name
    assert f"]({following})" in book.cells[-1].source


def test_a_lesson_is_short_says_its_results_and_can_be_played_with(lesson):
    _, book = lesson
    assert len(book.cells) <= 38 and len(markdown(book).split()) <= 1600 and not MISTAKES.search(markdown(book))
    assert "say(" in code(book) or "Markdown(" in code(book)  # a result in words, made from what was measured
    assert re.search(r"from gooddrag\.widgets import|DragStudio\(", code(book))


def test_a_lesson_folds_its_plumbing_and_reads_kept_results_as_plain_files(lesson):
    _, book = lesson
    assert "import experiments" not in code(book) and "from experiments" not in code(book)
    for name in re.findall(r'(?:kept|keep)\("(\w+)"', code(book)):
        assert (ROOT / "experiments" / "results" / f"{name}.json").exists(), name
    for cell in book.cells:
        if cell.cell_type == "code" and not folded(cell):
            assert len(cell.source.splitlines()) <= 62, cell.source.splitlines()[0]


@pytest.mark.parametrize("path", [p for p in NEW if p.name[:2] in ("04", "06")], ids=lambda path: path.stem)
def test_algorithm_1_is_printed_with_sixteen_lines(path):
    text = markdown(nbformat.read(path, as_version=4))
    (block,) = re.findall(r"```\n(Algorithm 1.*?)```", text, re.DOTALL)
    assert [int(n) for n in re.findall(r"^ *(\d+):", block, re.MULTILINE)] == list(range(1, 17))


def test_the_capstone_names_every_line_of_the_loop():
    (path,) = (p for p in NEW if p.name.startswith("06"))
    book = nbformat.read(path, as_version=4)
    (loop,) = (cell.source for cell in book.cells if cell.source.startswith("def gooddrag("))
    named = {int(n) for comment in re.findall(r"# lines?([^\n]*)", loop) for n in re.findall(r"\d+", comment)}
    assert set(range(1, 17)) <= named
    assert not re.search(r"\b(motion|ddim|algorithm|DragEditor)\b", loop)  # from scratch


@pytest.mark.parametrize("path", [p for p in NEW if p.name[:2] in ("01", "02", "04", "05", "06", "07")])
def test_differences_between_text_and_code_are_boxed(path):
    assert "> **Printed / released.**" in markdown(nbformat.read(path, as_version=4))
