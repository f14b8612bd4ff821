"""The storybook's world: its pages stay as they are and follow from their numbers, and edits have a known truth."""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from storybook import FAMILIES, WORLD_VERSION, edit, sample
from storybook.edits import COMPOSITION, EDITS, MARGIN, SHORTEST, TASKS, _ends, draw_mask, picture, plan
from storybook.world.families import MIX

PAGES = Path(__file__).parent / "data" / "pages.png"  # 20 pages a family, 8 px each
ALL = [(category, name) for category, edits in EDITS.items() for name in edits]
CHECKED = [kind for n, kind in enumerate(ALL) if kind[0] != "painting" or n % 9 == 0]  # paintings repeat the others


def edited(category, name):
    """The first page that an edit changes, the page after, handles and targets (l, 2, 2) in the unit square."""
    kind, rng = EDITS[category][name], random.Random(f"{category} {name}")
    for _ in range(4000):
        before = FAMILIES[category].sample(rng)
        after = kind.change(before, rng)
        ends = _ends(before, after, kind.anchors)
        if len(ends) and MARGIN <= ends.min() and ends.max() <= 1 - MARGIN:
            if np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).min() >= SHORTEST:
                return before, after, ends
    raise AssertionError("no page where this edit applies")


def test_the_pages_are_those_of_version_1():
    drawn = [sample(seed, family) for family in FAMILIES for seed in range(20)]
    small = np.stack([F.avg_pool2d(page.render(64), 8).permute(1, 2, 0).numpy() for page in drawn])
    sheet = (small.reshape(6, 20, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(48, 160, 3) + 1) * 127.5
    drawn += [page for category, name in ALL for page in edited(category, name)[:2]]
    anchors = [{name: np.round(point, 5).tolist() for name, point in page.anchors().items()} for page in drawn]
    digest = hashlib.sha256(json.dumps(anchors, sort_keys=True).encode()).hexdigest()[:16]
    assert (WORLD_VERSION, digest) == ("1", "0f728cb9876ea0cd"), "pages moved: raise WORLD_VERSION"
    assert np.abs(np.asarray(Image.open(PAGES), np.float64) - sheet).max() < 1.5, "pages changed: raise WORLD_VERSION"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_page_at_any_resolution_and_leaves_randomness_alone(family):
    random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), torch.rand(1)
    random.seed(1)
    torch.manual_seed(1)
    a, b, c = sample(3, family), sample(3, family), sample(4, family)
    assert a == b != c
    first, second = a.render(64), b.render(64)
    assert torch.equal(first, second)
    assert first.shape == (3, 64, 64) and first.dtype == torch.float32
    assert first.min() >= -1 and first.max() <= 1 and first.std() > 0.05
    assert (first - F.avg_pool2d(a.render(128)[None], 2)[0]).abs().mean() < 0.02
    assert (random.random(), torch.rand(1)) == expected


def test_the_mix_covers_all_families_and_kinds():
    assert set(MIX) == set(FAMILIES) == set(EDITS) == set(COMPOSITION)
    assert sum(MIX.values()) == sum(COMPOSITION.values()) == 100
    drawn = [type(sample(seed)) for seed in range(400)]
    for name, family in FAMILIES.items():
        assert abs(drawn.count(family) / 4 - MIX[name]) < 9


@pytest.mark.parametrize(("category", "name"), CHECKED)
def test_an_edit_changes_the_picture_at_its_points_and_inside_the_mask_only(category, name):
    before, after, ends = edited(category, name)
    assert type(before) is type(after)
    before, after = before.render(64), after.render(64)
    mask = draw_mask(before, after, np.round(ends * 64 - 0.5))
    change = (before - after).abs().amax(0).numpy()
    assert change.max() > 0.1
    assert change[~mask].max(initial=0) <= 0.05  # of a range of 2: nothing an eye would see
    assert mask.sum() > 1.15 * (change > 0.05).sum(), "the mask gives the outline of the change away"
    for x, y in ends.mean(1) * 64:  # half way between handle and target: both the old and the new are near
        assert change[max(int(y) - 9, 0) : int(y) + 10, max(int(x) - 9, 0) : int(x) + 10].max() > 0.05, (x, y)


@pytest.mark.parametrize("task", TASKS)
def test_edit_is_a_sample_with_the_true_result(task):
    made = edit(11, size=96, task=task)
    category, name, before, after = plan(11, task=task)
    assert (made.category, made.task, made.name) == (category, task, f"{category} 11: {name}")
    assert (made.image, made.truth) == (picture(before.render(96)), picture(after.render(96)))
    assert all(made.mask[int(y), int(x)] for x, y in made.points.reshape(-1, 2))
    small, large = edit(11, 64, task=task), edit(11, 256, task=task)
    np.testing.assert_allclose((small.points + 0.5) * 4, large.points + 0.5, atol=2.6)


def test_categories_and_tasks_have_their_shares():
    drawn = [plan(seed)[:2] for seed in range(150)]
    for category, share in COMPOSITION.items():
        assert abs(100 * [c for c, _ in drawn].count(category) / len(drawn) - share) < 12
    for task in TASKS:
        assert sum(EDITS[category][name].task == task for category, name in drawn) >= 10
    assert {edit(1, 64, category).category for category in EDITS} == set(EDITS)


@pytest.mark.parametrize(("argument", "value"), [("seed", -1), ("category", "cat"), ("task", "explode"), ("size", 32)])
def test_wrong_arguments_are_named(argument, value):
    with pytest.raises(ValueError, match=f"^{argument}: "):
        edit(**{"seed": 1, argument: value})
    with pytest.raises(ValueError, match="^family: 'fish'"):
        sample(1, "fish")
