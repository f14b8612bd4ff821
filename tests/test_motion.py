import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from tiny import random
from torch.nn.functional import interpolate

from gooddrag import motion
from gooddrag.config import DragConfig

SIZE = (36, 28)  # the grid of a (9, 7) latent
F = random(1, 5, 9, 7)
F_0 = random(1, 5, 9, 7, seed=1)
WHOLE = interpolate(F, SIZE, mode="bilinear", align_corners=False)

points = st.tuples(st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1))


def pt(*yx):
    return torch.tensor(yx, dtype=torch.float32)


def drag_loss(F, F_0, size, p, p_0, q, r1=4, beta=4.0, **changes):
    config = DragConfig(r1=r1, beta=beta, **changes)
    return motion.drag_loss(F, F_0, p, motion.Task(size, p_0, q, torch.zeros(1, 1, 9, 7)), config)


@settings(max_examples=60)
@given(inside=st.tuples(*[st.integers(1, 9)] * 2), outside=st.tuples(*[st.integers(1, 40)] * 2))
@example(inside=(9, 7), outside=(36, 28))
@example(inside=(1, 1), outside=(4, 4))
@example(inside=(9, 9), outside=(3, 5))
def test_resized_is_torchs_interpolate(inside, outside):
    G = random(1, 3, *inside)
    want = interpolate(G, outside, mode="bilinear", align_corners=False)
    rows, cols = torch.arange(outside[0]).flip(0)[::2], torch.arange(outside[1])[-1:]
    torch.testing.assert_close(motion.resized(G, outside, rows, cols), want[:, :, rows][:, :, :, cols])


@settings(max_examples=60)
@given(y=st.floats(0, SIZE[0] - 1, width=32), x=st.floats(0, SIZE[1] - 1, width=32), r=st.integers(0, 6))
@example(y=0, x=0, r=4)
@example(y=SIZE[0] - 1, x=SIZE[1] - 1, r=4)
@example(y=SIZE[0] - 1.5, x=0.25, r=4)
@example(y=10, x=11, r=4)
def test_patch_is_bilinear_interpolation(y, x, r):
    centre = pt(y, x)
    dy, dx = motion.offsets(SIZE, r, centre)
    got = motion.patch(F, SIZE, centre, dy, dx)
    at = np.meshgrid(dy.numpy() + float(centre[0]), dx.numpy() + float(centre[1]), indexing="ij")
    want = np.stack([map_coordinates(channel.numpy(), at, order=1, mode="nearest") for channel in WHOLE[0]])
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=1e-6)  # the fractions are float32


@settings(max_examples=60)
@given(a=points, b=points, r=st.integers(0, 40))
def test_offsets_are_the_largest_window_inside_the_grid(a, b, r):
    for span, n, i in zip(motion.offsets(SIZE, r, pt(*a), pt(*b)), SIZE, (0, 1), strict=True):
        inside = [o for o in range(-r, r + 1) if all(0 <= c[i] + o < n for c in (a, b))]
        assert span.tolist() == inside and 0 in inside
    between = motion.offsets(SIZE, 2, pt(34.5, 0.5))  # 34.5 + 1 would need row 36
    assert [span.tolist() for span in between] == [[-2, -1, 0], [0, 1, 2]]


@settings(max_examples=60)
@given(p=points, q=points, beta=st.floats(0, 50, width=32), capped=st.booleans())
def test_step_points_at_the_target(p, q, beta, capped):
    p, q = pt(*p)[None], pt(*q)[None]
    moved = motion.next_positions(p, q, beta, capped=capped) - p
    distance = float((q - p).norm())
    length = (min(beta, distance) if capped else beta) if distance else 0.0
    assert float(moved.norm()) == pytest.approx(length, abs=1e-4)
    assert float((moved * (q - p)).sum()) == pytest.approx(length * distance, rel=1e-4, abs=1e-3)


def loss(p, q, p_0=None, **changes):
    return drag_loss(F, F_0, SIZE, p[None], (p if p_0 is None else p_0)[None], q[None], **changes)


def test_drag_term_by_hand():
    """One pair along the axes, so that every patch is on grid points: Eq. 8 and its released scale."""
    p_0, p, q = pt(10, 6), pt(12, 8), pt(12, 20)
    whole_0 = interpolate(F_0, SIZE, mode="bilinear", align_corners=False)
    gap = (WHOLE[..., 8:17, 8:17] - whole_0[..., 6:15, 2:11]).abs()  # around p + 4 d = (12, 12), and around p_0
    assert float(loss(p, q, p_0, drag_scale="sum")) == pytest.approx(float(gap.sum()))
    assert float(loss(p, q, p_0)) == pytest.approx(64 * float(gap.mean()))
    assert float(loss(p, q, p_0, drag_scale="dragdiffusion")) == pytest.approx(81 * float(gap.mean()))
    here = (WHOLE[..., 8:17, 8:17] - WHOLE[..., 8:17, 4:13]).abs()  # Eq. 7: around p, of the current features
    assert float(loss(p, q, p_0, ip=False)) == pytest.approx(64 * float(here.mean()))
    corner = (WHOLE[..., :6, 18:24] - whole_0[..., :6, 22:]).abs()  # around (1, 22) and (1, 26), cut off alike
    assert float(loss(pt(1, 26), pt(1, 10))) == pytest.approx(64 * float(corner.mean()))


def test_pairs_nearer_than_the_skip_distance_are_skipped():
    p, near = pt(20, 10), pt(20, 11)
    assert float(loss(p, near)) == 0 < float(loss(p, near, skip_distance=0.0))
    assert float(loss(p, pt(20, 12))) > 0  # exactly 2 away is not closer than 2


@pytest.mark.parametrize("ip", [True, False])
def test_gradients_against_finite_differences(ip):
    """In float64; the L1 kinks are nowhere near with random features. No gradient flows into the target patch."""
    G, F_ref = random(1, 3, 5, 4, seed=3).requires_grad_(), F_0[:, :3, :5, :4].clone().requires_grad_()
    size, p_0, p, q = (20, 16), pt(10, 3)[None], pt(9, 4)[None], pt(2, 13)[None]
    target, start = (F_ref, p_0) if ip else (G.detach().clone(), p)  # Eq. 7's target is sg(F), which Eq. 8 also takes

    def supervised(G):
        return drag_loss(G, target, size, p, start, q, 2, 3.3)

    assert torch.autograd.gradcheck(supervised, G, eps=1e-7, atol=1e-5)
    drag_loss(G, F_ref, size, p, p_0, q, 2, 3.3, ip=ip).backward()
    torch.testing.assert_close(G.grad, torch.autograd.grad(supervised(G), G)[0])
    assert F_ref.grad is None and G.grad.abs().sum() > 0


def brute_force(G, f_0, size, p, r2):
    """The distance at every point of the whole resized map; infinite outside the window."""
    whole = interpolate(G, size, mode="bilinear", align_corners=False)[0]
    distance = (whole - f_0[:, None, None]).abs().sum(0)
    y, x = np.mgrid[: size[0], : size[1]]
    away = (abs(y - int(p[0])) > r2) | (abs(x - int(p[1])) > r2)
    distance[torch.from_numpy(away)] = torch.inf
    return distance


@pytest.mark.parametrize("r2", [1, 3, 12, 64])
@pytest.mark.parametrize("p", [(y, x) for y in (0, 1, 5, 18, 30, 34, 35) for x in (0, 1, 5, 14, 22, 26, 27)])
def test_tracking_against_brute_force(p, r2):
    f_0 = random(2, 5, seed=p[0] * 100 + p[1])
    handles = torch.stack([pt(*p), pt(17, 13)])
    found, maps = motion.track(F, f_0, SIZE, handles, r2)
    assert found.shape == (2, 2) and found.dtype == torch.float32
    for i in (0, 1):
        distance = brute_force(F, f_0[i], SIZE, handles[i], r2)
        torch.testing.assert_close(maps[i].flatten(), distance[distance.isfinite()])
        corner = motion.distance_map(F, f_0[i], SIZE, handles[i], r2)[1]
        assert corner.tolist() == distance.isfinite().nonzero()[0].tolist()
        # bilinear resizing repeats the outermost features, so that two points at a border can be equally near
        y, x = found[i].int().tolist()
        assert float(distance[y, x]) == pytest.approx(float(distance.min()), abs=1e-12)
        assert (distance[:y] > distance[y, x] - 1e-12).all()
    found, _ = motion.track(torch.zeros(1, 5, 9, 7), torch.zeros(1, 5), SIZE, pt(20, 20)[None], 3)
    assert found.tolist() == [[17, 17]]  # the first of equal points


def test_a_small_loss_keeps_its_gradient_through_float16():
    z = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    loss = 1e-7 * z.half().float().sum()  # 1e-7 is nearly float16's smallest number: on its own it would be rounded
    assert motion.gradient(loss, z, torch.float16)[0, 0, 0, 0].item() == pytest.approx(1e-7, rel=1e-3)
