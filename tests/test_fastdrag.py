"""FastDrag against its formulas cell by cell, and its one theorem: a drag of length zero is the round trip."""

import math

import numpy as np
import pytest
import torch
from tiny import mask_of, picture

from gooddrag.config import DragConfig
from gooddrag.editor import DragEditor
from gooddrag.evaluation.methods.fastdrag import FastDrag, fill, preview, warp
from gooddrag.masactrl import borrowed_attention, recorded_states
from gooddrag.sample import Sample

POINTS = np.array([[[4.0, 5.0], [7.0, 8.0]], [[9.0, 12.0], [9.0, 9.5]]])  # (y, x)


@pytest.fixture
def mask():
    mask = mask_of((16, 14), (3, 2, 14, 12))
    mask[2, 3] = False  # not a rectangle
    return mask


def cells(shape=(14, 16)):
    return np.random.default_rng(0).normal(size=(3, *shape))


def leaves(a, c, centre, radius):
    """Where the ray from a through c leaves the circle: the larger root of |a + t e - centre| = radius."""
    e = (c - a) / np.linalg.norm(c - a)
    return a + max(np.roots([1, 2 * e @ (a - centre), (a - centre) @ (a - centre) - radius**2]).real) * e


def moved_by(c, points, centre, radius, nearest):
    shares, ways = [], []
    for a, b in points:
        d = np.linalg.norm(c - a)
        P = leaves(a, c, centre, radius) if d else None
        s = np.linalg.norm(P - c) / np.linalg.norm(P - a) if d else 1.0
        shares.append(1 / (d + 1e-4))
        ways.append(s * (b - a))
    if nearest:
        return ways[int(np.argmax(shares))]
    return sum(w * way for w, way in zip(shares, ways, strict=True)) / sum(shares)


@pytest.mark.parametrize("nearest", [False, True])
def test_warp_cell_by_cell(mask, nearest):
    x = cells()
    low, high = np.array([2, 3]), np.array([11, 13])
    centre, radius = (low + high) / 2, np.linalg.norm(high - low) / 2
    expected, arrived = np.where(mask, 0, x), set()
    for y, column in np.argwhere(mask):
        c = np.array([y, column], float)
        to = tuple(np.rint(c + moved_by(c, POINTS, centre, radius, nearest)).astype(int).clip(0, [13, 15]))
        if to not in arrived:  # the first one stays
            arrived.add(to)
            expected[:, *to] = x[:, y, column]
    warped, empty = warp(x, mask, POINTS, nearest=nearest)
    left = {tuple(cell) for cell in np.argwhere(mask)} - arrived
    assert {tuple(cell) for cell in np.argwhere(empty)} == left != set()
    assert np.array_equal(warped, expected)


def test_edge_cases(mask):
    x, rest = cells(), np.stack([POINTS[:, 0]] * 2, axis=1)
    for handle in ((0.0, 0.0), (-3.0, 20.0)):  # at the circle, and beyond
        warped, empty = warp(x, mask, np.array([[handle, (5.0, 5.0)]]))
        assert np.isfinite(warped).all() and not empty[~mask].any()
    for where, points in ((np.zeros_like(mask), POINTS), (mask, rest)):  # an empty mask, and no way at all
        warped, empty = warp(x, where, points)
        assert np.array_equal(warped, x) and not empty.any()


def test_fill_cell_by_cell():
    x, empty = cells(), np.random.default_rng(1).random((14, 16)) < 0.7
    empty[5] = empty[:, 6] = True  # the cell (5, 6) sees nothing in the first round
    expected = x.copy()
    for y, c in np.argwhere(empty):
        lines = [(y, j) for j in range(c - 1, -1, -1)], [(y, j) for j in range(c + 1, 16)]
        lines += [(i, c) for i in range(y - 1, -1, -1)], [(i, c) for i in range(y + 1, 14)]
        near = [next((at for at in line if not empty[at]), None) for line in lines]
        found = [(x[:, *at], 1 / math.dist(at, (y, c))) for at in near if at]
        if found:
            expected[:, y, c] = sum(v * w for v, w in found) / sum(w for _, w in found)
    filled = fill(x, empty)
    sees = np.ones_like(empty)
    sees[5, 6] = False
    assert np.allclose(filled[:, sees], expected[:, sees])
    around = [filled[:, *at] for at in ((5, 5), (5, 7), (4, 6), (6, 6))]
    assert np.allclose(filled[:, 5, 6], np.mean(around, axis=0))  # the second round


def test_noise_depends_on_the_seed_and_mixing_does_not(tiny):
    sample = Sample(picture(), [[[20, 20], [40, 28]]])
    mixed = [np.asarray(FastDrag()(tiny, sample, seed)) for seed in (0, 1)]
    noisy = [np.asarray(FastDrag(noise=True)(tiny, sample, seed)) for seed in (0, 0, 1)]
    assert np.array_equal(*mixed) and np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2]) and not np.array_equal(noisy[0], mixed[0])


def test_preview_moves_pixels():
    image = picture((96, 64))
    mask = mask_of((96, 64), (20, 10, 80, 50))
    before, after = np.asarray(image), np.asarray(preview(image, np.array([[[40, 30], [46, 26]]]), mask))
    assert after.shape == before.shape and np.array_equal(after[26, 46], before[30, 40])
    assert np.array_equal(after[:, 90:], before[:, 90:]) and np.array_equal(after[56:], before[56:])
    assert np.array_equal(np.asarray(preview(image, np.array([[[40, 30], [40, 30]]]))), before)


def test_an_edit_is_denoised_with_keys_and_values_of_the_unedited_latent(tiny):
    """One step (T = 1), written out: warp, record the unedited latent's states, borrow them, Eq. 2 to alpha_0."""
    sample, config = Sample(picture(), [[[20, 20], [40, 28]]]), DragConfig(num_steps=4, strength=0.25, K=0)
    editor, schedule = DragEditor(tiny, lora=None).set_image(sample.image), tiny.schedule(4)
    unedited = editor.invert(config)[-1]
    moved = warp(unedited[0].numpy(), np.ones((16, 16), bool), np.array([[[4.625, 4.625], [6.625, 9.625]]]))
    z = torch.from_numpy(fill(*moved))[None]
    with torch.no_grad():
        with recorded_states(tiny.unet, 7) as states:
            tiny.eps(unedited, schedule.timestep(1))
        with borrowed_attention(tiny.unet, states, 7):
            eps = tiny.eps(z, schedule.timestep(1))
        assert not torch.allclose(eps, tiny.eps(z, schedule.timestep(1)))  # what is borrowed counts
    a1, a0 = (schedule.alpha(t) for t in (1, 0))
    z = a0.sqrt() * (z - (1 - a1).sqrt() * eps) / a1.sqrt() + (1 - a0).sqrt() * eps
    expected = np.asarray(editor.frame.to_image(tiny.decode_image(z)), dtype=int)
    found = FastDrag(num_steps=4, strength=0.25)(tiny, sample, 0)
    assert np.abs(np.asarray(found, dtype=int) - expected).max() <= 1
