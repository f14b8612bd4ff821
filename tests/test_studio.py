"""The studio: runs in a thread, the stop button, what is shown and kept. Real models at tiny sizes."""

import sys
import threading

import numpy as np
import pytest
from tiny import picture

import gooddrag as gd
from gooddrag.widgets.canvas import UPLOAD_LIMIT, jpeg
from gooddrag.widgets.runs import Request, Runner, Stopped, remaining

PAIR = [[20, 30], [40, 36]]
QUICK = gd.DragConfig(K=4, B=2, J=1, num_steps=10, stop_unmoved=None, lr=0.001)
LORA = gd.LoraConfig(rank=2, steps=2, batch_size=1)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def sample():
    return gd.Sample(picture(), [PAIR], name="a name", truth=picture(seed=1))


@pytest.fixture
def studio(tiny, sample):
    return gd.DragStudio(tiny, sample, config=QUICK, lora=LORA, longest=128)


def upload(studio, name, content, size=None):
    """What the browser sends when a file was chosen."""
    size = len(content) if size is None else size
    file = {"name": name, "type": "", "size": size, "content": memoryview(content), "last_modified": 0}
    studio.upload.set_state({"value": [file]})


def finished(studio):
    studio.run_button.click()
    assert studio.wait(120), studio.message
    return studio.runs[-1]


def done(runner, sample, config=QUICK, lora=LORA):
    runner.start(Request(sample, config, lora))
    assert runner.wait(120)
    return runner.runs[-1]


# the runner, without widgets


def test_a_run_in_the_thread_is_the_edit_of_the_editor(tiny, sample):
    run = done(Runner(tiny), sample)
    plain = gd.drag(tiny, sample, QUICK, lora=LORA)
    assert run.result.image.tobytes() == plain.image.tobytes()
    assert run.result.sample is sample and not run.stopped and run.number == 1


def test_lora_and_inversion_are_computed_once_per_image(tiny, sample):
    stages = []
    runner = Runner(tiny, lambda step: stages.append(step.stage))
    first = done(runner, sample)
    assert {"LoRA", "inversion", "drag", "denoising"} == set(stages)
    stages.clear()
    moved = gd.Sample(sample.image, [[[10, 10], [30, 12]]])  # other points, and a copy of the image
    done(runner, moved)
    assert {"drag", "denoising"} == set(stages)
    stages.clear()
    done(runner, moved, lora=None)
    assert "LoRA" not in stages and "inversion" in stages
    stages.clear()
    done(runner, gd.Sample(picture(seed=3), [PAIR]))
    assert {"LoRA", "inversion"} <= set(stages)
    assert done(runner, sample).result.image.tobytes() == first.result.image.tobytes()


def test_one_share_for_the_whole_run_that_never_falls_and_previews_of_the_images_size(tiny, sample):
    steps = []
    done(Runner(tiny, steps.append, every=2), sample)
    shares = [step.share for step in steps]
    assert shares == sorted(shares) and shares[0] < 0.1 and shares[-1] == pytest.approx(1)
    assert steps[-1].seconds_left == pytest.approx(0) and steps[len(steps) // 2].seconds_left > 0
    drags = [step for step in steps if step.stage == "drag"]
    assert [step.done for step in drags] == [1, 2, 3, 4] and {step.total for step in drags} == {4}
    assert [step.done for step in drags if step.preview] == [2, 4]
    assert drags[1].preview.size == (64, 64) and drags[1].handles.shape == (1, 2)


def test_stop_ends_within_one_update_and_keeps_what_there_is(tiny, sample):
    runner = Runner(tiny, lambda step: step.stage == "drag" and step.done == 2 and runner.stop())
    run = done(runner, sample)
    assert run.stopped and len(run.result.history) == 2 and run.result.metrics["updates"] == 2
    assert run.outcome() == (
        "Run 1: stopped after 2 of 4 operations; this is what had been dragged by then.",
        "warning",
    )
    assert not done(runner, sample, gd.DragConfig(K=1, B=1, J=1, num_steps=10)).stopped  # that was for the run before


@pytest.mark.parametrize("stage", ["LoRA", "inversion"])
def test_stop_before_dragging_leaves_the_model_and_the_cache_as_they_were(tiny, sample, stage, tmp_path):
    before = {name: value.clone() for name, value in tiny.unet.state_dict().items()}
    outcomes = []
    runner = Runner(tiny, lambda step: step.stage == stage and step.done == 1 and runner.stop(), outcomes.append)
    runner.start(Request(sample, QUICK, LORA))
    assert runner.wait(120) and not runner.runs
    assert isinstance(outcomes[0], Stopped) and stage in str(outcomes[0])
    after = tiny.unet.state_dict()
    assert after.keys() == before.keys() and all((after[name] == before[name]).all() for name in before)
    assert stage == "inversion" or not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_second_run_is_refused_here_and_in_another_runner_on_the_same_model(tiny, sample):
    go, started = threading.Event(), threading.Event()

    def hold(step):
        started.set()
        assert go.wait(60)

    runner = Runner(tiny, hold)
    runner.start(Request(sample, QUICK, LORA))
    try:
        assert started.wait(60) and runner.busy and not runner.wait(0.01)
        for other in (runner, Runner(tiny)):
            with pytest.raises(RuntimeError, match="run: one is going"):
                other.start(Request(sample, QUICK, LORA))
    finally:
        go.set()
    assert runner.wait(120) and len(runner.runs) == 1
    done(Runner(tiny), sample)


# the widget


def test_run_shows_its_result_whole_and_says_how_it_ended(studio, sample):
    assert studio.result is None and not studio.runs and "The edit will be here" in studio._outcome.caption.value
    run = finished(studio)
    assert studio.result is run.result and run.result.sample is sample
    assert 'value="0"' in studio._outcome.picture.value and "--at:0%" in studio._outcome.picture.value
    assert studio.message == run.outcome()[0] and studio.message.startswith("Run 1: 4 of 4 operations, ")
    assert "gooddrag-success" in studio.picker.notice.value
    assert studio.bar.value == 1 and studio.bar.bar_style == "success"
    assert not studio.run_button.disabled and studio.stop_button.disabled


def test_an_early_arrival_ends_full_and_says_so(studio):
    studio.knobs.values = studio.knobs.values | {"preset": "released", "K": 70}
    studio.picker.points = [[[20, 30], [22, 30]]]  # two pixels: soon there
    run = finished(studio)
    operations = len(run.result.history)
    assert operations < 70 and studio.bar.value == 1 and studio.bar.bar_style == "success"
    assert studio.message in (
        f"Run 1: arrived after {operations} of 70 operations.",
        "Nothing was dragged: every handle counts as arrived. Pull further.",
    ) or studio.message.startswith(f"Run 1: stuck after {operations} of 70")


def test_history_compares_two_runs_and_brings_one_back(studio):
    first = finished(studio)
    studio.knobs.K.value, studio.knobs.lora.value = 2, False
    studio.picker.points = [[[5, 5], [9, 20]]]
    second = finished(studio)
    assert second.request.config.K == 2 and second.request.lora is None and second.request.config.num_steps == 10
    studio._outcome.left.value, studio._outcome.right.value = 2, 1
    assert "run 2" in studio._outcome.picture.value and studio.result is first.result
    assert len(studio.history.children) == 2
    studio.history.children[1].children[1].click()  # "use again" of the older one
    assert studio.picker.points.tolist() == [PAIR] and studio.config == QUICK and studio.knobs.lora.value
    studio.picker.undo()
    assert studio.picker.points.tolist() == [[[5, 5], [9, 20]]]


def test_buttons_say_what_is_missing(studio):
    studio.save_button.click()
    assert studio.message == "There is no result yet. Press Run first."
    studio.picker.clear()
    studio.run_button.click()
    assert studio.message == "Pull an arrow on the picture first." and not studio.busy
    studio.picker.points = [PAIR]
    studio.knobs.K.value = 5000
    studio.run_button.click()
    assert studio.message.startswith("K: 5000") and "gooddrag-error" in studio.picker.notice.value
    with pytest.raises(ValueError, match="K: 5000"):
        studio.run()


def test_what_goes_wrong_in_the_thread_is_shown_in_red(studio):
    studio.knobs._given = gd.DragConfig(K=2, B=1, num_steps=10, feature_block=-4)  # the tiny U-Net has three
    studio.knobs.K.value = 2
    studio.run_button.click()
    assert studio.wait(120) and not studio.runs
    assert "feature_block" in studio.message and studio.bar.bar_style == "danger"


def test_continue_goes_on_from_the_result_with_what_is_left(studio):
    result = finished(studio).result
    studio.continue_button.click()
    assert studio.picker.image is result.image and (studio.picker.points == remaining(result)).all()
    assert len(studio.picker.points) and (studio.picker.points[:, 1] == result.sample.targets).all()
    studio.picker.undo()
    assert studio.picker.points.tolist() == [PAIR] and studio.picker.image.tobytes() == picture().tobytes()
    result.handles = np.array([[39.2, 36.0]])
    assert remaining(result).shape == (0, 2, 2)
    result.handles = np.array([[30.4, 33.0]])
    assert remaining(result).tolist() == [[[30, 33], [40, 36]]]


def test_reset_can_be_undone_and_goes_back_to_the_upload(studio, sample):
    studio.knobs.K.value, studio.knobs.keep.value = 9, True
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset_button.click()
    assert studio.picker.sample is sample and studio.config == QUICK and not studio.knobs.keep.value
    studio.picker.undo()
    assert studio.picker.points.tolist() == [[[1, 1], [9, 9]]]
    assert studio.config.K == 9 and studio.knobs.keep.value
    upload(studio, "x.jpg", jpeg(picture((48, 32), seed=5)))
    assert studio.picker.image.size == (48, 32) and studio.message == "" and studio.upload.value == ()
    assert studio.config == QUICK and not studio.knobs.keep.value
    upload(studio, "x.txt", b"abc")
    assert "is not an image" in studio.message and studio.picker.image.size == (48, 32)
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset_button.click()
    assert studio.picker.image.size == (48, 32) and not len(studio.picker.points)


def test_an_upload_above_the_limit_names_the_other_way(studio, monkeypatch):
    assert "up to 10 MB" in [getattr(w, "value", "") for row in studio.children for w in getattr(row, "children", ())]
    upload(studio, "x.png", b"", size=UPLOAD_LIMIT + 1)
    assert 'DragStudio(model, "file")' in studio.message and "gooddrag-error" in studio.picker.notice.value
    studio.picker.act()
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    press = {"key": "upload 23456789", "shift_key": False, "ctrl_key": False, "meta_key": False}
    studio.picker.canvas.widget._handle_custom_msg({"event": "key_down", **press}, [])  # how the page tells it
    assert studio.message.startswith("The file has 23.5 MB; ") and "Colab" in studio.message


def test_save_never_overwrites_and_download_hands_over_a_png(studio, tmp_path):
    finished(studio)
    studio.folder.value = str(tmp_path / "out")
    studio.save_button.click()
    assert studio.message == f"Saved to {tmp_path / 'out'}/."
    assert {"result.png", "metrics.json", "points.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    studio.save_button.click()
    assert studio.message == f"Saved to {tmp_path / 'out-2'}/; {tmp_path / 'out'} was there already."
    assert gd.Sample.open(tmp_path / "out-2").points.tolist() == [PAIR]
    studio.download_button.click()
    assert 'download="run 1.png"' in studio.link.value and "data:image/png;base64," in studio.link.value


def test_stop_button_answers_at_once(studio):
    studio._runner.every = 1
    seen, on_step = [], studio._runner.on_step

    def tell(step):
        on_step(step)
        if step.stage == "drag" and step.done == 2:
            assert studio.run_button.disabled and not studio.stop_button.disabled
            seen.extend([studio.stage.value, studio._outcome.caption.value])
            studio.stop_button.click()
            seen.append(studio.stage.value)

    studio._runner.on_step = tell
    run = finished(studio)
    assert seen[0].startswith("drag 2 of 4, ") and seen[1:] == ["Preview after 2 of 4 operations.", "stopping ..."]
    assert run.stopped and len(studio.result.history) == 2 and studio.message.startswith("Run 1: stopped after 2 of 4")


def test_a_preview_is_shown_while_an_arrow_is_pulled_and_only_then(studio):
    asked = []
    studio.preview = lambda image, points, mask: asked.append(points.tolist()) or image.rotate(180)
    before, g = studio._outcome.picture.value, studio.picker.gestures
    studio.picker.act(lambda: g.press(5, 5))
    studio.picker.act(lambda: g.pull(15, 5))
    assert asked == [[PAIR, [[5, 5], [15, 5]]]]
    assert "Preview: only warped pixels." == studio._outcome.caption.value and studio._outcome.picture.value != before
    studio.picker.act(lambda: g.release(15, 5))
    assert studio._outcome.picture.value == before and len(asked) == 1


def test_a_picture_that_is_no_page_gets_one_amber_line_with_the_embedded_model(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "preset", "storybook")
    studio = gd.DragStudio(tiny, picture((128, 96)))
    assert studio.message.startswith("This model knows picture books; for photographs use load_model")
    assert studio.message.endswith("Working at 85 x 64 pixels.") and "gooddrag-warning" in studio.picker.notice.value
    studio.set_image(picture((64, 64)))
    assert studio.message == ""


def test_the_knobs_begin_with_the_models_own_settings_or_those_given(tiny, studio, monkeypatch):
    monkeypatch.setattr(tiny, "preset", "storybook")
    knobs = gd.DragStudio(tiny, picture(), lora=None).knobs
    assert knobs.config == gd.DragConfig.storybook() and knobs.lora_config is None
    assert gd.DragStudio(tiny, picture(), config=gd.DragConfig(K=3)).config == gd.DragConfig(K=3)
    studio.knobs.preset.value = "paper"
    assert studio.config == gd.DragConfig.paper()
    studio.knobs.lam.value = 0.5
    assert studio.config == gd.DragConfig.paper(lam=0.5)
    studio.knobs.preset.value = "fast"
    assert studio.config == gd.DragConfig.fast() and studio.knobs.lora_config == LORA
    knobs.preset.value, knobs.lora.value = "fast", True
    assert knobs.lora_config == gd.LoraConfig.fast()
