"""What a notebook's set-up cell calls."""

import sys
from unittest.mock import Mock

import numpy as np

import storybook
from gooddrag import notebook
from storybook.storybook100 import keys


def test_setup_outside_a_notebook_and_on_colab(monkeypatch, tmp_path):
    monkeypatch.setenv("GOODDRAG_FIGURES", str(tmp_path / "deep" / "figures"))
    monkeypatch.setenv("GOODDRAG_MODEL", "storybook")
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    here = notebook.setup()
    assert str(here).startswith("Python, ") and "; model storybook: " in str(here) and "\n" not in str(here)
    assert here.figures == tmp_path / "deep" / "figures" and here.figures.is_dir()
    shell, colab = Mock(), Mock()
    monkeypatch.setitem(sys.modules, "IPython", Mock(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert str(notebook.setup()).startswith("Colab, ")
    assert shell.run_line_magic.called and colab.output.enable_custom_widget_manager.called


def test_the_rule_that_judges_results():
    assert notebook.wins(np.zeros(10), np.ones(10)) == "10 of 10 edits (72% to 100%: decided)"
    assert notebook.wins(np.ones(10), np.zeros(10)).endswith(": decided, the other way round)")
    assert notebook.wins(np.array([0, 0, 1, 1]), np.array([1, 0, 0, 2]), "pages").startswith("2 of 3 pages (")  # a tie
    assert "undecided here" in notebook.wins(np.ones(3), np.ones(3))


def test_two_ways_are_compared_on_the_edits_that_both_have():
    rows = [
        {"edit": e, "way": w, "x": 10 * e + len(w)} for w, edits in (("a", (0, 1, 2)), ("bb", (2, 0))) for e in edits
    ]
    one, other = notebook.both(rows, "a", "bb", "x")
    assert one.tolist() == [1, 21] and other.tolist() == [2, 22]
    assert notebook.column(rows, "bb", "x").tolist() == [22, 2]


def test_an_edit_of_a_kept_study_is_drawn_by_its_key():
    category, task, seed = keys()[5]
    drawn = notebook.drawn({"settings": {"edits": [None, [category, task, seed]]}}, 1, 64)
    assert drawn.image.tobytes() == storybook.edit(seed, 64, category, task).image.tobytes()
