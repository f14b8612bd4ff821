"""What a notebook's set-up cell calls."""

import sys
import types

from gooddrag import notebook


class Shell:
    """What setup() asks of IPython."""

    kernel = object()

    def __init__(self):
        self.magics = []

    def run_line_magic(self, *words):
        self.magics.append(words)


def test_setup_outside_a_notebook_in_a_kernel_and_on_colab(monkeypatch, tmp_path):
    for name in ("figures", "results"):
        monkeypatch.setenv(f"GOODDRAG_{name.upper()}", str(tmp_path / "deep" / name))
    monkeypatch.delenv("GOODDRAG_RECOMPUTE", raising=False)
    monkeypatch.setenv("GOODDRAG_MODEL", "storybook")
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    here = notebook.setup()
    assert str(here).startswith("Python, ") and "; model storybook: " in str(here) and "\n" not in str(here)
    assert here.figures == tmp_path / "deep" / "figures" and here.results == tmp_path / "deep" / "results"
    assert here.figures.is_dir() and here.results.is_dir() and not here.recompute

    shell, asked = Shell(), []
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setenv("GOODDRAG_RECOMPUTE", "1")
    here = notebook.setup()
    assert str(here).startswith("Jupyter, ") and here.recompute and shell.magics[0] == ("matplotlib", "inline")
    assert shell.magics[1:] == [("config", "InlineBackend.figure_formats = ['retina']")]

    colab = types.ModuleType("google.colab")
    colab.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: asked.append(True))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert str(notebook.setup()).startswith("Colab, ") and asked == [True] and len(shell.magics) == 4
