"""DragNoise: the mid block's output is replaced and optimised, by the loss of Eq. 4; and a drag of length zero."""

import numpy as np
import pytest
import torch
from tiny import picture, task
from torch.nn.functional import interpolate

from gooddrag.config import DragConfig
from gooddrag.ddim import step
from gooddrag.editor import DragEditor
from gooddrag.evaluation.methods.dragnoise import DragNoise, replaced
from gooddrag.model import load_model
from gooddrag.sample import Sample

METHOD = DragNoise(DragConfig.dragdiffusion(lr=0.5, lam=0.3, K=2), lora=None)
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


def test_two_updates_computed_anew(tiny64, source):
    """The second one tracks in the new features and feels the mask."""
    z, t, schedule, ref = source.latents[35], source.schedule.timestep(35), source.schedule, source.reference(35)
    G_0 = interpolate(ref.F, (64, 64), mode="bilinear")
    h, m, v = mid(tiny64, z, t), 0, 0
    for k in (1, 2):
        h = h.clone().requires_grad_()
        with replaced(tiny64.unet.mid_block, h):
            eps, F = tiny64.eps_and_features(z, t, -2)
        G = interpolate(F, (64, 64), mode="bilinear")
        far = (G - G_0[..., 20:21, 20:21]).abs().sum(dim=1)[0, 17:24, 17:24]
        y, x = (17 + i for i in divmod(int(far.argmin()), 7))
        gap = (G[..., 19:22, x : x + 3] - G[..., 19:22, x - 1 : x + 2].detach()).abs()  # d = (0, 1)
        z_prev = step(z, eps, schedule.alpha(35), schedule.alpha(34))
        loss = 9 * gap.mean() + 0.3 * ((z_prev - ref.z_prev) * TASK.frozen).abs().sum()
        (g,) = torch.autograd.grad(loss, h)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        h = (h - 0.5 * (m / (1 - 0.9**k)) / ((v / (1 - 0.999**k)).sqrt() + 1e-8)).detach()
    assert (y, x) == (20, 22)  # it moved, along its row
    found, handles = METHOD.drag(source, TASK)
    assert handles.tolist() == [[y, x]]
    assert (found - h).abs().max() < 1e-6


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
