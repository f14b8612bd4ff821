"""Information-preserving motion supervision (Sec. 3.4; Fig. 5, 13, 14): does the handle stay what it was?"""

import numpy as np

from experiments.study import NO_STOP, Records, Scenes, Study, drag_each
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.result import DragResult
from gooddrag.sample import Sample

WAYS = {
    "without IP": {**NO_STOP, "ip": False},
    "IP, J = 1": {**NO_STOP, "J": 1},
    "IP, J = 1, triple step": {**NO_STOP, "J": 1, "lr": 0.06},
    "IP, J = 3": NO_STOP,
}


def curves(result: DragResult) -> dict[str, list[float]]:
    """Fig. 14 along a run dragged with `keep=["maps"]`, the mean over its handles after each drag operation.

    Returns:
        "distance": L1 distance between the feature at the handle and the original one (Fig. 14b); "spread": standard
        deviation of the distance map of Omega(p, r2) (Fig. 14a); "depth": how far the map's minimum lies below its
        mean, in units of the spread, which a map that is no spot does not raise.
    """
    depths = [[float((m.mean() - m.min()) / m.std().clamp(min=1e-12)) for m in op.maps] for op in result.history]
    along = {"distance": [op.distances for op in result.history], "spread": [op.spreads for op in result.history]}
    return {name: [round(float(np.mean(v)), 4) for v in values] for name, values in (along | {"depth": depths}).items()}


def measure(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
    """Each way's scores with its curves, and their means over the second half of the run, when drift has added up."""
    records = []
    for record, result in drag_each(editor, sample, configs, keep=["maps"]):
        along = curves(result)
        late = {f"late_{name}": float(np.mean(values[len(values) // 2 :])) for name, values in along.items()}
        records.append({**record, **late, **along})
    return records


STUDY = Study("ip", WAYS, measure)
