"""Metrics against their formulas written out by hand, scipy, scikit-image, and exact numbers."""

import dataclasses
import itertools
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny import picture

import gooddrag as gd
from gooddrag import metrics
from gooddrag.frame import Frame
from gooddrag.metrics import learned
from gooddrag.metrics.pixels import floats
from gooddrag.sample import Sample

SIZE = (60, 45)
POINTS = [[[20, 20], [40, 30]], [[50, 8], [45, 36]]]
TABLE_1 = {  # the paper's, gamma 1/5/10/20
    "DragDiffusion": (0.1477, 0.1439, 0.1298, 0.1146),
    "GoodDrag": (0.0696, 0.0673, 0.0642, 0.0623),
}


@pytest.fixture(scope="module")
def sample():
    mask = np.zeros(SIZE[::-1], bool)
    mask[4:42, 10:58] = True
    return Sample(picture(SIZE), POINTS, mask, picture(SIZE, seed=1), "name")


def plain(colour, size=(40, 40)):
    return Image.new("RGB", size, colour)


# DAI, Eq. 10


def equation_10(before, after, points, gamma):
    """As printed, pixel by pixel, on patches inside the image."""
    a, b = (np.asarray(x, dtype=np.float64) / 255 for x in (before, after))
    total = 0.0
    for (px, py), (qx, qy) in points:
        for dy, dx in itertools.product(range(-gamma, gamma + 1), repeat=2):
            total += ((a[py + dy, px + dx] - b[qy + dy, qx + dx]) ** 2).sum() / (1 + 2 * gamma) ** 2
    return total / len(points)


@pytest.mark.parametrize("gamma", [0, 1, 5, 8])
def test_dai_is_equation_10(sample, gamma):
    expected = equation_10(sample.image, sample.truth, POINTS, gamma)
    for border in ("crop", "raise"):
        assert metrics.dai(sample.image, sample.truth, POINTS, gamma, border=border) == pytest.approx(expected)
    released = metrics.dai(sample.image, sample.truth, POINTS, gamma, "released")
    assert released == pytest.approx(expected / 2)  # two pairs: divided by l once more
    one = metrics.dai(sample.image, sample.truth, POINTS[:1], gamma)
    assert one == metrics.dai(sample.image, sample.truth, POINTS[:1], gamma, "released")


@given(st.integers(0, 12), st.integers(1, 59), st.integers(1, 44))
def test_dai_of_content_that_arrived_is_0(gamma, x, y):
    image = np.asarray(picture(SIZE))
    moved = np.roll(image, (y, x), axis=(0, 1))
    handle = [30 - x // 2, 22 - y // 2]
    target = [handle[0] + x, handle[1] + y]
    if target[0] >= 60 or target[1] >= 45:
        return
    assert metrics.dai(image, moved, [[handle, target]], gamma) == 0


def test_dai_is_at_most_3():
    for gamma in metrics.GAMMAS:
        assert metrics.dai(plain("black"), plain("white"), [[[20, 20], [5, 5]]], gamma) == 3
    assert metrics.dai(plain("black"), plain((255, 0, 0)), [[[20, 20], [5, 5]]], 1) == 1


def test_dai_at_the_border_uses_the_common_part():
    before, after = np.asarray(picture(SIZE)), np.asarray(picture(SIZE, seed=1))
    value = metrics.dai(before, after, [[[1, 20], [30, 43]]], 3)
    a, b = before[17:22, 0:5] / 255, after[40:45, 29:34] / 255  # 1 px left of the handle, 1 below the target
    assert value == pytest.approx(((a - b) ** 2).sum() / 25)
    with pytest.raises(ValueError, match=r"^points: pair 1 is closer than gamma = 3 px to the border of the 60 x 45"):
        metrics.dai(before, after, [[[1, 20], [30, 43]]], 3, border="raise")
    assert 0 < metrics.dai(before, after, POINTS, 1000) < 3


def test_dai_rounds_points():
    a, b = picture(SIZE), picture(SIZE, seed=1)
    assert metrics.dai(a, b, [[[20.4, 19.6], [39.8, 30.2]]], 2) == metrics.dai(a, b, [[[20, 20], [40, 30]]], 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(gamma=-1), "gamma: -1; expected a whole number of pixels"),
        (dict(gamma=1.0), "gamma: 1.0; expected"),
        (dict(gamma=True), "gamma: True; expected"),
        (dict(convention="printed"), "convention: 'printed'; expected 'paper' or 'released'"),
        (dict(border="pad"), "border: 'pad'; expected 'crop' or 'raise'"),
        (dict(edited=picture((61, 45))), "edited: 61 x 45 px; expected the size of original, 60 x 45 px"),
        (dict(edited=picture(SIZE).convert("L")), "edited: mode L; expected RGB"),
        (dict(original=np.zeros((45, 60, 3))), r"original: float64 of shape \(45, 60, 3\); expected uint8"),
        (dict(points=[[[1, 2], [60, 3]]]), r"points: target 1 at \(60, 3\) is outside"),
    ],
)
def test_dai_refuses(changes, message):
    arguments = dict(original=picture(SIZE), edited=picture(SIZE, 1), points=POINTS, gamma=1)
    with pytest.raises(ValueError, match=f"^{message}"):
        metrics.dai(**{**arguments, **changes})


def test_round_trip_is_the_models_own(tiny):
    image = picture((61, 45))
    phi = metrics.vae_round_trip(tiny, image)
    assert phi.size == image.size and phi.mode == "RGB" and phi.tobytes() != image.tobytes()
    editor = gd.DragEditor(tiny).set_image(image)
    decoded = editor.frame.to_image((tiny.decode(editor.z_0) / 2 + 0.5).clamp(0, 1))
    assert phi.tobytes() == decoded.tobytes()


def test_round_trip_of_a_large_image(tiny):
    assert metrics.vae_round_trip(tiny, picture((300, 200))).size == (300, 200)


# the truth, and what should stay


def test_edit_metrics_by_hand(sample):
    image = picture(SIZE, seed=2)
    before, after, truth = map(floats, (sample.image, image, sample.truth))
    expected = {
        "damage_outside_mask": np.mean((after - before)[~sample.mask] ** 2),
        "truth_error_inside_mask": np.mean((after - truth)[sample.mask] ** 2),
        "truth_error_unedited": np.mean((before - truth)[sample.mask] ** 2),
    }
    expected["truth_error_ratio"] = expected["truth_error_inside_mask"] / expected["truth_error_unedited"]
    assert metrics.edit_metrics(sample, image) == pytest.approx(expected, rel=1e-12)
    assert metrics.truth_error(sample, image) == expected["truth_error_inside_mask"]
    assert metrics.damage_outside(sample, image) == expected["damage_outside_mask"]


def test_nothing_known_gives_no_number(sample):
    bare = Sample(sample.image, POINTS)
    assert metrics.truth_error(bare, sample.truth) is metrics.damage_outside(bare, sample.truth) is None
    assert metrics.edit_metrics(bare, sample.truth) == {}
    with pytest.warns(UserWarning, match="empty"):
        frozen = dataclasses.replace(sample, mask=np.zeros(SIZE[::-1]))
    assert metrics.truth_error(frozen, sample.truth) is None and metrics.damage_outside(frozen, sample.image) == 0
    with pytest.raises(ValueError, match=r"^image: 45 x 60 px; expected the size of truth, 60 x 45 px$"):
        metrics.truth_error(sample, picture((45, 60)))


def test_psnr_and_ssim_against_scikit_image(sample):
    a, b = floats(sample.image), floats(sample.truth)
    ours = metrics.psnr(sample.image, sample.truth)
    assert ours == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1))
    mirrored = [np.pad(x, ((5, 5), (5, 5), (0, 0)), mode="reflect") for x in (a, b)]  # scikit-image leaves 5 px out
    theirs = structural_similarity(*mirrored, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                   use_sample_covariance=False)  # fmt: skip
    assert metrics.ssim(sample.image, sample.truth) == pytest.approx(theirs, rel=1e-9)
    assert metrics.psnr(sample.image, sample.image) == np.inf
    assert metrics.ssim(sample.image, sample.image) == pytest.approx(1)


# statistics


def printed_12(u, r):
    n = len(u)
    return 1 - 6 * sum((a - b) ** 2 for a, b in zip(u, r, strict=True)) / (n * (n**2 - 1))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_spearman_is_the_printed_formula_on_every_ranking(n):
    for u, r in itertools.product(itertools.permutations(range(1, n + 1)), repeat=2):
        assert metrics.spearman(u, r) == pytest.approx(printed_12(u, r))


@given(st.permutations(range(12)), st.permutations(range(12)))
def test_spearman_of_scores_is_that_of_their_ranks(a, b):
    rank = [metrics.ranks(np.exp(x), higher_is_better=False) for x in (a, b)]
    assert metrics.spearman(np.exp(a), np.exp(b)) == pytest.approx(printed_12(*rank))


def test_spearman_with_ties():
    u, r = [1, 2.5, 2.5], [1, 2, 3]
    assert metrics.spearman(u, r) == pytest.approx(np.corrcoef(u, r)[0, 1])
    assert metrics.spearman(u, r) != pytest.approx(printed_12(u, r))
    assert metrics.spearman([2, 2, 2], r) == 0


def test_rank_correlation_is_the_mean_over_images():
    people = [[1, 2, 3], [1, 2, 3], [3, 1, 2]]
    metric = [[1, 2, 3], [3, 2, 1], [3, 2, 1]]
    assert metrics.rank_correlation(people, metric) == pytest.approx((1 - 1 + 0.5) / 3)


def test_ranks():
    assert metrics.ranks([[0.3, 0.1, 0.2], [1, 1, 0]], higher_is_better=False).tolist() == [[3, 1, 2], [2.5, 2.5, 1]]
    assert metrics.ranks([5, 7, 6], higher_is_better=True).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.ranks([1, np.nan], True), "values: one is not finite"),
        (lambda: metrics.spearman([1, 2], [1, 2, 3]), r"first, second: shapes \(2,\) and \(3,\)"),
        (lambda: metrics.spearman([1], [1]), "first, second: shapes"),
        (lambda: metrics.spearman([1, np.nan], [1, 2]), "first, second: a value is not finite"),
        (lambda: metrics.rank_correlation([1, 2], [1, 2]), r"people, metric: shapes \(2,\) and \(2,\)"),
        (lambda: metrics.rank_correlation(np.zeros((0, 3)), np.zeros((0, 3))), "people, metric"),
        (lambda: metrics.mean_interval([]), "values: none given"),
        (lambda: metrics.mean_interval([1.0, None]), r"values: 1 of 2 missing or not finite \(1\)"),
        (lambda: metrics.mean_interval({"a": 1.0, "b": np.nan}), r"values: 1 of 2 missing or not finite \(b\)"),
        (lambda: metrics.mean_interval({"a": 1.0}, ["a", "cat_2"]), r"values: 1 of 2 missing or not finite \(cat_2\)"),
        (lambda: metrics.mean_interval([1.0], ["a"]), "names: given, but values is no mapping"),
        (lambda: metrics.ratio_interval({"a": 1}, {"b": 1}), "first, second: a, b in only one of them"),
        (lambda: metrics.ratio_interval({"a": 1}, {"a": 0}), "second: its mean is 0"),
        (lambda: metrics.ratio_interval({"a": 1, "b": 2}, {"a": 1, "b": None}), "second: 1 of 2 missing"),
    ],
)
def test_statistics_refuse(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_mean_interval_covers_the_mean():
    x = np.random.default_rng(0).normal(3, 1, 100)
    found = metrics.mean_interval(x)
    normal = stats.norm.interval(0.95, x.mean(), x.std() / 10)  # the bootstrap's own limit
    assert found.value == pytest.approx(x.mean()) and found.n == 100
    assert (found.low, found.high) == pytest.approx(normal, abs=0.02)
    assert found == metrics.mean_interval(x) != metrics.mean_interval(x, seed=1)
    assert metrics.mean_interval(x, confidence=0.5).low > found.low
    assert str(metrics.Interval(0.5, 0.25, 0.75, 4)) == "0.5000 [0.2500, 0.7500] (n = 4)"


def test_mean_interval_of_few():
    assert metrics.mean_interval({"a": 2.0}) == metrics.Interval(2, 2, 2, 1)
    assert metrics.mean_interval([2.0, 2.0]) == metrics.Interval(2, 2, 2, 2)


def test_ratio_interval_is_paired():
    names = [f"edit {i}" for i in range(50)]
    second = dict(zip(names, np.random.default_rng(0).uniform(0.01, 1, 50), strict=True))
    first = {name: 0.47 * value for name, value in reversed(second.items())}
    exact = metrics.ratio_interval(first, second)  # every resample has this very ratio: an unpaired one would not
    assert (exact.value, exact.low, exact.high) == pytest.approx((0.47, 0.47, 0.47))


def test_the_papers_ratio():
    ratios = np.divide(TABLE_1["GoodDrag"], TABLE_1["DragDiffusion"])
    assert ratios.round(2).tolist() == [0.47, 0.47, 0.49, 0.54]


# MD: the model's own features


def test_match_finds_content_where_it_went():
    model, page = gd.load_model("storybook", device="cpu"), gd.storybook.edit(101)
    assert np.array_equal(metrics.match(model, page.image, page.handles, page.image, noises=1), page.handles)
    moved = Image.fromarray(np.roll(np.asarray(page.image), 16, axis=1))
    found = metrics.match(model, page.image, page.handles, moved, noises=4)
    assert np.abs(found - page.handles - [16, 0]).max() <= 4  # half a cell of the features


def test_match_is_the_argmin_over_the_resized_features(tiny):
    """Against interpolate and cosine_similarity on the whole map, for an image that needs padding."""
    a, b, points = picture((61, 45)), picture((61, 45), seed=1), np.array([[20.0, 20], [60, 44], [0, 0]])
    frame = Frame.fit((61, 45), 4, 64)
    A, B = (
        F.interpolate(metrics.features(tiny, frame.to_tensor(x), noises=2), frame.padded[::-1], mode="bilinear")
        for x in (a, b)
    )
    found = metrics.match(tiny, a, points, b, noises=2)
    for (x, y), at in zip(points.astype(int), found, strict=True):
        likeness = F.cosine_similarity(A[:, :, y, x][:, :, None, None], B)[0, :45, :61]
        assert divmod(int(likeness.argmax()), 61) == (at[1], at[0])


def test_mean_distance(tiny, sample):
    found = metrics.match(tiny, sample.image, sample.handles, sample.truth)
    expected = np.sqrt(((found - sample.targets) ** 2).sum(axis=1)).mean()
    assert metrics.mean_distance(tiny, sample, sample.truth) == pytest.approx(expected)
    moved = np.linalg.norm(sample.handles - sample.targets, axis=1).mean()
    assert metrics.mean_distance(tiny, sample, sample.image) == pytest.approx(moved)  # nothing moved: the whole drag
    assert metrics.mean_distance(tiny, sample, sample.truth, reference="truth") == 0  # nothing is left to do


def test_mean_distance_on_a_model_of_stable_diffusions_shape(tiny_sd):
    image = picture((64, 64))
    sample = Sample(image, [[[20, 20], [40, 20]]])
    assert metrics.mean_distance(tiny_sd, sample, image, noises=1) == 20
    assert metrics.features(tiny_sd, Frame.fit((64, 64), 8, 512).to_tensor(image)).shape[-2:] == (4, 4)


def test_features_are_averaged_over_seeded_noise(tiny):
    x = Frame.fit((64, 64), 4, 64).to_tensor(picture((64, 64)))
    two = metrics.features(tiny, x, noises=2)
    assert torch.equal(two, metrics.features(tiny, x, noises=2))
    assert not torch.equal(two, metrics.features(tiny, x, noises=2, seed=1))
    assert two.shape == (1, 16, 8, 8) and not torch.equal(two, metrics.features(tiny, x, noises=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(reference="handle"), "reference: 'handle'; expected 'original' or 'truth'"),
        (dict(timestep=1000), "timestep: 1000; expected 0 to 999"),
        (dict(noises=0), "noises: 0; expected 1 or more"),
        (dict(block=-4), "feature_block: -4"),
        (dict(image=picture((64, 45))), "image: 64 x 45 px; expected the size of its reference, 60 x 45 px"),
    ],
)
def test_mean_distance_refuses(tiny, sample, changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        metrics.mean_distance(tiny, **{"sample": sample, "image": sample.image, **changes})
    with pytest.raises(ValueError, match="has none; expected 'original'"):
        metrics.mean_distance(tiny, Sample(sample.image, POINTS), sample.image, reference="truth")


# trained networks, optional


def test_learned_metrics_say_what_they_need(sample):
    if find_spec("pyiqa") is None:
        with pytest.raises(ImportError, match=r'^quality needs pyiqa: pip install "gooddrag\[iqa\]"$'):
            metrics.quality(sample.image, "MUSIQ")
    if find_spec("torchvision") is None:
        with pytest.raises(ImportError, match="^image_fidelity needs torchmetrics and torchvision"):
            metrics.image_fidelity(sample.image, sample.truth)


def test_quality_asks_pyiqa(sample, monkeypatch):
    asked = []

    def create_metric(name, device):
        asked.append((name, str(device)))
        return lambda x: x.mean() * 100

    stand_in = SimpleNamespace(list_models=lambda: ["tres", "musiq", "topiq_nr", "niqe"], create_metric=create_metric)
    monkeypatch.setitem(sys.modules, "pyiqa", stand_in)  # the real one downloads weights
    learned._iqa.cache_clear()
    for name in ("TReS", "MUSIQ", "TOPIQ", "niqe"):
        assert metrics.quality(sample.image, name) == pytest.approx(100 * floats(sample.image).mean(), rel=1e-5)
    assert asked == [(name, "cpu") for name in ("tres", "musiq", "topiq_nr", "niqe")]
    with pytest.raises(ValueError, match="^name: 'best'; expected TReS, MUSIQ, TOPIQ or another"):
        metrics.quality(sample.image, "best")
    learned._iqa.cache_clear()
