import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import picture

from gooddrag.frame import Frame

SD = dict(multiple=8, native=512)
SIZES = [(512, 665), (130, 97), (12000, 9000)]


def grid_of(frame, kind="latent4", multiple=8):
    return frame.grid_size((frame.padded[1] // multiple, frame.padded[0] // multiple), kind)


@settings(max_examples=60)
@given(w=st.integers(16, 5000), h=st.integers(16, 5000), multiple=st.sampled_from([4, 8]))
def test_never_stretched_never_enlarged(w, h, multiple):
    frame = Frame.fit((w, h), multiple, 128)
    sx, sy = frame.scaled[0] / w, frame.scaled[1] / h
    assert sx <= 1 and sy <= 1 and (frame.scaled == (w, h) or min(frame.scaled) == 128 or max(frame.scaled) == 256)
    assert abs(sx - sy) * max(w, h) <= 0.5 * (1 + max(w, h) / min(w, h)) + 1e-9  # whole pixels on each side
    assert min(frame.scaled) <= 128 and max(frame.scaled) <= 256
    for s, p in zip(frame.scaled, frame.padded, strict=True):
        assert p % multiple == 0 and 0 <= p - s < multiple


@pytest.mark.parametrize("kind", ["latent4", "image"])
@pytest.mark.parametrize("size", SIZES)
def test_markers_come_back(size, kind):
    """Within half a grid point in either direction: the grid's own rounding and nothing else."""
    frame = Frame.fit(size, **SD)
    grid = grid_of(frame, kind)
    assert grid == tuple(n // (2 if kind == "latent4" else 1) for n in frame.padded[::-1])
    cell = np.array([frame.user[i] / frame.scaled[i] * frame.padded[i] / grid[1 - i] for i in (0, 1)])
    xy = np.random.default_rng(0).uniform(0, np.array(size) - 1, (200, 2))
    xy = np.concatenate([xy, [[0, 0], [size[0] - 1, 0], [0, size[1] - 1], [size[0] - 1, size[1] - 1]]])
    points = frame.to_grid(xy, grid)
    assert (points == points.round()).all() and points.dtype == torch.float32
    assert (points >= 0).all() and (points[:, 0] < grid[0]).all() and (points[:, 1] < grid[1]).all()
    back = frame.from_grid(points, grid)
    inside = (xy / cell < np.array(grid[::-1]) - 0.5).all(axis=1)  # beyond, the grid's last point is the nearest
    assert inside.sum() > 190
    assert (abs(back - xy)[inside] <= 0.5 * cell + 1e-9).all() and (abs(back - xy) <= cell).all()
    assert (back >= 0).all() and (back <= np.array(size) - 1).all()
    again = frame.to_grid(back, grid)
    assert torch.equal(again[:-4], points[:-4]) and (abs(again - points) <= 1).all()


def test_tensor_and_back():
    image = picture((50, 33))
    frame = Frame.fit(image.size, **SD)
    x = frame.to_tensor(image)
    assert x.shape == (1, 3, 40, 56) and x.dtype == torch.float32 and -1 <= x.min() and x.max() <= 1
    assert torch.equal(x[..., :33, 50:], x[..., :33, 49:50].expand(-1, -1, -1, 6))  # the edge goes on
    assert torch.equal(x[..., 33:, :], x[..., 32:33, :].expand(-1, -1, 7, -1))
    pixels = np.asarray(image)
    assert float(x[0, 1, 7, 9]) == pytest.approx(pixels[7, 9, 1] / 127.5 - 1, abs=1e-6)
    assert np.array_equal(np.asarray(frame.to_image(x / 2 + 0.5)), pixels)


def test_to_image_clamps_and_scales_back():
    assert Frame.fit((16, 40000), **SD).scaled == (1, 1024)
    frame = Frame.fit((1000, 800), 4, 128)
    assert frame.scaled == (160, 128)
    assert frame.to_image(torch.full((1, 3, 128, 160), 7.0)).getextrema() == ((255, 255),) * 3
    smooth = Image.linear_gradient("L").convert("RGB").resize((1000, 800))
    shown = frame.to_image(frame.to_tensor(smooth) / 2 + 0.5)
    assert shown.size == (1000, 800) and np.abs(np.asarray(shown).astype(int) - np.asarray(smooth)).max() <= 3


@settings(max_examples=40)
@given(w=st.integers(16, 90), h=st.integers(16, 90), seed=st.integers(0, 9))
@example(w=64, h=64, seed=0)
def test_frozen_takes_the_two_nearest_resamplings(w, h, seed):
    """The mask value of each latent cell's top left grid point, as the released code finds it."""
    frame = Frame.fit((w, h), 8, 512)
    mask = np.random.default_rng(seed).random((h, w)) > 0.5
    gh, gw = grid_of(frame)
    frozen = frame.frozen(mask, (gh, gw), (gh // 4, gw // 4))
    padded = np.pad(mask, ((0, frame.padded[1] - h), (0, frame.padded[0] - w)), mode="edge")
    assert np.array_equal(frozen[0, 0].numpy(), 1 - padded[::8, ::8]) and frozen.dtype == torch.float32
    assert not frame.frozen(None, (gh, gw), (gh // 4, gw // 4)).any()
