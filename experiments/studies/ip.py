"""Information-preserving motion supervision (Sec. 3.4; Fig. 5, 13, 14): does the handle stay what it was?"""

from __future__ import annotations

import numpy as np
from PIL import Image

from experiments.studies.study import NO_STOP, Records, Study, dragged
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
WITHOUT, ONE, LARGER, THREE = WAYS
OUTSIDE = "#dddddd"


def curves(result: DragResult) -> dict[str, list[float]]:
    """Fig. 14 along a run, the mean over its handles after each drag operation.

    Returns:
        "distance": L1 distance between the feature at the handle and the original one (Fig. 14b); "spread": standard
        deviation of the distance map of Omega(p, r2) (Fig. 14a).
    """
    return {
        "distance": [round(float(np.mean(op.distances)), 4) for op in result.history],
        "spread": [round(float(np.mean(op.spreads)), 4) for op in result.history],
    }


def measure(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig]) -> Records:
    """Each way's record with its curves, and their means over the second half of the run, when drift has added up."""
    records = []
    for record, result in dragged(editor, sample, configs):
        along = curves(result)
        late = {f"late_{name}": float(np.mean(values[len(values) // 2 :])) for name, values in along.items()}
        records.append({**record, **late, **along})
    return records


def guess(result: DragResult, k: int) -> Image.Image:
    """The picture that the latent pointed to when drag operation k ended, 1 <= k <= K."""
    op = result.history[k - 1]
    return result.frame.to_image(result.model.decode_image(op.z0_hat))


def around(image: Image.Image, point: np.ndarray, radius: int) -> Image.Image:
    """The square of side 2 radius + 1 around (x, y), grey where it leaves the image."""
    x, y = np.rint(point).astype(int)
    square = Image.new("RGB", (2 * radius + 1, 2 * radius + 1), OUTSIDE)
    square.paste(image, (radius - int(x), radius - int(y)))
    return square


STUDY = Study("ip", WAYS, measure)
