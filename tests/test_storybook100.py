"""Storybook100: which hundred edits, that they stay as they are, and that no training page can be one of them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gooddrag.storybook.pictures import HELD_OUT_PAGES
from gooddrag.storybook.recipe import Recipe
from PIL import Image

import gooddrag as gd
from gooddrag import plots
from storybook import WORLD_VERSION, sample
from storybook.edits import COMPOSITION, FIRST_SEED, TASKS, plan
from storybook.storybook100 import DOZEN, checksum, keys, storybook100

PICTURES = Path(__file__).parent / "data" / "storybook100.png"  # 8 px a picture, before and truth in turn
ALL = keys()


@pytest.fixture(scope="module")
def samples():
    return storybook100()


def levels(image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64) / 255


def thumbnails(samples) -> np.ndarray:
    small = [i.resize((8, 8), Image.Resampling.BOX) for s in samples for i in (s.image, s.truth)]
    return np.asarray(plots.contact_sheet(small, 20, gap=0))


def test_composition_is_drag100s(samples):
    assert gd.storybook100 is storybook100 and len(samples) == 100
    assert Counter(s.category for s in samples) == COMPOSITION
    tasks = Counter(s.task for s in samples)
    assert set(tasks) == set(TASKS) and all(abs(tasks[t] - share) <= 5 for t, share in TASKS.items())
    assert len({s.name for s in samples}) == len(set(ALL)) == 100 and samples[7].name.startswith("007 animal: ")
    assert len({(category, plan(seed, category, task)[1]) for category, task, seed in ALL}) >= 45  # kinds of edit
    assert sum(len(s.points) > 1 for s in samples) >= 30
    assert len(set(DOZEN)) == 12 and {samples[i].task for i in DOZEN} == set(TASKS)


def test_a_result_can_be_told_from_noise(samples):
    for s in samples:
        unedited = ((levels(s.image) - levels(s.truth)) ** 2)[s.mask].mean()
        assert unedited >= 0.01, s.name
        assert np.abs(levels(s.image) - levels(s.truth))[~s.mask].max(initial=0) <= 0.03, s.name
        assert np.linalg.norm(s.targets - s.handles, axis=1).max() >= 0.055 * 128, s.name
        assert 0.02 <= s.mask.mean() <= 0.65, s.name
        for x, y in s.points.reshape(-1, 2):
            assert s.mask[int(y), int(x)], s.name


def test_the_parameters_are_those_of_the_first_release():
    assert (WORLD_VERSION, checksum()) == ("1", "978677e44720bf1b"), "results on Storybook100 are no longer comparable"


def test_the_pictures_are_those_of_the_first_release(samples):
    released, now = np.asarray(Image.open(PICTURES), np.int16), thumbnails(samples).astype(np.int16)
    assert released.shape == now.shape == (80, 160, 3)
    assert np.abs(released - now).max() <= 2  # of 255


def test_training_cannot_reach_them():
    recipe = Recipe()
    assert recipe.max_shards * recipe.shard <= HELD_OUT_PAGES  # training draws the pages 0 ... max_shards * shard - 1
    assert HELD_OUT_PAGES + recipe.eval_pages <= FIRST_SEED  # its held-out pages follow, and then the edits
    assert min(seed for *_, seed in ALL) >= 1000  # what the notebooks' experiments use lies below
    pages = {page for key in ALL for page in plan(key[2], key[0], key[1])[2:]}
    assert len(pages) == 200
    assert not pages & {sample(seed) for seed in range(3000)}


def test_size(samples):
    small, large = storybook100(64)[80], samples[80]
    assert (small.image.size, large.image.size) == ((64, 64), (128, 128))
    np.testing.assert_allclose((small.points + 0.5) * 2, large.points + 0.5, atol=1.6)
    with pytest.raises(ValueError, match="^size: 32"):
        storybook100(32)


def test_sheet_shows_every_edit_and_its_truth(samples):
    sheet = plots.edits_sheet(samples[:3], size=64, columns=2)
    assert sheet.size == (4 * 68 - 4, 2 * 68 - 4)
    truth = np.asarray(sheet.crop((68, 0, 132, 64)), float)
    assert np.abs(truth - np.asarray(samples[0].truth.resize((64, 64), Image.Resampling.LANCZOS), float)).max() == 0
    marked = np.asarray(sheet.crop((0, 0, 64, 64)), float)
    frozen = np.asarray(samples[0].image.resize((64, 64)), float)
    assert marked[:4].mean() < 0.75 * frozen[:4].mean()  # the top is outside the mask: darkened


def test_marks_fit_a_picture_of_any_shape():
    wide = gd.Sample(Image.new("RGB", (100, 50), "grey"), [[[20, 25], [80, 25]]])
    marked = np.asarray(plots.marked(wide, 100))
    assert (marked[:22] == 255).all() and (marked[78:] == 255).all()  # white bands above and below
    assert marked[50, 20, 0] > 180 > marked[50, 20, 2] and marked[50, 80, 2] > 180 > marked[50, 80, 0]
