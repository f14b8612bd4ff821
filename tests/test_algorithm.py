"""Algorithm 1 on a random model: its events, its switches, its early stops and what it leaves untouched."""

from dataclasses import replace
from functools import cache
from typing import Literal, get_args, get_origin, get_type_hints
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import picture, sharing, task

from gooddrag.algorithm import drag_latent
from gooddrag.config import DragConfig
from gooddrag.ddim import denoise, invert, step
from gooddrag.frame import Frame
from gooddrag.masactrl import borrowed_attention, late_blocks

SIZE = (64, 64)
QUICK = dict(num_steps=6, strength=0.75, K=4, B=2, J=2, r2=3, stop_unmoved=None)  # T = 4: two dragged time steps


def quick(**changes):
    return DragConfig(**(QUICK | changes))


FAR = task([(20, 20), (50, 45)], frozen=16)


@cache
def trajectory_of(model, config):
    z_0 = model.encode(Frame.fit(SIZE, model.vae_scale, 64).to_tensor(picture(SIZE)))
    with torch.no_grad():
        return [z_0, *invert(model.eps, z_0, model.schedule(config.num_steps), config.T, config.inversion)]


class Watch(list):
    """Keeps every state; Adam goes on in place on an update's z, whose successor's z_before is a copy."""

    def of(self, event):
        return [s for s in self if s.event == event]


def run(model, config, task=FAR, stop=None):
    watch = Watch()

    def observe(state):
        watch.append(state)
        return bool(stop and stop(state))

    watch.z, watch.p = drag_latent(model, trajectory_of(model, config), task, config, observe)
    return watch


def borrowing(model, config):
    """A run, and how many of its passes borrow from the source."""
    with mock.patch("gooddrag.algorithm.borrowed_attention", side_effect=borrowed_attention) as borrowed:
        return run(model, config), borrowed.call_count


def events(watch):
    short = {"update": "u", "track": "t", "denoise": "d"}
    return "".join(short[s.event] if s.counted else "s" for s in watch)


@pytest.mark.parametrize(
    "changes, want",
    [
        ({}, "suutuutd" * 2 + "dd"),
        (dict(tracking="updated"), "suutuutd" * 2 + "dd"),
        (dict(track_at_start=False), "uutuutd" * 2 + "dd"),
        (dict(aldd=False), "s" + "uut" * 4 + "dddd"),
        (dict(K=3), "suutuutd" + "suutd" + "dd"),
        (dict(J=1), "sututd" * 2 + "dd"),
        (dict(K=0), "dddd"),
        (dict(num_steps=4, K=6), "suutuutd" * 3),  # dragged at every level: nothing is left to denoise
    ],
)
def test_order_of_events(tiny, changes, want):
    config = quick(**changes)
    watch = run(tiny, config)
    last = watch[-1]
    assert events(watch) == want
    assert (last.t, last.k, last.updates) == (0, config.K, config.K * config.J)


def test_an_update_tells_where_the_latent_points_to(tiny):
    config = quick()
    u, a = run(tiny, config).of("update")[0], tiny.schedule(config.num_steps).alpha(4)
    assert torch.equal(u.z_before, trajectory_of(tiny, config)[-1])
    eps = tiny.eps(u.z_before, 499).detach()
    torch.testing.assert_close(u.z0_hat, (u.z_before - (1 - a).sqrt() * eps) / a.sqrt(), rtol=1e-4, atol=1e-5)


def test_adam_first_step_at_each_time_step(tiny):
    """Adam's first step is lr * sign(grad): every time step anew with "per_step", only the first with "once"."""
    for adam, anew in (("per_step", True), ("once", False)):
        updates = run(tiny, quick(adam=adam)).of("update")
        for i, is_first in ((0, True), (1, False), (4, anew)):
            grad = updates[i].grad
            moved = updates[i + 1].z_before - updates[i].z_before
            assert torch.allclose(moved, -0.02 * grad / (grad.abs() + 1e-8), atol=1e-5) == is_first


def test_early_stops_can_be_switched_off_and_rests_count_in_a_row(tiny):
    assert run(tiny, quick(stop_distance=None), task=task([(20, 20), (20, 21)], frozen=16))[-1].k == 4
    assert run(tiny, quick(lr=0.0, K=8, B=3, J=1))[-1].k == 8
    config = quick(K=12, B=3, J=1, lr=0.01, stop_distance=None, masactrl=False)
    tracks = run(tiny, config).of("track")
    before = zip([FAR.p_0, *(s.handles for s in tracks)], tracks, strict=False)
    rests = "".join(".R"[torch.equal(p, s.handles)] for p, s in before if s.counted)  # R: no handle moved
    assert rests.count("R") > 2 and "RR" not in rests
    assert run(tiny, replace(config, stop_unmoved=1))[-1].k == rests.index("R") + 1
    assert run(tiny, replace(config, stop_unmoved=2))[-1].k == 12


@pytest.mark.parametrize("event", ["update", "track", "denoise"])
@pytest.mark.parametrize("tracking", ["stale", "updated"])
def test_callback_stops_within_one_update(tiny, event, tracking):
    watch = run(tiny, quick(tracking=tracking), stop=lambda state: state.event == event)
    first = next(i for i, state in enumerate(watch) if state.event == event)
    assert not [s for s in watch[first + 1 :] if s.event == "update"]
    assert watch[-1].t == 0 and watch[-1].event == "denoise"
    assert watch.z.isfinite().all()
    assert len(watch.of("denoise")) == 4


def test_a_callback_that_fails_leaves_the_model_clean(tiny):
    def fail(state):
        if state.t == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drag_latent(tiny, trajectory_of(tiny, quick()), FAR, quick(), fail)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in tiny.unet.modules())


def test_nothing_dragged_is_plain_denoising(tiny):
    """K = 0 without MasaCtrl is Eq. 2; with it the edit equals its source, which attends to itself."""
    config = quick(K=0, masactrl=False)
    *_, want = denoise(tiny.eps, trajectory_of(tiny, config)[-1], tiny.schedule(6), config.T)
    assert torch.equal(run(tiny, config).z, want)
    for other in (quick(K=0), quick(skip_distance=1e4, stop_distance=None, masactrl=False)):
        torch.testing.assert_close(run(tiny, other).z, want, rtol=0, atol=1e-5)


def test_inverted_reference_is_the_stored_latent(tiny):
    """Same first loss apart from the mask term, which measures against the stored inversion."""
    config, frozen = quick(reference="inverted", lam=10.0), task([(20, 20), (50, 45)], frozen=0)
    path, schedule = trajectory_of(tiny, config), tiny.schedule(6)
    u = run(tiny, config, frozen).of("update")[0]
    with torch.no_grad():
        z_prev = step(path[-1], tiny.eps(path[-1], 499), schedule.alpha(4), schedule.alpha(3))
    want = u.drag_loss + 10 * float((z_prev - path[-2]).abs().sum())
    assert u.loss == pytest.approx(want, rel=1e-5) and u.loss > u.drag_loss + 1e-3
    denoised = run(tiny, replace(config, reference="denoised"), frozen).of("update")[0]
    assert denoised.loss == pytest.approx(denoised.drag_loss)


def test_initial_tracking_reference(tiny):
    """What a tracking looks for differs only from the second time step on."""
    current, initial = (run(tiny, quick(tracking_reference=r, lr=0.0)) for r in ("current", "initial"))
    pairs = zip(current.of("track"), initial.of("track"), strict=True)
    assert [torch.equal(a.maps[0], b.maps[0]) for a, b in pairs] == [True] * 3 + [False] * 3
    # lr = 0: the features are the reference's own, so the current one is found at distance 0
    assert all(float(s.maps[0].min()) < 1e-4 for s in current.of("track"))
    stale, updated = (run(tiny, quick(J=1, lr=0.5, tracking=t, track_at_start=False)) for t in ("stale", "updated"))
    assert float(stale.of("track")[0].maps[0].min()) < 1e-4  # features of the unchanged latent
    assert float(updated.of("track")[0].maps[0].min()) > 1e-3


ENDS_EARLY = dict(stop_unmoved=1, r2=1, J=1)  # at the first of the two dragged time steps


@pytest.mark.parametrize("changes", [dict(aldd=False), dict(), dict(tracking="updated"), ENDS_EARLY])
def test_sharing_begins_with_the_first_or_the_second_step_after_dragging(tiny, changes):
    """GoodDrag's released code leaves the step after the last drag operation plain, DragDiffusion's does not; the
    denoising against a loop of its own, both latents in one batch."""
    config = quick(masactrl_from="first", **changes)
    watch, borrowed = borrowing(tiny, config)
    dragged, schedule = watch.of("update")[-1], tiny.schedule(config.num_steps)
    t = dragged.t
    assert (t == config.T) == (changes in (dict(aldd=False), ENDS_EARLY))
    with torch.no_grad():
        z_T = trajectory_of(tiny, config)[-1]
        unedited = [z_T, *denoise(tiny.eps, z_T, schedule, config.T)]
        both = torch.cat([unedited[config.T - t], dragged.z])
        for level in range(t, 0, -1):
            with sharing(late_blocks(tiny.unet, config.masactrl_start)):
                eps = tiny.eps(both, schedule.timestep(level))
            both = step(both, eps, schedule.alpha(level), schedule.alpha(level - 1))
    torch.testing.assert_close(watch.z, both[1:], atol=1e-4, rtol=1e-4)
    plain, later = borrowing(tiny, replace(config, masactrl_from="second"))
    assert not torch.allclose(plain.z, watch.z, atol=1e-4)
    assert borrowed == later + 1 == t


def test_fresh_noise_comes_after_the_dragging_and_before_the_last_step(tiny):
    config = quick(masactrl=False, stop_distance=None, stop_unmoved=None)
    plain, noisy = run(tiny, config), run(tiny, replace(config, eta=0.7))
    dragged = plain.of("denoise")[len(config.schedule) - 1]
    z, schedule = dragged.z, tiny.schedule(config.num_steps)
    assert torch.equal(noisy.of("denoise")[len(config.schedule) - 1].z, z) and 1 < dragged.t < config.T
    generator = torch.Generator().manual_seed(0)
    for t in range(dragged.t, 0, -1):
        alphas, eps = (schedule.alpha(t), schedule.alpha(t - 1)), tiny.eps(z, schedule.timestep(t)).detach()
        z = step(z, eps, *alphas, 0.7, torch.randn(z.shape, generator=generator)) if t > 1 else step(z, eps, *alphas)
    torch.testing.assert_close(noisy.z, z, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(noisy.z, plain.z, atol=0.1)


HINTS = get_type_hints(DragConfig)
CHOICES = {name: st.sampled_from(get_args(hint)) for name, hint in HINTS.items() if get_origin(hint) is Literal}
SWITCHES = {name: st.booleans() for name, hint in HINTS.items() if hint is bool}
FEW = dict(K=(0, 2), B=(1, 2), J=(1, 2), r1=(1, 4), r2=(1, 12), masactrl_start=(0, 16), feature_block=(-3, -1))
NUMBERS = {name: st.integers(*bounds) for name, bounds in FEW.items()}
NUMBERS |= dict(strength=st.sampled_from([0.2, 0.75, 1.0]), skip_distance=st.floats(0, 5), eta=st.floats(0, 1))
NUMBERS |= dict(stop_distance=st.none() | st.floats(0, 5), stop_unmoved=st.none() | st.integers(1, 3))
POINT = st.tuples(st.integers(0, 63), st.integers(0, 63))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.fixed_dictionaries(CHOICES | SWITCHES | NUMBERS), p=POINT, q=POINT)
def test_any_mixture_runs(tiny, changes, p, q):
    if changes["strength"] < 0.5:
        changes = changes | dict(B=2)  # T = 1: both operations at one level
    config = DragConfig(num_steps=6, **changes)
    watch = run(tiny, config, task=task([p, q], frozen=16))
    assert watch.z.shape == (1, 4, 16, 16) and watch.z.isfinite().all()
    assert (watch.p >= 0).all() and (watch.p <= 63).all() and (watch.p == watch.p.round()).all()
    last = watch[-1]
    assert last.t == 0 and last.k <= config.K and last.updates <= config.K * config.J


@pytest.mark.parametrize(
    ("n", "where"),
    [
        (1, "reference: nan in features at t = 4 "),
        (1 + 3, "drag: nan in features at t = 4 .* drag operation 1, update 2; .*dtype=torch.float32"),
        (1 + 4 + 1, "denoising: nan in z_t at t = 4 "),
    ],
)
def test_nan_in_the_midst_says_where(tiny, n, where):
    """A reference, four updates, a denoising step: the n-th pass is spoilt."""
    config, seen = quick(masactrl=False), []
    path = trajectory_of(tiny, config)

    def spoil(module, args, output):
        seen.append(None)
        return output * torch.nan if len(seen) == n else None

    with tiny.unet.up_blocks[-2].register_forward_hook(spoil), pytest.raises(FloatingPointError, match=f"^{where}"):
        drag_latent(tiny, path, FAR, config)
