"""The Pareto benchmark counts what an edit by itself would cost, and compares on shared edits."""

import importlib.util
from pathlib import Path

import pytest

import gooddrag as gd
from gooddrag import cost, plots

spec = importlib.util.spec_from_file_location("pareto", Path(__file__).parents[1] / "benchmarks" / "pareto.py")
pareto = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pareto)

pytestmark = pytest.mark.filterwarnings("ignore:points. every target")  # the edit that stops at once
SHORT = dict(num_steps=6, K=3, B=1, J=1, r2=3)
WAYS = {
    "default": dict(SHORT, stop_unmoved=None, stop_distance=None),
    "stops": dict(SHORT, stop_distance=1e4),
    "no MasaCtrl": dict(SHORT, masactrl=False, lr=0.0, stop_unmoved=2),
    "no LoRA": dict(SHORT, stop_unmoved=None, stop_distance=None, lora=dict(steps=0)),
}


@pytest.fixture
def records(tiny, monkeypatch):
    monkeypatch.setattr(pareto, "CANDIDATES", WAYS)
    return pareto.run(tiny, 100, list(WAYS), 1.5)


def test_shared_work_is_counted_as_each_ones_own(tiny, records):
    sample = gd.storybook.edit(100)
    for record, name in zip(records, WAYS, strict=True):
        config, _ = pareto.configs(name)
        with cost.Meter(tiny) as meter:
            gd.DragEditor(tiny).set_image(sample.image).drag(sample, config=config)
        alone = sum(p.forwards.total() + 1.5 * p.backwards.total() for p in meter.parts.values())
        assert record["passes"] == pytest.approx(alone), record["candidate"]
    assert records[0]["passes"] == pareto.whole(gd.DragConfig(**WAYS["default"]), 1.5)
    assert records[1]["passes"] < records[0]["passes"] and records[1]["operations"] == 0


def test_candidates_are_compared_on_the_edits_that_they_share(records):
    extra = [{**r, "seed": 101, "error": 10 * r["error"], "passes": 3 * r["passes"]} for r in records[:1]]
    rows = pareto.summary([*extra, *records], 1.5)
    assert {name: row["edits"] for name, row in rows.items()} == {"default": 2, **dict.fromkeys([*WAYS][1:], 1)}
    assert rows["default"]["cost_share"] == rows["default"]["error_share"] == 1
    for name, record in zip(WAYS, records, strict=True):
        if name != "default":
            assert rows[name]["cost_share"] == record["passes"] / records[0]["passes"]
            assert rows[name]["error_share"] == record["error"] / records[0]["error"]
    with_lora = records[0]["passes"] + 70 * 4 * 2.5  # the default's steps, of four latents, forward and 1.5 backward
    assert rows["no LoRA"]["edit_share"] == records[3]["passes"] / with_lora
    assert not pareto.good(rows["default"])
    shares = dict(cost_share=0.5, whole_share=0.5, edit_share=0.5, error_share=1.05)
    assert pareto.good(shares)
    assert not any(pareto.good({**shares, key: value + 0.01}) for key, value in shares.items())


def test_its_picture(tmp_path):
    rows = {"default": dict(edit_share=1.0, error_share=1.0), "half": dict(edit_share=0.5, error_share=1.04)}
    fig = plots.pareto(rows, 0.5, 1.05)
    fig.savefig(tmp_path / "pareto.png")
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == ["1 half", "2 default"] and fig.axes[0].get_xlim()[0] == 0
