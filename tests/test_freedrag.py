"""FreeDrag against its formulas, computed anew on whole feature maps, and a drag of length zero."""

import math

import pytest
import torch
from tiny import picture, random, task
from torch.nn.functional import interpolate

from gooddrag.config import DragConfig
from gooddrag.ddim import step
from gooddrag.editor import DragEditor
from gooddrag.evaluation.methods.freedrag import FreeDrag, square

SIZE = (64, 64)
QUICK = FreeDrag(rounds=2, updates=2, level=0.05, lora=None)


@pytest.fixture(scope="module")
def source(tiny64):
    return DragEditor(tiny64, lora=None).set_image(picture()).source(DragConfig.dragdiffusion())


def grid(F):
    return interpolate(F, SIZE, mode="bilinear")


def bilinear(G, p):
    """The 9 x 9 patch around a (y, x) that is no grid point, by torch's own sampler."""
    reach = torch.arange(-4.0, 5.0, dtype=torch.float64)
    y, x = (p[i].double() + reach for i in (0, 1))
    at = torch.stack([(2 * x / 63 - 1).expand(9, 9), (2 * y / 63 - 1)[:, None].expand(9, 9)], dim=-1)
    return torch.nn.functional.grid_sample(G, at[None], mode="bilinear", align_corners=True)


def test_a_patch_in_the_corner_is_moved_inside():
    F = random(1, 3, 16, 16)
    corner = square(F, SIZE, torch.tensor([0.0, 63.0]), 4)
    assert torch.allclose(corner, grid(F)[..., :9, 55:])


def test_two_rounds_computed_anew(tiny64, source):
    """Rounds, updates, templates and searches in the plain, with Adam by hand."""
    T, schedule, edit = 35, source.schedule, task([[20, 20], [30, 28]], [[40, 30], [40, 38]])
    ref = source.reference(T)
    z, m, v, n = ref.z.clone(), 0, 0, 0
    l, starts = QUICK.level, [p.double() for p in edit.p_0]  # noqa: E741 (the paper's)
    targets = [q.double() for q in edit.q]
    templates = [bilinear(grid(ref.F), p) for p in starts]

    def gap(F, p, template):
        return (bilinear(grid(F), p) - template).abs().mean()

    def search(F, template, p, q, length):
        way = (q - p) * min(1.0, length / float((q - p).norm()))
        return min((p + way * k / 10 for k in range(1, 11)), key=lambda at: abs(float(gap(F, at, template)) - l))

    p = [search(ref.F, *each, 5) for each in zip(templates, starts, targets, strict=True)]
    fates = set()
    for _ in range(2):
        first = None
        for u in range(3):
            x = z.clone().requires_grad_()
            eps, F = tiny64.eps_and_features(x, schedule.timestep(T), -2)
            gaps = [gap(F, *each) for each in zip(p, templates, strict=True)]
            first = first or [float(g.detach()) for g in gaps]
            if u == 2 or max(gaps) < l / 2:
                break
            z_prev = step(x, eps, schedule.alpha(T), schedule.alpha(T - 1))
            loss = sum(gaps) + 10 * ((z_prev - ref.z_prev) * edit.frozen).abs().mean()
            (g,) = torch.autograd.grad(loss, x)
            n, m, v = n + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            z = z - 0.01 * (m / (1 - 0.9**n)) / ((v / (1 - 0.999**n)).sqrt() + 1e-8)
        F = F.detach()
        for i, last in enumerate(float(g.detach()) for g in gaps):
            xi = 1 / (1 + math.exp(math.log(9) / (0.6 * l) * (last - 0.2 * l)))
            templates[i] = (xi * bilinear(grid(F), p[i]) + (1 - xi) * templates[i]).detach()
            if last < l / 2:
                fates.add("on")
                p[i] = search(F, templates[i], p[i], targets[i], 5)
            elif last >= first[i]:
                fates.add("back")
                way = starts[i] - p[i]
                p[i] = search(F, templates[i], p[i] + way * min(1.0, 5 / float(way.norm())), targets[i], 10)
            else:
                fates.add("stay")
    found, handles = QUICK.drag(source, edit, T)
    assert len(fates) > 1  # the case is worth its name
    assert (found - z).abs().max() < 1e-5 and (found - ref.z).abs().max() > 1e-2
    assert torch.allclose(handles.double(), torch.stack(p), atol=1e-4)
