"""Kept results and paired comparisons."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import gooddrag as gd
from experiments.keep import kept, latest, paired


@pytest.fixture(scope="module")
def model():
    return gd.load_model("storybook", device="cpu")


def test_kept_computes_once_and_again_when_asked_or_when_settings_change(tmp_path, model):
    calls = []

    def compute():
        calls.append(1)
        return {"x": (1, 2.5)}

    file = tmp_path / "figure.json"
    first = kept(file, model, {"n": (1, 2)}, compute)
    assert first["data"] == {"x": [1, 2.5]} and first["weights"] == model.fingerprint
    assert re.fullmatch(r"\w+, \d+ threads, torch \S+", first["machine"])
    assert kept(file, model, {"n": (1, 2)}, compute) == first and len(calls) == 1
    kept(file, model, {"n": (1, 3)}, compute)
    kept(file, model, {"n": (1, 3)}, compute, recompute=True)
    assert len(calls) == 3


def test_another_model_keeps_its_own_file(tmp_path, model):
    file = tmp_path / "figure.json"
    kept(file, model, {}, lambda: 1)
    record = json.loads(file.read_text()) | {"model": "other", "data": 2}
    file.write_text(json.dumps(record))
    assert kept(file, model, {}, lambda: 3)["data"] == 3
    assert json.loads(file.read_text())["data"] == 2
    assert json.loads((tmp_path / "figure-storybook.json").read_text())["data"] == 3


def test_latest_reads_and_computes_nothing(tmp_path, model):
    file = tmp_path / "figure.json"
    with pytest.raises(ValueError, match="figure.json is not there"):
        latest(file, model)
    record = kept(file, model, {}, lambda: 1)
    assert latest(file, model) == record
    file.write_text(json.dumps(record | {"model": "other", "data": 2}))
    assert latest(file, model)["data"] == 2  # what ships, for want of this model's own
    kept(file, model, {}, lambda: 3)
    assert latest(file, model)["data"] == 3


def test_other_weights_are_warned_about(tmp_path, model):
    file = tmp_path / "figure.json"
    record = kept(file, model, {}, lambda: 1)
    file.write_text(json.dumps(record | {"weights": "0"}))
    with pytest.warns(UserWarning, match="other weights"):
        assert kept(file, model, {}, lambda: 2)["data"] == 1
    with pytest.warns(UserWarning, match="other weights"):
        assert latest(file, model)["data"] == 1


def test_a_failed_computation_leaves_no_file(tmp_path, model):
    with pytest.raises(ZeroDivisionError):
        kept(tmp_path / "figure.json", model, {}, lambda: 1 / 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"model": 1}', "7"])
def test_a_file_of_another_kind_is_refused(tmp_path, model, text):
    (tmp_path / "figure.json").write_text(text)
    with pytest.raises(ValueError, match="kept results"):
        kept(tmp_path / "figure.json", model, {}, lambda: 1)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_paired_against_its_definition(pairs):
    a, b = map(np.array, zip(*pairs, strict=True))
    result = paired(a, b)
    assert result.wins == sum(x < y for x, y in pairs)
    assert result.share == pytest.approx(np.mean([0.5 if x == y else float(x < y) for x, y in pairs]))
    assert 0 <= result.low <= result.share <= result.high <= 1
    assert paired(b, a).share == pytest.approx(1 - result.share)


def test_the_interval_is_wilsons():
    a, b = np.arange(20.0), np.r_[np.arange(15.0) + 1, np.arange(15.0, 20) - 1]
    expected = stats.binomtest(15, 20).proportion_ci(method="wilson")
    result = paired(a, b)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert "15 of 20" in str(result)


@pytest.mark.parametrize("a, b", [([], []), ([1], [1, 2]), ([float("nan")], [1])])
def test_paired_refuses(a, b):
    with pytest.raises(ValueError, match="first, second"):
        paired(a, b)
