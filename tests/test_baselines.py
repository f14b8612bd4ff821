"""The methods beside GoodDrag: the bounds exactly, the draggings as `gooddrag.drag` itself."""

import dataclasses

import numpy as np
import pytest
from tiny import picture

import gooddrag as gd
from gooddrag import baselines, cost, metrics
from gooddrag.baselines import METHODS, CopyPaste, Dragging, Method, Unedited, VaeRoundTrip, dragging, methods_with
from gooddrag.config import DragConfig, LoraConfig, Preset
from gooddrag.sample import Sample

SIZE = (60, 45)
POINTS = [[[20, 20], [40, 30]]]
QUICK = DragConfig(num_steps=4, K=2, B=1, J=1, stop_unmoved=None)


@pytest.fixture(scope="module")
def sample():
    mask = np.zeros(SIZE[::-1], bool)
    mask[4:42, 10:58] = True
    return Sample(picture(SIZE), POINTS, mask, name="name")


@pytest.mark.parametrize("method", [*METHODS.values(), Dragging(QUICK, None)], ids=[*METHODS, "quick"])
def test_every_method_is_plain_data(method):
    assert isinstance(method, Method) and dataclasses.is_dataclass(method)
    assert hash(method) == hash(dataclasses.replace(method))
    dataclasses.asdict(method)


def test_the_papers_methods():
    assert METHODS["GoodDrag"].config == DragConfig.released() and METHODS["GoodDrag"].lora == LoraConfig()
    assert METHODS["DragDiffusion"].config == DragConfig.dragdiffusion()
    star = METHODS["DragDiffusion*"].config
    good = METHODS["GoodDrag"].config
    assert star.K * star.J == good.K * good.J == 210  # the same number of motion supervision steps (Sec. 5.2)
    assert dataclasses.replace(star, K=80) == METHODS["DragDiffusion"].config
    assert not METHODS["GoodDrag without AlDD"].config.aldd and not METHODS["GoodDrag without IP"].config.ip


@pytest.mark.parametrize("preset", [p for p in Preset if p != "dragdiffusion"])
def test_the_methods_with_a_preset(preset):
    methods, own = methods_with(preset), DragConfig.preset(preset)
    assert list(methods) == list(METHODS) and methods["GoodDrag"] == Dragging(own, LoraConfig.preset(preset))
    assert methods["GoodDrag without AlDD"].config == dataclasses.replace(own, aldd=False)
    assert methods["GoodDrag without IP"].config == dataclasses.replace(own, ip=False)
    assert methods["DragDiffusion*"].config == DragConfig.dragdiffusion(K=210, lam=own.lam)
    assert methods["DragDiffusion"].lora == METHODS["DragDiffusion"].lora
    same = {"Unedited", "VAE round trip", "Copy-paste", "SDE-Drag"}
    same |= {name for name in METHODS if "DragDiffusion" in name and own.lam == 0.1}
    same |= {name for name in METHODS if preset == "released"}
    assert {name for name in METHODS if methods[name] == METHODS[name]} == same


def test_a_preset_that_is_a_method_of_its_own():
    with pytest.raises(ValueError, match="^preset: 'dragdiffusion', which is a method of its own; expected one of rel"):
        methods_with("dragdiffusion")


def test_unedited(tiny, sample):
    image = Unedited()(tiny, sample, 0)
    assert image is not sample.image and image.tobytes() == sample.image.tobytes()
    assert metrics.damage_outside(sample, image) == 0


def test_vae_round_trip(tiny, sample):
    assert VaeRoundTrip()(tiny, sample, 0).tobytes() == metrics.vae_round_trip(tiny, sample.image).tobytes()


@pytest.mark.parametrize("points", [POINTS, [[[2, 2], [50, 40]]], [[[59, 44], [0, 0]]]])
def test_copy_paste_has_a_perfect_dai_up_to_its_radius(tiny, sample, points):
    sample = dataclasses.replace(sample, points=points)
    image = CopyPaste(radius=6)(tiny, sample, 0)
    for gamma in range(7):
        assert metrics.dai(sample.image, image, points, gamma) == 0
    if points is POINTS:
        assert metrics.dai(sample.image, image, points, 7) > 0
        changed = (np.asarray(image) != np.asarray(sample.image)).any(axis=2)
        assert changed.sum() <= 13**2 and not changed[:24].any() and not changed[37:].any()


def test_copy_paste_copies_from_the_input(tiny):
    chain = Sample(picture(SIZE), [[[10, 20], [20, 20]], [[20, 20], [30, 20]]])
    image = np.asarray(CopyPaste(radius=2)(tiny, chain))
    assert np.array_equal(image[18:23, 28:33], np.asarray(chain.image)[18:23, 18:23])  # not what was pasted there
    with pytest.raises(ValueError, match=r"^radius: -1; expected a whole number"):
        CopyPaste(-1)


def test_dragging_is_drag(tiny, sample):
    lora = LoraConfig(rank=1, steps=1, batch_size=1)
    expected = gd.drag(tiny, sample, QUICK, lora, seed=3)
    method = Dragging(QUICK, lora)
    assert method(tiny, sample, 3).tobytes() == expected.image.tobytes()
    result = method.edit(tiny, sample, 3)
    assert result.sample is sample and np.array_equal(result.handles, expected.handles)


def test_draggings_of_one_sample_share_the_slow_part(tiny, tiny64, sample, monkeypatch):
    monkeypatch.setattr(dragging, "_most", 2)
    first, second = Dragging(QUICK, None), Dragging(dataclasses.replace(QUICK, ip=False), None)
    editor = first.prepare(tiny, sample, 0)
    assert second.prepare(tiny, sample, 0) is editor and len(editor._trajectories) == 1
    other = dataclasses.replace(sample, image=picture(SIZE, seed=1))
    assert first.prepare(tiny, other, 0) is not editor
    assert first.prepare(tiny, sample, 1) is not editor
    kept = list(dragging._kept)
    assert [key[1] for key in kept] == [other.image.tobytes(), sample.image.tobytes()]
    first.prepare(tiny64, sample, 0)
    assert [key[0] for key in dragging._kept] == [tiny64]  # nothing keeps a model that is no longer used


def test_what_an_edit_costs_does_not_depend_on_what_ran_before(tiny, sample):
    methods = Dragging(QUICK, None), Dragging(dataclasses.replace(QUICK, ip=False), None)

    def calls(method):
        with cost.Meter(tiny) as meter:
            method.edit(tiny, sample, 0)
        return {name: sum(meter.parts[name].forwards.values()) for name in ("reference", "drag", "denoise")}

    alone = [calls(method) for method in methods]
    assert alone[0]["reference"] == QUICK.T
    assert [calls(method) for method in methods[::-1]][::-1] == alone


def test_names_are_there():
    assert set(baselines.__all__) <= set(dir(baselines))
