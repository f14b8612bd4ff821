"""The studio: runs in a thread, the stop button, what is shown and kept. Real models at tiny sizes."""

import threading
import warnings

import numpy as np
import pytest
from PIL import Image
from tiny import picture

import gooddrag as gd
from gooddrag.studio import view
from gooddrag.studio.runs import Order, Runner, Stopped, remaining

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


def upload(studio, name, content):
    """What the browser sends when a file was chosen."""
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": 0}
    studio.upload.set_state({"value": [file]})


def finished(studio):
    studio.run_button.click()
    assert studio.wait(120) and studio.message == ""
    return studio.runs[-1]


# the runner, without widgets


def order(sample, config=QUICK, lora=LORA, seed=0):
    return Order(sample, config, lora, seed)


def done(runner, order):
    runner.start(order)
    assert runner.wait(120)
    return runner.runs[-1]


def test_a_run_in_the_thread_is_the_edit_of_the_editor(tiny, sample):
    run = done(Runner(tiny), order(sample))
    plain = gd.drag(tiny, sample, QUICK, LORA)
    assert run.result.image.tobytes() == plain.image.tobytes()
    assert run.result.sample is sample and not run.stopped and run.number == 1


def test_lora_and_inversion_are_computed_once_per_image(tiny, sample):
    stages = []
    runner = Runner(tiny, lambda step: stages.append(step.stage))
    first = done(runner, order(sample))
    assert {"LoRA", "inversion", "drag", "denoising"} == set(stages)
    stages.clear()
    moved = gd.Sample(sample.image, [[[10, 10], [30, 12]]])  # other points, and a copy of the image
    done(runner, order(moved))
    assert {"drag", "denoising"} == set(stages)
    stages.clear()
    done(runner, order(moved, lora=None))
    assert "LoRA" not in stages and "inversion" in stages
    stages.clear()
    done(runner, order(gd.Sample(picture(seed=3), [PAIR])))
    assert {"LoRA", "inversion"} <= set(stages)
    assert done(runner, order(sample)).result.image.tobytes() == first.result.image.tobytes()


def test_steps_tell_how_far_it_is_and_previews_have_the_images_size(tiny, sample):
    steps = []
    done(Runner(tiny, steps.append, every=2), order(sample))
    drags = [step for step in steps if step.stage == "drag"]
    assert [step.done for step in drags] == [1, 2, 3, 4] and {step.total for step in drags} == {4}
    assert [step.done for step in drags if step.preview] == [2, 4]
    assert drags[1].preview.size == (64, 64) and drags[1].handles.shape == (1, 2)
    last = [step for step in steps if step.stage == "denoising"][-1]
    assert last.done == last.total == QUICK.T


def test_stop_ends_within_one_update_and_keeps_what_there_is(tiny, sample):
    runner = Runner(tiny, lambda step: step.stage == "drag" and step.done == 2 and runner.stop())
    run = done(runner, order(sample))
    assert run.stopped and len(run.result.history) == 2 and run.result.metrics["updates"] == 2
    assert run.result.image.size == (64, 64)
    run = done(runner, order(sample, gd.DragConfig(K=1, B=1, J=1, num_steps=10)))
    assert not run.stopped  # the stop was for the run before


@pytest.mark.parametrize("stage", ["LoRA", "inversion"])
def test_stop_before_dragging_leaves_the_model_and_the_cache_as_they_were(tiny, sample, stage, tmp_path):
    before = {name: value.clone() for name, value in tiny.unet.state_dict().items()}
    outcomes = []
    runner = Runner(tiny, lambda step: step.stage == stage and step.done == 1 and runner.stop(), outcomes.append)
    runner.start(order(sample))
    assert runner.wait(120) and not runner.runs
    assert isinstance(outcomes[0], Stopped) and stage in str(outcomes[0])
    after = tiny.unet.state_dict()
    assert after.keys() == before.keys() and all((after[name] == before[name]).all() for name in before)
    assert stage == "inversion" or not list((tmp_path / "cache").rglob("*.safetensors"))
    runner.tell = lambda step: None
    assert done(runner, order(sample)).number == 1


def test_a_second_run_is_refused_here_and_in_another_runner_on_the_same_model(tiny, sample):
    go, started = threading.Event(), threading.Event()

    def hold(step):
        started.set()
        assert go.wait(60)

    runner = Runner(tiny, hold)
    runner.start(order(sample))
    try:
        assert started.wait(60) and runner.busy and not runner.wait(0.01)
        for other in (runner, Runner(tiny)):
            with pytest.raises(RuntimeError, match="run: one is going"):
                other.start(order(sample))
    finally:
        go.set()
    assert runner.wait(120) and len(runner.runs) == 1
    done(Runner(tiny), order(sample))


def test_what_goes_wrong_in_the_thread_is_told_and_the_next_run_works(tiny, sample):
    outcomes = []
    runner = Runner(tiny, end=outcomes.append)
    runner.start(order(sample, gd.DragConfig(K=2, B=1, num_steps=10, feature_block=-4)))  # the tiny U-Net has three
    assert runner.wait(120) and isinstance(outcomes[0], ValueError) and not runner.runs
    assert done(runner, order(sample)) is outcomes[1]


# the widget


def test_run_shows_and_keeps_its_result(studio, sample):
    assert studio.result is None and not studio.runs
    run = finished(studio)
    assert studio.result is run.result and run.result.sample is sample
    assert studio._outcome.caption.value.count("before | run 1") == 1
    assert studio.run_button.disabled is False and studio.stop_button.disabled
    assert "LoRA of 2 steps" in studio._outcome.history.value and "K 4" in repr(run)


def test_history_compares_two_runs(studio):
    finished(studio)
    studio.knobs.K.value, studio.knobs.lora.value = 2, False
    second = finished(studio)
    assert second.order.config.K == 2 and second.order.lora is None and second.order.config.num_steps == 10
    studio._outcome.path.value = False
    studio._outcome.left.value, studio._outcome.right.value = 2, 1
    assert "run 2 | run 1" in studio._outcome.caption.value and studio.result is studio.runs[0].result
    studio._outcome.slider.value = 0  # all of it is the right side
    shown = view.jpeg(view.shown(studio.runs[0].result.image, (128, 128)))
    assert studio._outcome.picture.value == shown
    studio._outcome.slider.value = 1
    assert studio._outcome.picture.value == view.jpeg(view.shown(second.result.image, (128, 128)))


def test_the_outside_of_the_mask_can_be_kept_exactly(studio):
    studio.picker.mask = np.pad(np.ones((20, 30), bool), ((20, 24), (15, 19)))
    plain = np.array(finished(studio).result.image)
    studio.knobs.keep.value = True
    kept = np.array(finished(studio).result.image)
    outside, original = ~studio.picker.mask, np.array(studio.picker.image)
    assert (kept[outside] == original[outside]).all() and (kept[~outside] == plain[~outside]).all()
    assert (plain[outside] != original[outside]).any() and "outside kept" in repr(studio.runs[1])


def test_buttons_show_their_errors(studio):
    studio.save_button.click()
    assert "result: none is shown" in studio.message and "result: none" in studio._says.value
    studio.picker.clear()
    studio.run_button.click()
    assert "points: none given" in studio.message
    studio.picker.points = [PAIR]
    studio.knobs.K.value = 5000
    studio.run_button.click()
    assert studio.message.startswith("K: 5000") and not studio.busy
    with pytest.raises(ValueError, match="K: 5000"):
        studio.run()


def test_continue_goes_on_from_the_result_with_what_is_left(studio):
    result = finished(studio).result
    studio.continue_button.click()
    assert studio.picker.image.tobytes() == result.image.tobytes()
    assert (studio.picker.points == remaining(result)).all()
    assert len(studio.picker.points) and (studio.picker.points[:, 1] == result.sample.targets).all()
    again = finished(studio)
    assert again.number == 2 and again.order.sample.truth is None


def test_pairs_that_arrived_are_not_left(studio):
    result = finished(studio).result
    result.handles = np.array([[39.2, 36.0]])
    assert remaining(result).shape == (0, 2, 2)
    result.handles = np.array([[30.4, 33.0]])
    assert remaining(result).tolist() == [[[30, 33], [40, 36]]]


def test_reset_and_upload(studio, sample):
    studio.knobs.K.value = 9
    studio.picker.points = [[[1, 1], [9, 9]]]
    finished_runs = len(studio.runs)
    studio.reset_button.click()
    assert studio.picker.sample is sample and studio.config == QUICK and len(studio.runs) == finished_runs
    upload(studio, "x.jpg", view.jpeg(picture((48, 32), seed=5)))
    assert studio.picker.image.size == (48, 32) and studio.message == "" and studio.upload.value == ()
    upload(studio, "x.txt", b"abc")
    assert "is not an image" in studio.message and studio.picker.image.size == (48, 32)
    studio.reset_button.click()
    assert studio.picker.image.size == (48, 32)  # the beginning is the new image now


def test_save_writes_result_and_gif(studio, tmp_path):
    finished(studio)
    studio.folder.value = str(tmp_path / "out")
    studio.save_button.click()
    assert studio.message == f"Saved to {tmp_path / 'out'}/"
    assert {"result.png", "trajectory.gif", "metrics.json", "points.json"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }
    assert gd.Sample.open(tmp_path / "out").points.tolist() == [PAIR]


def test_stop_button_and_preview(studio):
    studio._runner.every = 1
    previews = []
    told = studio._runner.tell

    def tell(step):
        told(step)
        previews.append("preview after" in studio._outcome.caption.value)
        if step.stage == "drag" and step.done == 2:
            assert (
                studio.run_button.disabled and not studio.stop_button.disabled and "drag 2 of 4" in studio.stage.value
            )
            studio.stop_button.click()

    studio._runner.tell = tell
    studio.run_button.click()
    assert studio.wait(120)
    assert any(previews) and studio.runs[-1].stopped and "Stopped" in studio.message
    assert len(studio.result.history) == 2


def test_without_an_image_it_shows_a_storybook_page(tiny):
    studio = gd.DragStudio(tiny, lora=None)
    assert len(studio.picker.points) and studio.knobs.lora_config is None and studio.config == gd.DragConfig()


def test_a_run_that_had_nothing_to_drag_says_so(studio):
    studio.picker.points = [[[20, 30], [21, 30]]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the editor's own, which stays in the thread
        studio.run_button.click()
        assert studio.wait(120)
    assert studio.message.startswith("Nothing was dragged")


def test_without_settings_the_knobs_begin_with_the_models_own(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "preset", gd.config.Preset.storybook)
    knobs = gd.DragStudio(tiny).knobs
    assert knobs.config == gd.DragConfig.storybook() and set(knobs.preset.options) == set(gd.config.Preset)
    knobs.preset.value = "released"
    assert knobs.config == gd.DragConfig()
    knobs.reset()
    assert knobs.config == gd.DragConfig.storybook()
    assert gd.DragStudio(tiny, config=gd.DragConfig(K=3)).config == gd.DragConfig(K=3)


def test_presets_fill_the_knobs(studio):
    studio.knobs.preset.value = "paper"
    assert studio.config == gd.DragConfig.paper()
    studio.knobs.lam.value = 0.5
    assert studio.config == gd.DragConfig.paper(lam=0.5)
    studio.knobs.preset.value = "dragdiffusion"
    assert studio.config == gd.DragConfig.dragdiffusion()


def test_a_preset_brings_its_lora_unless_another_was_asked_for(tiny):
    mine = gd.LoraConfig(rank=4)
    loras = {}
    for given in (gd.LoraConfig(), mine):
        knobs = gd.DragStudio(tiny, lora=given).knobs
        loras[given] = []
        for name in ("fast", "released"):
            knobs.preset.value = name
            loras[given].append(knobs.lora_config)
    assert loras == {gd.LoraConfig(): [gd.LoraConfig.fast(), gd.LoraConfig()], mine: [mine, mine]}


# pictures


def test_wipe_has_each_picture_on_its_side():
    before, after = Image.new("RGB", (100, 40), "red"), Image.new("RGB", (100, 40), "blue")
    both = np.array(view.wiped(before, after, 0.3))
    assert (both[:, :27] == (255, 0, 0)).all() and (both[:, 33:] == (0, 0, 255)).all()
    assert (both[:, 30] == 255).all()
    assert (np.array(view.wiped(before, after, 0)) == (0, 0, 255)).all()
    assert (np.array(view.wiped(before, after, 1)) == (255, 0, 0)).all()


def test_path_is_drawn_where_the_handles_went():
    image = Image.new("RGB", (200, 100), "grey")
    path = np.array([[[10.0, 10.0]], [[40.0, 30.0]]])
    drawn = np.array(view.with_path(image, path, np.array([[45.0, 45.0]]), (100, 50))).astype(int)
    red, blue = (drawn[..., 0] - drawn[..., 2]) > 100, (drawn[..., 2] - drawn[..., 0]) > 100
    assert red[61, 81] and red[41, 51] and blue[91, 91]
    assert not red[:15].any() and not blue[:, :80].any()


def test_a_model_of_stable_diffusions_shape_runs_in_the_studio(tiny_sd):
    studio = gd.DragStudio(tiny_sd, picture((96, 64)), [PAIR], config=QUICK, lora=LORA, longest=128)
    run = finished(studio)
    assert run.result.image.size == (96, 64) and len(run.result.history) == QUICK.K
