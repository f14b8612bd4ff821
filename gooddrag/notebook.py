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
        frontend: "Colab", "VS Code", "Jupyter" or "Python" (none of them).
        device: "cpu with N threads", or the name of the GPU.
        why: which model `load_model("auto")` takes here, and why.
        figures: folder of the figures that README shows, $GOODDRAG_FIGURES or figures/ beside notebooks/.
        results: folder of the kept results, $GOODDRAG_RESULTS or experiments/results/ beside notebooks/.
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
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    frontend = "Python" if shell is None or not hasattr(shell, "kernel") else "Jupyter"
    # VS Code tells the kernel the notebook's path under this name, and starts it from its own process
    if frontend == "Jupyter" and ("__vsc_ipynb_file__" in shell.user_ns or "VSCODE_PID" in os.environ):
        frontend = "VS Code"
    if "google.colab" in sys.modules:
        frontend = "Colab"
        from google.colab import output

        output.enable_custom_widget_manager()
    style.use(STYLE)
    if frontend != "Python":
        shell.run_line_magic("matplotlib", "inline")
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else f"cpu with {torch.get_num_threads()} threads"
    figures = expand(os.environ.get("GOODDRAG_FIGURES") or "../figures")
    results = expand(os.environ.get("GOODDRAG_RESULTS") or "../experiments/results")
    for folder in (figures, results):
        folder.mkdir(parents=True, exist_ok=True)
    return Notebook(frontend, device, choose_model()[1], figures, results, bool(os.environ.get("GOODDRAG_RECOMPUTE")))
