"""Public data sets: read what is good, name what is not, and let no zip or pickle do harm."""

import json
import os
import pickle
import shutil
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import picture

import gooddrag as gd
from gooddrag import datasets
from gooddrag.baselines import METHODS, Dragging, SdeDrag
from gooddrag.config import DragConfig
from gooddrag.datasets import archive, folders, pickles

DATA = Path(__file__).parent / "data"
NAMES = ["cat_2", "furniture_0"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        shutil.copytree(DATA / name, tmp_path / "Drag100" / name)
    return tmp_path / "Drag100"


def zipped(path, root, prefix=""):
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(root.rglob("*")):
            made.write(file, prefix + file.relative_to(root).as_posix())
    return path


def check_of(dataset, name):
    return next(check for check in dataset.report() if check.name == name)


# Drag100


def test_drag100_from_a_folder(root):
    data = gd.drag100(root)
    assert data.names == NAMES and len(data) == 2 and [s.name for s in data] == NAMES
    cat = data[0]
    assert cat.image.size == (512, 512) and cat.points.tolist() == [[[147, 67], [202, 46]], [[410, 88], [336, 54]]]
    assert cat.category == "animal" and cat.task == "" and cat.truth is None and cat.mask.any()
    assert data["furniture_0"].category == "object" and len(data["furniture_0"].points) == 3
    assert data[-1].name == "furniture_0" and data[:1].names == ["cat_2"] and data.subset(["furniture_0"])[0].mask.any()
    assert repr(data) == "Dataset(drag100, 2 samples: cat_2, furniture_0)"
    assert data.check() is data
    check = check_of(data, "cat_2")
    assert (check.width, check.height, check.pairs, check.problem) == (512, 512, 2, "")
    assert check.notes == "category from the name" and 0.2 < check.editable < 0.3


@pytest.mark.parametrize("prefix", ["", "Drag100/", "a/b/c/"])
def test_drag100_from_a_zip(root, tmp_path, cache, prefix):
    path = zipped(tmp_path / "any name.zip", root, prefix)
    data = gd.drag100(path)
    assert data.names == NAMES and data[0].mask.any()
    (unpacked,) = cache.iterdir()
    before = os.stat(unpacked).st_mtime_ns
    assert gd.drag100(str(path)).names == NAMES and os.stat(unpacked).st_mtime_ns == before  # once per content


def test_evaluates_end_to_end(root, tiny, tiny_sd):
    dragging = Dragging(DragConfig(num_steps=2, K=1, B=1, J=1, masactrl=False), None)
    sde_drag = SdeDrag(num_steps=2, lora=None)
    runs = [(tiny, s, m) for s in gd.drag100(root) for m in (dragging, sde_drag, METHODS["VAE round trip"])]
    for model, sample, method in [*runs, (tiny_sd, gd.drag100(root)[0], dragging)]:
        image = method(model, sample, 0)
        assert image.size == sample.image.size
        assert 0 < gd.metrics.dai(sample.image, image, sample.points, 20) < 3


def test_a_png_called_jpg_with_alpha(root):
    Image.open(root / "cat_2" / "original.jpg").convert("RGBA").save(root / "cat_2" / "original.jpg", format="PNG")
    data = gd.drag100(root)
    assert data[0].image.mode == "RGB"
    notes = check_of(data, "cat_2").notes
    assert "original.jpg is a PNG" in notes and "transparent parts are put over white" in notes


def test_what_is_beside_the_samples(root):
    (root / "__MACOSX" / "cat_2").mkdir(parents=True)
    (root / "__MACOSX" / "cat_2" / "points.json").write_text("x")
    (root / ".git").mkdir()
    (root / "README.txt").write_text("x")
    assert gd.drag100(root).names == NAMES


BAD = {
    "no points": lambda p: (p / "points.json").unlink(),
    "no image": lambda p: (p / "original.jpg").unlink(),
    "no mask": lambda p: (p / "mask.png").unlink(),
    "odd points": lambda p: (p / "points.json").write_text('{"points": [[1, 2], [3, 4], [5, 6]]}'),
    "points shape": lambda p: (p / "points.json").write_text('{"points": [[1, 2, 3], [3, 4, 5]]}'),
    "points key": lambda p: (p / "points.json").write_text("[1, 2]"),
    "points outside": lambda p: (p / "points.json").write_text('{"points": [[1, 2], [3, 4000]]}'),
    "points json": lambda p: (p / "points.json").write_text("{"),
    "mask size": lambda p: Image.new("L", (10, 10)).save(p / "mask.png"),
    "mask file": lambda p: (p / "mask.png").write_bytes(b"x"),
    "image file": lambda p: (p / "original.jpg").write_bytes((p / "original.jpg").read_bytes()[:5000]),
    "image bomb": lambda p: (p / "original.jpg").write_bytes(png_header(100_000, 100_000)),
}
EXPECTED = {
    "no points": "has no points.json",
    "no image": "has no original",
    "no mask": "mask.png is missing",
    "odd points": "3 points; expected an even number",
    "points shape": r"shape \(2, 3\); expected \(l, 2, 2\)",
    "points key": 'has no "points"',
    "points outside": r"target 1 at \(3, 4000\) is outside",
    "points json": "cannot be read",
    "mask size": "mask: 10 x 10; expected the size of the image",
    "mask file": "is not an image",
    "image file": "cannot be read",
    "image bomb": "too large",
}


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_sample_is_named_with_its_reason(root, kind):
    BAD[kind](root / "cat_2")
    data = gd.drag100(root)
    assert data.names == NAMES  # reported, not lost
    with pytest.raises(ValueError, match=rf"(?s)^drag100: sample 'cat_2': .*{EXPECTED[kind]}"):
        data[0]
    with pytest.raises(ValueError, match=rf"(?s)^drag100: 1 of 2 samples cannot be used\ncat_2: .*{EXPECTED[kind]}"):
        data.check()
    assert check_of(data, "furniture_0").problem == "" and data[1].name == "furniture_0"


def test_an_empty_mask_is_a_note(root):
    Image.new("L", (512, 512)).save(root / "cat_2" / "mask.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "nothing may change" in check_of(gd.drag100(root), "cat_2").notes
    with pytest.warns(UserWarning) as told:
        gd.drag100(root)["cat_2"]
    (note,) = told
    assert str(note.message).startswith("drag100: sample 'cat_2': mask: empty") and note.filename == __file__


def test_categories_and_labels(root, tmp_path):
    assert {folders.category_of(n) for n in ("cat_2", "Cat-12", "polar_bear_0", "leopard")} == {"animal"}
    found = [folders.category_of(n) for n in ("human_6", "oil_painting", "mountain3", "rose_1", "xyz_9")]
    assert found == ["portrait", "painting", "landscape", "plant", ""]
    words = json.loads((Path(folders.__file__).parent / "categories.json").read_text())
    assert list(words) == list(datasets.PAPER_COMPOSITION) and sum(datasets.PAPER_COMPOSITION.values()) == 100
    every = [word for group in words.values() for word in group]
    assert len(every) == len(set(every))
    labels = {"cat_2": {"category": "painting", "task": "rotation"}}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    for given_labels in (labels, tmp_path / "labels.json"):
        data = gd.drag100(root, given_labels)
        assert (data[0].category, data[0].task, data[1].task) == ("painting", "rotation", "")
    counts = datasets.distribution(data.report())
    assert counts == {"category": {"painting": 1, "object": 1}, "task": {"rotation": 1, "": 1}}
    assert datasets.distribution(data) == counts
    (tmp_path / "labels.json").write_text("[1]")
    with pytest.raises(ValueError, match="^labels: .* cannot be read"):
        gd.drag100(root, tmp_path / "labels.json")


def test_ones_own_folder(tmp_path):
    page = gd.storybook.edit(7, size=64)
    page.save(tmp_path / "mine" / "first")
    gd.Sample(picture(), [[[1, 2], [30, 40]]]).save(tmp_path / "mine" / "cat_second")
    data = datasets.folder(tmp_path / "mine")
    assert data.names == ["cat_second", "first"]
    assert data["first"].truth.tobytes() == page.truth.tobytes() and data["first"].task == page.task
    assert data["cat_second"].mask is None and data["cat_second"].category == ""
    assert "no mask" in check_of(data, "cat_second").notes


def test_samples_of_one_name_keep_their_folders(root):
    shutil.copytree(root / "cat_2", root / "more" / "cat_2")
    assert gd.drag100(root).names == ["cat_2", "furniture_0", "more/cat_2"] or "more/cat_2" in gd.drag100(root).names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t / "nothing", r"^drag100: '.*nothing' is not there; expected a folder or a zip$"),
        (lambda t: t, "^drag100: no sample in .*; expected folders with points.json$"),
        (lambda t: DATA / "cat_2", "^drag100: .* is one sample; expected a folder of samples"),
        (lambda t: DATA / "cat_2" / "mask.png", "^drag100: mask.png cannot be unpacked .*; expected a whole zip$"),
        (lambda t: zipped(t / "empty.zip", t / "none"), "^drag100: no sample in '.*/empty.zip'; expected folders with"),
        (lambda t: zipped(t / "one.zip", DATA / "cat_2"), "^drag100: '.*/one.zip' is one sample; expected a folder"),
        (lambda t: 3, "^drag100: 3; expected a folder or a zip$"),
    ],
)
def test_no_data_set(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        gd.drag100(make(tmp_path))


@pytest.mark.parametrize("read", [datasets.folder, gd.dragbench, gd.sde_dragbench])
def test_no_source(read):
    with pytest.raises(ValueError, match=f"^{read.__name__}: None; expected a folder or a zip"):
        read(None)


def test_unknown_names(root):
    data = gd.drag100(root)
    for call in (lambda: data["dog"], lambda: data.subset(["dog"])):
        with pytest.raises(ValueError, match=r"^drag100: no sample 'dog'; expected one of cat_2, furniture_0$"):
            call()
    with pytest.raises(IndexError):
        data[2]


# hostile zips


def hostile(name, content=b"x", mode=None):
    def make(made):
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (mode or 0o644) << 16
        made.writestr(info, content)

    return make


def twice(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hostile("a/original.jpg")(made)
        hostile("A/original.jpg")(made)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (hostile("../outside.txt"), r"'\.\./outside.txt' would land outside its folder"),
        (hostile("cat/../../outside.txt"), "would land outside"),
        (hostile("/etc/outside.txt"), "would land outside"),
        (hostile("C:/outside.txt"), "would land outside"),
        (hostile("cat\\..\\..\\outside.txt"), "would land outside"),
        (hostile("link", b"/etc/passwd", stat.S_IFLNK | 0o777), "is a link"),
        (twice, "is in it twice"),
        (hostile("bomb.png", b"\0" * 2**28), "MiB unpacked, from 0.2 MiB"),
        (lambda made: [hostile(f"{i}.txt")(made) for i in range(29)], "30 files in it; expected at most 20"),
    ],
)
def test_hostile_zips_write_nothing(tmp_path, cache, monkeypatch, write, message):
    monkeypatch.setattr(archive, "MAX_FILES", 20)
    with zipfile.ZipFile(tmp_path / "drag.zip", "w") as made:
        hostile("cat_2/points.json")(made)
        write(made)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=f"^drag100: drag.zip is refused: .*{message}"):
        gd.drag100(tmp_path / "drag.zip")
    left = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert not left and not Path("/etc/outside.txt").exists()


def test_a_zip_that_lies_about_its_size(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "drag.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb.png", os.urandom(2**19) * 4)
    raw = (tmp_path / "drag.zip").read_bytes()
    (tmp_path / "drag.zip").write_bytes(raw.replace(struct.pack("<I", 2**21), struct.pack("<I", 5)))
    with pytest.raises(ValueError, match=r"^drag100: drag.zip (is refused|cannot be unpacked)"):
        gd.drag100(tmp_path / "drag.zip")
    assert not any(p.is_file() for p in cache.rglob("*"))


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:400] + b"\0" * 999 + raw[1399:]])
def test_a_damaged_zip(root, tmp_path, cache, damage):
    path = zipped(tmp_path / "drag.zip", root)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="^drag100: drag.zip cannot be unpacked"):
        gd.drag100(path)
    assert not any(p.is_file() for p in cache.rglob("*"))


# the download


def test_download_once(root, tmp_path, cache, monkeypatch):
    calls = []

    def download(id, output, quiet):
        calls.append(id)
        return str(zipped(Path(output), root))

    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=download))
    assert gd.drag100().names == NAMES and gd.drag100().names == NAMES
    assert calls == ["1qzUizzrSRd4bBaT-0bCYZr-MDpiKXjhW"]


def refused(*_, **__):
    raise RuntimeError("\nToo many users have viewed or downloaded this file recently.\nmore")


@pytest.mark.parametrize("download", [refused, lambda id, output, quiet: None])
def test_a_refused_download_says_how_by_hand(cache, monkeypatch, download):
    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=download))
    with pytest.raises(
        ValueError, match=r"^drag100: Google Drive did not give .*by hand: open https://drive"
    ) as caught:
        gd.drag100()
    assert "\n" not in str(caught.value) and not any(p.is_file() for p in cache.rglob("*"))


def test_no_gdown(monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(ValueError, match="^drag100: the download needs gdown: pip install"):
        gd.drag100()


# DragBench, and its pickles


def dragbench_sample(folder, mask=None, points=((10, 20), (30, 40)), protocol=4):
    folder.mkdir(parents=True)
    picture((64, 48)).save(folder / "original_image.png")
    mask = np.zeros((48, 64)) if mask is None else mask
    meta = {"prompt": "a cat", "points": list(points), "mask": mask}
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(meta, protocol))


def test_dragbench(tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 20:] = 1
    dragbench_sample(tmp_path / "animals" / "JH_2023", mask)
    dragbench_sample(tmp_path / "art_work" / "x", points=[[np.int64(1), np.int64(2)], [3, 4], [5, 6], [7.0, 8]])
    data = gd.dragbench(tmp_path)
    assert data.names == ["JH_2023", "x"] and [s.category for s in data] == ["animals", "art_work"]
    assert np.array_equal(data[0].mask, mask > 0) and data[0].points.tolist() == [[[10, 20], [30, 40]]]
    assert data[1].mask is None and data[1].points.shape == (2, 2, 2)
    assert [c.notes for c in data.report()] == ["", "no mask: everything is editable"]
    assert gd.dragbench(zipped(tmp_path.with_suffix(".zip"), tmp_path, "DragBench/")).names == ["JH_2023", "x"]
    with pytest.raises(ValueError, match="^dragbench: 'none' is not there.*published at https://github.com/Yujun-Shi"):
        gd.dragbench("none")


@given(st.integers(0, 5), st.sampled_from("?bBhHiIqQfd"), st.sampled_from("CF"), st.booleans())
def test_arrays_of_every_protocol_come_back(protocol, code, order, swapped):
    array = np.asarray(
        np.arange(6).reshape(2, 3), dtype=np.dtype(code).newbyteorder(">" if swapped else "<"), order=order
    )
    meta = {"points": [1, (2.5, None)], "mask": array, "n": array[1, 2]}
    path = Path(os.environ["GOODDRAG_CACHE"] + f"-{protocol}.pkl")
    path.write_bytes(pickle.dumps(meta, protocol))
    read = pickles.read_meta(path)
    assert np.array_equal(read["mask"], array) and read["points"] == [1, [2.5, None]] and read["n"] == array[1, 2]


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda t: Evil(os.system, (f"touch {t}/harm",)), "it asks for (posix|nt).system"),
        (lambda t: Evil(eval, ("1",)), "it asks for (builtins|__builtin__).eval"),
        (lambda t: Evil(getattr, ({}, "get")), "it asks for (builtins|__builtin__).getattr"),
        (
            lambda t: {"points": [], "mask": np.array([Evil(os.system, (f"touch {t}/harm",))], object)},
            "it asks for|dtype 'O8'",
        ),
        (lambda t: {"points": [], "mask": np.array([None], object)}, "an array of dtype 'O8'"),
        (lambda t: {"points": [], "mask": np.array(["a"])}, "an array of dtype 'U1'"),
        (lambda t: {"points": [], "x": {1, 2}}, "a set|it asks for (builtins|__builtin__).set"),
        (lambda t: {"points": [], "x": Path("x")}, "it asks for pathlib"),
        (lambda t: [1], 'no dict with "points"'),
        (lambda t: {"mask": 1}, 'no dict with "points"'),
    ],
)
def test_hostile_pickles(tmp_path, content, message):
    dragbench_sample(tmp_path / "animals" / "good")
    dragbench_sample(tmp_path / "animals" / "bad")
    for protocol in (0, 2, 5):
        (tmp_path / "animals" / "bad" / "meta_data.pkl").write_bytes(pickle.dumps(content(tmp_path), protocol))
        data = gd.dragbench(tmp_path)
        with pytest.raises(
            ValueError, match=rf"^dragbench: sample 'bad': meta_data.pkl cannot be read \(.*({message})"
        ):
            data["bad"]
        assert not (tmp_path / "harm").exists() and check_of(data, "good").problem == ""


def test_pickles_with_harmful_sizes(tmp_path, monkeypatch):
    path = tmp_path / "meta_data.pkl"
    fake = pickle.dumps({"points": [], "mask": np.zeros((2, 2), np.uint8)}, 2)
    path.write_bytes(fake.replace(b"K\x02K\x02\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"))  # shape 2^31 x 2^31
    for content in (path.read_bytes(), b"", b"\x80\x04.", b"(" * 10**5, pickle.dumps(SimpleNamespace()), b"I1e9\n.",
                    b"Nr\xff\xff\xff\x7f.", b"Np2000000000\n."):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(ValueError, match="^meta_data.pkl cannot be read"):
            pickles.read_meta(path)
    nested = []
    for _ in range(300):
        nested = [nested]
    path.write_bytes(pickle.dumps({"points": nested}, 4))
    monkeypatch.setattr(pickles, "MAX_PICKLE", 10)
    with pytest.raises(ValueError, match="larger than 0 MiB"):
        pickles.read_meta(path)


@given(st.binary(max_size=200))
def test_noise_is_no_pickle(noise):
    path = Path(os.environ["GOODDRAG_CACHE"] + ".pkl")
    path.write_bytes(noise)
    with pytest.raises(ValueError, match="cannot be read"):
        pickles.read_meta(path)


# SDE-Drag's set


def sde_sample(folder, **prompt):
    folder.mkdir(parents=True)
    picture((64, 48)).save(folder / "origin_image.png")
    Image.new("L", (64, 48)).save(folder / "mask.png")
    content = {"source": [[10, 20]], "target": [[30, 40]], "prompt": "a cat", **prompt}
    (folder / "prompt.json").write_text(json.dumps(content))


def test_sde_dragbench(tmp_path):
    sde_sample(tmp_path / "a")
    sde_sample(tmp_path / "b", source=[1, 2], target=[3, 4])
    sde_sample(tmp_path / "odd", target=[[1, 2], [3, 4]])
    sde_sample(tmp_path / "wrong", source="x")
    sde_sample(tmp_path / "lacking")
    (tmp_path / "lacking" / "mask.png").unlink()
    drawn = Image.new("L", (64, 48))
    drawn.paste(255, (0, 0, 20, 20))
    drawn.save(tmp_path / "b" / "mask.png")
    data = gd.sde_dragbench(tmp_path)
    assert data["a"].points.tolist() == [[[10, 20], [30, 40]]] and data["a"].mask is None
    assert data["b"].points.tolist() == [[[1, 2], [3, 4]]] and data["b"].mask.sum() == 400
    assert "as many source as target" in check_of(data, "odd").problem
    assert "prompt.json cannot be read" in check_of(data, "wrong").problem
    assert check_of(data, "lacking").problem == "mask.png is missing"


def test_nothing_is_read_until_it_is_asked_for():
    data = datasets.Dataset("t", Path("."), {"a": Path("nowhere")}, gd.Sample.open)
    assert len(data) == 1
    with pytest.raises(ValueError, match="^t: sample 'a': folder: 'nowhere' cannot be read"):
        data[0]
