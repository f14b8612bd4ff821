"""DragGAN and its generator against their formulas, PTI, and a drag of length zero."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import picture, random
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, interpolate

from gooddrag.evaluation.methods.draggan import DragGan, Generator, Modulated, load_generator, pyramid, tracked
from gooddrag.sample import Sample
from storybook.training import generator
from storybook.training.pages import to_tensor

POINTS = torch.tensor([[[60.0, 60.0], [60.0, 80.0]], [[30.0, 20.0], [36.0, 12.0]]])  # (y, x)
FROZEN = torch.zeros(1, 1, 128, 128)
FROZEN[..., 96:] = 1


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator().requires_grad_(False)


def styles(seed=0):
    return random(1, 11, 128, seed=seed, dtype=torch.float32)


def grid(F):
    return interpolate(F, (128, 128), mode="bilinear", align_corners=False)


def test_a_layer_is_a_convolution_with_weights_of_its_own():
    layer = Modulated(4, 5)
    x, w = random(3, 4, 8, 8, dtype=torch.float32), random(3, 128, seed=1, dtype=torch.float32)
    s = w @ layer.style.weight.T + layer.style.bias
    for i in range(3):
        weight = layer.weight * s[i][None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = conv2d(x[i : i + 1], weight, layer.bias, padding=1)
        assert torch.allclose(layer(x, w)[i : i + 1], expected, atol=1e-5)


def test_blobs_turn_with_the_parts():
    """At first their centres are weighted means of the parts' places, and their maps are discs around these."""
    blobs, places = generator.Generator(40).blobs["32"], random(16, 2, dtype=torch.float32) / 4

    def centres(of):
        return blobs.centre(torch.cat([torch.zeros(96), of.flatten()])).view(2, -1).T

    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    assert torch.allclose(centres(places @ turn + 0.1), centres(places) @ turn + 0.1, atol=1e-5)
    seen = []
    blobs.mix.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    blobs(torch.cat([torch.zeros(96), places.flatten()])[None], 32)
    at, i = (2 * torch.arange(32) + 1) / 32 - 1, 5
    x, y = ((at - c) / blobs.log_radius[i].exp() for c in centres(places)[i])
    disc = torch.exp(-0.5 * (x**2 + y[:, None] ** 2))
    for found, expected in zip(seen[0][0, i::64], (disc, disc * x, disc * y[:, None]), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_the_generator_is_built_layer_by_layer(net):
    w = styles()
    whole, F = net.synthesis(w)
    assert whole.shape == (1, 3, 128, 128) and F.shape == (1, 96, 32, 32)
    small, same = net.synthesis(w, side=32)
    assert small.shape == (1, 3, 32, 32) and torch.equal(same, F)
    late = torch.cat([w[:, :7], styles(1)[:, 7:]], dim=1)
    assert torch.equal(net.synthesis(late)[1], F) and not torch.allclose(net.synthesis(late)[0], whole)
    numbers, trained = random(2, 40, dtype=torch.float32), generator.Generator(40)
    one_w = trained.mapping(numbers)[:, None].expand(-1, 11, -1)
    assert torch.equal(trained(numbers), trained.synthesis(one_w)[0]) and torch.equal(one_w[:, 0, 96:], numbers[:, :32])


def test_tracking_takes_the_nearest_feature_by_l2():
    F = random(1, 6, 32, 32)
    f_0, window = random(6, seed=1), grid(F)[0, :, 57:64, 37:44]
    row, col = divmod(int((window - f_0[:, None, None]).square().sum(0).argmin()), 7)
    assert tracked(F, f_0, torch.tensor([60.0, 40.0]), 3).tolist() == [57 + row, 37 + col]
    corner = tracked(F, f_0, torch.tensor([0.0, 127.0]), 3)
    assert (corner >= torch.tensor([0, 124])).all() and (corner <= torch.tensor([3, 127])).all()


def test_the_first_step_computed_anew(net):
    w_plus, loss = styles(), 0
    w = w_plus[:, :6].clone().requires_grad_()
    F = net.synthesis(torch.cat([w, w_plus[:, 6:]], dim=1))[1]
    for p, q in POINTS:
        d = (q - p) / (q - p).norm()
        disc = p + torch.tensor([[0.0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
        at = [(2 * cells.flip(1) / 127 - 1)[None, None] for cells in (disc, disc + d)]
        here, there = (grid_sample(grid(F), cells, align_corners=True) for cells in at)
        loss = loss + (there - here.detach()).abs().mean()
    loss.backward()  # the mask's term is 0 at first
    method = DragGan(steps=1, lr=0.1)
    found, p = method.drag(net, w_plus, POINTS, FROZEN)
    expected = w_plus[:, :6] - 0.1 * w.grad / (w.grad.abs() + 1e-8)
    clear = w.grad.abs() > 1e-4 * w.grad.abs().max()
    assert clear.float().mean() > 0.8 and (found[:, :6] - expected)[clear].abs().max() < 1e-3
    assert torch.equal(found[:, 6:], w_plus[:, 6:]) and torch.equal(p, POINTS[:, 0])


def test_the_mask_holds_back(net):
    free, held = (DragGan(steps=8, lr=0.1, lam=lam).drag(net, styles(), POINTS, FROZEN)[0] for lam in (0.0, 1e4))
    outside = [(net.synthesis(w)[1] - net.synthesis(styles())[1])[..., 24:].abs().mean() for w in (free, held)]
    assert outside[1] < 0.8 * outside[0]


def test_inversion_makes_the_picture_its_own(net):
    wanted, bank = net.synthesis(styles(3))[0], styles(4)[0]
    tuned, w_plus = DragGan(project=10, tune=10, tune_lr=1e-3).invert(wanted, net, bank)
    before = min(float(pyramid(net.synthesis(w.expand(1, 11, -1))[0], wanted)) for w in bank)
    projected, after = (float(pyramid(n.synthesis(w_plus)[0], wanted)) for n in (net, tuned))
    assert before > projected > after and torch.equal(w_plus, w_plus[:, :1].expand(1, 11, -1))


def test_one_step_of_each_half_of_the_inversion(net):
    """Adam's first step is the rate times the gradient's sign; a projection of one step is at its rate's fall, 0."""
    wanted, bank = net.synthesis(styles(3))[0], styles(1)[0, :1]

    def distance(made):
        """L1 of the pictures, their halves, quarters and eighths."""
        pairs = [(made, wanted)]
        for _ in range(3):
            pairs.append(tuple(x.unflatten(-2, (-1, 2)).unflatten(-1, (-1, 2)).mean((-3, -1)) for x in pairs[-1]))
        return sum((a - b).abs().mean() for a, b in pairs)

    w = bank.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(distance(net.synthesis(w[:, None].expand(-1, 11, -1))[0]), w)
    _, w_plus = DragGan(project=2, project_lr=0.1, tune=0).invert(wanted, net, bank)
    moved = w_plus[:, 0] - bank
    sure = gradient.abs() > 1e-6
    assert (moved[sure] + 0.1 * gradient.sign()[sure]).abs().max() < 1e-3 and sure.sum() > 20

    tuned, pivot = DragGan(project=1, tune=1, tune_lr=1e-3, tuned=0.0).invert(wanted, net, bank)
    assert torch.equal(pivot[:, 0], bank)
    own = copy.deepcopy(net).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(own.synthesis(pivot)[0]), own.start)
    sure = gradient.abs() > 1e-6
    assert (tuned.start - net.start + 1e-3 * gradient.sign())[sure].abs().max() < 1e-5 and sure.sum() > 20


def test_packed_weights_are_within_half_a_step_and_the_generator_ships(net, tmp_path):
    tensors = net.state_dict()
    save_file(generator.packed(tensors | {"bank": styles()[0]}), tmp_path / "weights")
    loaded, bank = load_generator(tmp_path / "weights")
    assert torch.equal(bank, styles()[0].half().float())
    for name, tensor in loaded.state_dict().items():
        before = tensors[name]
        step = before.abs().flatten(1).amax(1).view(-1, *[1] * (before.ndim - 1)) / 127 if before.ndim > 1 else 0
        half = torch.finfo(torch.float16).eps * before.abs().max()
        assert ((tensor - before).abs() <= step / 1.99 + half).all(), name
    shipped, bank = load_generator()
    small = avg_pool2d(to_tensor(generator.draw(range(3, 4))[1].numpy()), 4)  # page 3: not among those of the bank
    far = [pyramid(shipped.synthesis(w.expand(1, 11, -1), side=32)[0], small) for w in bank]
    assert len(bank) == 128 and min(far) < 0.5 * torch.stack(far).median()


def test_no_way_leaves_the_picture_as_its_round_trip(tiny, net, tmp_path):
    save_file(net.state_dict() | {"bank": styles()[0]}, tmp_path / "weights")
    method = DragGan(project=2, tune=2, weights=tmp_path / "weights")
    image, points = picture((128, 128)), [[[20, 20], [20.3, 20]]]
    wanted = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    net, w_plus = method.invert(wanted, *load_generator(method.weights))
    back = ((net.synthesis(w_plus)[0][0] + 1) * 127.5).clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(method(tiny, Sample(image, points), 0)), back)
    assert method(tiny, Sample(picture((96, 64)), points), 0).size == (96, 64)


def test_the_numbers_of_a_page_begin_with_the_places_of_its_parts():
    for seed in range(8):
        anchors, numbers = generator.animal(seed).anchors(), generator.numbers(generator.animal(seed))
        places = np.array(numbers[:32]).reshape(16, 2) / 2 + 0.5
        for name, place in zip(generator.ANCHORS, places, strict=True):
            assert place == pytest.approx(anchors.get(name, (0.5, 0.5)))
        assert max(map(abs, numbers)) < 4
