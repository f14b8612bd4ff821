"""What each difference between the paper's text and the released code does: one switch at a time, on the same edits.

The yardstick of size is chance: the released settings once more, with another seed of the LoRA's fit. Does a switch
move the result further than that seed does, edit by edit? Its direction is another question: does it bring the edits
nearer to the truth, or do less damage, on edit after edit?
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from experiments.keep import Paired, paired
from experiments.studies.study import Records, Study, column, dragged, versus
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.metrics.pixels import pair
from gooddrag.sample import Sample

RELEASED, PRINTED, CHANCE = "released", "all of the text", "another seed"
FEWEST = 4  # edits that can agree at all: of 3, the 95 % interval of the share of wins holds one half even at 3 to 0
NOTHING, LITTLE, FEW = "changes nothing here", "no further than chance", "too few edits to tell from chance"
# Row of the ledger (notebooks/differences.json) -> the fields that switch it from the released code to the text.
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
    """The changes of DragConfig that follow the text in one row of the ledger and the released code in all others."""
    # "The original path" (row 8) can be read either way; paper() reads it as the released code does.
    printed = {**asdict(DragConfig.paper()), "reference": "inverted"}
    return {field: printed[field] for field in FIELDS[row]}


def named(changes: dict[str, Any]) -> str:
    """lam = 0.2, as a reader would type it."""
    return ", ".join(f"{field} = {value}" for field, value in changes.items())


SWITCHES = {named(switch(row)): row for row in FIELDS}  # way -> row
WAYS = {RELEASED: {}, **{way: switch(row) for way, row in SWITCHES.items()},
        PRINTED: {k: v for k, v in asdict(DragConfig.paper()).items() if v != getattr(DragConfig(), k)}}  # fmt: skip


def measure(editor: DragEditor, sample: Sample, configs: dict[str, DragConfig]) -> Records:
    """One record per way, and one of chance. "apart" is how far the picture lies from the released settings' one.

    Every way gets an editor of its own, so that its seconds are those of a whole edit without the LoRA's fit.
    """
    model, seed = editor.model, editor.seed
    other = DragEditor(model, STUDY.lora, seed + 1).set_image(sample.image).lora
    runs = [(way, config, editor.lora) for way, config in configs.items()] + [(CHANCE, configs[RELEASED], other)]
    records, first = [], None
    for way, config, lora in runs:
        ((record, result),) = dragged(DragEditor(model, lora).set_image(sample.image), sample, {way: config})
        first = first or result.image
        records.append({**record, "apart": apart(first, result.image)})
    return records


def apart(first: Image.Image, second: Image.Image) -> float:
    """Root mean squared difference of two pictures, in grey levels of 255."""
    a, b = pair(first, second, ("first", "second"))
    return 255 * float(np.sqrt(((a - b) ** 2).mean()))


STUDY = Study("differences", WAYS, measure, n=6)


@dataclass(frozen=True)
class Effect:
    """What one switch did to the edits of a study, against the released settings.

    Attributes:
        row: of the ledger; None for all of them at once.
        apart: median distance to the released settings' picture, in grey levels; chance: the same of another seed.
        further: the paired comparison of the two distances; a win is an edit that the switch moves further than chance.
        truth, damage: the paired comparisons of the error to the truth and of the damage outside the mask; a win is
            the text's.
        numbers: medians over the edits: truth, damage, dai, left_px, operations, seconds.
    """

    way: str
    row: int | None
    apart: float
    chance: float
    further: Paired
    truth: Paired
    damage: Paired
    numbers: dict[str, float]

    @property
    def size(self) -> str:
        if self.apart == 0:
            return NOTHING
        if not self.loud:
            return LITTLE if self.further.n >= FEWEST else FEW
        return "further than chance" if self.apart < 2 * self.chance else "much further than chance"

    @property
    def loud(self) -> bool:
        """Whether it moves the edits further than chance: the 95 % interval of their share lies above one half."""
        return self.further.low > 0.5

    @property
    def leaning(self) -> str:
        """ "better", "worse" or neither: the truth decides, then the damage outside the mask."""
        return direction(self.truth, "better", "worse") or direction(self.damage, "better", "worse")

    @property
    def verdict(self) -> str:
        """In plain words, by rule: its size first, then what it is good for, where the edits agree. A switch may do
        less than chance does and still always to the same side: both ways share the LoRA.
        """
        said = [
            direction(self.truth, f"nearer to the truth ({_of(self.truth)})", f"further from it ({_of(self.truth)})"),
            direction(self.damage, f"less damage ({_of(self.damage)})", f"more damage ({_of(self.damage)})"),
        ]
        told = ", ".join(filter(None, said)) or ("the edits do not agree" if self.loud else "")
        return f"{self.size}: {told}" if told else self.size


def _of(pair: Paired) -> str:
    return f"{pair.wins} of {pair.n} won"


def direction(pair: Paired, better: str, worse: str) -> str:
    """Which way the 95 % interval of the share of wins points; empty where it holds one half."""
    return better if pair.low > 0.5 else worse if pair.high < 0.5 else ""


def effects(records: Records) -> list[Effect]:
    """One per switch, in the ledger's order, and the whole text last."""
    chance = medians(records, CHANCE)["apart"]
    found = []
    for way in [*SWITCHES, PRINTED]:
        pairs = (versus(records, way, RELEASED, key) for key in ("truth", "damage"))
        numbers = medians(records, way)
        further = versus(records, way, CHANCE, "apart", sign=-1)
        found.append(Effect(way, SWITCHES.get(way), numbers.pop("apart"), chance, further, *pairs, numbers))
    return found


def by_luck(found: list[Effect]) -> float:
    """How many of the directions in a table of effects would be there if every edit were tossed by a coin."""
    n = found[0].truth.n
    decided = [wins for wins in range(n + 1) if direction(paired([0] * n, [1] * wins + [-1] * (n - wins)), "x", "x")]
    return 2 * len(found) * sum(math.comb(n, wins) for wins in decided) / 2**n


def medians(records: Records, way: str) -> dict[str, float]:
    """The numbers of one way, in the middle of the edits."""
    keys = ("apart", "truth", "damage", "dai", "left_px", "operations", "seconds")
    return {key: float(np.median(column(records, way, key))) for key in keys}


def summary(found: list[Effect], records: Records) -> list[dict[str, Any]]:
    """The verdicts as a table, the released settings and chance above them."""
    baselines = [
        {"row": "", "the text's choice": f"({way})", **medians(records, way), "verdict": ""}
        for way in (RELEASED, CHANCE)
    ]
    return baselines + [
        {"row": e.row or "", "the text's choice": e.way, "apart": e.apart, **e.numbers, "verdict": e.verdict}
        for e in found
    ]


def field_notes(config: type = DragConfig) -> dict[str, str]:
    """The docstring below each field of a config: name -> text on one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    notes = {}
    for field, note in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant):
            notes[field.target.id] = " ".join(note.value.value.split())
    return notes


def ledger(rows: list[dict[str, Any]], found: list[Effect]) -> list[dict[str, Any]]:
    """The ledger as a table: a row of notebooks/differences.json, its fields' own notes, and what was measured.

    Args:
        rows: of differences.json.
        found: as `effects` returns them.
    """
    notes = field_notes(LoraConfig) | field_notes(DragConfig)
    verdicts = {effect.row: effect.verdict for effect in found}
    return [
        {
            "row": row["row"],
            "topic": row["topic"],
            "paper": row["paper"],
            "released code": row["released"],
            "here": "; ".join(filter(None, [*(f"{f}: {notes[f].rstrip('.')}" for f in row["fields"]), row["ours"]])),
            "what the text's choice does": verdicts.get(
                row["row"], "nothing to switch" if row["fields"] else "not a setting of the edit"
            ),
        }
        for row in rows
    ]
