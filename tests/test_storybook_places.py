"""Landscapes, plants, things and paintings: their anchors sit on what they name, and edits change what is dragged."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from storybook.world import landscapes, objects, paintings, plants
from storybook.world.book import FAMILIES
from storybook.world.landscape_layout import Cloud, Peak, apart, clear
from storybook.world.landscape_parts import GRASS, HOURS, flank
from storybook.world.landscapes import Landscape
from storybook.world.objects import ITEMS, Thing
from storybook.world.paintings import STYLES, SUBJECTS, Painting
from storybook.world.plant_parts import stem
from storybook.world.plants import SIZE, Plant
from storybook.world.render import Canvas

MODULES = {"landscape": landscapes, "plant": plants, "object": objects}
KINDS = [(family, name) for family, module in MODULES.items() for name in module.EDITS]
seeds = st.integers(0, 10**6)


def pages(family, n=40, fits=lambda page: True):
    """The first n pages of a class that fit."""
    drawn = (family.sample(random.Random(seed)) for seed in range(4000))
    return [page for _, page in zip(range(n), filter(fits, drawn), strict=False)]


def at(picture, point):
    """Colour of the picture (3, size, size) at a point of the unit square, in [0, 1]."""
    size = picture.shape[-1]
    x, y = (min(max(int(v * size), 0), size - 1) for v in point)
    return (picture[:, y, x] + 1) / 2


@pytest.mark.parametrize(("family", "name"), KINDS)
def test_an_edit_changes_the_picture_at_its_handles_and_targets(family, name):
    edit, rng = MODULES[family].EDITS[name], random.Random(name)
    found = 0
    for _ in range(4000):
        before = FAMILIES[family].sample(rng)
        after = edit.change(before, rng)
        a, b = before.anchors(), after.anchors()
        if before == after or any(n not in a or n not in b for n in edit.anchors):
            continue
        ends = np.array([[a[n], b[n]] for n in edit.anchors])
        if (
            np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).min() < 0.04
            or not (0.04 < ends).all()
            or not (ends < 0.96).all()
        ):
            continue
        changed = (before.render(64) - after.render(64)).abs().amax(0)
        assert type(before) is type(after)
        for x, y in ends.mean(1) * 64:  # half way between handle and target: both the old and the new are near
            near = changed[max(int(y) - 9, 0) : int(y) + 10, max(int(x) - 9, 0) : int(x) + 10]
            assert near.max() > 0.05, (x, y)
        found += 1
        if found == 2:
            return
    pytest.fail("no page where this edit applies")


def test_every_hour_season_ground_kind_and_style_occurs():
    drawn = pages(Landscape, 200)
    assert {page.hour for page in drawn} == set(HOURS) and {page.season for page in drawn} == set(GRASS)
    assert {page.ground for page in drawn} == {"meadow", "lake", "sea"}
    assert {page.kind for page in pages(Plant, 100)} == set(SIZE)
    assert {page.kind for page in pages(Thing, 100)} == set(ITEMS)
    assert {page.style for page in pages(Painting, 60)} == set(STYLES)


def test_the_sun_is_never_covered():
    for page in pages(Landscape, 40, lambda page: not page.trees and not page.boat):
        hour, seen = HOURS[page.hour], at(page.render(96), page.anchors()["sun"])
        tolerance = 0.3 if page.hour == "night" else 0.12  # the moon has craters
        assert (seen - torch.tensor(hour.sun)).abs().max() < tolerance


def test_a_summit_is_where_its_anchor_says():
    for page in pages(Landscape, 25, lambda p: not p.trees and not p.boat and p.peaks[0].height > 0.2):
        with_peak = page.render(96)
        without = replace(page, peaks=(replace(page.peaks[0], height=0.001), *page.peaks[1:])).render(96)
        changed = ((with_peak - without).abs().amax(0) > 0.08)[: int(96 * page.horizon)]
        top = changed.any(1).nonzero()[0].item() / 96
        assert abs(top - page.anchors()["peak"][1]) < 0.045


def test_a_cloud_of_no_width_is_a_clear_sky():
    page = pages(Landscape, 1, lambda p: len(p.clouds) == 1)[0]
    gone = replace(page, clouds=(replace(page.clouds[0], size=0.0),))
    assert torch.equal(gone.render(64), replace(page, clouds=()).render(64))
    assert not torch.equal(gone.render(64), page.render(64))
    assert gone.anchors()["cloud_left"] == gone.anchors()["cloud_right"]


def test_water_mirrors_the_shore():
    page = pages(Landscape, 1, lambda p: p.ground == "lake" and not p.trees and not p.boat and p.hour == "noon")[0]
    taller = replace(page, peaks=(replace(page.peaks[0], height=0.4), *page.peaks[1:]))
    lower = replace(page, peaks=(replace(page.peaks[0], height=0.14), *page.peaks[1:]))
    changed = (taller.render(96) - lower.render(96)).abs().amax(0)
    below = changed[int(96 * page.horizon) + 4 : int(96 * page.shore) - 3]
    assert below.max() > 0.03
    meadow = replace(taller, ground="meadow"), replace(lower, ground="meadow")
    dry = (meadow[0].render(96) - meadow[1].render(96)).abs().amax(0)
    assert dry[int(96 * page.horizon) + 4 :].max() < 1e-3


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.34), seeds)
def test_a_clear_sun_stands_above_every_flank(x, y, seed):
    peak = Peak(random.Random(seed).uniform(0.1, 0.9), 0.3, 0.3, 0.0)
    outline = 0.55 - 0.3 * flank(min(abs(x - peak.x) / 0.3, 1.5))
    assert clear((x, y), (peak,), 0.55) == (y < outline - 0.03)


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_a_cloud_apart_from_a_point_does_not_cover_it(dx, dy):
    cloud = Cloud(0.5, 0.3, 0.1)
    if apart(cloud, (0.5 + dx, 0.3 + dy)):
        assert (dx / 0.1) ** 2 + (dy / 0.05) ** 2 > 1


@given(st.floats(0.2, 0.6), st.floats(-0.75, 0.75))
def test_a_stem_keeps_its_length_when_it_bends(height, bend):
    line = stem((0.5, 0.9), height, bend)
    assert sum(math.dist(a, b) for a, b in pairwise(line)) == pytest.approx(height)
    assert (line[-1][0] > 0.5) == (bend > 0) or abs(line[-1][0] - 0.5) < 1e-6


def test_petals_and_leaves_are_where_their_anchors_say():
    for page in pages(Plant, 30, lambda p: p.kind in ("sunflower", "daisy", "aster")):
        anchors, head = page.anchors(), page.head()
        assert math.dist(anchors["left_petal"], head.centre) == pytest.approx(
            math.dist(anchors["right_petal"], head.centre)
        )
        assert math.dist(anchors["left_petal"], head.centre) < page.size
        for (root, _), name in zip(page.leaves(), ("left_leaf", "right_leaf"), strict=True):
            assert math.dist(root, anchors[name]) == pytest.approx(0.9 * page.leaf)
            assert (anchors[name][0] < root[0]) == (name == "left_leaf")


def test_clock_hands_are_dark_where_their_anchors_are():
    for page in pages(Thing, 8, lambda p: p.kind == "clock"):
        picture = page.render(128)
        for name in ("hour_hand", "minute_hand"):
            assert at(picture, page.anchors()[name]).max() < 0.6
    noon = replace(page, item=replace(page.item, hour=0.0, minute=math.pi / 2)).anchors()
    assert noon["hour_hand"][1] < noon["dial"][1] and noon["minute_hand"][0] > noon["dial"][0]


@pytest.mark.parametrize("style", STYLES)
def test_a_painting_is_its_subject_in_another_manner(style):
    for inner in (pages(Landscape, 2)[1], pages(Plant, 1)[0], pages(Thing, 1)[0]):
        painted, plain = Painting(inner, style, 5).render(96), inner.render(96)
        assert 0.01 < (painted - plain).abs().mean() < 0.35
        blurred = [F.avg_pool2d(image[None], 12).flatten() for image in (painted, plain)]
        assert torch.corrcoef(torch.stack(blurred))[0, 1] > 0.85
        assert Painting(inner, style, 5).anchors() == inner.anchors()


def test_pixel_paintings_have_thirty_two_pixels_a_side():
    picture = Painting(pages(Plant, 1)[0], "pixel", 0).render(128)
    assert torch.equal(picture, picture[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_a_paintings_edits_are_those_of_its_subject():
    assert len(paintings.EDITS) == sum(len(edits) for _, edits, _ in SUBJECTS.values())
    flower = Painting(pages(Plant, 1)[0], "brush", 1)
    assert paintings.EDITS["landscape: move sun"].change(flower, random.Random(0)) is flower
    edit, inner = paintings.EDITS["plant: swing left leaf"], plants.EDITS["swing left leaf"]
    changed = edit.change(flower, random.Random(0))
    assert changed == replace(flower, inner=inner.change(flower.inner, random.Random(0))) != flower
    assert (edit.task, edit.anchors) == (inner.task, inner.anchors)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_ink_and_strokes_stay_where_they_are_when_the_subject_changes(seed):
    """A style may depend on the place and on the colours nearby only, or an edit would change the whole painting."""
    canvas = Canvas(64, (0.5, 0.6, 0.7))
    other = Canvas(64, (0.5, 0.6, 0.7))
    other.image[:, :20, :20] = 0.1
    for style, apply in STYLES.items():
        a, b = canvas.image, other.image
        apply(canvas, seed % 1000), apply(other, seed % 1000)
        assert torch.allclose(canvas.image[:, 24:, 24:], other.image[:, 24:, 24:], atol=1e-5), style
        canvas.image, other.image = a, b


def test_fill_and_pool():
    canvas = Canvas(32)
    canvas.fill(lambda x, y, d: y[None].expand(3, -1, -1))
    assert (
        canvas.image[0, 0, 0] < 0.05
        and canvas.image[0, -1, 5] > 0.95
        and torch.equal(canvas.image[:, :, 0], canvas.image[:, :, 9])
    )
    canvas = Canvas(32)
    canvas.pool((0.5, 0.5), 0.25, 0.1, (0.0, 0.0, 0.0), 0.8)
    assert canvas.image[0, 16, 16] < 0.3 and canvas.image[0, 16, 31] > 0.97 and canvas.image[0, 28, 16] == 1
    canvas.pool((3.0, 3.0), 0.1, 0.1)  # outside: nothing to do
