"""Whatever is put in, a result or one clear ValueError that names the argument: never another error, a hang or a NaN.

pytest tests/test_fuzz.py -n0                        some hundred cases, as everywhere
GOODDRAG_FUZZ=long pytest tests/test_fuzz.py -n0     the long profile: more than 10,000
"""

import dataclasses
import io
import json
import os
import re
import shutil
import warnings
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from safetensors.torch import save
from tiny import picture
from typer.testing import CliRunner

from gooddrag import cli, cli_asked, datasets
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.editor import DragEditor
from gooddrag.images import load_image
from gooddrag.lora import load_lora
from gooddrag.metrics import vae_round_trip
from gooddrag.picker import PointPicker, regions
from gooddrag.picker.gestures import Gestures
from gooddrag.picker.state import PickerState
from gooddrag.sample import Sample, check_mask, check_points, parse_points

LONG = os.environ.get("GOODDRAG_FUZZ") == "long"
SIZE = W, H = 40, 30
done = Counter()


def cases(bounded, long):
    """Settings of a test: so many cases in every run, so many in the long profile."""
    return settings(max_examples=long if LONG else bounded, deadline=None, suppress_health_check=list(HealthCheck))


def refused(error, *arguments):
    """Whether a message reads "argument: what is wrong; what was expected"."""
    return re.match(rf"({'|'.join(arguments)}): ", str(error)) and "expected" in str(error)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty mask, Pillow on a broken TIFF: allowed, and told elsewhere
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# what is put in

floats = st.floats(-100, 200) | st.floats()
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | floats | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
plain = st.recursive(  # of JSON
    st.none() | st.booleans() | st.integers() | st.just(10**400) | floats | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
coordinates = st.integers(-2, 45) | floats
points = st.lists(
    st.lists(st.lists(coordinates, min_size=2, max_size=2), min_size=2, max_size=2), min_size=1, max_size=4
)
arrays = hnp.arrays(
    hnp.scalar_dtypes(), hnp.array_shapes(max_dims=4, max_side=5, min_side=0) | st.just((H, W)) | st.just((H, W, 3))
)
MODES = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "La",
    "RGBa",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
    "I",
    "F",
    "I;16",
)


@st.composite
def pictures(draw, least=0, most=48):
    size = draw(st.integers(least, most)), draw(st.integers(least, most))
    image = Image.new(draw(st.sampled_from(MODES)), size)
    if min(size) > 0 and image.mode in ("L", "RGB", "RGBA"):
        image = picture(size, draw(st.integers(0, 9))).convert(image.mode)
    return image


@st.composite
def harmed(draw, content):
    """The content of a file after an accident: cut, some bytes overwritten, some put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from("overwrite insert cut".split()))
        if kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif at < len(data):
            data[at] = draw(st.integers(0, 255))
    return bytes(data)


@st.composite
def spoilt(draw, record):
    """A JSON object with one value replaced, gone or added; or no such object; or cut text."""
    record = json.loads(json.dumps(record))
    kind = draw(st.sampled_from("replace lack add whole text harmed".split()))
    if kind in ("replace", "lack"):
        key = draw(st.sampled_from(sorted(record)))
        if kind == "lack":
            del record[key]
        else:
            record[key] = draw(plain)
    elif kind == "add":
        record[draw(st.text(max_size=5))] = draw(plain)
    elif kind == "whole":
        record = draw(plain)
    elif kind == "text":
        return draw(st.sampled_from(["", "[" * 100_000, '{"a": ' * 100_000, "null", "\ud800"])).encode(errors="replace")
    text = json.dumps(record).encode()
    return draw(harmed(text)) if kind == "harmed" else text


def file_of(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


FILES = [
    file_of(picture(SIZE), "PNG"),
    file_of(picture(SIZE), "JPEG"),
    file_of(picture(SIZE).quantize(9), "GIF"),
    file_of(picture(SIZE), "WEBP", lossless=True),
    file_of(picture(SIZE), "TIFF"),
    file_of(picture(SIZE).convert("RGBA"), "BMP"),
]

# Sample and its parts


@cases(60, 1200)
@given(points | junk | arrays)
def test_points(values):
    done["cases"] += 1
    try:
        checked = check_points(values, SIZE)
    except ValueError as error:
        assert refused(error, "points")
    else:
        assert checked.shape[1:] == (2, 2) and (checked >= 0).all() and (checked <= [W - 1, H - 1]).all()


@cases(60, 1200)
@given(
    st.lists(st.tuples(*[coordinates] * 4), max_size=3), st.lists(st.integers(0, 60), max_size=3), st.text(max_size=3)
)
def test_points_text(pairs, cuts, put_in):
    done["cases"] += 1
    text = ";".join(f"{a},{b}>{c},{d}" for a, b, c, d in pairs)
    for at in cuts:
        text = text[:at] + put_in + text[at + 1 :]
    try:
        assert np.isfinite(parse_points(text)).all()
    except ValueError as error:
        assert refused(error, "points")


@cases(40, 800)
@given(spoilt({"points": [[3, 4], [30, 20], [8, 9], [1, 2]]}))
def test_points_file(place, content):
    done["cases"] += 1
    file = place / "points.json"
    file.write_bytes(content)
    try:
        assert np.isfinite(parse_points(file)).all()
    except ValueError as error:
        assert refused(error, "points")


@cases(60, 800)
@given(arrays | junk | pictures() | st.sampled_from(FILES).flatmap(harmed))
def test_masks(mask):
    done["cases"] += 1
    try:
        checked = check_mask(mask, SIZE)
    except ValueError as error:
        assert refused(error, "mask")
    else:
        assert checked is None or (checked.shape == (H, W) and checked.dtype == bool)


@cases(80, 1200)
@given(pictures() | st.sampled_from(FILES).flatmap(harmed) | junk)
def test_images(source):
    done["cases"] += 1
    try:
        image = load_image(source)
    except ValueError as error:
        assert refused(error, "image")
    else:
        assert image.mode == "RGB" and min(image.size) >= 16


@cases(40, 500)
@given(
    pictures(14, 40),
    points | junk,
    st.none() | hnp.arrays(bool, (H, W)) | junk,
    st.none() | pictures(14, 40),
    st.text(max_size=5) | junk,
)
def test_samples(place, image, points, mask, truth, name):
    done["cases"] += 1
    try:
        sample = Sample(image, points, mask, truth, name)
    except ValueError as error:
        assert refused(error, "image", "points", "mask", "truth", "name")
    else:
        repr(sample)
        shutil.rmtree(place / "sample", ignore_errors=True)
        again = Sample.open(sample.save(place / "sample"))
        assert np.array_equal(again.points, sample.points) and again.name == name


ABOUT = {"format_version": 1, "name": "a", "category": "b", "task": "c", "has_mask": True, "has_truth": False}


@cases(40, 800)
@given(st.data())
def test_sample_folders(place, data):
    """One of the files that `Sample.save` wrote has met with an accident; the data set's report names it."""
    done["cases"] += 1
    root = place / "set"
    shutil.rmtree(root, ignore_errors=True)
    Sample(picture(SIZE), [[[3, 4], [30, 20]]], np.ones((H, W)), picture(SIZE, 1), "a").save(root / "one")
    name = data.draw(st.sampled_from(["original.png", "mask.png", "truth.png", "points.json", "sample.json"]))
    record = {"points.json": {"points": [[3, 4], [30, 20]]}, "sample.json": ABOUT}.get(name)
    file = root / "one" / name
    file.write_bytes(data.draw(spoilt(record) if record else harmed(file.read_bytes())))
    if data.draw(st.booleans()):
        file.rename(file.with_name(data.draw(st.sampled_from([name.upper(), f"x{name}", f"{file.stem}.txt"]))))
    try:
        sample = Sample.open(root / "one")
        assert all(isinstance(text, str) for text in (sample.name, sample.category, sample.task))
    except ValueError as error:
        assert refused(error, "folder", "image", "mask", "truth", "points", "name", "category", "task")
    for read in (datasets.folder, datasets.drag100):
        try:
            (check,) = read(root).report()
            assert isinstance(check.problem, str)
        except ValueError as error:
            assert refused(error, "folder", "drag100")


# settings

values = junk | arrays


@cases(80, 1200)
@given(st.sampled_from([DragConfig, LoraConfig]), st.data())
def test_configs(config, data):
    done["cases"] += 1
    names = data.draw(st.lists(st.sampled_from([f.name for f in dataclasses.fields(config)]), max_size=3, unique=True))
    changes = {}
    for name in names:
        bounds = config.RANGES.get(name)
        near = st.integers(int(bounds[0]) - 1, int(bounds[1]) + 1) | st.floats(*map(float, bounds)) if bounds else junk
        changes[name] = data.draw(near | st.booleans() | values)
    try:
        made = config(**changes)
    except ValueError as error:
        assert refused(error, *names, "K") or ("K: " in str(error) and "gives" in str(error))
    else:
        hash(made)
        if config is DragConfig:
            assert sum(made.schedule) == made.K and 1 <= made.T <= made.num_steps


# the picker

spots = st.floats(-20, 60) | floats
STEPS = {
    "add": st.tuples(points | junk, points | junk),
    "move": st.tuples(st.integers(-2, 4), st.integers(-1, 2), st.tuples(coordinates, coordinates) | junk),
    "delete": st.tuples(st.integers(-2, 4)),
    "set_points": st.tuples(points | junk),
    "set_mask": st.tuples(st.none() | hnp.arrays(bool, (H, W)) | arrays),
    "mask_from_points": st.just(()),
    "undo": st.just(()),
    "redo": st.just(()),
    "clear": st.just(()),
}
steps = st.sampled_from(sorted(STEPS)).flatmap(lambda name: st.tuples(st.just(name), STEPS[name]))


@cases(40, 600)
@given(st.lists(steps, max_size=12))
def test_picker_state(sequence):
    done["cases"] += 1
    state = PickerState(SIZE, [[[5, 6], [20, 21]]])
    for name, arguments in sequence:
        before = state.now
        try:
            getattr(state, name)(*arguments)
        except ValueError as error:
            assert refused(error, "points", "mask", "pair", "end") and state.now is before
        state.notes()
        assert len(state.points) == 0 or check_points(state.points, SIZE) is not None
        assert state.mask is None or state.mask.shape == (H, W)


touches = st.tuples(st.sampled_from(["press", "pull", "release"]), st.floats(-50, 90), st.floats(-50, 90))
keys = st.tuples(st.just("key"), st.sampled_from(["Delete", "z", "y", "[", "]", "Escape", "q", ""]), st.booleans())


@cases(40, 600)
@given(st.sampled_from(["points", "brush", "eraser", "box", "ellipse"]), st.lists(touches | keys, max_size=15))
def test_gestures(mode, sequence):
    done["cases"] += 1
    g = Gestures(PickerState(SIZE, [[[5, 6], [20, 21]]]), reach=3, radius=2)
    g.mode = mode
    for name, *arguments in sequence:
        try:
            getattr(g, name)(*arguments)
        except ValueError as error:
            assert re.match(r"(points|mask|pair|handle)\b", str(error)) or "no pair" in str(error)
        assert not len(g.state.points) or check_points(g.state.points, SIZE) is not None


@pytest.fixture(scope="module")
def picker():
    made = PointPicker(picture(SIZE), [[[5, 6], [20, 21]]])
    made._numbers.open(True)
    return made


@cases(15, 200)
@given(
    spoilt({"points": [[3, 4], [30, 20]], "mask": [[1, 2, 20, 21]]})
    | st.builds(lambda points, mask: json.dumps({"points": points, "mask": mask}).encode(), points | plain, plain)
)
def test_numbers_panel(picker, content):
    """Errors that were not foreseen show under their Python name."""
    done["cases"] += 1
    picker._numbers.json.value = content.decode(errors="replace").replace("\ufffd", "?")[:5000]
    picker._numbers.apply.click()
    assert not re.match(r"\w+(Error|Exception)\b", picker.message)
    assert not picker.message or "expected" in picker.message


# data sets, results, other files


@cases(40, 500)
@given(st.data())
def test_other_data_sets(place, data):
    done["cases"] += 1
    root = place / "sde"
    shutil.rmtree(root, ignore_errors=True)
    (root / "one").mkdir(parents=True)
    for name in ("origin_image.png", "mask.png"):
        (root / "one" / name).write_bytes(data.draw(st.just(FILES[0]) | harmed(FILES[0])))
    prompt = {"source": [[3, 4]], "target": [[30, 20]]}
    (root / "one" / "prompt.json").write_bytes(data.draw(spoilt(prompt)))
    (check,) = datasets.sde_dragbench(root).report()
    assert isinstance(check.problem, str)


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("set/one/original.png", FILES[0])
        file.writestr("set/one/points.json", '{"points": [[3, 4], [30, 20]]}')
    return buffer.getvalue()


@cases(40, 600)
@given(harmed(zipped()))
def test_zips(place, content):
    done["cases"] += 1
    (place / "set.zip").write_bytes(content)
    try:
        datasets.folder(place / "set.zip").report()
    except ValueError as error:
        assert refused(error, "folder")
    shutil.rmtree(os.path.join(os.environ["GOODDRAG_CACHE"], "datasets"), ignore_errors=True)


TENSORS = {
    "unet.a.to_q.lora_A.weight": torch.ones(2, 4),
    "unet.a.to_q.lora_B.weight": torch.ones(4, 2),
    "unet.a.to_q.alpha": torch.tensor(1.0),
}


def torch_file():
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer)
    return buffer.getvalue()


@cases(40, 600)
@given(
    st.sampled_from([(".safetensors", save(TENSORS)), (".bin", torch_file())]).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), harmed(kind[1]))
    )
)
def test_lora_files(place, file):
    done["cases"] += 1
    path = place / f"lora{file[0]}"
    path.write_bytes(file[1])
    try:
        assert all(torch.isfinite(t).all() for t in load_lora(path).values())
    except ValueError as error:
        assert str(error).startswith("lora: ")


shapes = st.lists(st.integers(0, 3), max_size=3)
numbers = st.sampled_from([0.0, 1.0, float("nan"), float("inf")])


@cases(30, 400)
@given(
    st.dictionaries(
        st.sampled_from([*TENSORS, "unet.a.to_k.lora_A.weight", "x", "text_encoder.y"]),
        st.tuples(shapes, numbers, st.sampled_from([torch.float32, torch.float16, torch.int64])),
    )
)
def test_lora_tensors(place, content):
    done["cases"] += 1
    tensors = {
        k: torch.full(shape, 1 if dtype == torch.int64 else value, dtype=dtype)
        for k, (shape, value, dtype) in content.items()
    }
    (place / "lora.safetensors").write_bytes(save(tensors))
    try:
        assert all(torch.isfinite(t).all() and t.ndim in (2, 4) for t in load_lora(place / "lora.safetensors").values())
    except ValueError as error:
        assert str(error).startswith("lora: ")


ANSWERS = {
    "format_version": 1,
    "participant": "ann",
    "answers": [
        {"question": "quality", "sample": "s", "shown": ["A", "B"], "ranks": {"A": 1, "B": 2}, "at": "2026-01-01"}
    ],
}


@cases(40, 500)
@given(
    spoilt(ANSWERS)
    | spoilt(ANSWERS["answers"][0]).map(
        lambda text: b'{"format_version": 1, "participant": "ann", "answers": [' + text + b"]}"
    )
)
def test_answers(place, content):
    from gooddrag.userstudy.ballots import Participant

    done["cases"] += 1
    (place / "ann.json").write_bytes(content)
    try:
        assert len(Participant(place, "ann", ["s"], ["A", "B"], ["quality"]).todo) in (0, 1)
    except ValueError as error:
        assert refused(error, "file", "participant")


RATING = {
    "format_version": 1,
    "sample": "s",
    "methods": ["A"],
    "repeat": 0,
    "status": "rated",
    "scores": {"A": 7.0},
    "scale": [0.0, 10.0],
    "detail": "",
    "rater": "r",
    "prompt": "p",
    "model_version": "m",
    "when": "2026-01-01",
    "reply": "7",
    "raw": {},
}


@cases(40, 500)
@given(spoilt(RATING))
def test_ratings(place, content):
    from gooddrag.gscore.rating import read_ratings, summary

    done["cases"] += 1
    folder = place / "ratings"
    folder.mkdir(exist_ok=True)
    (folder / "1.json").write_text(json.dumps(RATING))
    (folder / "2.json").write_bytes(content)
    try:
        summary(read_ratings(folder))
    except ValueError as error:
        assert refused(error, "folder", "ratings")


@pytest.fixture(scope="module")
def results(place, tiny):
    benchmark = pytest.importorskip("gooddrag.benchmark")
    from quick import METHODS

    sample = Sample(picture(SIZE), [[[3, 4], [30, 20]]], None, picture(SIZE, 1), "a")
    benchmark.run(place / "bench", [sample], {"Unedited": METHODS["Unedited"]}, model=tiny, progress=False)
    return place / "bench"


@cases(20, 400)
@given(st.data())
def test_result_files(results, data):
    from gooddrag import benchmark

    done["cases"] += 1
    (file,) = results.glob("results/*/*/*/metrics.json")
    before = file.read_bytes()
    try:
        file.write_bytes(data.draw(spoilt(json.loads(before))))
        table = benchmark.load(results)
        assert table["state"][0] in ("done", "failed", "missing")
    except ValueError as error:
        assert refused(error, "folder")
    finally:
        file.write_bytes(before)


@cases(20, 300)
@given(st.data())
def test_tables(results, place, data):
    from gooddrag import benchmark

    done["cases"] += 1
    benchmark.save(benchmark.load(results), place / "table.csv")
    (place / "table.csv").write_bytes(data.draw(harmed((place / "table.csv").read_bytes())))
    try:
        assert set(benchmark.read(place / "table.csv")["state"]) <= {"done", "failed", "missing"}
    except ValueError as error:
        assert refused(error, "file")


# the command line

words = st.sampled_from(
    [
        "in.png",
        "--points",
        "20,20>30,20",
        "-o",
        "out",
        "--mask",
        "--seed",
        "3",
        "-1",
        "1e9",
        "--preset",
        "paper",
        "--no-lora",
        "--lora",
        "no.json",
        "--keep-outside",
        "--model",
        "/no/such/model",
        "--help",
        "",
        "99999999999999999999999",
        "--only",
        "5-2",
        "0-99999999999",
        "--methods",
        "GoodDrag",
        "storybook100",
        "drag100x",
        "--seeds",
        "--workers",
        "--source",
        "/no/such",
    ]
)


@cases(40, 400)
@given(
    st.sampled_from([["drag"], ["bench"], ["score"], ["figures", "--notebooks", "/no/such"], []]),
    st.lists(words | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), max_size=8),
)
def test_command_line(place, command, arguments):
    """No model is ever found here, so nothing can run: what is refused is refused in a line."""
    done["cases"] += 1
    picture(SIZE).save(place / "in.png")
    arguments = [str(place / a) if a in ("in.png", "out", "no.json") else a for a in arguments]
    end = ["--model", "/no/such/model"] if command in (["drag"], ["bench"]) else []
    result = CliRunner().invoke(cli.app, [*command, *arguments, *end])
    assert result.exit_code in (0, 2), repr(result.exception)
    assert result.exit_code == 0 or result.stderr
    assert "Traceback" not in result.output and not (place / "out").exists()


@cases(60, 600)
@given(st.text("0123456789-, x", max_size=14) | st.text(max_size=6))
def test_number_lists(text):
    done["cases"] += 1
    try:
        assert all(n >= 0 for n in cli_asked.numbers(text, "only"))
    except ValueError as error:
        assert refused(error, "only")


# edits


@st.composite
def edits(draw):
    size = draw(
        st.tuples(st.integers(16, 90), st.integers(16, 90)) | st.sampled_from([(16, 400), (400, 16), (130, 130)])
    )
    whole = st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1)).map(list)
    handles = draw(st.lists(whole, min_size=1, max_size=3, unique_by=tuple))
    pairs = [[h, draw(whole.filter(lambda t, h=h: t != h))] for h in handles]
    mask = None
    if draw(st.booleans()):
        mask = np.zeros(size[::-1], bool)
        region = regions.box(size, draw(whole), draw(whole))
        mask[region.rows, region.columns] = region.inside
    config = DragConfig(
        num_steps=draw(st.integers(3, 6)),
        K=draw(st.integers(1, 2)),
        B=1,
        J=draw(st.integers(1, 2)),
        r1=draw(st.integers(0, 6)),
        r2=draw(st.integers(1, 14)),
        beta=draw(st.floats(0, 8)),
        lam=draw(st.floats(0, 2)),
        lr=draw(st.floats(0, 0.1)),
        aldd=draw(st.booleans()),
        ip=draw(st.booleans()),
        masactrl=draw(st.booleans()),
        masactrl_from=draw(st.sampled_from(["second", "first"])),
        grid=draw(st.sampled_from(["latent4", "image"])),
        tracking=draw(st.sampled_from(["stale", "updated"])),
        drag_scale=draw(st.sampled_from(["released", "sum", "dragdiffusion"])),
        capped_step=draw(st.booleans()),
        feature_block=draw(st.integers(-3, -1)),
        adam=draw(st.sampled_from(["per_step", "once"])),
    )
    return Sample(picture(size, draw(st.integers(0, 99))), pairs, mask), config


OUTSIDE = 0.03  # of [0, 1], mean change outside the mask in a short edit; 0.007 is the most of 86 generated ones


@cases(25, 300)
@given(edits(), st.booleans())
def test_edits(tiny, edit, keep_outside):
    """Finite, of the right size, handles inside; a step of Adam moves no number of the latent by more than 3.2 lr;
    outside the mask little changes beyond the VAE's round trip, and what is kept there is kept to the bit."""
    done["cases"] += 1
    sample, config = edit
    moved = []

    def watch(state):
        if state.event == "update":
            moved.append(float((state.z - state.z_before).abs().max()))

    editor = DragEditor(tiny).set_image(sample.image)
    result = editor.drag(sample, None, config, watch, keep_outside)
    assert result.image.size == sample.image.size and torch.isfinite(result.tensor).all()
    assert (result.handles >= 0).all() and (result.handles <= np.array(sample.image.size) - 1).all()
    assert len(moved) <= config.K * config.J and all(step <= 3.2 * config.lr + 1e-6 for step in moved)
    if sample.mask is not None and (keep_outside or not sample.mask.any()):
        changed = (np.asarray(result.image) != np.asarray(sample.image)).any(axis=2)
        assert not changed[~sample.mask].any()
    elif sample.mask is not None and not sample.mask.all():
        trip = np.asarray(vae_round_trip(tiny, sample.image), float)
        drift = np.abs(np.asarray(result.image, float) - trip)[~sample.mask].mean() / 255
        assert drift <= OUTSIDE


@pytest.mark.skipif(not LONG, reason="of the long profile")
def test_ten_thousand_cases():
    assert done["cases"] >= 10_000
