"""The studio: runs in a thread, the stop button, what is shown and kept. Real models at tiny sizes."""

import sys
import threading

import pytest
from tiny import picture

import gooddrag as gd
from gooddrag.widgets.canvas import UPLOAD_LIMIT, encoded
from gooddrag.widgets.runs import Run, Runner, Stopped

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
    assert studio.wait(120), studio.picker.message
    return studio.runs[-1]


class Plain(Runner):
    """A runner that keeps what it is told; `hook` gets each step too."""

    def __init__(self, model, hook=lambda step: None, every=5):
        super().__init__(model, every)
        self.hook, self.steps, self.ends = hook, [], []

    def on_step(self, *step):
        self.steps.append(step)
        self.hook(step)

    def on_end(self, outcome):
        self.ends.append(outcome)

    def done(self, sample, config=QUICK, lora=LORA):
        self.steps.clear()
        self.start(Run(sample, config, lora))
        assert self.wait(120)
        return self.ends[-1]

    def stages(self):
        return {step[0] for step in self.steps}


# the runner, without widgets


def test_a_run_in_the_thread_is_the_edit_of_the_editor(tiny, sample):
    run = Plain(tiny).done(sample)
    plain = gd.drag(tiny, sample, QUICK, lora=LORA)
    assert run.result.image.tobytes() == plain.image.tobytes()
    assert run.result.sample is sample and not run.stopped and run.number == 1


def test_lora_and_inversion_are_computed_once_per_image(tiny, sample):
    runner = Plain(tiny)
    first = runner.done(sample)
    assert runner.stages() == {"LoRA", "inversion", "drag", "denoising"}
    moved = gd.Sample(sample.image, [[[10, 10], [30, 12]]])  # other points, and a copy of the image
    runner.done(moved)
    assert runner.stages() == {"drag", "denoising"}
    runner.done(moved, lora=None)
    assert runner.stages() == {"inversion", "drag", "denoising"}
    runner.done(gd.Sample(picture(seed=3), [PAIR]))
    assert {"LoRA", "inversion"} <= runner.stages()
    assert runner.done(sample).result.image.tobytes() == first.result.image.tobytes()


def test_one_share_for_the_whole_run_that_never_falls_and_previews_of_the_images_size(tiny, sample):
    runner = Plain(tiny, every=2)
    for low, high in ((0, 0.1), (0.3, 0.5)):  # the second run begins with the drag
        runner.done(sample)
        shares, left = ([step[i] for step in runner.steps] for i in (3, 4))
        assert shares == sorted(shares) and low <= shares[0] < high and shares[-1] == pytest.approx(1)
        assert left[-1] == pytest.approx(0) and left[len(left) // 2] > 0
    drags = [step for step in runner.steps if step[0] == "drag"]
    assert [step[1:3] for step in drags] == [(n, 4) for n in (1, 2, 3, 4)]
    assert [step[5] and step[5].size for step in drags] == [None, (64, 64)] * 2


def test_stop_ends_within_one_update_and_keeps_what_there_is(tiny, sample):
    runner = Plain(tiny, lambda step: step[:2] == ("drag", 2) and runner.stop())
    run = runner.done(sample)
    assert run.stopped and len(run.result.history) == 2 and run.result.metrics["updates"] == 2
    assert run.outcome() == (
        "Run 1: stopped after 2 of 4 operations; this is what had been dragged by then.",
        "warning",
    )
    assert not runner.done(sample, gd.DragConfig(K=1, B=1, J=1, num_steps=10)).stopped  # that was for the run before


@pytest.mark.parametrize("stage", ["LoRA", "inversion"])
def test_stop_before_dragging_leaves_the_model_and_the_cache_as_they_were(tiny, sample, stage, tmp_path):
    before = {name: value.clone() for name, value in tiny.unet.state_dict().items()}
    runner = Plain(tiny, lambda step: step[:2] == (stage, 1) and runner.stop())
    outcome = runner.done(sample)
    assert isinstance(outcome, Stopped) and stage in str(outcome) and not runner.runs
    after = tiny.unet.state_dict()
    assert after.keys() == before.keys() and all((after[name] == before[name]).all() for name in before)
    assert stage == "inversion" or not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_second_run_is_refused_and_one_of_another_runner_waits_for_the_model(tiny, sample):
    go, started = threading.Event(), threading.Event()

    def hold(step):
        started.set()
        assert go.wait(60)

    runner, other = Plain(tiny, hold), Plain(tiny)
    runner.start(Run(sample, QUICK, LORA))
    try:
        assert started.wait(60) and runner.busy and not runner.wait(0.01)
        with pytest.raises(RuntimeError, match="run: one is going"):
            runner.start(Run(sample, QUICK, LORA))
        other.start(Run(sample, QUICK, LORA))
        assert not other.wait(0.5) and not other.steps
    finally:
        go.set()
    assert runner.wait(120) and other.wait(120)
    assert runner.ends[0].result.image.tobytes() == other.ends[0].result.image.tobytes()


# the widget


def test_run_shows_its_result_whole_and_says_how_it_ended(studio, sample):
    assert studio.result is None and not studio.runs and "The edit will be here" in studio.caption.value
    run = finished(studio)
    assert studio.result is run.result and run.result.sample is sample
    assert 'value="0"' in studio.picture.value and "--at:0%" in studio.picture.value
    assert studio.picker.message == run.outcome()[0] and studio.picker.message.startswith("Run 1: 4 of 4 operations, ")
    assert "gooddrag-success" in studio.picker.notice.value
    assert studio.bar.value == 1 and studio.bar.bar_style == "success"
    assert not studio.run_button.disabled and studio.stop_button.disabled


def test_an_early_arrival_ends_full_and_says_so(studio):
    studio.knobs.values = studio.knobs.values | {"preset": "released", "K": 70}
    studio.picker.points = [[[20, 30], [22, 30]]]  # two pixels: soon there
    run = finished(studio)
    operations = len(run.result.history)
    assert operations < 70 and studio.bar.value == 1 and studio.bar.bar_style == "success"
    assert studio.picker.message in (
        f"Run 1: arrived after {operations} of 70 operations.",
        "Nothing was dragged: every handle counts as arrived. Pull further.",
    ) or studio.picker.message.startswith(f"Run 1: stuck after {operations} of 70")


def test_a_row_of_the_history_brings_its_run_back(studio):
    first = finished(studio)
    studio.knobs.knob["K"].value, studio.knobs.knob["lora"].value = 2, False
    studio.picker.points = [[[5, 5], [9, 20]]]
    second = finished(studio)
    assert second.config.K == 2 and second.lora is None and second.config.num_steps == 10
    assert studio.result is second.result and len(studio.history.children) == 2
    studio.history.children[1].children[1].click()  # "use again" of the older one
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
    with pytest.raises(ValueError, match="K: 5000"):
        studio.run()


def test_what_goes_wrong_in_the_thread_is_shown_in_red(studio):
    studio.knobs._given = gd.DragConfig(K=2, B=1, num_steps=10, feature_block=-4)  # the tiny U-Net has three
    studio.knobs.knob["K"].value = 2
    studio.run_button.click()
    assert studio.wait(120) and not studio.runs
    assert "feature_block" in studio.picker.message and studio.bar.bar_style == "danger"


def test_reset_can_be_undone_and_goes_back_to_the_upload(studio, sample):
    studio.knobs.knob["K"].value, studio.knobs.knob["keep"].value = 9, True
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset_button.click()
    assert studio.picker.sample is sample and studio.knobs.config == QUICK and not studio.knobs.knob["keep"].value
    studio.picker.undo()
    assert studio.picker.points.tolist() == [[[1, 1], [9, 9]]]
    assert studio.knobs.config.K == 9 and studio.knobs.knob["keep"].value
    upload(studio, "x.jpg", encoded(picture((48, 32), seed=5)))
    assert studio.picker.image.size == (48, 32) and studio.picker.message == "" and studio.upload.value == ()
    assert studio.knobs.config == QUICK and not studio.knobs.knob["keep"].value
    upload(studio, "x.txt", b"abc")
    assert "is not an image" in studio.picker.message and studio.picker.image.size == (48, 32)
    studio.picker.points = [[[1, 1], [9, 9]]]
    studio.reset_button.click()
    assert studio.picker.image.size == (48, 32) and not len(studio.picker.points)


def test_an_upload_above_the_limit_names_the_other_way(studio, monkeypatch):
    assert "up to 10 MB" in [getattr(w, "value", "") for row in studio.children for w in getattr(row, "children", ())]
    upload(studio, "x.png", b"", size=UPLOAD_LIMIT + 1)
    assert 'DragStudio(model, "file")' in studio.picker.message and "gooddrag-error" in studio.picker.notice.value
    studio.picker.act()
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    press = {"key": "upload 23456789", "shift_key": False, "ctrl_key": False, "meta_key": False}
    studio.picker.canvas.layers._handle_custom_msg({"event": "key_down", **press}, [])  # how the page tells it
    assert studio.picker.message.startswith("The file has 23.5 MB; ") and "Colab" in studio.picker.message


def test_save_never_overwrites_and_download_hands_over_a_png(studio, tmp_path):
    finished(studio)
    studio.folder.value = str(tmp_path / "out")
    studio.save_button.click()
    assert studio.picker.message == f"Saved to {tmp_path / 'out'}/."
    assert {"result.png", "metrics.json", "points.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    studio.save_button.click()
    assert studio.picker.message == f"Saved to {tmp_path / 'out-2'}/; {tmp_path / 'out'} was there already."
    assert gd.Sample.open(tmp_path / "out-2").points.tolist() == [PAIR]
    studio.download_button.click()
    assert 'download="run 1.png"' in studio.link.value and "data:image/png;base64," in studio.link.value


def test_the_stop_button_answers_at_once(studio):
    studio.every, seen, on_step = 1, [], studio.on_step

    def tell(*step):
        on_step(*step)
        if step[:2] == ("drag", 2):
            assert studio.run_button.disabled and not studio.stop_button.disabled
            seen.extend([studio.stage.value, studio.caption.value])
            studio.stop_button.click()
            seen.append(studio.stage.value)

    studio.on_step = tell
    run = finished(studio)
    assert seen[0].startswith("drag 2 of 4, ") and seen[1:] == ["Preview after 2 of 4 operations.", "stopping ..."]
    assert run.stopped and len(studio.result.history) == 2
    assert studio.picker.message.startswith("Run 1: stopped after 2 of 4")


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
    assert (
        studio.picker.message.endswith("Working at 85 x 64 pixels.")
        and "gooddrag-warning" in studio.picker.notice.value
    )
    studio.set_image(picture((64, 64)))
    assert studio.picker.message == ""


def test_the_knobs_begin_with_the_models_own_settings_or_those_given(tiny, studio, monkeypatch):
    monkeypatch.setattr(tiny, "preset", "storybook")
    knobs = gd.DragStudio(tiny, picture(), lora=None).knobs
    assert knobs.config == gd.DragConfig.storybook() and knobs.lora_config is None
    assert gd.DragStudio(tiny, picture(), config=gd.DragConfig(K=3)).knobs.config == gd.DragConfig(K=3)
    studio.knobs.knob["preset"].value = "paper"
    assert studio.knobs.config == gd.DragConfig.paper()
    studio.knobs.knob["lam"].value = 0.5
    assert studio.knobs.config == gd.DragConfig.paper(lam=0.5)
    studio.knobs.knob["preset"].value = "fast"
    assert studio.knobs.config == gd.DragConfig.fast() and studio.knobs.lora_config == LORA
    knobs.knob["preset"].value, knobs.knob["lora"].value = "fast", True
    assert knobs.lora_config == gd.LoraConfig.fast()
