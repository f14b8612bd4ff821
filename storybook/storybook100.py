"""Storybook100: a hundred fixed edits with Drag100's composition and, unlike it, the true result of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from gooddrag.sample import Sample
from storybook.edits import EDITS, dragged, edit, plan

# Seeds of `storybook.edit` by category and task. Each was looked at: the change is seen at first sight, the points lie
# on what they move, what it uncovers can be guessed, and the unedited picture's mean squared error inside the mask is
# at least 0.01, so that a result can be told from noise. The other experiments use seeds below 1000.
SEEDS: dict[tuple[str, str], tuple[int, ...]] = {
    ("animal", "relocation"): (1001, 1003, 1005, 1007, 1008, 1009, 1010, 1013, 1015, 1017, 1018, 1020, 1021, 1025, 1026,
                               1032, 1035, 1045),
    ("animal", "rotation"): (1000, 1006, 1011, 1019, 1022, 1027, 1028, 1042, 1049, 1053, 1057, 1071, 1079, 1100),
    ("animal", "rescaling"): (1031, 1050, 1059, 1072, 1091, 1097, 1104, 1111, 1114, 1149),
    ("animal", "creation"): (1002, 1012, 1014, 1030, 1033, 1036, 1037, 1038),
    ("animal", "removal"): (1004, 1016, 1023, 1024, 1034, 1039, 1040, 1041),
    ("painting", "relocation"): (1000, 1003),
    ("painting", "rotation"): (1009,),
    ("painting", "rescaling"): (1081,),
    ("painting", "creation"): (1024,),
    ("landscape", "relocation"): (1003, 1007, 1008, 1021, 1024, 1082),
    ("landscape", "rotation"): (1004, 1013),
    ("landscape", "rescaling"): (1005, 1025, 1030, 1040),
    ("landscape", "creation"): (1001, 1010),
    ("landscape", "removal"): (1029, 1035),
    ("plant", "relocation"): (1000,),
    ("plant", "rotation"): (1006,),
    ("plant", "rescaling"): (1011,),
    ("plant", "creation"): (1001,),
    ("plant", "removal"): (1003,),
    ("portrait", "relocation"): (1003, 1004, 1021),
    ("portrait", "rotation"): (1000,),
    ("portrait", "rescaling"): (1035,),
    ("portrait", "creation"): (1002,),
    ("object", "relocation"): (1001, 1003, 1006),
    ("object", "rotation"): (1000, 1004, 1011),
    ("object", "rescaling"): (1002, 1035),
    ("object", "creation"): (1009,),
    ("object", "removal"): (1007,),
}  # fmt: skip
DOZEN = tuple(range(4, 100, 8))  # every eighth: the edits that a contact sheet of results shows


def keys() -> list[tuple[str, str, int]]:
    """(category, task, seed) of the hundred edits, in their order."""
    return [(category, task, seed) for (category, task), seeds in SEEDS.items() for seed in seeds]


def storybook100(size: int = 128) -> list[Sample]:
    """The hundred edits, drawn anew: the same on every machine, with truth, category and task.

    Args:
        size: side of the pictures, pixels, at least 64; the embedded model works at 128.

    Returns:
        100 samples; number 7 is named "007 animal: ...", its place in the list, category and edit.
    """
    samples = []
    for number, (category, task, seed) in enumerate(keys()):
        sample = edit(seed, size, category, task)
        name = plan(seed, category, task)[1]
        samples.append(replace(sample, name=f"{number:03d} {category}: {name}"))
    return samples


def checksum() -> str:
    """A hash of all parameters of the hundred edits, to six decimals, and of the points that they drag: what they are,
    before anything is drawn."""
    plans = [plan(seed, category, task) for category, task, seed in keys()]
    parameters = [
        [category, name, dragged(EDITS[category][name], before, after), asdict(before), asdict(after)]
        for category, name, before, after in plans
    ]
    return hashlib.sha256(json.dumps(_rounded(parameters), sort_keys=True).encode()).hexdigest()[:16]


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6) + 0.0  # and -0.0 is 0.0
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value
