"""The studio: runs in a thread, the stop button, what is shown and kept. Real models at tiny sizes."""

import pytest
from tiny import LORA, picture

import gooddrag as gd
from gooddrag.widgets import studio as module
from gooddrag.widgets.canvas import encoded
from gooddrag.widgets.knobs import Knobs

PAIR = [[20, 30], [40, 36]]
QUICK = gd.DragConfig(K=4, B=2, J=1, num_steps=10, stop_unmoved=None, lr=0.001)
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def sample():
    return gd.Sample(picture(), [PAIR], name="a name", truth=picture(seed=1))


@pytest.fixture
def studio(tiny, sample):
    return gd.DragStudio(tiny, sample, config=QUICK, lora=LORA, longest=128)


def upload(studio, content):
    """What the browser sends when a file was chosen."""
    file = {"name": "x", "type": "", "size": len(content), "content": memoryview(content), "last_modified": 0}
    studio.upload.set_state({"value": [file]})


def finished(studio):
    studio.run_button.click()
    assert studio.wait(120) and studio.runs, studio.picker.message
    return studio.runs[-1]


def watched(studio, hook=lambda stage, done: None):
    """A list that gets every step from now on, (stage, done, total) with a look at the result or without; `hook` is
    called before a step is shown."""
    tell, steps = studio._tell, []

    def told(*step):
        steps.append(step)
        hook(*step[:2])
        tell(*step)

    studio._tell = told
    return steps


def test_a_run_is_the_edit_of_the_editor_and_computes_lora_and_inversion_once_per_image(tiny, sample, studio):
    def stages():
        steps.clear()
        finished(studio)
        return {step[0] for step in steps}

    steps = watched(studio)
    assert stages() == {"start", "LoRA", "inversion", "drag"}
    result = studio.result
    assert result.image.tobytes() == gd.drag(tiny, sample, QUICK, lora=LORA).image.tobytes()
    assert result.sample is sample and studio.shown.number == 1
    studio.picker.points = [[[10, 10], [30, 12]]]
    assert stages() == {"start", "drag"}
    studio.knobs.values = {"lora": False}
    assert stages() == {"start", "inversion", "drag"}
    studio.set_image(gd.Sample(picture(seed=3), [PAIR]))
    studio.knobs.values = {"lora": True}
    assert stages() == {"start", "LoRA", "inversion", "drag"}


def test_every_step_is_told_and_looks_have_the_images_size(studio, monkeypatch):
    monkeypatch.setattr(module, "PREVIEW_EVERY", 2)
    steps = watched(studio)
    finished(studio)
    for stage, first, total in (("LoRA", 0, LORA.steps), ("inversion", 0, QUICK.T), ("drag", 1, QUICK.K + QUICK.T)):
        told = [step[1:3] for step in steps if step[0] == stage]
        assert told == [(done, total) for done in range(first, total + 1)]
    assert [step[3].size for step in steps if step[3:] and step[3]] == [(64, 64)] * 2


def test_stop_ends_within_one_update_and_every_end_has_its_sentence(studio, sample, monkeypatch):
    def hook(stage, done):
        if (stage, done) == ("drag", 3):
            seen.extend([studio.run_button.disabled, studio.stage.value, studio.caption.value])
            studio.stop_button.click()
            seen.append(studio.stage.value)

    monkeypatch.setattr(module, "PREVIEW_EVERY", 1)
    seen, _ = [], watched(studio, hook)
    run = finished(studio)
    assert seen == [True, "drag 2 of 12", "Preview after 2 of 12 steps.", "stopping ..."]
    result = run.result
    assert len(result.history) == result.metrics["updates"] == 2 and studio.picker.message == run.outcome()[0]
    for asked, left, says in (
        (70, 0.5, ("Run 1: arrived after 2 of 70 operations.", "success")),
        (70, 9.0, ("Run 1: ended after 2 of 70 operations, 9 px from the target.", "warning")),
        (2, 9.0, ("Run 1: 2 of 2 operations, 9 px from the target.", "success")),
    ):
        result.config, result.handles = gd.DragConfig(K=asked), sample.targets - [left, 0]
        assert run.outcome() == says
    result.history = []
    assert run.outcome() == ("Nothing was dragged: every handle counts as arrived. Pull further.", "warning")
    studio.knobs.values = {"K": 2}
    assert finished(studio).outcome()[0].startswith("Run 2: 2 of 2 operations")  # the stop was of the run before


@pytest.mark.parametrize("stage", ["LoRA", "inversion"])
def test_stop_before_dragging_leaves_the_model_and_the_cache_as_they_were(tiny, studio, stage, cache):
    before = {name: value.clone() for name, value in tiny.unet.state_dict().items()}
    watched(studio, lambda *step: step == (stage, 1) and studio.stop())
    studio.run()
    assert studio.wait(120) and not studio.runs and not studio.run_button.disabled
    assert studio.picker.message.startswith(f"Stopped during the {stage}")
    assert "gooddrag-warning" in studio.picker.notice.value
    after = tiny.unet.state_dict()
    assert after.keys() == before.keys() and all((after[name] == before[name]).all() for name in before)
    assert stage == "inversion" or not list(cache.rglob("*.safetensors"))


def test_run_shows_its_result_whole_and_says_how_it_ended(studio, sample):
    assert studio.result is None and not studio.runs and "The edit will be here" in studio.caption.value
    run = finished(studio)
    assert studio.result is run.result and studio.runs == [run] and run.result.sample is sample
    assert 'value="0"' in studio.picture.value and "--at:0%" in studio.picture.value
    assert studio.picker.message == run.outcome()[0] and studio.picker.message.startswith("Run 1: 4 of 4 operations, ")
    assert "gooddrag-success" in studio.picker.notice.value
    assert not studio.run_button.disabled and studio.stop_button.disabled


def test_a_row_of_the_history_brings_its_run_back(studio):
    first = finished(studio)
    studio.knobs.values = {"K": 2, "lora": False}
    studio.picker.points = [[[5, 5], [9, 20]]]
    second = finished(studio)
    assert second.result.config.K == 2 and not second.knobs["lora"] and second.result.config.num_steps == 10
    assert studio.result is second.result and "K 2, J 1" in studio.history.children[0].children[1].value
    studio.history.children[1].children[0].click()  # "use again" of the older one
    assert studio.result is first.result and "run 1" in studio.picture.value
    assert studio.picker.points.tolist() == [PAIR] and studio.knobs.config == QUICK and studio.knobs.lora_config
    studio.picker.undo()
    assert studio.picker.points.tolist() == [[[5, 5], [9, 20]]]


def test_buttons_say_what_is_missing(studio):
    studio.save_button.click()
    assert studio.picker.message == "There is no result yet. Press Run first."
    studio.picker.points = None
    studio.run_button.click()
    assert studio.picker.message == "Pull an arrow on the picture first." and not studio.busy
    studio.picker.points = [PAIR]
    studio.knobs.knob["K"].value = 5000
    studio.run_button.click()
    assert studio.picker.message.startswith("K: 5000") and "gooddrag-error" in studio.picker.notice.value


def test_what_goes_wrong_in_the_thread_is_red(tiny, sample):
    wrong = gd.DragConfig(K=2, B=1, num_steps=10, feature_block=-4)  # the tiny U-Net has three
    studio = gd.DragStudio(tiny, sample, config=wrong, lora=None)
    studio.run()
    assert studio.wait(120) and not studio.runs and not studio.run_button.disabled
    assert studio.picker.message.startswith("feature_block: -4") and "gooddrag-error" in studio.picker.notice.value


def test_reset_can_be_undone_and_goes_back_to_the_upload(studio, sample):
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset_button.click()
    assert studio.picker.sample is sample and studio.picker.state.past[-1].points == (1, 1, 9, 9)
    upload(studio, encoded(picture((48, 32), seed=5)))
    assert studio.picker.image.size == (48, 32) and studio.picker.message == "" and studio.upload.value == ()
    upload(studio, b"abc")
    assert "is not an image" in studio.picker.message and studio.picker.image.size == (48, 32)
    studio.reset()
    assert studio.picker.image.size == (48, 32) and not len(studio.picker.points)


def test_save_never_overwrites_and_download_hands_over_a_png(studio, tmp_path):
    finished(studio)
    studio.folder.value = str(tmp_path / "out")
    studio.save_button.click()
    assert studio.picker.message == f"Saved to {tmp_path / 'out'}."
    assert {"result.png", "metrics.json", "points.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert gd.Sample.open(tmp_path / "out").points.tolist() == [PAIR]
    studio.save_button.click()
    assert studio.picker.message == f"folder: {tmp_path / 'out'}; expected a new or an empty one"
    studio.download_button.click()
    assert 'download="run 1.png"' in studio.link.value and "data:image/png;base64," in studio.link.value


def test_a_preview_is_shown_while_an_arrow_is_pulled_and_only_then(studio, monkeypatch):
    asked = []

    def rotated(image, points, mask):
        asked.append(points.tolist())
        return image.rotate(180)

    monkeypatch.setattr("gooddrag.widgets.studio.preview", rotated)
    before, g = studio.picture.value, studio.picker.state
    studio.picker.act(lambda: g.press(5, 5))
    studio.picker.act(lambda: g.pull(15, 5))
    assert asked == [[PAIR, [[5, 5], [15, 5]]]]
    assert "Preview: only warped pixels." == studio.caption.value and studio.picture.value != before
    studio.picker.act(lambda: g.release(15, 5))
    assert studio.picture.value == before and len(asked) == 1


def test_a_picture_that_is_no_page_gets_one_amber_line_with_the_embedded_model(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "preset", "storybook")
    studio = gd.DragStudio(tiny, picture((128, 96)))
    assert studio.picker.message.startswith("This model knows picture books; for photographs use load_model")
    assert "warning" in studio.picker.notice.value
    studio.set_image(picture((64, 64)))
    assert studio.picker.message == ""


def test_the_knobs_begin_with_the_models_own_settings_or_those_given(tiny):
    knobs = Knobs(None, "storybook", lora=None)
    assert knobs.config == gd.DragConfig.storybook() and knobs.lora_config is None
    knobs.values = {"preset": "fast", "lora": True}
    assert knobs.config == gd.DragConfig.fast() and knobs.lora_config == gd.LoraConfig.preset("fast")
    assert Knobs(gd.DragConfig(K=3), "storybook", lora=True).lora_config == gd.LoraConfig()
    knobs = Knobs(gd.DragConfig(K=3), "released", lora=LORA)
    assert knobs.config == gd.DragConfig(K=3) and knobs.lora_config == LORA
    knobs.values = {"preset": "paper", "lam": 0.5, "mask_mode": "replace"}
    assert knobs.config == gd.DragConfig.paper(lam=0.5, mask_mode="replace") and knobs.lora_config == LORA
