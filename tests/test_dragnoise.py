"""DragNoise: the mid block's output is replaced and optimised, by the loss of Eq. 4; and a drag of length zero."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny import picture, task
from torch.nn.functional import interpolate

from gooddrag import motion
from gooddrag.config import DragConfig
from gooddrag.ddim import step
from gooddrag.editor import DragEditor
from gooddrag.evaluation.methods.dragnoise import DragNoise, replaced
from gooddrag.model import load_model
from gooddrag.sample import Sample

METHOD = DragNoise(DragConfig.dragdiffusion(lr=0.02, lam=0.2, K=1), lora=None)
TASK = task([[20, 20], [20, 32]], frozen=10)


@pytest.fixture(scope="module")
def source(tiny64):
    return DragEditor(tiny64, lora=None).set_image(picture()).source(METHOD.config)


def mid(model, z, timestep):
    """What the mid block says, by the U-Net's own parts."""
    kept = {}
    handle = model.unet.mid_block.register_forward_hook(lambda m, a, out: kept.update(h=out))
    model.eps(z, timestep)
    handle.remove()
    return kept["h"]


def test_the_first_update_computed_anew(tiny64, source):
    z, t = source.latents[35], source.schedule.timestep(35)
    h = mid(tiny64, z, t).clone().requires_grad_()
    with replaced(tiny64.unet.mid_block, h):
        eps, F = tiny64.eps_and_features(z, t, -2)
    G = interpolate(F, (64, 64), mode="bilinear")
    gap = (G[..., 19:22, 20:23] - G[..., 19:22, 19:22].detach()).abs()
    z_prev = step(z, eps, source.schedule.alpha(35), source.schedule.alpha(34))
    loss = 9 * gap.mean() + 0.2 * ((z_prev - source.reference(35).z_prev) * TASK.frozen).abs().sum()
    (g,) = torch.autograd.grad(loss, h)
    expected = h.detach() - 0.02 * g / (g.abs() + 1e-8)  # Adam's first step
    found, handles = METHOD.drag(source, TASK)
    clear = g.abs() > 1e-7 * g.abs().max()
    assert clear.float().mean() > 0.9 and torch.equal(handles, TASK.p_0)
    assert (found - expected)[clear].abs().max() < 1e-6 and (found - h).abs().max() > 0.01


def test_handles_are_tracked_in_the_new_features(tiny64, source):
    method = dataclasses.replace(METHOD, config=dataclasses.replace(METHOD.config, K=2))
    once, _ = METHOD.drag(source, TASK)
    _, p = method.drag(source, TASK)
    with replaced(tiny64.unet.mid_block, once):
        F = tiny64.eps_and_features(source.latents[35], source.schedule.timestep(35), -2)[1]
    f_0 = motion.features_at(source.reference(35).F, (64, 64), TASK.p_0)
    assert torch.equal(p, motion.track(F, f_0, (64, 64), TASK.p_0, 3)[0])


def test_the_mask_holds_back(tiny64, source):
    schedule, moved = source.schedule, []
    for lam in (0.0, 10.0):
        c = dataclasses.replace(METHOD.config, K=6, lam=lam)
        with replaced(tiny64.unet.mid_block, dataclasses.replace(METHOD, config=c).drag(source, TASK)[0]):
            eps = tiny64.eps(source.latents[35], schedule.timestep(35))
        z_prev = step(source.latents[35], eps, schedule.alpha(35), schedule.alpha(34))
        moved.append(float(((z_prev - source.reference(35).z_prev) * TASK.frozen).abs().sum()))
    assert moved[1] < 0.5 * moved[0]


def test_the_replaced_output_reaches_eps_and_leaves(tiny64, source):
    z, t = source.latents[35], source.schedule.timestep(35)
    plain, h = tiny64.eps(z, t), mid(tiny64, z, t)
    with replaced(tiny64.unet.mid_block, h):
        assert torch.equal(tiny64.eps(z, t), plain)
    with replaced(tiny64.unet.mid_block, h + 1):
        assert not torch.allclose(tiny64.eps(z, t), plain)
    assert torch.equal(tiny64.eps(z, t), plain)


@pytest.mark.filterwarnings("ignore:points")
def test_no_way_leaves_the_picture_as_the_round_trip_with_one_mid_block(tiny):
    sample = Sample(picture(), [[[20, 20], [20.3, 20]]])
    editor = DragEditor(tiny, lora=None).set_image(sample.image)
    z, schedule = editor.invert(METHOD.config)[-1], tiny.schedule(50)
    h = mid(tiny, z, schedule.timestep(35))
    with replaced(tiny.unet.mid_block, h):
        for t in range(35, 0, -1):
            z = step(z, tiny.eps(z, schedule.timestep(t)), schedule.alpha(t), schedule.alpha(t - 1))
    expected = np.asarray(editor.frame.to_image(tiny.decode_image(z)), dtype=int)
    assert np.abs(np.asarray(DragNoise(lora=None)(tiny, sample, 0), dtype=int) - expected).max() <= 1


def test_a_model_in_half_precision_gets_steps_in_float32(tiny_folder):
    model = load_model(tiny_folder, device="cpu", dtype=torch.bfloat16)
    source = DragEditor(model, lora=None).set_image(picture()).source(METHOD.config)
    h, _ = METHOD.drag(source, TASK)
    assert h.dtype == torch.float32 and h.isfinite().all()
    with replaced(model.unet.mid_block, h):
        assert mid(model, source.latents[35], 681).dtype == torch.bfloat16
