"""Notebooks: the common set-up cell, what stands behind it, and `scripts/stamp_notebooks.py`."""

import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest

from gooddrag import notebook as module

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
URL = "https://github.com/someone/something"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("stamp_notebooks", ROOT / "scripts" / "stamp_notebooks.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def small(*cells):
    cells = [("markdown", "# 09 · Title\n\nA hook."), ("markdown", "**What you will learn**"), *cells]
    made = [getattr(nbformat.v4, f"new_{kind}_cell")(source) for kind, source in cells]
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": {"name": "python3", "display_name": "P"}})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_badge_and_setup_cell_agree_with_pyproject(script, path):
    before = path.read_text(encoding="utf-8")
    after = script.text(script.stamp(nbformat.reads(before, as_version=4), path.name, script.address()))
    assert before == after, "run scripts/stamp_notebooks.py"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_solution_is_folded_and_asserts(path):
    cells = nbformat.read(path, as_version=4).cells
    solutions = [cell for cell in cells if cell.source.startswith("# @title Solution")]
    assert len(solutions) == sum("## Exercise" in cell.source for cell in cells) >= 1
    for cell in solutions:  # it runs with the others, so it cannot rot
        assert cell.cell_type == "code" and "assert" in cell.source and cell.metadata.jupyter.source_hidden


def test_stamp_adds_and_replaces(script):
    made = small(("markdown", "Knobs"), ("code", "x = 1"))
    once = script.text(script.stamp(made, "09_x.ipynb", URL))
    title, learn, setup, *rest = nbformat.reads(once, as_version=4).cells
    assert title.source.startswith("# 09 · Title\n\n[![Open in Colab](") and title.source.endswith(")\n\nA hook.")
    assert "https://colab.research.google.com/github/someone/something/blob/main/notebooks/09_x.ipynb" in title.source
    assert f"git clone -q --depth 1 {URL} /content/something\n" in setup.source
    assert setup.metadata.jupyter.source_hidden and setup.metadata.cellView == "form"
    assert [cell.source for cell in rest] == ["Knobs", "x = 1"]
    assert script.text(script.stamp(made, "09_x.ipynb", URL)) == once  # a second time changes nothing
    moved = script.text(script.stamp(made, "09_x.ipynb", "https://github.com/else/where"))
    assert "someone" not in moved and moved.count("@title Set-up") == 1 and moved.count("Open in Colab") == 1


def test_stamp_comes_before_all_code(script):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell("x = 1")])
    assert [c.source[:3] for c in script.stamp(made, "t.ipynb", URL).cells] == ["# T", "# @", "x ="]


def test_stamp_wants_a_title(script):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    with pytest.raises(ValueError, match="t.ipynb: the first cell is not a title"):
        script.stamp(made, "t.ipynb", URL)


def test_check_says_what_is_out_of_step(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\n[project.urls]\nRepository = "{URL}/"\n')
    path = tmp_path / "notebooks" / "09_x.ipynb"
    path.write_text(script.text(small(("code", "x = 1"))), encoding="utf-8")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    for arguments, code, said in ((["--check"], 1, "out of step"), ([], 0, "stamped"), (["--check"], 0, "")):
        monkeypatch.setattr(sys, "argv", ["stamp_notebooks.py", *arguments])
        with pytest.raises(SystemExit) as done:
            script.main()
        assert done.value.code == code and said in capsys.readouterr().out


def test_the_address_stands_in_no_other_source(script):
    # README and notebooks are stamped or prose; a second copy in code would be forgotten when the repository moves.
    sources = [*(ROOT / "gooddrag").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), *(ROOT / "tests").glob("*.py")]
    assert not [path.name for path in sources if script.address() in path.read_text(encoding="utf-8")]


def test_readme_gives_the_address(script):
    addresses = re.findall(r"https://github\.com/[^\s`)]+", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert addresses and set(addresses) == {script.address()}


# what the cell calls


@pytest.fixture
def folders(monkeypatch, tmp_path):
    for name in ("figures", "results"):
        monkeypatch.setenv(f"GOODDRAG_{name.upper()}", str(tmp_path / "deep" / name))
    monkeypatch.delenv("GOODDRAG_RECOMPUTE", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    monkeypatch.setenv("GOODDRAG_MODEL", "storybook")
    return tmp_path / "deep"


class Shell:
    """What setup() asks of IPython."""

    def __init__(self, **user_ns):
        self.kernel, self.user_ns, self.magics = object(), user_ns, []

    def run_line_magic(self, *words):
        self.magics.append(words)


def in_kernel(monkeypatch, shell):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def test_setup_outside_a_notebook(folders, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    here = module.setup()
    assert here.frontend == "Python" and not here.recompute
    assert here.figures == folders / "figures" and here.results == folders / "results"
    assert here.figures.is_dir() and here.results.is_dir()
    line = str(here)
    assert "\n" not in line and here.device in line and "storybook" in line


@pytest.mark.parametrize(
    "user_ns, frontend", [({}, "Jupyter"), ({"__vsc_ipynb_file__": "x.ipynb"}, "VS Code")], ids=["Jupyter", "VS Code"]
)
def test_setup_in_a_kernel(folders, monkeypatch, user_ns, frontend):
    shell = Shell(**user_ns)
    in_kernel(monkeypatch, shell)
    monkeypatch.setenv("GOODDRAG_RECOMPUTE", "1")
    here = module.setup()
    assert here.frontend == frontend and here.recompute
    assert shell.magics == [("matplotlib", "inline")]


def test_setup_on_colab_switches_the_widget_manager_on(folders, monkeypatch):
    asked = []
    output = types.SimpleNamespace(enable_custom_widget_manager=lambda: asked.append(True))
    colab = types.ModuleType("google.colab")
    colab.output = output
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    in_kernel(monkeypatch, Shell())
    assert module.setup().frontend == "Colab" and asked == [True]


def test_the_stamped_cell_runs_in_plain_ipython(script, folders):
    source = script.SETUP.format(mark=script.MARK, address=URL, name="something")
    code = f"from IPython.core.interactiveshell import InteractiveShell as S; S.instance().run_cell({source!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folders.parent)
    assert done.returncode == 0 and "model storybook" in done.stdout, done
