import math
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gooddrag.config import PRESETS, DragConfig, LoraConfig, ranges

HINTS = get_type_hints(DragConfig)
NAMES = [f.name for f in fields(DragConfig)]
CHOICES = [n for n in NAMES if get_origin(HINTS[n]) is Literal]
SWITCHES = [n for n in NAMES if HINTS[n] is bool]


def test_default_is_the_released_benchmark():
    c = DragConfig()
    assert c == DragConfig.released() == DragConfig.preset("released")
    assert (c.num_steps, c.strength, c.K, c.B, c.J, c.r1, c.r2, c.beta) == (50, 0.75, 70, 10, 3, 4, 12, 4)
    assert (c.lam, c.lr, c.stop_distance, c.stop_unmoved, c.feature_block, c.grid) == (0.1, 0.02, 2, 5, -2, "latent4")
    assert (c.drag_scale, c.capped_step, c.skip_distance, c.tracking) == ("released", True, 2, "stale")
    assert (c.adam, c.inversion, c.reference, c.masactrl_start) == ("per_step", "destination", "denoised", 10)
    assert c.aldd and c.ip and c.masactrl and c.track_at_start


def test_paper_is_what_is_printed():
    c = DragConfig.paper()
    assert (c.lam, c.feature_block, c.grid, c.drag_scale, c.capped_step) == (0.2, -1, "image", "sum", False)
    assert (c.tracking, c.tracking_reference, c.inversion, c.track_at_start) == ("updated", "initial", "source", False)
    assert c.stop_distance is None and c.stop_unmoved is None and c.skip_distance == 0
    assert c.aldd and c.ip and c.schedule == [10] * 7 and c.T == 38


def test_dragdiffusion_and_its_star():
    c = DragConfig.dragdiffusion()
    assert (c.T, c.schedule, c.J, c.r1, c.r2, c.beta, c.lr, c.lam) == (35, [80], 1, 1, 3, 1, 0.01, 0.1)
    assert (c.aldd, c.ip, c.drag_scale, c.adam, c.capped_step) == (False, False, "dragdiffusion", "once", False)
    assert (c.masactrl_from, DragConfig().masactrl_from) == ("first", "second")
    assert DragConfig.dragdiffusion(K=210).schedule == [210]


def test_lora_defaults_presets_and_checks():
    c = LoraConfig()
    assert (c.rank, c.steps, c.lr, c.batch_size) == (16, 70, None, 4)
    assert LoraConfig.preset("fast") == LoraConfig(batch_size=1)
    assert LoraConfig.preset("storybook") == LoraConfig(layers="all", shift=4)
    assert LoraConfig.preset("dragdiffusion") == LoraConfig(steps=80)
    assert all(LoraConfig.preset(name) == c for name in PRESETS if name not in ("fast", "dragdiffusion", "storybook"))
    for bad in (dict(rank=0), dict(rank=2.0), dict(steps=-1), dict(lr=math.nan), dict(lr=2.0), dict(batch_size=True)):
        with pytest.raises(ValueError, match=rf"^{next(iter(bad))}: .*; expected a"):
            LoraConfig(**bad)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_changes(name):
    assert DragConfig.preset(name, K=20, lam=0.5) == getattr(DragConfig, name)(K=20, lam=0.5)
    assert DragConfig.preset(name, K=20).K == 20
    with pytest.raises(ValueError, match=rf"^preset: 'papyrus'; expected one of .*{name}"):
        DragConfig.preset("papyrus")
    with pytest.raises(TypeError, match="lambda_"):
        DragConfig.preset(name, lambda_=1)


@settings(max_examples=50)
@given(K=st.integers(0, 200), B=st.integers(1, 200), num_steps=st.integers(1, 60), strength=st.floats(0.01, 1))
@example(K=23, B=10, num_steps=50, strength=0.75)
def test_schedule_splits_K(K, B, num_steps, strength):
    T = max(1, round(strength * num_steps))
    settings = dict(K=K, B=B, num_steps=num_steps, strength=strength)
    assert DragConfig(aldd=False, **settings).schedule == [K] * (K > 0)
    if math.ceil(K / B) > T:
        with pytest.raises(ValueError, match=rf"^K: {K} drag operations at B = {B} need .* gives {T}$"):
            DragConfig(**settings)
        return
    c = DragConfig(**settings)
    assert c.T == T >= len(c.schedule) and sum(c.schedule) == K
    assert all(n == B for n in c.schedule[:-1]) and all(1 <= n <= B for n in c.schedule)


@pytest.mark.parametrize("value", ["", "nonsense", None, 1, 1.0, []])
def test_choices_and_switches_are_checked(value):
    for name in (*CHOICES, *SWITCHES):
        first = get_args(HINTS[name])[0] if name in CHOICES else True
        with pytest.raises(ValueError, match=rf"^{name}: .*; expected one of {first!r}, "):
            DragConfig(**{name: value})


@pytest.mark.parametrize("name", ranges(DragConfig))
def test_numbers_are_checked(name):
    low, high = ranges(DragConfig)[name]
    whole = "float" not in str(HINTS[name])
    bad = [True, False, "3", math.nan, math.inf, -math.inf, low - 1, high + 1, 10**400, [1], 1j]
    bad += [low + 0.5] if whole else []
    bad += [] if "None" in str(HINTS[name]) else [None]
    for value in bad:
        with pytest.raises(ValueError, match=rf"^{name}: .*; expected a (whole )?number from"):
            DragConfig(**{name: value})
    for value in (low, high):  # aldd=False: K alone decides nothing about the number of steps
        assert getattr(DragConfig(**{"aldd": False, name: value}), name) == value
