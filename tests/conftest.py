"""The small random models that the engine's tests share; every worker makes them once."""

import pytest
import torch
from tiny import TINY_SD, save_tiny

from gooddrag.model import load_model


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, not made yet."""
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The test's own folder as the home."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    return load_model(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def tiny64(tiny_folder):
    return load_model(tiny_folder, device="cpu", dtype=torch.float64)


@pytest.fixture(scope="session")
def tiny_sd():
    return load_model(TINY_SD, device="cpu")
