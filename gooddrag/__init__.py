"""GoodDrag (Zhang et al., ICLR 2025): drag editing with diffusion models, as a thin package behind notebooks.

The names below are imported when first used: `import gooddrag` is quick, and a missing optional library is reported by
the one name that needs it.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "load_model": "loading",
    "DiffusionModel": "model",
    "Sample": "sample",
    "load_image": "images",
    "DragConfig": "config",
    "LoraConfig": "config",
    "drag": "editor",
    "DragEditor": "editor",
    "DragResult": "result",
    "PointPicker": "picker",
    "DragStudio": "studio",
    "storybook100": "storybook.storybook100",
    "drag100": "datasets",
    "dragbench": "datasets",
    "sde_dragbench": "datasets",
}
_MODULES = ("baselines", "benchmark", "datasets", "gscore", "metrics", "storybook", "userstudy")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> object:
    if name == "storybook":
        return import_module("storybook")
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name == "storybook100":
        return import_module("storybook.storybook100").storybook100
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
