"""Studies: which edits, one thread, resuming, what is measured; cleaned notebooks; the questions about latents."""

from dataclasses import replace

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import LORA, picture

import gooddrag as gd
from experiments import differences, edits, ideas, keep, latents, run
from experiments.study import NO_STOP, Study
from gooddrag.evaluation.methods import CopyPaste
from gooddrag.evaluation.metrics import dai

QUICK = {"num_steps": 4, "K": 2, "B": 1, "J": 1, "r2": 3, **NO_STOP}
MASK = np.zeros((64, 64), bool)
MASK[8:56, 8:56] = True
PAGE = gd.Sample(picture(), [[[20, 20], [40, 35]]], MASK, truth=picture(seed=1), name="page")


@pytest.fixture(scope="module")
def editor(tiny):
    return gd.DragEditor(tiny, LORA).set_image(PAGE.image)


def configs(ways, **changes):
    """The ways of a study, with few steps."""
    return {way: gd.DragConfig(**{**QUICK, **changed, **changes}) for way, changed in ways.items()}


@pytest.mark.parametrize("of", run.STUDIES, ids=lambda of: of.name)
def test_the_kept_results_are_of_these_studies(of):
    kept, settings = keep.read_json(keep.RESULTS / f"{of.name}.json")["settings"], of.settings()
    assert (kept["edits"], kept["ways"]) == (settings["edits"], settings["ways"])


@pytest.mark.parametrize("name", latents.QUESTIONS)
def test_the_kept_answers_are_to_these_questions(name):
    assert keep.read_json(keep.RESULTS / f"{name}.json")["settings"] == latents.QUESTIONS[name][0]


def counted(editor, sample, configs, scenes):
    """A `measure` that says with how many threads it ran, and stops at the second edit when told to."""
    CALLS.append(sample.name)
    if len(CALLS) == STOP_AT:
        raise KeyboardInterrupt
    return [{"way": way, "threads": torch.get_num_threads(), "score": len(sample.name)} for way in configs]


def test_an_interrupted_study_goes_on_with_the_next_edit_on_one_thread(tiny, tmp_path, cache):
    global CALLS, STOP_AT
    small = Study("small", {"a": {}, "b": {"ip": False}}, counted, edits=3, lora=gd.LoraConfig(steps=0))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    CALLS, STOP_AT = [], 2
    with pytest.raises(KeyboardInterrupt):
        small.compute(tiny, tmp_path)
    assert not list(tmp_path.glob("*.json")) and torch.get_num_threads() == 2
    STOP_AT = 0
    small.compute(tiny, tmp_path)
    torch.set_num_threads(before)
    assert len(CALLS) == 4 and len(set(CALLS)) == 3  # only what was cut off was done twice
    record = keep.read_json(tmp_path / "small.json")
    assert [r["edit"] for r in record["data"]] == [0, 0, 1, 1, 2, 2] and record["threads"] == 1
    assert {r["threads"] for r in record["data"]} == {1} and record["weights"] == tiny.fingerprint
    assert record["settings"] == small.settings() and "1 thread" in record["machine"]
    assert not list((cache / "studies").iterdir())


def test_each_way_of_a_study_may_have_a_fit_of_its_own(tiny, cache):
    def fitted(editor, sample, configs, scenes):
        return [{"way": way, "matrices": len(editor.lora)} for way in configs]

    fits = {"none": gd.LoraConfig(steps=0), "some": gd.LoraConfig(rank=1, steps=1)}
    own = Study("own", {way: {} for way in fits}, fitted, edits=1, lora=fits)
    none, some = own.one_edit(tiny, 0)
    assert (none["way"], none["matrices"], some["way"]) == ("none", 0, "some") and some["matrices"] > 0
    assert own.settings()["lora"]["some"]["rank"] == 1


def test_alternating_and_at_once_need_the_same_passes(editor, monkeypatch):
    monkeypatch.setattr(ideas, "AT", (1, 2))
    monkeypatch.setattr(ideas, "nearest", lambda image, before, after: (float(np.asarray(image).mean()) / 255, before))
    records = {r["way"]: r for r in ideas.walks(editor, PAGE, configs(ideas.ALDD_WAYS, K=2, B=1), (None, None))}
    assert list(records) == list(ideas.ALDD_WAYS)
    for record in records.values():
        assert (record["latents"], record["backwards"]) == (2 + 2 * 3, 2)  # K J updates, T = 3 down beside T down
        assert len(record["pages"]) == 2 and record["walk_page"] == pytest.approx(np.mean(record["pages"]))
    assert records["alternating"]["page"] != records["at once"]["page"]


def test_curves_are_the_means_over_handles(editor):
    result = editor.drag(PAGE, config=gd.DragConfig(**QUICK), keep=["maps"])
    curves = ideas.curves(result)
    maps = [op.maps for op in result.history]
    np.testing.assert_allclose(curves["distance"], [np.mean([float(m.min()) for m in op]) for op in maps], atol=1e-4)
    depth = [np.mean([float((m.mean() - m.min()) / m.std()) for m in op]) for op in maps]
    np.testing.assert_allclose(curves["depth"], depth, atol=1e-4)
    record = ideas.along_the_run(editor, PAGE, configs({"IP, J = 3": {}}), None)[0]
    assert record["late_spread"] == pytest.approx(record["spread"][1])


def test_chance_is_another_seed_and_equal_settings_are_nothing_apart(tiny, editor, monkeypatch):
    monkeypatch.setattr(differences, "STUDY", replace(differences.STUDY, lora=LORA))
    ways = {differences.RELEASED: {}, "grid = image": {"grid": "image"}}  # the grid of this small image is the image
    records = {r["way"]: r["apart"] for r in differences.measure(editor, PAGE, configs(ways), None)}
    assert records["released"] == records["grid = image"] == 0 < records[differences.CHANCE]
    assert differences.apart(Image.new("L", (4, 4)), Image.new("L", (4, 4), 10)) == pytest.approx(10)


def test_noise_of_nothing_changes_nothing_and_more_parts_hold_as_much(tiny, monkeypatch):
    small = {**latents.NOISE, "pages": [100, 1], "seeds": 1, "sigma": 0.0, "sigmas": [0.3], "steps": [2, 20]}
    monkeypatch.setattr(latents, "NOISE", small)
    rows = {(r["way"], r["sigma"], r["n"]): r for r in latents.noise(tiny, 100)}
    assert rows["spread", 0.0, 10]["psnr"] == rows["none", 0.0, 0]["psnr"] and rows["spread", 0.0, 2]["left"] == [0]
    assert rows["at once", 0.3, 10]["left"][0] > 0 and set(rows["none", 0.0, 0]) >= {"psnr", "ssim", "page"}


def test_a_notebook_is_executed_and_written_back(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")]), path)
    run.execute(path, "abc")
    assert nbformat.read(path, 4).cells[0].outputs[0].text == "42\n"


def test_the_embedded_models_preset_is_the_last_candidate():
    *others, chosen = (gd.DragConfig(**ways) for ways in edits.PRESET_STEPS.ways.values())
    assert chosen == gd.DragConfig.storybook() and chosen not in others


def test_bounds_that_need_no_model():
    other = replace(PAGE, points=[*PAGE.points, [[30, 12], [12, 50]]], name="two pairs")
    found = run.bounds([PAGE, other], radius=4)
    each = [dai(s.image, s.image, s.points, 5, "released") for s in (PAGE, other)]
    assert found["unedited"]["released"][1] == pytest.approx(np.mean(each))
    assert found["unedited"]["paper"][1] == pytest.approx((each[0] + 2 * each[1]) / 2)
    each = [dai(s.image, CopyPaste(4)(None, s), s.points, 20) for s in (PAGE, other)]
    assert found["copy-paste, radius 4"]["paper"][3] == pytest.approx(np.mean(each))
