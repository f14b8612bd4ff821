"""What a notebook's set-up cell calls."""

import sys
import types

import pytest

from gooddrag import notebook


class Shell:
    """What setup() asks of IPython."""

    def __init__(self, **user_ns):
        self.kernel, self.user_ns, self.magics = object(), user_ns, []

    def run_line_magic(self, *words):
        self.magics.append(words)


@pytest.fixture
def folders(monkeypatch, tmp_path):
    for name in ("figures", "results"):
        monkeypatch.setenv(f"GOODDRAG_{name.upper()}", str(tmp_path / "deep" / name))
    for name in ("GOODDRAG_RECOMPUTE", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOODDRAG_MODEL", "storybook")
    return tmp_path / "deep"


def in_kernel(monkeypatch, shell):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def test_outside_a_notebook(folders, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    here = notebook.setup()
    assert here.frontend == "Python" and not here.recompute
    assert here.figures == folders / "figures" and here.results == folders / "results"
    assert here.figures.is_dir() and here.results.is_dir()
    assert "\n" not in str(here) and here.device in str(here) and "storybook" in str(here)


@pytest.mark.parametrize("user_ns, frontend", [({}, "Jupyter"), ({"__vsc_ipynb_file__": "x.ipynb"}, "VS Code")])
def test_in_a_kernel(folders, monkeypatch, user_ns, frontend):
    shell = Shell(**user_ns)
    in_kernel(monkeypatch, shell)
    monkeypatch.setenv("GOODDRAG_RECOMPUTE", "1")
    here = notebook.setup()
    assert here.frontend == frontend and here.recompute and shell.magics == [("matplotlib", "inline")]


def test_colab_gets_its_widget_manager(folders, monkeypatch):
    asked = []
    colab = types.ModuleType("google.colab")
    colab.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: asked.append(True))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    in_kernel(monkeypatch, Shell())
    assert notebook.setup().frontend == "Colab" and asked == [True]
