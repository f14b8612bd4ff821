"""DragonDiffusion against its energies and its step, computed anew, and a drag of length zero."""

import torch
from tiny import random, task
from torch.nn.functional import interpolate

from gooddrag.evaluation.methods.dragondiffusion import DragonDiffusion, boxes
from gooddrag.masactrl import borrowed_attention, recorded_states

METHOD = DragonDiffusion(num_steps=2, guided=1, bank_from=1)
TASK = task([[20, 20], [24, 26]], [[40, 8], [40, 30]])


def test_the_boxes():
    (p, q), _ = boxes(TASK, (32, 32))  # the cells of 20, 24 and 26 are 10, 12 and 13
    assert p.tolist() == [[9] * 3 + [10] * 3 + [11] * 3, [9, 10, 11] * 3]
    assert q.tolist() == [[11] * 3 + [12] * 3 + [13] * 3, [12, 13, 14] * 3]
    [(p, q)] = boxes(task([[0, 0], [63, 63]]), (32, 32))
    assert (p.min(), p.max(), q.min(), q.max()) == (0, 2, 29, 31)  # moved inside


def energies(maps, wanted):
    """Cell by cell."""

    def s(F, F_0, a, b):
        each = []
        for i, j in zip(a, b, strict=True):
            u, v = F[0][:, *i], F_0[0][:, *j]
            each.append((u @ v / (u.norm() * v.norm()) + 1) / 2)
        return sum(each) / len(each)

    def box(y, x):
        return [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]

    pairs = [(box(10, 10), box(12, 13)), (box(20, 4), box(20, 15))]
    covered = {cell for _, q in pairs for cell in q}
    outside = [(y, x) for y in range(32) for x in range(24, 32)]
    edit = keep = 0
    for F, F_0 in zip(maps, wanted, strict=True):
        for p, q in pairs:
            left = [cell for cell in p if cell not in covered]
            edit = edit + 4 / (1 + 4 * s(F, F_0, q, p)) + 0.2 * s(F, F_0, left, left)
        keep = keep + 6 / (1 + 4 * s(F, F_0, outside, outside))
    return edit, keep


def test_features_share_a_grid_of_twice_the_latents_side(tiny64):
    z = random(1, 4, 16, 16)
    _, maps = METHOD.passes(tiny64, z, 481)
    for F, block in zip(maps, (-3, -2), strict=True):
        plain = tiny64.eps_and_features(z, 481, block)[1]
        assert torch.equal(F, interpolate(plain, (32, 32), mode="bilinear", align_corners=False))


def test_a_guided_step_and_a_plain_one_computed_anew(tiny64):
    z_T, schedule = random(1, 4, 16, 16), tiny64.schedule(2)
    (t1, a1), (t2, a2), a0 = *((schedule.timestep(t), schedule.alpha(t).double()) for t in (1, 2)), schedule.alpha(0)
    eps_0, wanted = METHOD.passes(tiny64, z_T, t2)
    z = z_T.clone()
    z[..., 5:8, 5:8] = z_T[..., 4:7, 4:7]
    z[..., 9:12, 6:9] = z_T[..., 9:12, 1:4]
    z.requires_grad_()
    eps, maps = METHOD.passes(tiny64, z, t2)
    edit, keep = (torch.autograd.grad(e, z, retain_graph=True)[0] for e in energies(maps, wanted))
    guided = eps + 80 * (edit * (1 - TASK.frozen) + keep * TASK.frozen)
    x_0 = (z - (1 - a2).sqrt() * guided) / a2.sqrt()
    z = (a1.sqrt() * x_0 + (1 - a1).sqrt() * eps).detach()
    unedited = a1.sqrt() * (z_T - (1 - a2).sqrt() * eps_0) / a2.sqrt() + (1 - a1).sqrt() * eps_0
    with recorded_states(tiny64.unet, 7) as states:
        tiny64.eps(unedited, t1)
    with borrowed_attention(tiny64.unet, states, 7, beside=True):
        eps = tiny64.eps(z, t1)
    assert not torch.equal(eps, tiny64.eps(z, t1))  # the bank counts
    expected = a0.sqrt() * (z - (1 - a1).sqrt() * eps) / a1.sqrt() + (1 - a0).sqrt() * eps
    assert edit.abs().max() > 1e-6 and keep.abs().max() > 1e-9
    assert (METHOD.denoise(tiny64, z_T, TASK) - expected).abs().max() < 1e-6
