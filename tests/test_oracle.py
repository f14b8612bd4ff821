"""benchmarks/oracle.py: which cells of a latent it replaces, and by what; a drag that knows the answer."""

import importlib.util
from pathlib import Path

import pytest
import torch
from tiny import picture, random

import gooddrag as gd


@pytest.fixture(scope="module")
def oracle():
    path = Path(__file__).parents[1] / "benchmarks" / "oracle.py"
    spec = importlib.util.spec_from_file_location("oracle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def put_in(oracle):
    return oracle.put_in


Z, OTHER = random(1, 4, 12, 12, seed=1), random(1, 4, 12, 12, seed=2)
P, Q = torch.tensor([[2, 3], [9, 9]]), torch.tensor([[5, 4], [9, 7]])
EVERYWHERE = torch.ones(12, 12, dtype=torch.bool)


@pytest.mark.parametrize("half", [0, 1, 2])
def test_patches_of_the_other_latent_around_the_targets(put_in, half):
    z = put_in(Z, OTHER, P, Q, EVERYWHERE, half)
    inside = torch.zeros(12, 12, dtype=torch.bool)
    for y, x in Q.tolist():
        inside[y - half : y + half + 1, x - half : x + half + 1] = True
    assert torch.equal(z[..., inside], OTHER[..., inside]) and torch.equal(z[..., ~inside], Z[..., ~inside])


def test_its_own_patches_come_from_the_handles(put_in):
    z = put_in(Z, None, P, Q, EVERYWHERE, 1)
    for (py, px), (qy, qx) in zip(P.tolist(), Q.tolist(), strict=True):
        assert torch.equal(z[..., qy - 1 : qy + 2, qx - 1 : qx + 2], Z[..., py - 1 : py + 2, px - 1 : px + 2])


def test_nothing_changes_outside_the_mask(put_in):
    editable = torch.zeros(12, 12, dtype=torch.bool)
    editable[5, 4] = True
    for half in (1, None):
        z = put_in(Z, None, P, Q, editable, half)
        assert torch.equal(z[..., 5, 4], Z[..., 2, 3]) and torch.equal(z[..., ~editable], Z[..., ~editable])


def test_all_moves_every_place_with_its_nearest_handle(put_in):
    z = put_in(Z, None, P, Q, EVERYWHERE, None)
    assert torch.equal(z[..., 3:7, 1:6], Z[..., 0:4, 0:5])  # nearer to the first target
    assert torch.equal(z[..., 10:, 4:10], Z[..., 10:, 6:])  # to the second one


def test_a_drag_to_what_is_there_already_changes_nothing_and_to_another_picture_does(oracle, tiny):
    sample = gd.Sample(picture(), [[[20, 20], [40, 35]]])
    same, other = (gd.DragEditor(tiny, None).set_image(picture(seed=seed)) for seed in (0, 7))
    config = gd.DragConfig(num_steps=6, K=4, B=2, J=1, beta=256.0, masactrl=False, stop_distance=None,
                           stop_unmoved=None, skip_distance=0.0)  # fmt: skip
    plain = same.drag(sample, config=gd.DragConfig(num_steps=6, K=0, masactrl=False)).latent
    assert torch.equal(oracle.dragged_to(same, same, sample, config), plain)
    assert not torch.equal(oracle.dragged_to(other, same, sample, config), plain)
