"""GoodDrag (Zhang et al., ICLR 2025): drag editing with diffusion models, the package behind the notebooks.

The names of `__all__` are imported when first used, so that `import gooddrag` is quick.

From the paper to the code (a test imports every name):

    Eq. 1   forward process               ddim.add_noise
    Eq. 2   denoising                     ddim.step
    Eq. 3   inversion                     ddim.invert
    Eq. 4   motion supervision            motion.drag_loss, motion.mask_loss
    Eq. 5   all K drag operations first   config.DragConfig (aldd=False)
    Eq. 6   point tracking                motion.track
    Eq. 7   alternating (AlDD)            config.DragConfig (aldd=True, ip=False)
    Eq. 8   information preservation      motion.drag_loss (ip=True)
    Eq. 9   J updates an operation        algorithm.drag_latent
    Eq. 10  Dragging Accuracy Index       evaluation.metrics.dai
    Eq. 11  mean rank correlation         evaluation.metrics.rank_correlation
    Eq. 12  of each image (Spearman)      evaluation.metrics.rank_correlation
    Algorithm 1, line 1                   lora.fit
    Algorithm 1, lines 2-16               editor.DragEditor.invert, algorithm.drag_latent
    Sec. 5.1, Latent-MasaCtrl             masactrl.borrowed_attention
    Sec. 5.1, every number                config.DragConfig.paper
"""

from importlib import import_module

__version__ = "0.2.0"

_HOME = {
    "load_model": "gooddrag.model",
    "Sample": "gooddrag.sample",
    "DragConfig": "gooddrag.config",
    "LoraConfig": "gooddrag.config",
    "drag": "gooddrag.editor",
    "DragEditor": "gooddrag.editor",
    "DragResult": "gooddrag.result",
    "PointPicker": "gooddrag.widgets",
    "DragStudio": "gooddrag.widgets",
    "drag100": "gooddrag.evaluation.datasets",
    "storybook100": "storybook.storybook100",
}
_MODULES = {name: f"gooddrag.{name}" for name in ("ddim", "motion", "plots", "evaluation", "widgets")}
_MODULES["storybook"] = "storybook"

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
