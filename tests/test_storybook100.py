"""Storybook100: which hundred edits, that they stay as they are, and that no training page can be one of them."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gooddrag as gd
from storybook import sample
from storybook.edits import COMPOSITION, FIRST_SEED, TASKS, plan
from storybook.storybook100 import DOZEN, keys, scenes, storybook100
from storybook.training.pages import HELD_OUT_PAGES

PICTURES = Path(__file__).parent / "data" / "storybook100.png"  # 8 px a picture, before and truth in turn
ALL = keys()


@pytest.fixture(scope="module")
def samples():
    return storybook100(128)


def test_composition_is_drag100s(samples):
    assert gd.storybook100 is storybook100 and len(samples) == 100
    assert Counter(s.category for s in samples) == COMPOSITION
    tasks = Counter(s.task for s in samples)
    assert set(tasks) == set(TASKS) and all(abs(tasks[t] - share) <= 5 for t, share in TASKS.items())
    assert len({s.name for s in samples}) == len(set(ALL)) == 100 and samples[7].name.startswith("007 animal: ")
    assert len({(category, plan(seed, category, task)[1]) for category, task, seed in ALL}) >= 45  # kinds of edit
    assert sum(len(s.points) > 1 for s in samples) >= 30
    assert len(set(DOZEN)) == 12 and {samples[i].task for i in DOZEN} == set(TASKS)


def test_the_edits_are_those_of_the_first_release(samples):
    pages = [page for s in samples for page in scenes(s.name)]
    anchors = [{name: np.round(point, 5).tolist() for name, point in page.anchors().items()} for page in pages]
    points = [s.points.tolist() for s in samples]  # whole pixels
    pairs = list(zip(anchors[::2], anchors[1::2], strict=True))
    made = [hashlib.sha256(json.dumps(x, sort_keys=True).encode()).hexdigest()[:16] for x in (pairs, points)]
    assert made == ["556563cc0464ecae", "f4c064df105648ad"], "results on Storybook100 are no longer comparable"
    small = [i.resize((8, 8), Image.Resampling.BOX) for s in samples for i in (s.image, s.truth)]
    now = np.stack(small).reshape(10, 20, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(80, 160, 3).astype(np.int16)
    assert np.abs(np.asarray(Image.open(PICTURES), np.int16) - now).max() <= 2  # of 255


def test_scenes_are_the_pages_of_a_sample(samples):
    for s in samples[::9]:
        for picture, page in zip((s.image, s.truth), scenes(s.name), strict=True):
            shown = np.asarray(picture) / 127.5 - 1
            assert np.abs(shown - page.render(128).permute(1, 2, 0).numpy()).max() < 0.005
    for name in ("007 animal: fly", "123 animal: nod", "animal 7: nod", ""):
        with pytest.raises(ValueError, match=f"^name: '{name}'"):
            scenes(name)


def test_training_cannot_reach_them():
    assert HELD_OUT_PAGES + 10**5 <= FIRST_SEED  # training draws the pages below, its held-out pages follow, then edits
    assert min(seed for *_, seed in ALL) >= 1000  # what the notebooks' experiments use lies below
    pages = {page for key in ALL for page in plan(key[2], key[0], key[1])[2:]}
    assert len(pages) == 200
    assert not pages & {sample(seed) for seed in range(3000)}
