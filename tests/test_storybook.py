"""The storybook world: pages follow from their parameters, edits have a known truth, masks never give it away."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from storybook import FAMILIES, WORLD_VERSION, edit, sample
from storybook.edits import (
    ALONG,
    COMPOSITION,
    EDITS,
    LONGEST,
    MARGIN,
    SHORTEST,
    TASKS,
    dragged,
    draw_mask,
    plan,
)
from storybook.world.animals import WEIGHTS
from storybook.world.book import MIX
from storybook.world.breeds import BREEDS
from storybook.world.render import Canvas
from storybook.world.shapes import Pose, arc, ellipse

KINDS = [(category, name) for category, edits in EDITS.items() for name in edits]
CHECKED = [kind for n, kind in enumerate(KINDS) if kind[0] != "painting" or n % 9 == 0]  # paintings repeat the others


def levels(image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64) / 255


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_page(family):
    a, b, c = sample(3, family), sample(3, family), sample(4, family)
    assert a == b != c
    first, second = a.render(64), b.render(64)
    assert torch.equal(first, second)
    assert first.shape == (3, 64, 64) and first.dtype == torch.float32
    assert first.min() >= -1 and first.max() <= 1 and first.std() > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_is_the_same_picture_at_any_resolution(family):
    for seed in range(3):
        page = sample(seed, family)
        small, large = page.render(96), F.avg_pool2d(page.render(192)[None], 2)[0]
        assert (small - large).abs().mean() < 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_drawing_leaves_the_callers_randomness_alone(family):
    random.seed(1)
    torch.manual_seed(1)
    a = random.random(), torch.rand(1)
    random.seed(1)
    torch.manual_seed(1)
    sample(5, family).render(32)
    assert (random.random(), torch.rand(1)) == a


@pytest.mark.parametrize("family", FAMILIES)
def test_most_anchors_lie_in_the_picture(family):
    inside = [0 <= v <= 1 for seed in range(40) for point in sample(seed, family).anchors().values() for v in point]
    assert np.mean(inside) > 0.95


def test_faces_are_in_the_picture():
    for seed in range(200):
        for family in ("animal", "portrait"):
            anchors = sample(seed, family).anchors()
            for name in ("nose", "left_eye", "right_eye", "mouth"):
                assert 0.02 < min(anchors[name]) and max(anchors[name]) < 0.98, (family, seed, name)


def test_every_breed_is_drawn_and_all_have_weights():
    assert set(WEIGHTS) == set(BREEDS) and len(BREEDS) >= 6
    assert {sample(seed, "animal").kind for seed in range(150)} == set(BREEDS)


def test_the_mix_covers_all_families():
    assert set(MIX) == set(FAMILIES) == set(EDITS) == set(COMPOSITION)
    assert sum(MIX.values()) == sum(COMPOSITION.values()) == 100
    drawn = [type(sample(seed)) for seed in range(400)]
    for name, family in FAMILIES.items():
        assert abs(drawn.count(family) / 4 - MIX[name]) < 9
    assert WORLD_VERSION


def test_heads_are_big_enough_to_learn():
    for seed in range(60):
        page = sample(seed, "animal")
        assert 0.16 <= page.head <= 0.26


def test_at_least_twelve_kinds_of_edit_cover_the_five_tasks():
    assert len(KINDS) >= 12
    assert {EDITS[c][n].task for c, n in KINDS} == set(TASKS)


@pytest.mark.parametrize(("category", "name"), CHECKED)
def test_edit_changes_the_picture_inside_the_mask_only(category, name):
    kind, rng = EDITS[category][name], random.Random(f"{category} {name}")
    for _ in range(3000):
        before = FAMILIES[category].sample(rng)
        after = kind.change(before, rng)
        a, b = before.anchors(), after.anchors()
        if all(n in a and n in b for n in kind.anchors):
            ends = np.array([[a[n], b[n]] for n in kind.anchors])
            far = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).min() >= SHORTEST
            if far and MARGIN <= ends.min() and ends.max() <= 1 - MARGIN:
                break
    else:
        pytest.fail("no page where this edit applies")
    points = np.round(ends * 64 - 0.5)
    before, after = before.render(64), after.render(64)
    mask = draw_mask(before, after, points)
    change = (before - after).abs().amax(0).numpy()
    assert change.max() > 0.1
    assert change[~mask].max(initial=0) <= 0.05  # of a range of 2: nothing an eye would see
    assert mask.sum() > 1.15 * (change > 0.05).sum(), "the mask gives the outline of the change away"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_plan_fits_the_frame(seed):
    category, name, before, after = plan(seed)
    a, b = before.anchors(), after.anchors()
    ends = np.array([[a[n], b[n]] for n in EDITS[category][name].anchors])
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    assert ends.min() >= MARGIN and ends.max() <= 1 - MARGIN
    assert length.min() >= SHORTEST and length.max() <= LONGEST


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_what_moves_along_is_dragged_along_if_it_moves_far_enough(seed):
    category, name, before, after = plan(seed, "animal", "relocation")
    kind, (a, b) = EDITS[category][name], (before.anchors(), after.anchors())
    names = dragged(kind, before, after)
    assert names[: len(kind.anchors)] == kind.anchors and set(names[len(kind.anchors) :]) <= set(kind.also)
    for along in kind.also:
        far = ALONG <= math.dist(a[along], b[along]) <= LONGEST
        inside = all(MARGIN <= x <= 1 - MARGIN for x in (*a[along], *b[along]))
        assert (along in names) == (far and inside)
    assert len(edit(seed, 64, "animal", "relocation").points) == len(names)


@pytest.mark.parametrize("task", TASKS)
def test_edit_is_a_sample_with_the_true_result(task):
    made = edit(11, size=96, task=task)
    category, name, before, after = plan(11, task=task)
    assert (made.category, made.task) == (category, task) and name in made.name
    assert made.image.size == made.truth.size == (96, 96)
    assert np.abs(levels(made.truth) * 2 - 1 - after.render(96).permute(1, 2, 0).numpy()).max() < 0.005
    assert np.abs(levels(made.image) * 2 - 1 - before.render(96).permute(1, 2, 0).numpy()).max() < 0.005
    for x, y in made.points.reshape(-1, 2):
        assert made.mask[int(y), int(x)]
    assert np.array_equal(made.points, edit(11, size=96, task=task).points)


def test_points_follow_the_size():
    small, large = edit(7, size=64), edit(7, size=256)
    np.testing.assert_allclose((small.points + 0.5) * 4, large.points + 0.5, atol=2.6)


def test_composition_is_drag100s():
    drawn = [plan(seed)[0] for seed in range(150)]
    for category, share in COMPOSITION.items():
        assert abs(100 * drawn.count(category) / len(drawn) - share) < 12
    assert {edit(1, 64, category).category for category in EDITS} == set(EDITS)


def test_every_task_has_its_share():
    drawn = [plan(seed)[:2] for seed in range(100)]
    for task in TASKS:
        assert sum(EDITS[category][name].task == task for category, name in drawn) >= 7


@pytest.mark.parametrize(("argument", "value"), [("seed", -1), ("category", "cat"), ("task", "explode"), ("size", 32)])
def test_wrong_arguments_are_named(argument, value):
    with pytest.raises(ValueError, match=f"^{argument}: "):
        edit(**{"seed": 1, argument: value})


def test_sample_names_a_wrong_family():
    with pytest.raises(ValueError, match="^family: 'fish'"):
        sample(1, "fish")


def test_masks_are_smooth_and_reach_the_frame():
    before = torch.zeros(3, 64, 64)
    after = before.clone()
    after[:, :20, 20:40] = 1
    mask = draw_mask(before, after, np.array([[[30.0, 10.0], [30.0, 40.0]]]))
    assert mask[:20, 20:40].all() and mask[40, 30] and mask[0, 30]
    assert not mask[60].any() and not mask[:, 2].any()


def test_pose_and_its_inverse():
    pose = Pose((0.3, 0.6), 0.7, 0.2)
    x, y = pose(0.4, -0.9)
    u, v = pose.local(torch.tensor(x), torch.tensor(y))
    assert abs(u - 0.4) < 1e-5 and abs(v + 0.9) < 1e-5
    placed, direct = pose.place(ellipse((0.4, -0.9), 0.5, 0.2)), pose.ellipse(0.4, -0.9, 0.5, 0.2)
    grid = torch.linspace(0, 1, 17)
    assert torch.allclose(placed.sdf(grid[None], grid[:, None]), direct.sdf(grid[None], grid[:, None]), atol=1e-4)


def test_an_arc_is_a_smile():
    smile = arc((0.5, 0.4), 0.2, 0.03, 0.8)
    at = lambda x, y: float(smile.sdf(torch.tensor(x), torch.tensor(y)))  # noqa: E731
    assert at(0.5, 0.6) == pytest.approx(-0.03, abs=1e-6) and at(0.5, 0.2) > 0.1
    frown = arc((0.5, 0.4), -0.2, 0.03, 0.8)
    assert float(frown.sdf(torch.tensor(0.5), torch.tensor(0.2))) == pytest.approx(-0.03, abs=1e-6)


def test_a_shape_outside_the_picture_is_ignored():
    canvas = Canvas(16, (0.5, 0.5, 0.5))
    canvas.paint(ellipse((3.0, 3.0), 0.1), (1.0, 0.0, 0.0))
    assert torch.all(canvas.image == 0.5)


def test_replacing_a_parameter_moves_its_anchor_alone():
    page = replace(sample(2, "animal"), mouth=0.0)
    wide = replace(page, mouth=1.0)
    assert wide.anchors()["mouth"][1] > page.anchors()["mouth"][1] + 0.03
    assert wide.anchors()["left_eye"] == page.anchors()["left_eye"]
