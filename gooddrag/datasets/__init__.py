"""Public drag benchmarks from a folder, a zip or the network, as `Sample`s; checked one by one, and never trusted."""

from gooddrag.datasets.dataset import Check, Dataset, distribution
from gooddrag.datasets.folders import PAPER_COMPOSITION, drag100, folder
from gooddrag.datasets.published import dragbench, sde_dragbench

__all__ = ["PAPER_COMPOSITION", "Check", "Dataset", "distribution", "drag100", "dragbench", "folder", "sde_dragbench"]
