"""What an edit gives back, checked against numpy by hand, and its files read back."""

import json
import os
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tiny import floats, mask_of, picture

from gooddrag import __version__
from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.sample import Sample

SIZE = (60, 45)
POINTS = [[[20, 20], [40, 30]], [[50, 5], [50, 40]]]
MASK = mask_of(SIZE, (10, 4, 58, 42))
CONFIG = DragConfig(num_steps=4, K=3, B=1, J=2, stop_unmoved=None, lr=0.1)


@pytest.fixture(scope="module")
def result(tiny):
    sample = Sample(picture(SIZE), POINTS, MASK, picture(SIZE, seed=1), "name", "category", "task")
    return DragEditor(tiny).set_image(sample.image).drag(sample, config=CONFIG, keep=("maps", "latents"))


def test_history_is_one_entry_per_drag_operation(result):
    assert [(op.k, op.t, len(op.losses)) for op in result.history] == [(1, 3, 2), (2, 2, 2), (3, 1, 2)]  # J = 2
    for op in result.history:
        assert len(op.maps) == 2 and op.latent.shape == op.z0_hat.shape == result.latent.shape
        for m, distance, spread in zip(op.maps, op.distances, op.spreads, strict=True):
            assert distance == pytest.approx(m.numpy().min())
            assert spread == pytest.approx(m.numpy().std(ddof=1), rel=1e-5)
    assert len({op.latent.sum().item() for op in result.history}) == 3  # copies, not one tensor
    path = [result.sample.handles, *(op.handles for op in result.history)]
    assert np.array_equal(result.path, path) and np.array_equal(result.handles, path[-1])


def test_metrics_by_hand(result):
    m = result.metrics
    assert (m["model"], m["size"], m["drag_operations"], m["updates"]) == ("tiny", [60, 45], 3, 6)
    assert m["distance_asked_px"] == [22.36, 35.0]
    left = np.sqrt(((np.array(POINTS)[:, 1] - result.handles) ** 2).sum(axis=1))
    assert m["distance_left_px"] == pytest.approx(left, abs=0.005)
    before, after = map(floats, (result.sample.image, result.image))
    assert m["damage_outside_mask"] == pytest.approx(np.mean((after - before)[~MASK] ** 2), rel=1e-12)
    assert replace(result, image=result.sample.image).metrics["truth_error_ratio"] == 1
    same = replace(result.sample, truth=result.sample.image)
    assert replace(result, sample=same).metrics["truth_error_ratio"] is None  # nothing was to be done


def test_metrics_without_mask_and_truth(result):
    bare = replace(result, sample=Sample(result.sample.image, POINTS)).metrics
    assert "damage_outside_mask" not in bare and "truth_error_inside_mask" not in bare
    whole = replace(result, sample=replace(result.sample, mask=None))
    error = np.mean((floats(result.image) - floats(result.sample.truth)) ** 2)
    assert whole.metrics["truth_error_inside_mask"] == pytest.approx(error)


def test_frames_are_the_way_there_with_handles_red_and_targets_blue(result):
    history = [*result.history, *(replace(result.history[-1], k=k) for k in (4, 5))]
    frames = replace(result, history=history).frames()
    assert len(frames) == 1 + 3 + 1 and {f.size for f in frames} == {SIZE}  # before, 1, 4, 5, and the result
    assert len({f.tobytes() for f in result.frames()}) == 4
    large = picture((3000, 1500))
    large = replace(result, sample=Sample(large, result.sample.points), image=large)
    assert {f.size for f in large.frames()} == {(1024, 512)} and large.overview().size == (384 + 8 + 384, 192)
    for frame, handles in ((frames[0], result.sample.handles), (frames[1], result.history[0].handles)):
        assert all(frame.getpixel(tuple(at)) == (40, 90, 235) for at in result.sample.targets.astype(int).tolist())
        assert all(frame.getpixel(tuple(at)) == (230, 40, 40) for at in handles.round().astype(int).tolist())


def test_save_and_read_back(result, tmp_path):
    folder = tmp_path / "new" / "edit"
    assert result.save(str(folder)) == folder
    assert os.listdir(folder.parent) == ["edit"]
    sample = Sample.open(folder)
    assert np.array_equal(sample.points, result.sample.points) and np.array_equal(sample.mask, result.sample.mask)
    assert sample.truth.tobytes() == result.sample.truth.tobytes() and sample.task == "task"
    with Image.open(folder / "result.png") as image:
        assert image.size == SIZE and image.tobytes() == result.image.tobytes()
    with Image.open(folder / "trajectory.webp") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0 and gif.size == SIZE  # the last guess is the result
    report = json.loads((folder / "metrics.json").read_text())
    assert report.pop("gooddrag") == __version__
    assert DragConfig(**report.pop("config")) == CONFIG
    assert report.pop("handles") == result.handles.tolist()
    assert report == result.metrics
    replace(result, sample=Sample(result.sample.image, POINTS), history=[]).save(folder)  # over the earlier edit
    assert Sample.open(folder).mask is None and Sample.open(folder).truth is None
    assert Image.open(folder / "trajectory.webp").n_frames == 2


def test_failed_save_leaves_nothing(result, tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.Image.Image.save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        result.save(tmp_path / "edit")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="^folder: .* cannot be written"):
        result.save(tmp_path / "file")


def test_overview_has_the_edit_the_result_and_the_truth(result):
    assert result.overview(120).size == (3 * 128 - 8, 90)
    shown = np.asarray(result.overview(60))
    assert np.array_equal(shown[:, 136:], np.asarray(result.sample.truth))
    with Image.open(BytesIO(result._repr_png_())) as image:  # what a notebook shows
        assert image.size == result.overview().size
