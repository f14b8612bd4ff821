"""Settings of every test run. At the top, so that the notebooks' kernels get them too."""

import os
import tempfile

import hypothesis

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores; before tests/conftest.py imports torch


def pytest_configure(config):
    hypothesis.settings.register_profile("gooddrag", deadline=None, derandomize="CI" in os.environ)
    hypothesis.settings.load_profile("gooddrag")
    os.environ.setdefault("GOODDRAG_MODEL", "storybook")  # what "auto" means in the notebooks, with or without a GPU
    if not hasattr(config, "workerinput"):  # once; workers and kernels inherit the environment
        scratch = tempfile.TemporaryDirectory(prefix="gooddrag-tests-")
        config.add_cleanup(scratch.cleanup)
        os.environ["GOODDRAG_CACHE"] = os.path.join(scratch.name, "cache")
        os.environ["GOODDRAG_FIGURES"] = os.path.join(scratch.name, "figures")  # a test run leaves the tree as it was


def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "cell"):  # of a notebook; they are kept without counts, and nbval takes that for "never run"
            item.cell.execution_count = 0
