"""Metrics against their formulas written out by hand, scipy, scikit-image, and exact numbers."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchmetrics.functional.image
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny import floats, mask_of, picture

import gooddrag as gd
from gooddrag.evaluation import metrics
from gooddrag.evaluation.methods import VaeRoundTrip
from gooddrag.frame import Frame
from gooddrag.sample import Sample

SIZE = (60, 45)
POINTS = [[[20, 20], [40, 30]], [[50, 8], [45, 36]]]


@pytest.fixture(scope="module")
def sample():
    return Sample(picture(SIZE), POINTS, mask_of(SIZE, (10, 4, 58, 42)), picture(SIZE, seed=1), "name")


def plain(colour, size=(40, 40)):
    return Image.new("RGB", size, colour)


# DAI, Eq. 10


def equation_10(before, after, points, gamma):
    """As printed, pixel by pixel, on patches inside the image."""
    a, b = floats(before), floats(after)
    total = 0.0
    for (px, py), (qx, qy) in points:
        for dy, dx in itertools.product(range(-gamma, gamma + 1), repeat=2):
            total += ((a[py + dy, px + dx] - b[qy + dy, qx + dx]) ** 2).sum() / (1 + 2 * gamma) ** 2
    return total / len(points)


@pytest.mark.parametrize("gamma", [0, 1, 5, 8])
def test_dai_is_equation_10(sample, gamma):
    pair, expected = (sample.image, sample.truth), equation_10(sample.image, sample.truth, POINTS, gamma)
    assert metrics.dai(*pair, POINTS, gamma) == pytest.approx(expected)
    assert metrics.dai(*pair, POINTS, gamma, "released") == pytest.approx(expected / 2)  # divided by l once more
    rounded = metrics.dai(*pair, np.add(POINTS[:1], 0.4), gamma)  # to whole pixels
    assert rounded == metrics.dai(*pair, POINTS[:1], gamma, "released")
    assert metrics.dai(plain("black"), plain("white"), [[[20, 20], [5, 5]]], gamma) == 3  # the most
    assert metrics.dai(plain("black"), plain((255, 0, 0)), [[[20, 20], [5, 5]]], gamma) == pytest.approx(1)


def test_dai_at_the_border_uses_the_common_part():
    before, after = np.asarray(picture(SIZE)), np.asarray(picture(SIZE, seed=1))
    value = metrics.dai(before, after, [[[1, 20], [30, 43]]], 3)
    a, b = before[17:22, 0:5] / 255, after[40:45, 29:34] / 255  # 1 px left of the handle, 1 below the target
    assert value == pytest.approx(((a - b) ** 2).sum() / 25)
    assert 0 < metrics.dai(before, after, POINTS, 1000) < 3


def test_dai_refuses():
    for changes, message in (
        (dict(gamma=-1), "convention, gamma: 'paper', -1; expected"),
        (dict(convention="printed"), "convention, gamma: 'printed', 1; expected 'paper' or 'released'"),
        (dict(edited=picture((61, 45))), "image: 61 x 45 px; expected the other's 60 x 45 px"),
        (dict(edited=picture(SIZE).convert("L")), r"image: uint8 of shape \(45, 60\); expected RGB"),
        (dict(points=[[[1, 2], [60, 3]]]), r"points: \[\[\[1, 2\], \[60, 3\]\]\]; expected pairs inside the image"),
    ):
        arguments = dict(original=picture(SIZE), edited=picture(SIZE, 1), points=POINTS, gamma=1)
        with pytest.raises(ValueError, match=f"^{message}"):
            metrics.dai(**{**arguments, **changes})


def test_the_round_trip_is_the_models_own(tiny):
    image = picture((61, 45))
    phi = metrics.vae_round_trip(tiny, image)
    editor = gd.DragEditor(tiny).set_image(image)
    assert phi.tobytes() == editor.frame.to_image(tiny.decode_image(editor.z_0)).tobytes() != image.tobytes()
    assert VaeRoundTrip()(tiny, Sample(image, POINTS)).tobytes() == phi.tobytes()
    assert metrics.vae_round_trip(tiny, picture((300, 200))).size == (300, 200)


# MD: the model's own features


def test_match_is_the_argmin_over_the_resized_features(tiny):
    """Against interpolate and cosine_similarity on the whole map, for an image that needs padding."""
    a, b, points = picture((61, 45)), picture((61, 45), seed=1), np.array([[20.0, 20], [60, 44], [0, 0]])
    frame = Frame.fit((61, 45), 4, 64)
    maps = [metrics.features(tiny, frame.to_tensor(x)) for x in (a, b)]
    A, B = (F.interpolate(x, frame.padded[::-1], mode="bilinear") for x in maps)
    inside = mask_of((61, 45), (30, 10, 50, 20))
    with pytest.warns(UserWarning, match="^mask: handle 1 at"):
        asked = Sample(a, np.stack([points, points + [0, -1] * (points > 0)], axis=1), inside)
    everywhere, masked = (metrics.match(tiny, asked, b, inside=x) for x in (False, True))
    for (x, y), at, at_masked in zip(points.astype(int), everywhere, masked, strict=True):
        likeness = F.cosine_similarity(A[:, :, y, x][:, :, None, None], B)[0, :45, :61]
        assert divmod(int(likeness.argmax()), 61) == (at[1], at[0])
        best = likeness.where(torch.from_numpy(inside), torch.tensor(-torch.inf)).argmax()
        assert divmod(int(best), 61) == (at_masked[1], at_masked[0])


def test_mean_distance(tiny, sample):
    found = metrics.match(tiny, sample, sample.truth)
    expected = np.sqrt(((found - sample.targets) ** 2).sum(axis=1)).mean()
    assert metrics.mean_distance(tiny, sample, sample.truth) == pytest.approx(expected)
    nothing_moved = metrics.mean_distance(tiny, sample, sample.image)
    assert nothing_moved == pytest.approx(metrics.drag_length(sample))
    assert metrics.drag_length(sample) == pytest.approx((np.hypot(20, 10) + np.hypot(5, 28)) / 2)
    inside = metrics.match(tiny, sample, sample.truth, inside=True)
    x, y = np.rint(inside).astype(int).T
    assert sample.mask[y, x].all()
    masked = metrics.mean_distance(tiny, sample, sample.truth, inside=True)
    assert masked == pytest.approx(np.linalg.norm(inside - sample.targets, axis=1).mean())


# fidelity and quality


def test_psnr_and_ssim_against_scikit_image(sample):
    a, b = floats(sample.image), floats(sample.truth)
    assert metrics.psnr(sample.image, sample.truth) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1))
    mirrored = [np.pad(x, ((5, 5), (5, 5), (0, 0)), mode="reflect") for x in (a, b)]  # scikit-image leaves 5 px out
    options = dict(data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    theirs = structural_similarity(*mirrored, **options)
    assert metrics.ssim(sample.image, sample.truth) == pytest.approx(theirs, rel=1e-9)
    assert metrics.psnr(sample.image, sample.image) == np.inf


def distance(a, b, net, normalize):
    """Stands in for LPIPS, whose weights are downloaded: mean absolute difference of two (1, 3, 224, 224)."""
    assert net == "alex" and normalize and a.shape == b.shape == (1, 3, 224, 224) and a.dtype == torch.float32
    return (a - b).abs().mean()


def test_image_fidelity(sample, monkeypatch):
    monkeypatch.setattr(torchmetrics.functional.image, "learned_perceptual_image_patch_similarity", distance)
    assert metrics.image_fidelity(sample.image, sample.image) == 1 > metrics.image_fidelity(sample.image, sample.truth)


def test_quality_asks_pyiqa(sample, monkeypatch):
    asked = []
    stand_in = SimpleNamespace(create_metric=lambda name: asked.append(name) or (lambda x: x.mean() * 100))
    monkeypatch.setitem(sys.modules, "pyiqa", stand_in)  # the real one downloads weights
    for name in ("TReS", "MUSIQ", "TOPIQ", "niqe"):
        assert metrics.quality(sample.image, name) == pytest.approx(100 * floats(sample.image).mean(), rel=1e-5)
    assert asked == ["tres", "musiq", "topiq_nr", "niqe"]


# statistics


def test_the_rank_correlation_is_the_mean_over_images():
    people, metric = [[1, 2, 3], [1, 2, 3], [3, 1, 2], [2, 2, 2]], [[1, 2, 3], [3, 2, 1], [3, 2, 1], [1, 2, 3]]
    assert metrics.rank_correlation(people, metric) == pytest.approx((1 - 1 + 0.5 + 0) / 4)
    tied = [1, 2.5, 2.5]
    assert metrics.rank_correlation([tied], [[1, 2, 3]]) == pytest.approx(np.corrcoef(tied, [1, 2, 3])[0, 1])


def test_ranks():
    assert metrics.ranks([[0.3, 0.1, 0.2], [1, 1, 0]], higher_is_better=False).tolist() == [[3, 1, 2], [2.5, 2.5, 1]]
    assert metrics.ranks([5, 7, 6], higher_is_better=True).tolist() == [3, 1, 2]


def test_statistics_refuse():
    for call, message in (
        (lambda: metrics.ranks([1, np.nan], higher_is_better=True), "The input contains nan"),
        (lambda: metrics.rank_correlation([1, 2], [1, 2]), r"people, metric: shapes \(2,\) and \(2,\)"),
        (lambda: metrics.mean_interval([]), "values: 0 of 0 missing"),
        (lambda: metrics.mean_interval({"a": 1.0, "b": np.nan}), r"values: 1 of 2 missing or not finite \(b\)"),
        (lambda: metrics.ratio_interval({"a": 1}, {"b": 1}), "first, second: a, b in only one of them"),
        (lambda: metrics.ratio_interval({"a": 1}, {"a": 0}), "second: its mean is 0"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()


def test_the_interval_of_a_mean():
    x = np.random.default_rng(0).normal(3, 1, 100)
    found = metrics.mean_interval(x)
    assert found.value == pytest.approx(x.mean()) and found.n == 100
    assert (found.low, found.high) == pytest.approx(x.mean() + np.array([-0.196, 0.196]) * x.std(), abs=0.02)
    assert found == metrics.mean_interval(x)
    with pytest.raises(ValueError, match="two or more observations"):  # one says nothing about the spread
        metrics.mean_interval({"a": 2.0})


def test_the_interval_of_a_ratio_is_paired():
    names = [f"edit {i}" for i in range(50)]
    second = dict(zip(names, np.random.default_rng(0).uniform(0.01, 1, 50), strict=True))
    first = {name: 0.47 * value for name, value in reversed(second.items())}
    exact = metrics.ratio_interval(first, second)  # every resample has this very ratio: an unpaired one would not
    assert (exact.value, exact.low, exact.high) == pytest.approx((0.47, 0.47, 0.47))
