"""The studio: runs in a thread, the stop button, what is shown and kept. Real models at tiny sizes."""

import sys
from io import BytesIO

import pytest
from tiny import LORA, picture

import gooddrag as gd
from gooddrag.lora import unet_lock
from gooddrag.widgets.canvas import encoded
from gooddrag.widgets.knobs import Knobs
from gooddrag.widgets.runs import Run, Runner, Stopped

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
    assert studio.wait(120), studio.picker.message
    return studio.runs[-1]


class Plain(Runner):
    """A runner that keeps what it is told; `hook` gets each step too."""

    def __init__(self, model, hook=lambda step: None):
        super().__init__(model, lambda *step: (self.steps.append(step), hook(step)), lambda end: self.ends.append(end))
        self.steps, self.ends = [], []

    def done(self, sample, config=QUICK, lora=LORA):
        """The run, and which stages it went through."""
        self.steps.clear()
        self.start(Run(sample, config, lora))
        assert self.wait(120)
        return self.ends[-1], {step[0] for step in self.steps}


def test_a_run_is_the_edit_of_the_editor_and_computes_lora_and_inversion_once_per_image(tiny, sample):
    runner = Plain(tiny)
    run, stages = runner.done(sample)
    plain = gd.drag(tiny, sample, QUICK, lora=LORA)
    assert stages == {"LoRA", "inversion", "drag", "denoising"}
    assert run.result.image.tobytes() == plain.image.tobytes() and run.result.sample is sample and run.number == 1
    moved = gd.Sample(sample.image, [[[10, 10], [30, 12]]])  # other points, and a copy of the image
    assert runner.done(moved)[1] == {"drag", "denoising"}
    assert runner.done(moved, lora=None)[1] == {"inversion", "drag", "denoising"}
    assert {"LoRA", "inversion"} <= runner.done(gd.Sample(picture(seed=3), [PAIR]))[1]


def test_a_run_waits_for_another_one_on_its_model_and_can_be_stopped_meanwhile(tiny, sample):
    runner = Plain(tiny, lambda step: runner.stop())
    with unet_lock(tiny.unet):
        end, stages = runner.done(sample)
    assert isinstance(end, Stopped) and "another run" in str(end) and stages == {"waiting for another run:"}
    assert Plain(tiny).done(sample)[0].result is not None


def test_one_share_for_the_whole_run_that_never_falls_and_previews_of_the_images_size(tiny, sample):
    runner = Plain(tiny)
    runner.every = 2
    for low, high in ((0, 0.1), (0.3, 0.5)):  # the second run begins with the drag
        runner.done(sample)
        shares, left = ([step[i] for step in runner.steps] for i in (3, 4))
        assert shares == sorted(shares) and low <= shares[0] < high and shares[-1] == pytest.approx(1)
        assert left[-1] == pytest.approx(0) and left[len(left) // 2] > 0
    drags = [(*step[1:3], step[5] and step[5].size) for step in runner.steps if step[0] == "drag"]
    assert drags == [(1, 4, None), (2, 4, (64, 64)), (3, 4, None), (4, 4, (64, 64))]


def test_stop_ends_within_one_update_and_every_end_has_its_sentence(tiny, sample):
    runner = Plain(tiny, lambda step: step[:2] == ("drag", 2) and runner.stop())
    run, _ = runner.done(sample)
    assert run.stopped and len(run.result.history) == 2 and run.result.metrics["updates"] == 2
    stopped = "Run 1: stopped after 2 of 4 operations; this is what had been dragged by then."
    assert run.outcome() == (stopped, "warning")
    run.stopped, result = False, run.result  # what else might have happened
    for asked, left, says in (
        (70, 0.5, ("Run 1: arrived after 2 of 70 operations.", "success")),
        (70, 9.0, ("Run 1: stuck after 2 of 70 operations, 9 px from the target.", "warning")),
        (2, 9.0, ("Run 1: 2 of 2 operations, 9 px from the target.", "success")),
    ):
        run.config, result.handles = gd.DragConfig(K=asked), sample.targets - [left, 0]
        assert run.outcome() == says
    result.history = []
    assert run.outcome() == ("Nothing was dragged: every handle counts as arrived. Pull further.", "warning")
    assert not runner.done(sample, gd.DragConfig(K=1, B=1, J=1, num_steps=10))[0].stopped  # that was the run before


@pytest.mark.parametrize("stage", ["LoRA", "inversion"])
def test_stop_before_dragging_leaves_the_model_and_the_cache_as_they_were(tiny, sample, stage, tmp_path):
    before = {name: value.clone() for name, value in tiny.unet.state_dict().items()}
    runner = Plain(tiny, lambda step: step[:2] == (stage, 1) and runner.stop())
    outcome, _ = runner.done(sample)
    assert isinstance(outcome, Stopped) and stage in str(outcome) and not runner.runs
    after = tiny.unet.state_dict()
    assert after.keys() == before.keys() and all((after[name] == before[name]).all() for name in before)
    assert stage == "inversion" or not list((tmp_path / "cache").rglob("*.safetensors"))


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
    assert second.config.K == 2 and second.lora is None and second.config.num_steps == 10
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


def test_what_goes_wrong_in_the_thread_is_red_and_a_stop_before_the_drag_is_amber(tiny, sample, studio):
    wrong = gd.DragConfig(K=2, B=1, num_steps=10, feature_block=-4)  # the tiny U-Net has three
    red, on_step = gd.DragStudio(tiny, sample, config=wrong, lora=None), studio.on_step
    studio.on_step = lambda *step: (on_step(*step), studio.stop_button.click())
    for each, style, kind, says in (
        (red, "danger", "error", "IndexError: index -4 is out of range"),
        (studio, "warning", "warning", "Stopped during the LoRA"),
    ):
        each.run_button.click()
        assert each.wait(120) and not each.runs and each.bar.bar_style == style
        assert each.picker.message.startswith(says) and f"gooddrag-{kind}" in each.picker.notice.value


def test_reset_can_be_undone_and_goes_back_to_the_upload(studio, sample):
    studio.knobs.values = {"K": 9, "keep": True}
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset_button.click()
    assert studio.picker.sample is sample
    studio.picker.undo()
    assert studio.picker.points.tolist() == [[[1, 1], [9, 9]]] and studio.knobs.config.K == 9
    upload(studio, encoded(picture((48, 32), seed=5)))
    assert studio.picker.image.size == (48, 32) and studio.picker.message == "" and studio.upload.value == ()
    assert studio.knobs.config == QUICK and not studio.knobs.values["keep"]
    upload(studio, b"abc")
    assert "is not an image" in studio.picker.message and studio.picker.image.size == (48, 32)
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset()
    assert studio.picker.image.size == (48, 32) and not len(studio.picker.points)
    assert "<circle" not in studio.picker.canvas.marks.value  # it is painted, whoever asked


def test_an_upload_above_the_limit_names_the_other_way(studio, monkeypatch):
    assert "up to 10 MB" in [getattr(w, "value", "") for row in studio.children for w in getattr(row, "children", ())]
    press = {"shift_key": False, "ctrl_key": False, "meta_key": False, "key": "upload 23456789"}
    for way in ("Save it beside the notebook", "Put it there in Colab's Files panel"):
        studio.picker.canvas.layers._handle_custom_msg({"event": "key_down", **press}, [])
        assert studio.picker.message.startswith("The file has 23.5 MB; a notebook can upload 10 MB. " + way)
        assert 'DragStudio(model, "file")' in studio.picker.message and "gooddrag-error" in studio.picker.notice.value
        monkeypatch.setitem(sys.modules, "google.colab", sys)


def test_save_never_overwrites_and_download_hands_over_a_png(studio, tmp_path):
    finished(studio)
    studio.folder.value = str(tmp_path / "out")
    studio.save_button.click()
    assert studio.picker.message == f"Saved to {tmp_path / 'out'}/."
    assert {"result.png", "metrics.json", "points.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    studio.save_button.click()
    assert studio.picker.message == f"Saved to {tmp_path / 'out-2'}/."
    assert gd.Sample.open(tmp_path / "out-2").points.tolist() == [PAIR]
    studio.download_button.click()
    assert 'download="run 1.png"' in studio.link.value and "data:image/png;base64," in studio.link.value


def test_the_stop_button_answers_at_once(studio):
    studio.every, seen, on_step = 1, [], studio.on_step

    def tell(*step):
        on_step(*step)
        if step[:2] == ("drag", 2):
            seen.extend([studio.run_button.disabled, studio.stage.value, studio.caption.value])
            studio.stop_button.click()
            seen.append(studio.stage.value)

    studio.on_step = tell
    run = finished(studio)
    assert seen[0] and seen[1].startswith("drag 2 of 4, ")
    assert seen[2:] == ["Preview after 2 of 4 operations.", "stopping ..."]
    assert run.stopped and studio.picker.message == run.outcome()[0]


def test_a_preview_is_shown_while_an_arrow_is_pulled_and_only_then(studio):
    asked = []
    studio.preview = lambda image, points, mask: asked.append(points.tolist()) or image.rotate(180)
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
    assert studio.picker.message.endswith("at 85 x 64 pixels.") and "warning" in studio.picker.notice.value
    studio.set_image(picture((64, 64)))
    assert studio.picker.message == ""
    file = BytesIO()
    picture((64, 64)).save(file, "PNG")
    studio.set_image(file.getvalue())  # a file is no page, whatever its size
    assert studio.picker.message.endswith("at 64 x 64 pixels.")


def test_the_knobs_begin_with_the_models_own_settings_or_those_given(tiny):
    knobs = Knobs(None, "storybook", lora=None)
    assert knobs.config == gd.DragConfig.storybook() and knobs.lora_config is None
    knobs.values = {"preset": "fast", "lora": True}
    assert knobs.config == gd.DragConfig.fast() and knobs.lora_config == gd.LoraConfig.fast()
    assert Knobs(gd.DragConfig(K=3), "storybook", lora=True).lora_config == gd.LoraConfig()
    knobs = Knobs(gd.DragConfig(K=3), "released", lora=LORA)
    assert knobs.config == gd.DragConfig(K=3) and knobs.lora_config == LORA
    knobs.values = {"preset": "paper", "lam": 0.5, "mask_mode": "replace"}
    assert knobs.config == gd.DragConfig.paper(lam=0.5, mask_mode="replace") and knobs.lora_config == LORA
    knobs.values = knobs.first
    assert knobs.config == gd.DragConfig(K=3)
