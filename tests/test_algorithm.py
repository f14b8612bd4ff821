"""Algorithm 1 on a random model: its events, its switches, its early stops and what it leaves untouched."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import picture

from gooddrag.algorithm import Task, drag_latent
from gooddrag.config import DragConfig
from gooddrag.ddim import Schedule, denoise, invert, step
from gooddrag.frame import Frame
from gooddrag.masactrl import BorrowedSelfAttention, mutual_self_attention
from gooddrag.source import reference_step

SIZE = (64, 64)
QUICK = dict(num_steps=6, strength=0.75, K=4, B=2, J=2, r2=3, stop_unmoved=None)  # T = 4: two dragged time steps


def quick(**changes):
    return DragConfig(**(QUICK | changes))


def pair(handle, target, frozen=None):
    as_tensor = [torch.tensor([p], dtype=torch.float32) for p in (handle, target)]
    return Task(SIZE, *as_tensor, torch.zeros(1, 1, 16, 16) if frozen is None else frozen)


FAR = pair((20, 20), (50, 45))


def trajectory(model, config):
    z_0 = model.encode(Frame.fit(SIZE, model.vae_scale, 64).to_tensor(picture(SIZE)))
    schedule = Schedule(model.alphas_cumprod, config.num_steps)
    with torch.no_grad():
        return [z_0, *invert(model.eps, z_0, schedule, config.T, config.inversion)]


class Watch:
    """Keeps every state; Adam goes on in place on an update's z, whose successor's z_before is a copy."""

    def __init__(self, stop=None):
        self.states, self.stop = [], stop

    def __call__(self, state):
        self.states.append(state)
        return bool(self.stop and self.stop(state))

    def of(self, event):
        return [s for s in self.states if s.event == event]


class Calls:
    """Counts what goes through the U-Net: forward passes, latents in them, and whether they borrow from the source."""

    def __init__(self, unet):
        self.unet, self.forwards, self.latents, self.sharing = unet, 0, 0, []

    def __enter__(self):
        self.hook = self.unet.register_forward_pre_hook(self.seen)
        return self

    def seen(self, unet, args):
        self.forwards += 1
        self.latents += len(args[0])
        self.sharing.append(any(isinstance(p, BorrowedSelfAttention) for p in unet.attn_processors.values()))

    def __exit__(self, *_):
        self.hook.remove()


def run(model, config, task=FAR, stop=None):
    watch, inverted = Watch(stop), trajectory_of(model, config)
    with Calls(model.unet) as calls:
        z, p = drag_latent(model, inverted, task, config, watch)
    watch.calls, watch.z, watch.p = calls, z, p
    return watch


CACHE = {}


def trajectory_of(model, config):
    key = (id(model), config.num_steps, config.T, config.inversion)
    if key not in CACHE:
        CACHE[key] = trajectory(model, config)
    return CACHE[key]


# the order of events


def events(watch):
    short = {"update": "u", "track": "t", "denoise": "d"}
    return "".join(short[s.event] if s.counted else "s" for s in watch.states)


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
    watch = run(tiny, quick(**changes))
    assert events(watch) == want
    config = quick(**changes)
    assert (
        watch.states[-1].t == 0 and watch.states[-1].k == config.K and watch.states[-1].updates == config.K * config.J
    )


def test_levels_and_time_steps(tiny):
    watch = run(tiny, quick())
    levels = [(s.event[0], s.t, s.timestep) for s in watch.states if s.event != "track"]
    told = {4: 499, 3: 333, 2: 167, 1: 1}
    assert levels == [
        *[("u", 4, told[4])] * 4, ("d", 3, told[4]), *[("u", 3, told[3])] * 4, ("d", 2, told[3]),
        ("d", 1, told[2]), ("d", 0, told[1]),
    ]  # fmt: skip
    assert [s.k for s in watch.of("track")] == [0, 1, 2, 2, 3, 4]


def test_released_run_drags_at_741_to_621(tiny):
    watch = run(tiny, DragConfig(K=7, B=1, J=1, stop_unmoved=None))
    assert [s.timestep for s in watch.of("update")] == [741, 721, 701, 681, 661, 641, 621]
    assert len(watch.of("denoise")) == 38


def test_states_stay_as_they_were(tiny):
    copies = []
    watch = run(tiny, quick(adam="once"), stop=lambda s: copies.append((s.z.clone(), s.handles.clone())) and False)
    assert len(copies) == len(watch.states) > 10
    for state, (z, handles) in zip(watch.states, copies, strict=True):
        assert torch.equal(state.handles, handles)
        if state.event == "denoise":
            assert torch.equal(state.z, z)


def test_an_update_tells_everything(tiny):
    config = quick(adam="per_step")
    watch = run(tiny, config)
    u = watch.of("update")[0]
    assert u.loss == pytest.approx(u.drag_loss, abs=1e-6)  # nothing has moved: no mask term yet
    assert torch.equal(u.z_before, trajectory_of(tiny, config)[-1])
    for s in watch.of("update"):
        assert s.grad.shape == s.z_before.shape == s.z0_hat.shape == s.z.shape and s.loss >= s.drag_loss
    schedule = Schedule(tiny.alphas_cumprod, config.num_steps)
    with torch.no_grad():
        eps = tiny.eps(u.z_before, 499)
    a = schedule.alpha(4)
    torch.testing.assert_close(u.z0_hat, (u.z_before - (1 - a).sqrt() * eps) / a.sqrt(), rtol=1e-4, atol=1e-5)


def test_adam_first_step_at_each_time_step(tiny):
    """Adam's first step is lr * sign(grad): every time step anew with "per_step", only the first with "once"."""
    for adam, anew in (("per_step", True), ("once", False)):
        updates = run(tiny, quick(adam=adam)).of("update")
        for i, is_first in ((0, True), (1, False), (4, anew)):
            grad = updates[i].grad
            moved = updates[i + 1].z_before - updates[i].z_before
            assert torch.allclose(moved, -0.02 * grad / (grad.abs() + 1e-8), atol=1e-5) == is_first


def test_losses_fall(tiny):
    watch = run(tiny, quick(K=1, B=1, J=4, lam=0.0, track_at_start=False))
    drag_losses = [s.drag_loss for s in watch.of("update")]
    assert drag_losses[0] > min(drag_losses[1:])


# cost: "no additional computational overhead" (Sec. 3.3)


@pytest.mark.parametrize("masactrl", [True, False])
@pytest.mark.parametrize("tracking", ["stale", "updated"])
def test_alternating_costs_no_more(tiny, masactrl, tracking):
    """Same K and J: as many latents go through the U-Net whether dragging alternates with denoising or not.

    A drag operation is J passes with gradient either way. Alternating asks for the unedited latent's features at each
    of S = 2 dragged time steps instead of one; with MasaCtrl those are passes that denoising needs of the source
    anyway, so that the sum is the very same. Algorithm 1's tracking on the updated latent shares its pass with the
    denoising step that follows.
    """
    ways = {aldd: run(tiny, quick(aldd=aldd, masactrl=masactrl, tracking=tracking)).calls for aldd in (True, False)}
    K, J, T = 4, 2, 4
    for aldd, calls in ways.items():
        S = 2 if aldd else 1
        assert calls.forwards == calls.latents == K * J + (2 * T if masactrl else S + T)
    if masactrl:
        assert ways[True].latents == ways[False].latents


def test_masactrl_starts_once_dragging_has_ended(tiny):
    sharing = run(tiny, quick()).calls.sharing
    # 2 x (reference, 4 updates, denoising), then the remaining 2 levels: the source, the edit that borrows from it
    assert sharing == [False] * 12 + [False, True] * 2
    assert not any(run(tiny, quick(masactrl=False)).calls.sharing)
    assert run(tiny, quick(stop_distance=1e4)).calls.sharing == [False] * 2 + [False, True] * 3


# early stops


def test_stop_near_the_targets(tiny):
    """One forward pass more than updates: the one that found the handles where they should be."""
    near = run(tiny, quick(stop_distance=1e4))
    assert events(near) == "sdddd" and near.states[-1].updates == 0
    # reference, one of no update, which serves the first denoising, then the source and the edit at three levels
    assert near.calls.forwards == 1 + 1 + 2 * 3
    never = run(tiny, quick(stop_distance=None), task=pair((20, 20), (20, 21)))
    assert never.states[-1].k == 4


def test_stop_when_nothing_moves(tiny):
    """lr = 0: no handle ever moves; the count of trackings runs on across time steps."""
    still = quick(lr=0.0, K=8, B=3, J=2, stop_unmoved=5)
    watch = run(tiny, still)
    assert [s.k for s in watch.of("track") if s.counted] == [1, 2, 3, 4, 5]
    assert watch.states[-1].updates == 10 and watch.states[-1].t == 0
    # 2 references, 10 updates and 1 more, which serves the denoising that follows, 1 + 2 of the edit, 2 of the source
    assert watch.calls.forwards == 2 + (10 + 1) + 3 + 2
    assert torch.equal(watch.p, FAR.p_0)
    assert run(tiny, replace(still, J=1, stop_unmoved=None)).states[-1].k == 8


def test_all_pairs_skipped_is_a_plain_denoising(tiny):
    config = quick(skip_distance=1e4, stop_distance=None, masactrl=False)
    watch = run(tiny, config)
    assert {s.drag_loss for s in watch.of("update")} == {0.0}
    plain = run(tiny, replace(config, K=0))
    torch.testing.assert_close(watch.z, plain.z, rtol=0, atol=1e-5)


# a callback that stops


@pytest.mark.parametrize("event", ["update", "track", "denoise"])
@pytest.mark.parametrize("tracking", ["stale", "updated"])
def test_callback_stops_within_one_update(tiny, event, tracking):
    asked = []

    def stop(state):
        if state.event == event and not asked:
            asked.append(state)
            return True

    watch = run(tiny, quick(tracking=tracking), stop=stop)
    after = watch.states[watch.states.index(asked[0]) + 1 :]
    assert not [s for s in after if s.event == "update"]
    assert watch.states[-1].t == 0 and watch.states[-1].event == "denoise"
    assert watch.z.isfinite().all()
    assert len(watch.of("denoise")) == 4


def test_stop_asked_again_while_denoising_is_ignored(tiny):
    watch = run(tiny, quick(K=0), stop=lambda state: True)
    assert events(watch) == "dddd"


def test_callback_that_raises_leaves_the_model_clean(tiny):
    before = {n: id(p) for n, p in tiny.unet.attn_processors.items()}

    def fail(state):
        if state.t == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drag_latent(tiny, trajectory_of(tiny, quick()), FAR, quick(), fail)
    assert {n: id(p) for n, p in tiny.unet.attn_processors.items()} == before
    assert not tiny.unet.up_blocks[-2]._forward_hooks


def test_no_callback_is_the_same(tiny):
    z, p = drag_latent(tiny, trajectory_of(tiny, quick()), FAR, quick())
    watch = run(tiny, quick())
    assert torch.equal(z, watch.z) and torch.equal(p, watch.p)


# what may not change


def test_nothing_dragged_is_plain_denoising(tiny):
    """K = 0 without MasaCtrl is Eq. 2; with it the edit equals its source, which attends to itself."""
    config = quick(K=0, masactrl=False)
    z = trajectory_of(tiny, config)[-1]
    *_, want = denoise(tiny.eps, z, Schedule(tiny.alphas_cumprod, config.num_steps), config.T)
    assert torch.equal(run(tiny, config).z, want)
    torch.testing.assert_close(run(tiny, quick(K=0)).z, want, rtol=0, atol=1e-5)


def test_source_row_is_the_unedited_latent(tiny):
    config = quick()
    z = trajectory_of(tiny, config)[-1]
    want = list(denoise(tiny.eps, z, Schedule(tiny.alphas_cumprod, config.num_steps), config.T))
    for state, z_0t in zip(run(tiny, config).of("denoise"), want, strict=True):
        torch.testing.assert_close(state.source, z_0t, rtol=0, atol=1e-5)
    assert [s.source is None for s in run(tiny, quick(masactrl=False)).of("denoise")] == [False, False, True, True]


def test_huge_lambda_holds_the_frozen_region(tiny):
    """The mask term of Eq. 8 pulls z_{t-1} outside the mask back to the original's; inside it stays free."""
    frozen = torch.zeros(1, 1, 16, 16)
    frozen[..., :, 8:] = 1

    def drift(lam):
        config = quick(lam=lam, K=10, B=10, J=2, lr=0.002, track_at_start=False)
        watch = run(tiny, config, task=pair((20, 12), (50, 12), frozen))
        last = watch.of("denoise")[0]
        moved = (last.z - last.source).abs()
        return float((moved * frozen).sum() / frozen.sum()), float((moved * (1 - frozen)).sum())

    free, held = drift(0.0), drift(1e5)
    assert held[0] < 0.25 * free[0] and held[0] < 0.004  # a step of Adam or two
    assert held[1] > 0


def test_drag_touches_no_gradient_of_the_unet(tiny):
    run(tiny, quick())
    assert all(p.grad is None and not p.requires_grad for p in tiny.unet.parameters())


def test_given_tensors_are_not_changed(tiny):
    config = quick()
    given_ = trajectory_of(tiny, config)
    copies = [z.clone() for z in given_]
    for adam in ("per_step", "once"):
        run(tiny, replace(config, adam=adam))
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(given_, copies, strict=True))
    assert FAR.p_0.tolist() == [[20, 20]] and FAR.q.tolist() == [[50, 45]]


def test_reference_step(tiny):
    schedule = Schedule(tiny.alphas_cumprod, 6)
    z = trajectory_of(tiny, quick())[-1]
    ref = reference_step(tiny, schedule, z, 4, -2)
    eps, F = tiny.eps_and_features(z, 499, -2)
    torch.testing.assert_close(ref.F, F)
    torch.testing.assert_close(ref.z_prev, step(z, eps, schedule.alpha(4), schedule.alpha(3)))
    assert ref.z is z and not ref.F.requires_grad and not ref.z_prev.requires_grad
    with torch.no_grad():  # in whatever mode it is called
        assert torch.equal(reference_step(tiny, schedule, z, 4, -2).z_prev, ref.z_prev)


def test_inverted_reference_is_the_stored_latent(tiny):
    """Same first loss apart from the mask term, which measures against the stored inversion."""
    config = quick(reference="inverted", lam=10.0)
    path = trajectory_of(tiny, config)
    schedule = Schedule(tiny.alphas_cumprod, 6)
    frozen = torch.ones(1, 1, 16, 16)
    watch = run(tiny, config, task=pair((20, 20), (50, 45), frozen))
    u = watch.of("update")[0]
    with torch.no_grad():
        z_prev = step(path[-1], tiny.eps(path[-1], 499), schedule.alpha(4), schedule.alpha(3))
    want = u.drag_loss + 10 * float((z_prev - path[-2]).abs().sum())
    assert u.loss == pytest.approx(want, rel=1e-5) and u.loss > u.drag_loss + 1e-3
    denoised = run(tiny, replace(config, reference="denoised"), task=pair((20, 20), (50, 45), frozen)).of("update")[0]
    assert denoised.loss == pytest.approx(denoised.drag_loss)


def test_initial_tracking_reference(tiny):
    """What a tracking looks for differs only from the second time step on."""
    current, initial = (run(tiny, quick(tracking_reference=r, lr=0.0)) for r in ("current", "initial"))
    same_maps = [
        torch.equal(a.maps[0], b.maps[0]) for a, b in zip(current.of("track"), initial.of("track"), strict=True)
    ]
    assert same_maps == [True] * 3 + [False] * 3
    # lr = 0: the features are the reference's own, so the current one is found at distance 0
    assert all(float(s.maps[0].min()) < 1e-4 for s in current.of("track"))


def test_stale_tracking_sees_the_features_before_the_update(tiny):
    stale, updated = (run(tiny, quick(J=1, lr=0.5, tracking=t, track_at_start=False)) for t in ("stale", "updated"))
    a, b = stale.of("track")[0], updated.of("track")[0]
    assert float(a.maps[0].min()) < 1e-4  # features of the unchanged latent
    assert float(b.maps[0].min()) > 1e-3


@pytest.mark.parametrize("changes", [dict(aldd=False), dict(), dict(tracking="updated"), dict(stop_unmoved=1, r2=1)])
def test_sharing_begins_with_the_first_or_the_second_step_after_dragging(tiny, changes):
    """GoodDrag's released code leaves the step after the last drag operation plain, DragDiffusion's does not; the
    denoising against a loop of its own, both latents in one batch."""
    config = quick(masactrl_from="first", **changes)
    watch = run(tiny, config)
    dragged = watch.of("update")[-1]
    schedule, t = Schedule(tiny.alphas_cumprod, config.num_steps), dragged.t
    path = trajectory_of(tiny, config)
    source = path[-1]
    with torch.no_grad():
        for level in range(config.T, t, -1):
            source = step(source, tiny.eps(source, schedule.timestep(level)), schedule.alpha(level),
                          schedule.alpha(level - 1))  # fmt: skip
        both = torch.cat([source, dragged.z])
        for level in range(t, 0, -1):
            with mutual_self_attention(tiny.unet, config.masactrl_start):
                eps = tiny.eps(both, schedule.timestep(level))
            both = step(both, eps, schedule.alpha(level), schedule.alpha(level - 1))
    torch.testing.assert_close(watch.z, both[1:], atol=1e-4, rtol=1e-4)
    plain = run(tiny, replace(config, masactrl_from="second"))
    assert not torch.allclose(plain.z, watch.z, atol=1e-4)
    assert sum(watch.calls.sharing) == sum(plain.calls.sharing) + 1 == t


# every switch, in any mixture

SETTINGS = st.fixed_dictionaries(
    dict(
        strength=st.sampled_from([0.2, 0.75, 1.0]), K=st.integers(0, 2), B=st.integers(1, 2), J=st.integers(1, 2),
        r1=st.integers(0, 4), r2=st.integers(1, 12), beta=st.floats(0, 8), lam=st.floats(0, 10), lr=st.floats(0, 0.1),
        aldd=st.booleans(), ip=st.booleans(), masactrl=st.booleans(), masactrl_start=st.integers(0, 16),
        masactrl_from=st.sampled_from(["second", "first"]),
        stop_distance=st.none() | st.floats(0, 5), stop_unmoved=st.none() | st.integers(1, 3),
        feature_block=st.integers(-3, -1), grid=st.sampled_from(["latent4", "image"]),
        drag_scale=st.sampled_from(["released", "sum", "dragdiffusion"]), capped_step=st.booleans(),
        skip_distance=st.floats(0, 5), tracking=st.sampled_from(["stale", "updated"]), track_at_start=st.booleans(),
        tracking_reference=st.sampled_from(["current", "initial"]), adam=st.sampled_from(["per_step", "once"]),
        inversion=st.sampled_from(["destination", "source"]), reference=st.sampled_from(["denoised", "inverted"]),
    )
)  # fmt: skip
POINT = st.tuples(st.integers(0, 63), st.integers(0, 63))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(changes=SETTINGS, p=POINT, q=POINT)
def test_any_mixture_runs(tiny, changes, p, q):
    if changes["strength"] < 0.5:
        changes = changes | dict(B=2)  # T = 1: both operations at one level
    config = DragConfig(num_steps=6, **changes)
    watch = run(tiny, config, task=pair(p, q))
    assert watch.z.shape == (1, 4, 16, 16) and watch.z.isfinite().all()
    assert (watch.p >= 0).all() and (watch.p <= 63).all() and (watch.p == watch.p.round()).all()
    last = watch.states[-1]
    assert last.t == 0 and last.k <= config.K and last.updates <= config.K * config.J


@pytest.mark.parametrize("name", ["released", "paper", "dragdiffusion", "fast", "storybook"])
def test_presets_run(tiny_sd, name):
    config = DragConfig.preset(name, num_steps=4, K=2, B=1, J=1)
    task = Task((32, 32), torch.tensor([[10.0, 10.0]]), torch.tensor([[20.0, 15.0]]), torch.zeros(1, 1, 8, 8))
    watch = run(tiny_sd, config, task=task)
    assert watch.z.shape == (1, 4, 8, 8) and watch.z.isfinite().all() and watch.states[-1].updates == 2


# errors


def test_nan_says_where(tiny):
    broken = [z.clone() for z in trajectory_of(tiny, quick())]
    broken[-1][0, 0, 3, 3] = torch.nan
    with pytest.raises(
        FloatingPointError, match=r"^reference: nan in features at t = 4 \(time step 499\); half precision"
    ):
        drag_latent(tiny, broken, FAR, quick())


def test_nan_in_the_midst_says_where(tiny):
    """From the second drag operation on."""
    seen = []

    def spoil(module, args, output):
        seen.append(None)
        return output * torch.nan if len(seen) == 1 + 3 else None  # a reference, then the third update

    with tiny.unet.up_blocks[-2].register_forward_hook(spoil):
        with pytest.raises(FloatingPointError, match=r"t = 4 .* drag operation 1, update 2; .*dtype=torch.float32"):
            drag_latent(tiny, trajectory_of(tiny, quick()), FAR, quick())


def test_trajectory_of_another_strength(tiny):
    with pytest.raises(ValueError, match=r"^trajectory: 4 latents; expected T \+ 1 = 5$"):
        drag_latent(tiny, trajectory_of(tiny, quick())[:-1], FAR, quick())


def test_feature_block_that_is_not_there(tiny):
    with pytest.raises(ValueError, match="feature_block: -4"):
        run(tiny, quick(feature_block=-4))


@pytest.mark.parametrize("seed", [0, 1])
def test_several_pairs(tiny, seed):
    points = torch.randint(0, 64, (2, 3, 2), generator=torch.Generator().manual_seed(seed)).float()
    watch = run(tiny, quick(), task=Task(SIZE, points[0], points[1], torch.zeros(1, 1, 16, 16)))
    assert watch.p.shape == (3, 2) and all(len(s.maps) == 3 for s in watch.of("track"))
