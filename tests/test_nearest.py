"""The nearest page: found from elsewhere, further from torn pictures, close to what the autoencoder gives back."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image

import gooddrag as gd
from storybook import FAMILIES, sample
from storybook.edits import picture, plan
from storybook.nearest import _numbers, _with_numbers, nearest


def torn(image: Image.Image, centre, half: int) -> Image.Image:
    """The image with a square about `centre` (unit square) upside down."""
    x, y = (int(v * image.width) - half for v in centre)
    turned = image.copy()
    turned.paste(image.crop((x, y, x + 2 * half, y + 2 * half)).rotate(180), (x, y))
    return turned


@pytest.mark.parametrize("family", FAMILIES)
def test_every_edit_of_a_family_changes_numbers_only(family):
    for seed in range(12):
        _, name, before, after = plan(seed, family)
        values = [value for value, _ in _numbers(after)]
        assert len(values) >= 5 and _with_numbers(before, np.array(values)) == after, name


@pytest.mark.parametrize("family", FAMILIES)
def test_it_finds_a_page_from_a_moved_start(family):
    page, draw = sample(2, family), np.random.default_rng(0).uniform
    moved = [min(max(value + draw(-0.05, 0.05) * (hi - lo), lo), hi) for value, (lo, hi) in _numbers(page)]
    start = _with_numbers(page, np.array(moved))
    apart = float(((start.render(64) - page.render(64)) ** 2).mean()) / 4
    distance, found = nearest(picture(page.render(128)), start)
    assert distance < 0.3 * apart
    assert type(found) is type(page) and found.anchors().keys() == page.anchors().keys()


def test_a_page_is_at_no_distance_and_nothing_else_of_it_changes():
    page = sample(4, "animal")
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    distance, found = nearest(picture(page.render(128)), page, evaluations=40)
    assert (distance, found) == nearest(picture(page.render(128)), page, evaluations=40)
    assert distance < 2e-5
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    same = [f.name for f in fields(page) if "range" not in f.metadata]
    assert {"kind", "coat", "backdrop", "pattern"} <= set(same)
    assert all(getattr(found, name) == getattr(page, name) for name in same)


def test_the_distance_grows_when_a_face_is_torn():
    _, _, before, after = plan(3, "animal")
    whole, half = picture(after.render(128)), 16
    few = torn(whole, after.anchors()["nose"], half // 2)
    many = torn(whole, after.anchors()["nose"], half)
    a, b, c = (nearest(image, before, after, evaluations=60)[0] for image in (whole, few, many))
    assert a < 2e-5 and b > 10 * a and c > 1.5 * b


def test_it_is_small_for_a_round_trip_through_the_embedded_autoencoder():
    model, (_, _, before, after) = gd.load_model("storybook"), plan(3, "animal")
    with torch.no_grad():
        there = model.decode(model.encode(after.render(model.native_size)[None]))[0]
    assert 1e-5 < nearest(picture(there), before, after, evaluations=100)[0] < 4e-4


def test_pictures_must_be_square_and_large_enough():
    for size in ((128, 96), (32, 32)):
        with pytest.raises(ValueError, match=f"^image: {size[0]} x {size[1]} px"):
            nearest(Image.new("RGB", size), sample(1))
