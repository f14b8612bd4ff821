"""What the long profile of `test_fuzz` and `scripts/faults.py` found, one test each."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture

from gooddrag import datasets
from gooddrag.cli_asked import numbers
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.model import load_model
from gooddrag.picker.state import PickerState
from gooddrag.sample import Sample, check_mask

QUICK_LORA = LoraConfig(rank=2, steps=2, batch_size=1)
PAIR = [[3, 4], [30, 20]]


@pytest.fixture
def one(tmp_path):
    """A data set of one sample."""
    Sample(picture((40, 30)), [PAIR], np.ones((30, 40))).save(tmp_path / "set" / "one")
    return tmp_path / "set" / "one"


def test_nan_in_a_channel_of_a_mask():
    mask = np.ones((30, 40, 3))
    mask[2, 3, 1] = np.nan
    with pytest.raises(ValueError, match="^mask: NaN"):
        check_mask(mask, (40, 30))


@pytest.mark.parametrize("name", ["name", "category", "task"])
def test_a_name_that_is_no_text(one, name):
    about = json.loads((one / "sample.json").read_text())
    (one / "sample.json").write_text(json.dumps(about | {name: ["cat"]}))
    with pytest.raises(ValueError, match=f"^{name}: .*expected text"):
        Sample.open(one)
    assert f"{name}: " in datasets.folder(one.parent).report()[0].problem


def test_has_mask_that_is_no_bool(one):
    about = json.loads((one / "sample.json").read_text())
    (one / "sample.json").write_text(json.dumps(about | {"has_mask": "no"}))
    with pytest.raises(ValueError, match="^folder: .*has_mask"):
        Sample.open(one)


def test_the_report_takes_the_picture_that_open_takes(one):
    (one / "sample.json").unlink()
    (one / "original.json").write_text("{}")  # before original.png in the alphabet
    assert datasets.folder(one.parent).report()[0].problem == ""
    (one / "original.png").rename(one / "ORIGINAL.PNG")
    (one / "mask.png").rename(one / "Mask.PNG")
    assert datasets.drag100(one.parent).report()[0].problem == ""


def test_a_number_too_large_for_a_float_in_sde_dragbench(tmp_path):
    (tmp_path / "one").mkdir()
    for name in ("origin_image.png", "mask.png"):
        picture((40, 30)).save(tmp_path / "one" / name)
    (tmp_path / "one" / "prompt.json").write_text(json.dumps({"source": [[10**400, 4]], "target": [[30, 20]]}))
    assert "expected as many source as target points" in datasets.sde_dragbench(tmp_path).report()[0].problem


@pytest.mark.parametrize("value", [np.zeros((2, 2)), ["image"], None])
def test_a_choice_that_is_no_text(value):
    with pytest.raises(ValueError, match="(?s)^grid: .*expected one of 'latent4'"):
        DragConfig(grid=value)
    with pytest.raises(ValueError, match="(?s)^preset: .*expected one of released"):
        DragConfig.preset(value)


@pytest.mark.parametrize("ends", [({}, None), (10**400, 3), (None, None), ([1, 2, 3], [4, 5])])
def test_adding_what_is_no_pair(ends):
    state = PickerState((40, 30), [PAIR])
    with pytest.raises(ValueError, match="^points: .*expected"):
        state.add(*ends)
    with pytest.raises(ValueError, match="^points: .*expected"):
        state.move(0, 1, ends[0])
    assert state.points.tolist() == [PAIR] and not state.can_undo


def test_an_end_that_a_pair_has_not():
    with pytest.raises(ValueError, match="^end: 2; expected 0, the handle, or 1, the target"):
        PickerState((40, 30), [PAIR]).move(0, 2, [5, 6])


@pytest.mark.parametrize("text", ["0-99999999999", "5-2", "1,5-2", "9" * 30, "-3", "1,,2", "٣"])
def test_numbers_that_would_fill_the_memory_or_mean_nothing(text):
    with pytest.raises(ValueError, match="^only: .*expected whole numbers"):
        numbers(text, "only")


@pytest.mark.parametrize(
    "answers",
    [None, [None], [{"sample": "s", "ranks": {}}], [{"question": "quality", "sample": "s", "ranks": None}],
     [{"question": "quality", "sample": "s", "ranks": {"A": 1, "B": "2"}}]],
)  # fmt: skip
def test_answers_of_another_kind(tmp_path, answers):
    from gooddrag.userstudy.ballots import read_answers

    (tmp_path / "ann.json").write_text(json.dumps({"format_version": 1, "answers": answers}))
    with pytest.raises(ValueError, match="^file: .*expected what the study's widget saves"):
        read_answers(tmp_path / "ann.json")
    (tmp_path / "ann.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="^file: "):
        read_answers(tmp_path / "ann.json")


RATING = {"format_version": 1, "sample": "s", "methods": ["A"], "repeat": 0, "status": "rated", "scores": {"A": 7.0},
          "scale": [0.0, 10.0], "detail": "", "rater": "r", "prompt": "p", "model_version": "m", "when": "2026-01-01",
          "reply": "7", "raw": {}}  # fmt: skip


@pytest.mark.parametrize("changes", [{"sample": None}, {"repeat": "x"}, {"scores": {}}, {"scores": {"A": 10**400}},
                                     {"status": "fine"}, {"scale": [1]}, {"methods": [None]}])  # fmt: skip
def test_ratings_of_another_kind(tmp_path, changes):
    from gooddrag.gscore.rating import read_ratings

    (tmp_path / "1.json").write_text(json.dumps(RATING))
    (tmp_path / ".2-of-a-killed-process.json").write_text("{")
    assert len(read_ratings(tmp_path)) == 1
    (tmp_path / "2.json").write_text(json.dumps(RATING | changes))
    with pytest.raises(ValueError, match="^folder: 2.json cannot be read .*expected a kept rating"):
        read_ratings(tmp_path)


@pytest.fixture
def finished(tmp_path, tiny):
    """A results folder of one edit, and its record's file."""
    benchmark = pytest.importorskip("gooddrag.benchmark")
    from quick import METHODS

    sample = Sample(picture((40, 30)), [PAIR], None, picture((40, 30), 1), "a")
    benchmark.run(tmp_path, [sample], {"Unedited": METHODS["Unedited"]}, model=tiny, progress=False)
    (file,) = tmp_path.glob("results/*/*/*/metrics.json")
    return tmp_path, file


@pytest.mark.parametrize("changes", [{"state": None}, {"state": "odd"}, {"scores": 3}, {"tracked": {"updates": "x"}},
                                     {"pairs": None}, {"cost": {"edit_seconds": [1]}}, "["])  # fmt: skip
def test_records_of_another_kind_are_missing(finished, changes):
    from gooddrag import benchmark

    folder, file = finished
    record = json.loads(file.read_text())
    file.write_text("[" * 100_000 if changes == "[" else json.dumps(record | changes))
    assert benchmark.load(folder)["state"].tolist() == ["missing"]
    file.write_text(json.dumps(record))
    assert benchmark.load(folder)["state"].tolist() == ["done"]


def test_records_of_another_version_are_refused_and_stay(finished):
    from gooddrag import benchmark

    folder, file = finished
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 2}))
    with pytest.raises(ValueError, match="^folder: .*format_version 2; expected 1"):
        benchmark.load(folder)
    assert json.loads(file.read_text())["format_version"] == 2


def test_tables_of_another_kind(finished, tmp_path):
    from gooddrag import benchmark

    benchmark.save(benchmark.load(finished[0]), tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_text()
    for spoilt in (
        text.replace(",done,", ",dine,"),
        text.replace("a,,,1,", "a,,,one,"),
        text.replace("a,,,1,", "a,,,,"),
    ):
        assert spoilt != text
        (tmp_path / "spoilt.csv").write_text(spoilt)
        with pytest.raises(ValueError, match="^file: .*cannot be read .*expected a table of `gooddrag bench`"):
            benchmark.read(tmp_path / "spoilt.csv")


# NaN and infinity say where they are


@pytest.fixture
def own(tiny_folder):
    """A model to spoil."""
    return load_model(tiny_folder, device="cpu")


def spoil(module, after, value=torch.nan):
    """From its call number `after` on a module gives NaN somewhere."""
    calls = []

    def hook(_module, _args, output):
        calls.append(None)
        if len(calls) > after:
            output = output.clone()
            output[0, 0, 0, 0] = value
        return output

    return module.register_forward_hook(hook)


EDIT = DragConfig(num_steps=4, K=2, B=1, J=2, stop_unmoved=None)  # T = 3: two levels dragged
FP16 = "half precision overflows so: try dtype=torch.float32"


@pytest.mark.parametrize(
    "calls, said",
    [
        (0, r"inversion: nan in z_t at t = 1 \(time step \d+\)"),
        (2, r"inversion: nan in z_t at t = 3 \(time step \d+\)"),
        (3, r"reference: nan in eps at t = 3 \(time step \d+\)"),
        (4, r"drag: nan in eps at t = 3 \(time step \d+\), drag operation 0, update 0"),
        (5, r"drag: nan in eps at t = 3 \(time step \d+\), drag operation 0, update 1"),
        (9, r"drag: nan in eps at t = 2 \(time step \d+\), drag operation 1, update 1"),
    ],
)
def test_nan_is_named_where_it_appears(own, calls, said):
    editor = DragEditor(own).set_image(picture())
    with spoil(own.unet.conv_out, calls), pytest.raises(FloatingPointError) as error:
        editor.drag([[[20, 20], [40, 35]]], None, EDIT)
    assert re.match(said, str(error.value)) and FP16 in str(error.value)


def test_features_that_no_patch_sees(own):
    """Of the features the loss looks at patches only: an infinity far from every handle would go on unseen."""
    editor = DragEditor(own).set_image(picture())
    with spoil(own.unet.up_blocks[-2], 4, torch.inf), pytest.raises(FloatingPointError, match="^drag: inf in features"):
        editor.drag([[[50, 50], [40, 35]]], None, EDIT)


def test_the_picture_and_the_lora(own, tmp_path, monkeypatch):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path))
    with (
        spoil(own.unet.conv_out, 1),
        pytest.raises(FloatingPointError, match="^LoRA: nan in loss at step 2 of 2; half"),
    ):
        DragEditor(own, QUICK_LORA).set_image(picture())
    assert not list(tmp_path.rglob("*.safetensors"))
    with torch.no_grad():
        next(own.vae.encoder.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="^encode: nan in z_0 at t = 0; half"):
        DragEditor(own).set_image(picture())


def test_image_of_no_pixels():
    with pytest.raises(ValueError, match="^image: 0 x 5 px; expected at least 16 px"):
        Sample(Image.new("RGB", (0, 5)), [PAIR])
