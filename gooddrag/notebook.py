"""What a notebook's set-up cell needs, in JupyterLab, classic Jupyter, VS Code and Colab alike."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib import style

from gooddrag.loading import choose_model
from gooddrag.plots import STYLE


@dataclass(frozen=True)
class Notebook:
    """Where a notebook runs; printed, it is one line.

    Attributes:
        frontend: "Colab", "VS Code", "Jupyter" or "Python" (none of them).
        device: "cpu" or the name of the GPU.
        why: which model `load_model("auto")` takes here, and why.
        figures: folder of the figures that README shows, $GOODDRAG_FIGURES or figures/ beside notebooks/.
        results: folder of the kept results, $GOODDRAG_RESULTS or results/ beside notebooks/.
        recompute: $GOODDRAG_RECOMPUTE is set: compute the kept results anew.
    """

    frontend: str
    device: str
    why: str
    figures: Path
    results: Path
    recompute: bool

    def __str__(self) -> str:
        return f"{self.frontend}, {self.device}; model {self.why}"


def setup() -> Notebook:
    """Make figures and widgets work in whatever shows this notebook, and say where it runs.

    Figures are drawn in the project's style, inline. On Colab, whose own widget manager knows none but the standard
    widgets, custom ones are switched on. VS Code fetches custom widgets from the network and asks before it does.
    """
    frontend = _frontend()
    style.use(STYLE)
    if frontend != "Python":
        _shell().run_line_magic("matplotlib", "inline")
    if frontend == "Colab":
        from google.colab import output

        output.enable_custom_widget_manager()
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else f"cpu with {torch.get_num_threads()} threads"
    return Notebook(frontend, device, choose_model()[1], _folder("GOODDRAG_FIGURES", "../figures"),
                    _folder("GOODDRAG_RESULTS", "../results"), bool(os.environ.get("GOODDRAG_RECOMPUTE")))  # fmt: skip


def _frontend() -> str:
    if "google.colab" in sys.modules:
        return "Colab"
    shell = _shell()
    if shell is None or not hasattr(shell, "kernel"):
        return "Python"
    # VS Code tells the kernel the notebook's path under this name, and starts it from its own process.
    if "__vsc_ipynb_file__" in shell.user_ns or "VSCODE_PID" in os.environ:
        return "VS Code"
    return "Jupyter"


def _shell():
    """The IPython that runs this, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable) or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
