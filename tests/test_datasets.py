"""Public data sets: read what is good, name what is not, and let no zip or pickle do harm."""

import itertools
import json
import os
import pickle
import shutil
import stat
import struct
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import picture

from experiments.keep import RESULTS
from experiments.run import bounds
from gooddrag.cli import find_samples
from gooddrag.evaluation import datasets
from gooddrag.evaluation.datasets import drag100, dragbench, sde_dragbench

DATA = Path(__file__).parent / "data"
NAMES = ["cat_2", "furniture_0"]
pytestmark = pytest.mark.usefixtures("cache")
WHOLE = Path(os.environ.get("GOODDRAG_DRAG100", Path(__file__).parents[2] / "shared" / "drag100"))


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        shutil.copytree(DATA / name, tmp_path / "Drag100" / name)
    return tmp_path / "Drag100"


def zipped(path, root, prefix=""):
    files = sorted(root.rglob("*"))  # before the zip is one of them
    with zipfile.ZipFile(path, "w") as made:
        for file in files:
            made.write(file, prefix + file.relative_to(root).as_posix())
    return path


# Drag100


@pytest.mark.skipif(not WHOLE.is_dir(), reason=f"{WHOLE} is not there; set GOODDRAG_DRAG100 to a folder of all 100")
def test_the_whole_of_drag100():
    data = drag100(WHOLE)
    samples = list(data)
    assert len(samples) == 100 and Counter(s.category for s in samples) == datasets.COMPOSITION
    assert list(datasets.COMPOSITION.values()) == [58, 5, 16, 5, 6, 10]  # Fig. 7 (a)
    assert sum(name.startswith("generated_") for name in data.names) == 15  # (b)
    assert sum(len(s.points) for s in samples) == 242
    points = [np.rint(s.points).astype(int) for s in samples]
    outside = sum((~s.mask[p[..., 1], p[..., 0]]).sum(axis=0) for s, p in zip(samples, points, strict=True))
    assert outside.tolist() == [5, 3]  # handles and targets
    assert (data["plants_3"].handles == data["plants_3"].targets).all(axis=1).sum() == 4  # pins
    assert datasets.fingerprint(data) == datasets.DRAG100_SHA256
    kept = json.loads((RESULTS / "drag100_bounds.json").read_text())
    for name, by in bounds(samples).items():
        for rule, means in by.items():
            assert means == pytest.approx(kept["dai"][name][rule], abs=6e-6)  # five digits are kept
    assert kept["sha256"] == datasets.DRAG100_SHA256


def test_drag100_from_a_folder(root):
    for beside in ("__MACOSX/cat_2", ".git", "more/samples"):
        (root / beside).mkdir(parents=True)
    (root / "__MACOSX" / "cat_2" / "points.json").write_text("x")
    data = drag100(root)
    assert data.names == NAMES == [s.name for s in data]
    cat = data[0]
    assert cat.image.size == (512, 512) and cat.points.tolist() == [[[147, 67], [202, 46]], [[410, 88], [336, 54]]]
    assert (cat.category, cat.task, cat.truth) == ("animal", "", None) and 0.1 < cat.mask.mean() < 0.3
    assert data["furniture_0"].category == "object" and len(data[-1].points) == 3
    with pytest.raises(ValueError, match="^drag100: no sample 'dog'; expected one of cat_2, furniture_0"):
        data["dog"]
    with pytest.raises(IndexError):
        data[2]


def test_drag100_from_a_zip(root, tmp_path, cache):
    path = zipped(tmp_path / "any name.zip", root, "a/b/c/")
    data = drag100(path)
    assert data.names == NAMES and data[0].mask.any()
    (unpacked,) = (cache / "datasets").iterdir()
    before = os.stat(unpacked).st_mtime_ns
    assert drag100(str(path)).names == NAMES and os.stat(unpacked).st_mtime_ns == before  # once per content
    data = drag100(DATA / "windows_backslashes.zip")  # made on Windows
    assert data.names == ["cat_0", "cat_1"] and [s.image.size for s in data] == [(96, 64)] * 2


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("points.json", None, "points.json' cannot be read"),
        ("original.jpg", None, "original.jpg' cannot be read"),
        ("mask.png", None, "mask.png is missing"),
        ("points.json", b'{"points": [[1, 2], [3, 4000]]}', "is outside"),
    ],
)
def test_a_bad_sample_is_named_with_its_reason(root, file, content, reason):
    (root / "cat_2" / file).unlink()
    if content:
        (root / "cat_2" / file).write_bytes(content)
    data = drag100(root)
    assert data.names == NAMES  # reported, not lost
    with pytest.raises(ValueError, match=rf"(?s)^drag100: sample 'cat_2': .*{reason}"):
        data[0]
    assert data[1].name == "furniture_0"


def test_no_data_set_and_a_damaged_zip(root, tmp_path, cache):
    empty, damaged = zipped(tmp_path / "empty.zip", tmp_path / "none"), zipped(tmp_path / "drag.zip", root)
    damaged.write_bytes(damaged.read_bytes()[:400] + b"\0" * 999 + damaged.read_bytes()[1399:])
    shutil.rmtree(root)
    for source, said in (
        (tmp_path / "nothing", "is not there; expected a folder or a zip"),
        (empty, "no sample in .*; expected folders with points.json"),
        (tmp_path, "no sample in"),
        (damaged, "cannot be unpacked .*; expected a plain zip"),
        (DATA / "cat_2" / "mask.png", "cannot be unpacked"),
    ):
        with pytest.raises(ValueError, match=rf"^drag100: .*{said}"):
            drag100(source)
    assert not any(p.is_file() for p in cache.rglob("*"))


# hostile zips


def member(name, content=b"x", mode=0o644):
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
    return info, content


def zip_of(path, *members):
    with zipfile.ZipFile(path, "w") as made:
        for info, content in [member("cat_2/points.json"), *members]:
            made.writestr(info, content)
    return path


@pytest.mark.parametrize(
    "hostile",
    [
        member("../outside.txt"),
        member("/etc/outside.txt"),
        member("C:/outside.txt"),
        member("cat\\..\\..\\outside.txt"),
        member("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
    ],
)
def test_hostile_zips_stay_in_their_folder(tmp_path, cache, hostile):
    path = zip_of(tmp_path / "drag.zip", hostile)
    before = set(tmp_path.rglob("*"))
    assert "cat_2" in drag100(path).names
    new = set(tmp_path.rglob("*")) - before
    assert all(cache in (p, *p.parents) for p in new) and not any(p.is_symlink() for p in new)
    assert not Path("/etc/outside.txt").exists()


def test_zips_are_capped_and_whole(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(datasets, "MAX_FILES", 20)
    monkeypatch.setattr(datasets, "MAX_BYTES", 2**20)
    bomb = zip_of(tmp_path / "bomb.zip", member("bomb.png", b"\0" * 2**22))
    many = zip_of(tmp_path / "many.zip", *(member(f"{i}.txt") for i in range(29)))
    liar = tmp_path / "liar.zip"
    liar.write_bytes(bomb.read_bytes().replace(struct.pack("<L", 2**22), struct.pack("<L", 10)))  # its size, as claimed
    dot = zip_of(tmp_path / "dot.zip", member("."))
    refused = {bomb: "more than 20 files", many: "more than 20 files", liar: "Bad CRC-32", dot: ""}
    for path, said in refused.items():
        with pytest.raises(ValueError, match=rf"^drag100: {path.name} cannot be unpacked \(.*{said}"):
            drag100(path)
    assert not any(p.is_file() for p in cache.rglob("*"))


# the download


@pytest.fixture
def drive(monkeypatch):
    """gdown, whose `cached_download` does what a test gives it: no network."""
    stand_in, exceptions = ModuleType("gdown"), ModuleType("gdown.exceptions")
    exceptions.DownloadError = type("DownloadError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "gdown", stand_in)
    monkeypatch.setitem(sys.modules, "gdown.exceptions", exceptions)
    return SimpleNamespace(module=stand_in, error=exceptions.DownloadError)


def test_the_download_goes_to_the_cache_and_is_compared(root, drive, cache, monkeypatch):
    def cached_download(id, path, quiet):
        assert (id, Path(path).parent) == ("1qzUizzrSRd4bBaT-0bCYZr-MDpiKXjhW", cache / "datasets")
        (cache / "datasets").mkdir(parents=True, exist_ok=True)
        zipped(Path(path), root)

    drive.module.cached_download = cached_download
    with pytest.raises(
        ValueError, match="^drag100: what Google Drive gave is not the copy .* drag100\\('.*drag100.zip'"
    ):
        drag100()
    monkeypatch.setattr(datasets, "DRAG100_SHA256", datasets.fingerprint(drag100(root)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drag100().names == NAMES and find_samples("drag100", None, "1").names == NAMES[1:]


def test_a_refused_download_says_how_by_hand(drive, monkeypatch):
    def cached_download(**_):
        raise drive.error("\nToo many users have viewed or downloaded this file recently.\nmore")

    drive.module.cached_download = cached_download
    with pytest.raises(ValueError, match=r"^drag100: Google Drive .*\(Too many users .*\); open https://drive") as told:
        drag100()
    assert "\n" not in str(told.value)


# DragBench, and its pickles


def bench_sample(folder, points=((10, 20), (30, 40)), mask=None):
    folder.mkdir(parents=True)
    picture((64, 48)).save(folder / "original_image.png")
    meta = {"prompt": "a cat", "points": list(points), "mask": np.zeros((48, 64)) if mask is None else mask}
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(meta, 4))


def test_dragbench(tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 20:] = 1
    root = tmp_path / "bench"
    bench_sample(root / "animals" / "JH_2023", mask=mask, points=((30, 20), (40, 30)))
    bench_sample(root / "art_work" / "x", points=[[np.int64(1), np.int64(2)], [3, 4], [5, 6], [7.0, 8]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, x = dragbench(zipped(tmp_path / "bench.zip", root, "DragBench/"))
    assert [s.category for s in (first, x)] == ["animals", "art_work"]
    assert np.array_equal(first.mask, mask > 0) and first.points.tolist() == [[[30, 20], [40, 30]]]
    assert x.mask is None and x.points.shape == (2, 2, 2)  # an empty mask means everything


@given(st.integers(0, 4), st.sampled_from("?bBhHiIqQfd"), st.sampled_from("CF"))
def test_arrays_come_back(protocol, code, order):
    array = np.asarray(np.arange(6).reshape(2, 3), dtype=code, order=order)
    path = Path(os.environ["GOODDRAG_CACHE"] + "-arrays.pkl")
    path.write_bytes(pickle.dumps({"points": [1, (2.5, None), array[1, 2]], "mask": array}, protocol))
    points, mask = datasets._unpickled(path)
    assert np.array_equal(mask, array) and points == [1, (2.5, None), array[1, 2]]


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def test_hostile_pickles(tmp_path):
    harm = Evil(os.system, (f"touch {tmp_path}/harm",))
    bench_sample(tmp_path / "animals" / "good")
    bench_sample(tmp_path / "animals" / "bad")
    hostile = [harm, Evil(getattr, ({}, "get")), {"points": [], "mask": np.array([harm], object)}]
    hostile += [{"points": [], "mask": np.array([None], object)}, {"points": Path("x")}, [1]]
    for content, protocol in itertools.product(hostile, (0, 2, 5)):
        (tmp_path / "animals" / "bad" / "meta_data.pkl").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(ValueError, match=r"^dragbench: sample 'bad': meta_data.pkl cannot be read"):
            dragbench(tmp_path)["bad"]
    assert not (tmp_path / "harm").exists() and dragbench(tmp_path)["good"].mask is None


@given(st.binary(max_size=200))
def test_noise_is_no_pickle(noise):
    path = Path(os.environ["GOODDRAG_CACHE"] + ".pkl")
    for content in (noise, b"\x80\x04.", b"Nr\xff\xff\xff\x7f.", b"Np2000000000\n."):  # the last two: huge memos
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read"):
            datasets._unpickled(path)


# SDE-Drag's set


def test_sde_dragbench(tmp_path):
    prompts = {"a": ([[10, 20]], [[30, 40]]), "b": ([1, 2], [3, 4]), "odd": ([1, 2], [[1, 2], [3, 4]]), "wrong": "x "}
    for name, (source, target) in prompts.items():
        (tmp_path / name).mkdir()
        picture((64, 48)).save(tmp_path / name / "origin_image.png")
        drawn = Image.new("L", (64, 48))
        drawn.paste(255, (0, 0, 20 if name == "b" else 0, 20))
        drawn.save(tmp_path / name / "mask.png")
        content = {"source": source, "target": target, "prompt": "a cat"}
        (tmp_path / name / "prompt.json").write_text(json.dumps(content))
    data = sde_dragbench(tmp_path)
    assert data["a"].points.tolist() == [[[10, 20], [30, 40]]] and data["a"].mask is None
    assert data["b"].points.tolist() == [[[1, 2], [3, 4]]] and data["b"].mask.sum() == 400
    for name in ("odd", "wrong"):
        with pytest.raises(ValueError, match=f"^sde_dragbench: sample '{name}': "):
            data[name]
    (tmp_path / "a" / "mask.png").unlink()
    with pytest.raises(ValueError, match="^sde_dragbench: sample 'a': .*mask"):
        data["a"]
