"""Imports go one way: the method knows neither its evaluation nor widgets nor pictures, and there is no circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
METHOD = ("config", "ddim", "motion", "algorithm", "source", "masactrl", "lora", "model", "checkpoints", "editor")
METHOD += ("result", "sample", "frame", "files", "marks")


def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    paths = [p for package in ("gooddrag", "storybook", "experiments") for p in (ROOT / package).rglob("*.py")]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def imports(path: Path, known: set[str], lazy: bool) -> set[str]:
    """The modules of ours that a file imports; `lazy` counts those inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in inside and not lazy:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & known


def graph(lazy: bool) -> dict[str, set[str]]:
    files = modules()
    return {name: imports(path, set(files), lazy) - {name} for name, path in files.items()}


def test_there_is_no_circle():
    edges = graph(lazy=False)
    assert "gooddrag.ddim" in edges["gooddrag.editor"]  # so edges are found at all
    TopologicalSorter(edges).prepare()  # CycleError names the circle


def test_the_package_imports_no_experiment():
    for name, found in graph(lazy=True).items():
        if not name.startswith("experiments"):
            assert not [f for f in found if f.split(".")[0] == "experiments"], name


def test_the_method_knows_neither_evaluation_nor_widgets_nor_plots():
    edges = graph(lazy=True)
    for name in METHOD:
        reached, new = set(), {f"gooddrag.{name}"}
        while new:  # what it imports, and what these import
            reached, new = reached | new, {f for found in new for f in edges[found]} - reached - new
        above = [f for f in reached if f.split(".")[1:2] in (["evaluation"], ["widgets"], ["plots"])]
        assert above == [], name
