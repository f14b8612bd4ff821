"""Storybook100: a hundred fixed edits with Drag100's composition and, unlike it, the true result of each."""

from gooddrag.sample import Sample
from storybook.edits import EDITS, as_sample, plan
from storybook.world.scene import Scene

# Seeds of `storybook.edit` by category and task. Each was looked at: the change is seen at first sight, the points lie
# on what they move, what it uncovers can be guessed, and the unedited picture's mean squared error inside the mask is
# at least 0.01, so that a result can be told from noise. The other experiments use seeds below 1000.
SEEDS: dict[str, dict[str, str]] = {
    "animal": {
        "relocation": "1001 1003 1005 1007 1008 1009 1010 1013 1015 1017 1018 1020 1021 1025 1026 1032 1035 1045",
        "rotation": "1000 1006 1011 1019 1022 1027 1028 1042 1049 1053 1057 1071 1079 1100",
        "rescaling": "1031 1050 1059 1072 1091 1097 1104 1111 1114 1149",
        "creation": "1002 1012 1014 1030 1033 1036 1037 1038",
        "removal": "1004 1016 1023 1024 1034 1039 1040 1041",
    },
    "painting": {"relocation": "1000 1003", "rotation": "1009", "rescaling": "1081", "creation": "1024"},
    "landscape": {
        "relocation": "1003 1007 1008 1021 1024 1082",
        "rotation": "1004 1013",
        "rescaling": "1005 1025 1030 1040",
        "creation": "1001 1010",
        "removal": "1029 1035",
    },
    "plant": {"relocation": "1000", "rotation": "1006", "rescaling": "1011", "creation": "1001", "removal": "1003"},
    "portrait": {"relocation": "1003 1004 1021", "rotation": "1000", "rescaling": "1035", "creation": "1002"},
    "object": {
        "relocation": "1001 1003 1006",
        "rotation": "1000 1004 1011",
        "rescaling": "1002 1035",
        "creation": "1009",
        "removal": "1007",
    },
}
DOZEN = tuple(range(4, 100, 8))  # every eighth: the edits that a contact sheet of results shows


def keys() -> list[tuple[str, str, int]]:
    """(category, task, seed) of the hundred edits, in their order."""
    return [(c, t, int(seed)) for c, tasks in SEEDS.items() for t, seeds in tasks.items() for seed in seeds.split()]


def storybook100(size: int = 256) -> list[Sample]:
    """The hundred edits, drawn anew: the same on every machine, with truth, category and task.

    Args:
        size: side of the pictures, pixels, at least 64.

    Returns:
        100 samples; number 7 is named "007 animal: ...", its place in the list, category and edit.
    """
    plans = [_plan(number) for number in range(100)]
    return [as_sample(EDITS[category][kind], a, b, size, name, category) for name, category, kind, a, b in plans]


def scenes(name: str) -> tuple[Scene, Scene]:
    """The pages before and after the edit of the sample with this name, for `storybook.nearest`."""
    number = name[:3]
    if not (number.isdecimal() and int(number) < 100 and _plan(int(number))[0] == name):
        raise ValueError(f"name: {name!r}; the name of a sample of Storybook100 is expected")
    return _plan(int(number))[-2:]


def _plan(number: int) -> tuple[str, str, str, Scene, Scene]:
    """Name of the sample, category, name of the edit, the pages before and after."""
    category, task, seed = keys()[number]
    _, kind, before, after = plan(seed, category, task)
    return f"{number:03d} {category}: {kind}", category, kind, before, after
