import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random

from gooddrag.checkpoints import SD_DDIM
from gooddrag.ddim import Schedule, add_noise, denoise, invert, predict_z0, step

SCHEDULER = DDIMScheduler(**SD_DDIM)
SD = Schedule(SCHEDULER.alphas_cumprod)


def test_released_levels():
    assert [SD.timestep(t) for t in (1, 2, 50)] == [1, 21, 981]
    assert [SD.timestep(t) for t in (38, 38 - 6, 35)] == [741, 621, 681]  # T, the last of 7 dragged; DragDiffusion's T
    assert Schedule(SCHEDULER.alphas_cumprod, 1000).timestep(1000) == 999  # diffusers says 1000: not in its table
    assert SD.timestep(0) == 0 and SD.alpha(0) == SCHEDULER.final_alpha_cumprod == SCHEDULER.alphas_cumprod[0]


@pytest.mark.parametrize("num_steps", [1, 4, 6, 7, 30, 50, 199, 500, 999])
def test_grid_is_diffusers(num_steps):
    SCHEDULER.set_timesteps(num_steps)
    schedule = Schedule(SCHEDULER.alphas_cumprod, num_steps)
    assert [schedule.timestep(t) for t in range(num_steps, 0, -1)] == SCHEDULER.timesteps.tolist()


@settings(max_examples=40)
@given(t=st.integers(1, 50), eta=st.just(0.0) | st.floats(0.01, 1), seed=st.integers(0, 99))
def test_denoising_step_is_diffusers(t, eta, seed):
    SCHEDULER.set_timesteps(50)
    z, eps, noise = (random(1, 4, 3, 3, seed=seed + 100 * i) for i in range(3))
    want = SCHEDULER.step(eps, SD.timestep(t), z, eta=eta, variance_noise=noise).prev_sample
    got = step(z, eps, SD.alpha(t), SD.alpha(t - 1), eta, noise)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6 if eta else 1e-12)


@pytest.mark.parametrize(("at", "want"), [("destination", [1, 21, 41]), ("source", [0, 1, 21])])
def test_told_time_steps(at, want):
    told = []

    def listen(z, timestep):
        told.append(timestep)
        return z

    list(invert(listen, random(1, 1, 1, 1), SD, 3, at))
    list(denoise(listen, random(1, 1, 1, 1), SD, 3))
    assert told == [*want, 41, 21, 1]


def test_noising_and_its_inverse():
    z_0, noise = random(2, 4, 2, 2), random(2, 4, 2, 2, seed=1)
    for t in (0, 10, 50):
        z_t = add_noise(z_0, noise, SD.alpha(t))
        torch.testing.assert_close(predict_z0(z_t, noise, SD.alpha(t)), z_0, rtol=0, atol=1e-10)
    timesteps = torch.tensor([741, 1])
    want = SCHEDULER.add_noise(z_0, noise, timesteps)
    got = add_noise(z_0, noise, SD.alphas_cumprod[timesteps][:, None, None, None])
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
