"""What a notebook's set-up cell needs, in JupyterLab, classic Jupyter, VS Code and Colab alike."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib import style

from gooddrag.files import expand
from gooddrag.model import choose_model
from gooddrag.plots import STYLE


@dataclass(frozen=True)
class Notebook:
    """Where a notebook runs; printed, it is one line.

    Attributes:
        about: "Colab", "Jupyter" or "Python"; the device; which model `load_model("auto")` takes here, and why.
        figures: folder of the figures that README shows, $GOODDRAG_FIGURES or figures/ beside notebooks/.
        results: folder of the kept results, $GOODDRAG_RESULTS or experiments/results/ beside notebooks/.
        recompute: $GOODDRAG_RECOMPUTE is set: compute the kept results anew.
    """

    about: str
    figures: Path
    results: Path
    recompute: bool

    def __str__(self) -> str:
        return self.about


def setup() -> Notebook:
    """Make figures (inline, in the project's style) and widgets work in whatever shows this notebook, and say where.

    On Colab, whose own widget manager knows none but the standard widgets, custom ones are switched on.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    frontend = "Jupyter" if hasattr(shell, "kernel") else "Python"
    style.use(STYLE)
    if "google.colab" in sys.modules:
        frontend = "Colab"
        from google.colab import output

        output.enable_custom_widget_manager()
    if frontend != "Python":
        shell.run_line_magic("matplotlib", "inline")
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")  # crisp on dense screens
    cpu = f"cpu with {torch.get_num_threads()} threads"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    figures = expand(os.environ.get("GOODDRAG_FIGURES") or "../figures")
    results = expand(os.environ.get("GOODDRAG_RESULTS") or "../experiments/results")
    for folder in (figures, results):
        folder.mkdir(parents=True, exist_ok=True)
    about = f"{frontend}, {device}; model {choose_model()[1]}"
    return Notebook(about, figures, results, bool(os.environ.get("GOODDRAG_RECOMPUTE")))
