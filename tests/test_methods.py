"""The methods: bounds exactly, draggings as `gooddrag.drag` itself, SDE-Drag against its formulas, diffusers' DDPM step
and its one theorem: no paste returns the input."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import ImageFilter
from tiny import DRAG, mask_of, picture, random

import gooddrag as gd
from gooddrag.checkpoints import SD_DDIM
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.ddim import Schedule
from gooddrag.editor import DragEditor
from gooddrag.evaluation import metrics
from gooddrag.evaluation.methods import (
    METHODS,
    CopyPaste,
    Dragging,
    DragonDiffusion,
    FastDrag,
    FreeDrag,
    SdeDrag,
    Unedited,
    methods_with,
)
from gooddrag.evaluation.methods.sde_drag import stations, to_cells
from gooddrag.frame import Frame
from gooddrag.sample import Sample

POINTS = [[[12, 20], [42, 30]]]


@pytest.fixture(scope="module")
def sample():
    return Sample(picture(), POINTS, mask_of((64, 64), (0, 0, 56, 64)), name="name")


def test_the_papers_methods():
    assert all(dataclasses.is_dataclass(m) and hash(m) == hash(dataclasses.replace(m)) for m in METHODS.values())
    assert all(callable(getattr(m, "edit", m)) for m in METHODS.values())  # the benchmark calls it where it is
    good, rival = METHODS["GoodDrag"], METHODS["DragDiffusion"]
    assert (good.config, good.lora) == (DragConfig.released(), LoraConfig())
    assert (rival.config, rival.lora) == (DragConfig.dragdiffusion(), LoraConfig(steps=80))
    star = METHODS["DragDiffusion*"].config
    assert star.K * star.J == good.config.K * good.config.J == 210  # updates (Sec. 5.2)
    assert dataclasses.replace(star, K=80) == rival.config
    for name, off in (("AlDD", "aldd"), ("IP", "ip")):
        assert METHODS[f"GoodDrag without {name}"] == Dragging(DragConfig(**{off: False}), LoraConfig())


@pytest.mark.parametrize("preset", ["paper", "storybook"])
def test_a_preset_changes_gooddrag_and_the_lambda_of_the_others(preset):
    methods, own = methods_with(preset), DragConfig.preset(preset)
    assert list(methods) == list(METHODS) and methods["GoodDrag"] == Dragging(own, LoraConfig.preset(preset))
    assert methods["GoodDrag without IP"].config == dataclasses.replace(own, ip=False)
    assert methods["DragDiffusion*"].config == DragConfig.dragdiffusion(K=210, lam=own.lam)
    assert all(methods[name] == METHODS[name] for name in ("Unedited", "VAE round trip", "Copy-paste", "SDE-Drag"))
    with pytest.raises(ValueError, match="^preset: 'dragdiffusion', which is a method of its own"):
        methods_with("dragdiffusion")


# bounds


@pytest.mark.parametrize("points", [[[[20, 20], [40, 30]]], [[[2, 2], [50, 40]]], [[[63, 63], [0, 0]]]])
def test_copy_paste_has_a_perfect_dai_up_to_its_radius(sample, points):
    sample = dataclasses.replace(sample, points=points, mask=None)
    image = CopyPaste(radius=6)(None, sample)
    assert [metrics.dai(sample.image, image, points, gamma) for gamma in range(7)] == [0] * 7
    if points[0][0] == [20, 20]:
        assert metrics.dai(sample.image, image, points, 7) > 0
        changed = (np.asarray(image) != np.asarray(sample.image)).any(axis=2)
        assert 0 < changed.sum() <= 13**2 and not changed[:24].any() and not changed[37:].any()


def test_copy_paste_copies_from_the_input():
    chain = Sample(picture(), [[[10, 20], [20, 20]], [[20, 20], [30, 20]]])
    image = np.asarray(CopyPaste(radius=2)(None, chain))
    assert Unedited()(None, chain) is not chain.image
    assert np.array_equal(image[18:23, 28:33], np.asarray(chain.image)[18:23, 18:23])  # not what was pasted there


def test_a_blur_stays_inside_the_mask(sample):
    image, soft = METHODS["Blur"](None, sample), sample.image.filter(ImageFilter.GaussianBlur(6))
    whole = METHODS["Blur"](None, dataclasses.replace(sample, mask=None))
    changed = (np.asarray(image) != np.asarray(sample.image)).any(axis=2)
    assert changed.any() and not changed[~sample.mask].any() and np.array_equal(whole, soft)
    assert np.array_equal(np.asarray(image)[sample.mask], np.asarray(soft)[sample.mask])


# settings of Algorithm 1


def test_a_dragging_is_a_drag(tiny, sample):
    lora = LoraConfig(rank=1, steps=1, batch_size=1)
    expected = gd.drag(tiny, sample, DRAG, lora=lora, seed=3)
    method = Dragging(DRAG, lora)
    assert method(tiny, sample, 3).tobytes() == expected.image.tobytes() != method(tiny, sample, 4).tobytes()
    result = method.edit(tiny, sample, 3)
    assert result.sample is sample and np.array_equal(result.handles, expected.handles)


# SDE-Drag


QUICK_SDE = SdeDrag(num_steps=10, lora=None)


@pytest.fixture(scope="module")
def schedule():
    return Schedule(DDIMScheduler(**SD_DDIM).alphas_cumprod, 200)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_no_paste_returns_the_input(tiny64):
    z = random(1, 4, 16, 16)
    path = SdeDrag().noised(tiny64, z, seeded())
    assert len(path) == 121 and float((path[-1] - z).std()) > 0.5
    back = SdeDrag().denoise(tiny64, {}, path[-1].clone(), path, torch.zeros(1, 1, 16, 16))
    assert (back - z).abs().max() < 1e-7


def test_the_loras_rate_is_scaled_with_the_models(tiny, monkeypatch):
    method = SdeDrag()
    assert method.lora_for(tiny) == method.lora and method.lora.lr == 2e-4
    monkeypatch.setattr(tiny, "lora_lr", 5e-3)
    assert method.lora_for(tiny).lr == pytest.approx(2e-3)
    assert SdeDrag(lora=None).lora_for(tiny) is None
    own = dataclasses.replace(method.lora, lr=None)  # the model's own rate
    assert SdeDrag(lora=own).lora_for(tiny) == own


def test_a_step_is_diffusers_ddpm_step(schedule):
    scheduler = DDIMScheduler(**SD_DDIM)
    scheduler.set_timesteps(200)
    timesteps = scheduler.timesteps.tolist()[-120:]
    eps = {timestep: random(1, 4, 3, 3, seed=timestep) for timestep in timesteps}
    x, path = random(1, 4, 3, 3), [random(1, 4, 3, 3, seed=1)]
    expected = x
    for timestep in timesteps:  # the noise of the path is the edited latent's
        w = random(1, 4, 3, 3, seed=1000 + timestep)
        steps = (scheduler.step(eps[timestep], timestep, z, eta=1.0, variance_noise=w) for z in (expected, path[0]))
        expected, to = (step.prev_sample for step in steps)
        path.insert(0, to)
    model = SimpleNamespace(unet=torch.nn.Identity(), eps=lambda z, t: eps[t].expand_as(z), schedule=lambda n: schedule)
    assert (SdeDrag().denoise(model, {}, x, path, torch.zeros(1, 1, 3, 3)) - expected).abs().max() < 1e-6


def test_the_path_has_the_forward_process_s_moments(tiny64, schedule):
    path = SdeDrag().noised(tiny64, torch.full((1, 4, 64, 64), 2.0, dtype=torch.float64), seeded())
    alpha = float(schedule.alpha(120) / schedule.alpha(0))
    assert float(path[-1].mean()) == pytest.approx(2 * alpha**0.5, abs=0.03)
    assert float(path[-1].std()) == pytest.approx((1 - alpha) ** 0.5, abs=0.02)


def test_stations():
    for d, n in ((0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (8, 4), (9, 5), (-9, 5)):
        found = stations(np.array([[[20, 20], [20 + d, 21]]]))
        assert len(found) == n and found[0][0].tolist() == [[20, 20]] and found[-1][1].tolist() == [[20 + d, 21]]
        assert all(np.array_equal(end, start) for (_, end), (start, _) in zip(found, found[1:], strict=False))
    cells = np.array([[[10, 10], [5, 15]], [[0, 0], [1, 0]]])  # m = 5, n = 3; truncated towards the start
    assert [nxt.tolist() for _, nxt in stations(cells)] == [[[9, 11], [0, 0]], [[7, 13], [0, 0]], [[5, 15], [1, 0]]]


def test_cells_are_whole_divisions_of_the_models_pixels():
    points = np.array([[[0, 7], [8, 511]]])
    assert to_cells(points, Frame.fit((512, 512), 8, 512), 8).tolist() == [[[0, 0], [1, 63]]]
    assert to_cells(points * 2, Frame.fit((1024, 1024), 8, 512), 8).tolist() == [[[0, 0], [1, 63]]]


def test_moved_by_hand():
    x = random(1, 4, 32, 32)
    moved = SdeDrag(radius=2).moved(x, np.array([[10, 20]]), np.array([[12, 21]]), seeded())
    noise = torch.randn((1, 4, 4, 4), generator=seeded()).double()
    square = x[..., 18:22, 8:12]
    expected = x.clone()
    expected[..., 18:22, 8:12] = 0.3 * square + 0.91**0.5 * noise
    expected[..., 19:23, 10:14] = 1.1 * square
    assert torch.equal(moved, expected) and not torch.equal(moved, x)


def test_moved_at_the_border_and_pair_after_pair():
    x = random(1, 4, 16, 16)
    pairs = np.array([[1, 8], [4, 8]]), np.array([[4, 8], [15, 15]])
    moved = SdeDrag().moved(x, *pairs, seeded())
    # first square: from 1 left of the handle (1) to 4 right, 5 up to 4 down
    first = SdeDrag().moved(x, pairs[0][:1], pairs[1][:1], seeded())
    assert torch.equal(first[..., 3:13, 3:9], 1.1 * x[..., 3:13, 0:6])
    # the second takes what the first left: from 4 left and 5 up to the handle itself
    assert torch.equal(moved[..., 10:16, 11:16], 1.1 * first[..., 3:9, 0:5])


def test_latents_outside_the_mask_are_the_inputs(tiny64):
    z = random(1, 4, 16, 16)
    frozen = torch.zeros(1, 1, 16, 16)
    frozen[..., 10:] = 1
    path = QUICK_SDE.noised(tiny64, z, seeded())
    out = QUICK_SDE.denoise(tiny64, {}, random(1, 4, 16, 16, seed=5), path, frozen)
    assert torch.equal(out[..., 10:], z[..., 10:]) and (out[..., :10] - z[..., :10]).abs().min() > 0


def test_lora_is_strong_at_the_clean_end(schedule, monkeypatch):
    scales = []
    module = "gooddrag.evaluation.methods.sde_drag"
    monkeypatch.setattr(f"{module}.applied", lambda unet, lora, scale: scales.append(scale) or torch.no_grad())
    model = SimpleNamespace(unet=None, eps=lambda z, t: z, schedule=lambda num_steps: schedule)
    path = [random(1, 1, 2, 2, seed=i) for i in range(5)]
    SdeDrag().denoise(model, {}, path[-1], path, torch.zeros(1, 1, 2, 2))
    assert scales == pytest.approx([0.5, 0.5 + 0.25 * (1 - 0.5**0.5), 0.75, 0.5 + 0.25 * (1 + 0.5**0.5)])


def test_sde_drag_is_seeded_and_takes_any_size_and_stable_diffusions_shape(tiny, tiny_sd):
    image = picture((70, 45))
    first, again, other = (QUICK_SDE(tiny, Sample(image, [[[0, 0], [69, 44]]]), seed) for seed in (0, 0, 1))
    assert first.size == (70, 45) and first.tobytes() == again.tobytes() != other.tobytes()
    moved = QUICK_SDE(tiny_sd, Sample(picture(), POINTS), 0)
    assert moved.size == (64, 64) and moved.tobytes() != metrics.vae_round_trip(tiny_sd, picture()).tobytes()


# the others: a drag of length zero leaves the picture as the model's round trip


ROUND_TRIPS = {
    "FastDrag": (FastDrag(), dict(num_steps=10, strength=0.7, K=0, masactrl_start=7)),
    "FastDrag with noise": (FastDrag(nearest=True, noise=True), dict(num_steps=10, strength=0.7, K=0)),
    "FreeDrag": (FreeDrag(lora=None), dict(num_steps=50, strength=0.7)),
    "DragonDiffusion": (DragonDiffusion(num_steps=5, guided=3, bank_from=1), dict(num_steps=5, strength=1.0, K=0)),
}


@pytest.mark.filterwarnings("ignore:points")
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_no_way_leaves_the_picture_as_the_round_trip(tiny, name):
    method, config = ROUND_TRIPS[name]
    sample = Sample(picture(), [[[20, 20], [20.3, 20]]])  # the same cell
    editor = DragEditor(tiny, lora=None).set_image(sample.image)
    source = editor.source(DragConfig(**config))
    source.reference(1)
    expected = np.asarray(editor.frame.to_image(tiny.decode_image(source.latents[0])), dtype=int)
    assert np.abs(np.asarray(method(tiny, sample, 0), dtype=int) - expected).max() <= 1
