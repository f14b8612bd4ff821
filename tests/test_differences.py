"""The study of paper against code: its switches are the ledger's, its yardstick is chance, its verdicts by rule."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tiny import picture

from experiments.studies import differences
from experiments.studies.differences import CHANCE, FIELDS, LITTLE, NOTHING, PRINTED, RELEASED, SWITCHES, WAYS
from gooddrag import plots
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

ROWS = json.loads((Path(__file__).parents[1] / "notebooks" / "differences.json").read_text(encoding="utf-8"))["rows"]


def test_switches_are_the_ledgers_rows():
    by_row = {row["row"]: row for row in ROWS}
    for row, fields in FIELDS.items():
        assert set(fields) <= set(by_row[row]["fields"])
    switched = {field for fields in FIELDS.values() for field in fields}
    released, paper = (dataclasses.asdict(c) for c in (DragConfig.released(), DragConfig.paper()))
    assert switched == {name for name in released if released[name] != paper[name]} | {"reference"}


def test_ways_change_one_row_each():
    assert WAYS[RELEASED] == {} and DragConfig(**WAYS[PRINTED]) == DragConfig.paper()
    for way, row in SWITCHES.items():
        assert set(WAYS[way]) == set(FIELDS[row])
        assert all(getattr(DragConfig(), name) != value for name, value in WAYS[way].items())
        assert all(f"{name} = " in way for name in FIELDS[row])


@pytest.mark.parametrize("config", [DragConfig, LoraConfig])
def test_every_field_has_a_note(config):
    notes = differences.field_notes(config)
    assert list(notes) == [f.name for f in dataclasses.fields(config)]
    assert all(len(note) > 20 and "\n" not in note for note in notes.values())


def test_measured_on_a_random_model(tiny, monkeypatch):
    """What must be equal is: the same settings, and a grid that is the image's own."""
    monkeypatch.setattr(differences, "STUDY", dataclasses.replace(differences.STUDY, lora=LoraConfig(rank=2, steps=2)))
    mask = np.zeros((64, 64), bool)
    mask[8:56, 8:56] = True
    sample = Sample(picture(), [[[20, 20], [40, 35]]], mask, truth=picture(seed=1))
    quick = dict(num_steps=4, K=2, B=1, J=1)
    ways = {way: DragConfig(**{**quick, **WAYS[way]}) for way in (RELEASED, "grid = image", "lam = 0.2", PRINTED)}
    editor = DragEditor(tiny, differences.STUDY.lora).set_image(sample.image)
    records = {r["way"]: r for r in differences.measure(editor, sample, ways)}
    assert list(records) == [*ways, CHANCE]
    assert records[RELEASED]["apart"] == records["grid = image"]["apart"] == 0 < records[CHANCE]["apart"]
    assert records["grid = image"]["truth"] == records[RELEASED]["truth"]


def test_apart_is_in_grey_levels():
    black = picture().point(lambda v: 0)
    assert differences.apart(black, black.point(lambda v: 10)) == pytest.approx(10)


def record(way, apart, truth, damage):
    return {"way": way, "apart": apart, "truth": truth, "damage": damage, "dai": 1.0, "left_px": 2.0, "operations": 9,
            "seconds": 1.0}  # fmt: skip


def records(n=6, **ways):
    """Released at truth 1 and damage 1; chance 2 grey levels; the ways as (apart, truth, damage)."""
    out = []
    for i in range(n):
        given = dict.fromkeys([*SWITCHES, PRINTED], (5.0, 1.0, 1.0))
        given |= {RELEASED: (0.0, 1.0, 1.0), CHANCE: (2.0, 1.01, 1.0)}
        given |= {way: values(i) if callable(values) else values for way, values in ways.items()}
        out += [{"edit": i, **record(way, *values)} for way, values in given.items()]
    return out


@pytest.mark.parametrize(
    "values, size, leaning",
    [
        ((0.0, 1.0, 1.0), NOTHING, ""),
        ((1.0, 0.5, 0.5), LITTLE, "better"),
        ((1.0, 1.0, 1.0), LITTLE, ""),
        ((3.0, 1.0, 1.0), "further than chance", ""),
        ((5.0, 0.5, 1.0), "much further than chance", "better"),
        ((5.0, 1.5, 0.5), "much further than chance", "worse"),  # the truth decides
        ((5.0, 1.0, 2.0), "much further than chance", "worse"),
        (lambda i: (5.0, 0.5 if i else 1.5, 1.0), "much further than chance", ""),  # 5 of 6 is no verdict
        (lambda i: (5.0 if i else 1.0, 1.0, 1.5), LITTLE, "worse"),  # further than chance on 5 of 6
    ],
)
def test_verdicts_by_rule(values, size, leaning):
    way = "lam = 0.2"
    effect = {e.way: e for e in differences.effects(records(**{way: values}))}[way]
    assert effect.size == size and effect.leaning == leaning and effect.row == 1
    assert effect.verdict.startswith(size) and ("won" in effect.verdict) == bool(leaning)


def test_few_edits_have_no_direction_and_luck_is_counted():
    few = differences.effects(records(3, **{"lam = 0.2": (5.0, 0.5, 0.5)}))
    assert few[0].leaning == "" and few[0].verdict == "too few edits to tell from chance"
    assert differences.by_luck(few) == 0
    assert differences.by_luck(differences.effects(records(6))) == 2 * 12 * 2 / 2**6  # all of 6, either way


def test_tables_and_figure_are_whole():
    data = records(**{"lam = 0.2": (5.0, 0.5, 1.0)})
    found = differences.effects(data)
    assert [e.row for e in found] == [*FIELDS, None]
    ledger = differences.ledger(ROWS, found)
    assert [line["row"] for line in ledger] == list(range(1, 29)) and all(line["here"] for line in ledger)
    assert "lambda, weight of the mask term" in ledger[0]["here"]
    assert "nearer to the truth (6 of 6 won)" in ledger[0]["what the text's choice does"]
    assert len(differences.summary(found, data)) == len(found) + 2
    figure = plots.difference_effects(found, data)
    assert [bool(ax.get_title(loc="left") or ax.get_title()) for ax in figure.axes] == [True] * 6
    assert len(figure.axes[0].get_yticklabels()) == len(found)
