"""SDE-Drag against its formulas, diffusers' own DDPM step, and its one theorem: no paste returns the input."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from tiny import picture, random

from gooddrag import metrics
from gooddrag.baselines.sde_drag import SdeDrag, noise_up, stations, step_along, to_cells
from gooddrag.benchmark.measure import metered, prepared
from gooddrag.config import LoraConfig
from gooddrag.ddim import Schedule
from gooddrag.frame import Frame
from gooddrag.model import SD_DDIM
from gooddrag.sample import Sample

QUICK = SdeDrag(num_steps=10, lora=None)
POINTS = [[[12, 20], [42, 30]]]


@pytest.fixture
def sample():
    mask = np.zeros((64, 64), bool)
    mask[:, :56] = True
    return Sample(picture(), POINTS, mask)


@pytest.fixture(scope="module")
def schedule():
    return Schedule(DDIMScheduler(**SD_DDIM).alphas_cumprod, 200)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_no_paste_returns_the_input(tiny64, schedule):
    z = random(1, 4, 16, 16)
    path = noise_up(z, schedule, 120, seeded())
    assert len(path) == 121 and float((path[-1] - z).std()) > 0.5
    back = SdeDrag(lora=None).denoise(tiny64, None, path[-1].clone(), path, torch.zeros(1, 1, 16, 16), schedule)
    assert (back - z).abs().max() < 1e-7


def test_no_paste_returns_the_image(tiny, sample):
    unmoved = dataclasses.replace(QUICK, radius=0, lora=LoraConfig(rank=1, steps=1, batch_size=1))(tiny, sample, 0)
    expected = np.asarray(metrics.vae_round_trip(tiny, sample.image), dtype=int)
    assert np.abs(np.asarray(unmoved, dtype=int) - expected).max() <= 1


def test_the_loras_rate_is_scaled_with_the_models(tiny, monkeypatch):
    method = SdeDrag()
    assert method.lora_for(tiny) == method.lora and method.lora.lr == 2e-4
    monkeypatch.setattr(tiny, "lora_lr", 5e-3)
    assert method.lora_for(tiny).lr == pytest.approx(2e-3)
    assert SdeDrag(lora=None).lora_for(tiny) is None
    own = dataclasses.replace(method.lora, lr=None)  # the model's own rate
    assert SdeDrag(lora=own).lora_for(tiny) == own


def test_a_benchmark_fits_one_lora(tiny, sample, tmp_path, monkeypatch):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path))
    monkeypatch.setattr(tiny, "lora_lr", 5e-3)
    method = dataclasses.replace(QUICK, lora=LoraConfig(rank=1, steps=1, lr=1e-3, batch_size=1))
    [(_, costs, _)] = metered(method, [sample], [prepared(tiny, method, sample, 0)], 0)
    assert len(list(tmp_path.glob("lora/*"))) == 1  # not one in the LoRA's phase and another in the edit's
    assert costs["lora_seconds"] > 0


def test_a_step_is_diffusers_ddpm_step(schedule):
    scheduler = DDIMScheduler(**SD_DDIM)
    scheduler.set_timesteps(200)
    x, eps, w = (random(1, 4, 3, 3, seed=seed) for seed in range(3))
    for t in (120, 57, 2, 1):
        timestep = int(scheduler.timesteps[200 - t])
        assert schedule.timestep(t) == timestep

        def constant(z, told, timestep=timestep):
            assert told == timestep
            return eps.expand_as(z)

        expected = scheduler.step(eps, timestep, x, eta=1.0, variance_noise=w).prev_sample
        xf_t = random(1, 4, 3, 3, seed=3)
        xf_u = scheduler.step(eps, timestep, xf_t, eta=1.0, variance_noise=w).prev_sample  # the path's noise is w
        assert (step_along(constant, x, xf_t, xf_u, schedule, t) - expected).abs().max() < 1e-6


def test_noise_up_has_the_forward_process_s_moments(schedule):
    z = torch.full((1, 4, 64, 64), 2.0, dtype=torch.float64)
    path = noise_up(z, schedule, 120, seeded())
    alpha = float(schedule.alpha(120) / schedule.alpha(0))
    assert float(path[-1].mean()) == pytest.approx(2 * alpha**0.5, abs=0.03)
    assert float(path[-1].std()) == pytest.approx((1 - alpha) ** 0.5, abs=0.02)


@pytest.mark.parametrize(
    ("d", "n"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (8, 4), (9, 5), (-9, 5)]
)
def test_number_of_stations(d, n):
    found = stations(np.array([[[20, 20], [20 + d, 21]]]))
    assert len(found) == n
    assert found[0][0].tolist() == [[20, 20]] and found[-1][1].tolist() == [[20 + d, 21]]
    for (_, end), (start, _) in zip(found, found[1:], strict=False):
        assert np.array_equal(end, start)


def test_stations_truncate_towards_the_start():
    cells = np.array([[[10, 10], [5, 15]], [[0, 0], [1, 0]]])  # m = 5, n = 3
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


def test_frozen_cells_follow_the_input(tiny, sample):
    edited = QUICK(tiny, sample, 0)
    z, z_0 = (tiny.encode(Frame.fit((64, 64), 4, 64).to_tensor(image)) for image in (edited, sample.image))
    assert edited.size == (64, 64) and z.shape == z_0.shape
    before = np.asarray(metrics.vae_round_trip(tiny, sample.image), dtype=int)
    change = np.abs(np.asarray(edited, dtype=int) - before).max(axis=(0, 2))
    assert change[:40].max() > 20
    assert change[-1] < change[:40].max()  # the decoder sees a few cells around


def test_latents_outside_the_mask_are_the_inputs(tiny64, schedule):
    z = random(1, 4, 16, 16)
    frozen = torch.zeros(1, 1, 16, 16)
    frozen[..., 10:] = 1
    path = noise_up(z, schedule, 5, seeded())
    out = QUICK.denoise(tiny64, None, random(1, 4, 16, 16, seed=5), path, frozen, schedule)
    assert torch.equal(out[..., 10:], z[..., 10:]) and (out[..., :10] - z[..., :10]).abs().min() > 0


def test_lora_is_strong_at_the_clean_end(schedule, monkeypatch):
    scales = []
    module = "gooddrag.baselines.sde_drag"
    monkeypatch.setattr(f"{module}.applied", lambda unet, lora, scale: scales.append(scale) or torch.no_grad())
    model = SimpleNamespace(unet=None, eps=lambda z, t: z)
    path = [random(1, 1, 2, 2, seed=i) for i in range(5)]
    SdeDrag().denoise(model, None, path[-1], path, torch.zeros(1, 1, 2, 2), schedule)
    assert scales == pytest.approx([0.5, 0.5 + 0.25 * (1 - 0.5**0.5), 0.75, 0.5 + 0.25 * (1 + 0.5**0.5)])


def test_seeded(tiny, sample):
    first, again, other = (QUICK(tiny, sample, seed).tobytes() for seed in (0, 0, 1))
    assert first == again != other


def test_any_size(tiny):
    image = picture((70, 45))
    assert QUICK(tiny, Sample(image, [[[0, 0], [69, 44]]]), 0).size == (70, 45)


def test_on_a_model_of_stable_diffusions_shape(tiny_sd):
    image = picture((64, 64))
    moved = QUICK(tiny_sd, Sample(image, POINTS), 0)
    assert moved.size == (64, 64) and moved.tobytes() != metrics.vae_round_trip(tiny_sd, image).tobytes()
