"""What each difference between the paper's text and the released code does: one switch at a time, on the same edits.

The yardstick of size is chance: the released settings once more, with another seed of the LoRA's fit. Does a switch
move the result further than that seed does? Its direction is another question.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from experiments.study import Records, Scenes, Study, changes, drag_each
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

RELEASED, PRINTED, CHANCE = "released", "all of the text", "another seed"
# Row of notebooks/differences.json -> the fields that switch it from the released code to the text.
FIELDS = {
    1: ("lam",),
    2: ("feature_block",),
    3: ("grid",),
    4: ("drag_scale",),
    5: ("capped_step", "skip_distance"),
    8: ("reference",),
    9: ("tracking", "track_at_start"),
    10: ("tracking_reference",),
    12: ("stop_distance", "stop_unmoved"),
    13: ("adam",),
    17: ("inversion",),
}


def switch(row: int) -> dict[str, Any]:
    """The changes of DragConfig that follow the text in one row and the released code in all others."""
    # "The original path" (row 8) can be read either way; paper() reads it as the released code does.
    printed = {**asdict(DragConfig.paper()), "reference": "inverted"}
    return {field: printed[field] for field in FIELDS[row]}


def named(changed: dict[str, Any]) -> str:
    """lam = 0.2, as a reader would type it."""
    return ", ".join(f"{field} = {value}" for field, value in changed.items())


SWITCHES = {named(switch(row)): row for row in FIELDS}  # way -> row
WAYS = {RELEASED: {}, **{way: switch(row) for way, row in SWITCHES.items()}, PRINTED: changes(DragConfig.paper())}


def measure(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig], scenes: Scenes) -> Records:
    """Each way's scores, and those of chance; "apart" is how far a picture lies from the released settings' one."""
    other = DragEditor(editor.model, STUDY.lora, seed=editor.seed + 1).set_image(sample.image)
    drags = [*drag_each(editor, sample, configs), *drag_each(other, sample, {CHANCE: configs[RELEASED]})]
    return [{**record, "apart": apart(drags[0][1].image, result.image)} for record, result in drags]


def apart(first: Image.Image, second: Image.Image) -> float:
    """Root mean squared difference of two pictures of one size, in grey levels of 255."""
    a, b = (np.asarray(image.convert("RGB"), float) for image in (first, second))
    return float(np.sqrt(((a - b) ** 2).mean()))


STUDY = Study("differences", WAYS, measure, edits=12)
