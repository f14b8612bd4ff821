"""`gooddrag` as a person types it."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gooddrag.storybook.recipe import Recipe
from PIL import Image
from tiny import TINY_SD, picture
from typer.testing import CliRunner

import gooddrag
from gooddrag import cli
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.sample import Sample

POINTS = "20,20>40,35"


@pytest.fixture
def quick(monkeypatch):
    """Settings that take a moment; which preset was asked for is seen in lam."""
    presets = {"released": 0.1, "paper": 0.2, "dragdiffusion": 0.3, "fast": 0.4, "storybook": 0.5}
    monkeypatch.setattr(DragConfig, "preset", lambda name: DragConfig(num_steps=4, K=2, B=1, J=1, lam=presets[name]))
    ranks = {name: 2 + i for i, name in enumerate(presets)}
    monkeypatch.setattr(LoraConfig, "preset", lambda name: LoraConfig(rank=ranks[name], steps=2, batch_size=1))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a picture, points and masks, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    picture().save("in.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 10:50] = 255
    Image.fromarray(mask).save("mask.png")
    (tmp_path / "points.json").write_text('{"points": [[20, 20], [40, 35]]}')
    return tmp_path


def gooddrag_(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def succeeded(result):
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)


# what it is for


def test_round_trip(quick, place, tiny_folder):
    result = gooddrag_("drag", "in.png", "--points", "points.json", "--mask", "mask.png", "--model", tiny_folder,
                       "-o", "out/edit", "--keep-outside", "--preset", "paper")  # fmt: skip
    metrics = succeeded(result)
    assert metrics["model"] == "tiny" and metrics["damage_outside_mask"] == 0 and metrics["drag_operations"] == 2
    assert set(os.listdir("out/edit")) == {
        "result.png", "overview.png", "trajectory.gif", "metrics.json", "original.png", "mask.png", "points.json",
        "sample.json",
    }  # fmt: skip
    sample = Sample.open("out/edit")
    assert sample.name == "in" and sample.points.tolist() == [[[20, 20], [40, 35]]]
    assert sample.image.tobytes() == picture().tobytes()
    assert Image.open("out/edit/result.png").size == (64, 64)
    report = json.loads((place / "out/edit/metrics.json").read_text())
    assert (report["format_version"], report["gooddrag"]) == (1, gooddrag.__version__)
    assert report["config"]["lam"] == 0.2 and metrics.items() <= report.items()
    assert "written: out/edit/result.png and overview.png, by tiny" in result.stderr
    assert "asked for, on c" in result.stderr  # which model made it


def test_same_command_same_bytes(quick, place, tiny_folder):
    for folder in "ab":
        succeeded(gooddrag_("drag", "in.png", "--points", POINTS, "--model", tiny_folder, "-o", folder))
        shutil.rmtree(os.environ["GOODDRAG_CACHE"], ignore_errors=True)
    assert (place / "a/result.png").read_bytes() == (place / "b/result.png").read_bytes()
    assert json.loads((place / "a/metrics.json").read_text())["config"]["lam"] == 0.1  # released is the default


def test_lora_file_or_none(quick, place, tiny_folder, monkeypatch):
    from gooddrag.editor import DragEditor
    from gooddrag.loading import load_model
    from gooddrag.lora_files import save_lora

    strong = LoraConfig(rank=2, steps=3, lr=1e-2)
    save_lora(DragEditor(load_model(tiny_folder, device="cpu"), strong).set_image("in.png").lora, "mine.safetensors")
    common = ["drag", "in.png", "--points", POINTS, "--model", tiny_folder, "-o"]
    for folder, options in (("with", ["--lora", "mine.safetensors"]), ("without", ["--no-lora"])):
        succeeded(gooddrag_(*common, folder, *options))
    assert (place / "with/result.png").read_bytes() != (place / "without/result.png").read_bytes()


def test_stable_diffusion_shape(quick, place):
    metrics = succeeded(gooddrag_("drag", "in.png", "--points", POINTS, "--model", TINY_SD, "-o", "out", "--no-lora"))
    assert metrics["model"] == "tiny-sd"


def test_large_image_is_noted(quick, place, tiny_folder):
    picture((1200, 900)).save("large.png")
    result = gooddrag_("drag", "large.png", "--points", "100,100>800,500", "--model", tiny_folder, "-o", "out",
                       "--no-lora")  # fmt: skip
    metrics = succeeded(result)
    assert "note: edited at 85x64, the size this model works at, and scaled back to 1200x900" in result.stderr
    assert metrics["size"] == [1200, 900] and Image.open("out/result.png").size == (1200, 900)


def test_empty_mask_is_noted_once(quick, place, tiny_folder):
    Image.new("L", (64, 64)).save("empty.png")
    result = gooddrag_("drag", "in.png", "--points", POINTS, "--mask", "empty.png", "--model", tiny_folder, "-o", "out",
                       "--no-lora")  # fmt: skip
    succeeded(result)
    assert result.stderr.count("note: mask: empty (no pixel above 0), which means that nothing may change") == 1
    assert Image.open("out/result.png").tobytes() == picture().tobytes()


@pytest.mark.parametrize(("chosen", "lam"), [([], 0.1), (["--preset", "storybook"], 0.5)])
def test_demo(quick, place, tiny_folder, chosen, lam):
    result = gooddrag_("demo", "--model", tiny_folder, "-o", "out", "--seed", 3, *chosen)
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "squared error to the truth inside the mask" in result.stdout and "next: gooddrag drag" in result.stdout
    assert "storybook edit 3: " in result.stderr
    assert Sample.open("out").truth is not None
    assert {"overview.png", "trajectory.gif", "metrics.json"} <= set(os.listdir("out"))
    assert json.loads((place / "out/metrics.json").read_text())["config"]["lam"] == lam


def test_without_a_preset_the_settings_are_those_of_the_model(quick, place, tiny_folder):
    shutil.copytree(tiny_folder, "own")
    Path("own/training.json").write_text('{"preset": "fast"}')
    common = ("drag", "in.png", "--points", POINTS, "--no-lora", "--model", "own", "-o", "out")
    for chosen, name, lam in (((), "fast", 0.4), (("--preset", "released"), "released", 0.1)):
        result = gooddrag_(*common, *chosen)
        succeeded(result)
        assert f"settings: {name}\n" in result.stderr
        assert json.loads(Path("out/metrics.json").read_text())["config"]["lam"] == lam


@pytest.mark.parametrize("command", [[], ["drag"], ["demo"], ["train-storybook"]])
def test_help(command):
    result = gooddrag_(*command, "--help")
    assert result.exit_code == 0
    for word in ["drag", "demo", "train-storybook"] if not command else ["--help", "Usage"]:
        assert word in result.stdout


def test_train_storybook_passes_every_option_on(place, monkeypatch):
    from gooddrag.storybook.train import train as original

    calls = []

    def train(*arguments, **options):
        calls.append((arguments, options))
        return {"held_out": {"eps_mse_storybook": 0.25}}

    monkeypatch.setattr("gooddrag.storybook.train.train", train)
    result = gooddrag_(
        "train-storybook", "-o", "new", "--work", "desk", "--minutes", 30, "--ae-minutes", 2.5, "--cooldown", 4,
        "--no-resume", "--from", "old", "--export-only", "--seed", 7, "--threads", 3, "--processes", 0,
        "--channels", 16, 32, 48,
    )  # fmt: skip
    assert succeeded(result) == {"eps_mse_storybook": 0.25}
    defaults = dict(work=Path(".training"), minutes=None, ae_minutes=15.0, cooldown=None, resume=True, start=None,
                    export_only=False, seed=0, threads=None, processes=2, recipe=Recipe())  # fmt: skip
    given = dict(work=Path("desk"), minutes=30.0, ae_minutes=2.5, cooldown=4.0, resume=False, start=Path("old"),
                 export_only=True, seed=7, threads=3, processes=0, recipe=Recipe(channels=(16, 32, 48)))  # fmt: skip
    assert all(given[name] != defaults[name] for name in defaults)
    succeeded(gooddrag_("train-storybook"))
    assert calls == [((Path("new"),), given), ((Path("storybook-weights"),), defaults)]
    assert given.keys() == inspect.signature(original).parameters.keys() - {"out", "steps"}


def test_no_arguments_shows_the_help():
    assert "Usage" in gooddrag_().output


# what a user gets wrong: one line, exit code 2, nothing written


def refused(place, *arguments, output="out", said):
    before = tree(place)
    result = gooddrag_(*arguments, "-o", output)
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == "" and "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "model: "))]
    assert len(lines) == 1 and lines[0].startswith("gooddrag: "), result.stderr
    assert said in lines[0]
    assert tree(place) == before


@pytest.mark.parametrize(
    "points, said",
    [
        ("", "points: none given"),
        (";", "points: ';' cannot be read"),
        ("20,20", "points: '20,20' cannot be read"),
        ("20,20>40", "points: '20,20>40'; expected a pair"),
        ("a,b>c,d", "points: 'a,b>c,d'; expected a pair"),
        ("20,20>64,3", "points: target 1 at (64, 3) is outside the image of 64 x 64 px"),
        ("-1,20>4,3", "points: handle 1 at (-1, 20) is outside"),
        ("20,20>20,20", "points: handle 1 equals its target"),
        ("nan,20>20,20", "expected finite numbers"),
        ("none.json", "points: 'none.json' cannot be read"),
        ("in.png", "points: 'in.png' cannot be read"),
        (".", "points: '.' cannot be read"),
    ],
)
def test_bad_points(quick, place, tiny_folder, points, said):
    refused(place, "drag", "in.png", f"--points={points}", "--model", tiny_folder, "--no-lora", said=said)


@pytest.mark.parametrize(
    "content, said",
    [
        ('{"points": [[1, 2], [3, 4], [5, 6]]}', "points: 3 points; expected an even number"),
        ('{"points": []}', "points: none given"),
        ('{"points": [[1, NaN], [3, 4]]}', "expected finite numbers"),
        ('{"points": "1,2"}', "points: "),
        ("[]", 'has no "points"'),
        ("{", "cannot be read"),
    ],
)
def test_bad_points_file(quick, place, tiny_folder, content, said):
    (place / "bad.json").write_text(content)
    refused(place, "drag", "in.png", "--points", "bad.json", "--model", tiny_folder, "--no-lora", said=said)


def test_bad_images(quick, place, tiny_folder):
    (place / "text.png").write_text("hello")
    (place / "cut.png").write_bytes((place / "in.png").read_bytes()[:-200])
    Image.new("RGB", (1, 1)).save("dot.png")
    for name, said in (
        ("none.png", "image: 'none.png' cannot be read (No such file or directory)"),
        ("text.png", "image: 'text.png' is not an image"),
        ("cut.png", "image: 'cut.png' cannot be read"),
        ("dot.png", "image: 1 x 1 px; expected at least 16 px"),
        (".", "image: '.' cannot be read"),
    ):
        refused(place, "drag", name, "--points", POINTS, "--model", tiny_folder, said=said)


def test_bad_masks(quick, place, tiny_folder):
    Image.new("L", (64, 32), 255).save("small.png")
    (place / "text.png").write_text("hello")
    for name, said in (
        ("small.png", "mask: 64 x 32; expected the size of the image, 64 x 64 px"),
        ("text.png", "mask: 'text.png' is not an image"),
        ("none.png", "mask: 'none.png' cannot be read"),
    ):
        refused(place, "drag", "in.png", "--points", POINTS, "--mask", name, "--model", tiny_folder, said=said)


def test_bad_models(quick, place, tiny_folder):
    shutil.copytree(tiny_folder, "no-vae", ignore=shutil.ignore_patterns("vae"))
    shutil.copytree(tiny_folder, "cut")
    weights = place / "cut" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    for name, said in (
        ("nosuch", "model: 'nosuch' is neither"),
        ("no-vae", "model: no-vae/vae is missing"),
        ("cut", "model: cannot load cut/unet: "),
    ):
        refused(place, "drag", "in.png", "--points", POINTS, "--model", name, said=said)


def test_bad_loras(quick, place, tiny_folder):
    common = ["drag", "in.png", "--points", POINTS, "--model", tiny_folder]
    refused(place, *common, "--lora", "none.safetensors", said="lora: cannot read none.safetensors")
    refused(place, *common, "--lora", "mask.png", said="lora: cannot read mask.png")
    refused(place, *common, "--lora", "x", "--no-lora", said="lora: a file and --no-lora; expected one of them")


def test_bad_outputs(quick, place, tiny_folder):
    common = ["drag", "in.png", "--points", POINTS, "--model", tiny_folder]
    refused(place, *common, output="in.png", said="output: in.png is a file")
    refused(place, *common, output="in.png/below", said="output: ")
    refused(place, *common, output="/proc/none/such", said="'/proc/none/such' cannot be written")
    (place / "in").mkdir()
    (place / "in" / "result.png").mkdir()
    refused(place, *common, output="in", said="output: in/result.png is a folder")


def test_what_is_given_is_not_replaced(quick, place, tiny_folder):
    """An edit writes the sample that it is of: into the sample's own folder that would be instead of it."""
    (place / "in.png").rename(place / "original.png")
    common = ["drag", "original.png", "--model", tiny_folder]
    refused(place, *common, "--points", POINTS, output=".", said="output: '.' holds original.png, which is given")
    (place / "original.png").rename(place / "in.png")
    common[1] = "in.png"
    refused(place, *common, "--points", "points.json", output=".", said="output: '.' holds points.json")
    refused(place, *common, "--points", POINTS, "--mask", "mask.png", output=".", said="output: '.' holds mask.png")
    succeeded(gooddrag_(*common, "--points", POINTS, "-o", "."))


def test_bad_trainings(place, monkeypatch):
    pytest.importorskip("skimage")
    (place / "work").mkdir()
    (place / "work" / "autoencoder.safetensors").write_text("damaged")
    (place / "old").mkdir()
    for arguments, said in (
        (["--work", "in.png/below"], "in.png is a file"),
        (["--work", "work"], "work: work/autoencoder.safetensors cannot be read"),
        (["--work", "work", "--export-only"], "work: work/autoencoder.safetensors cannot be read"),
        (["--work", "none", "--export-only"], "work: 'none' has no autoencoder.safetensors"),
        (["--work", "none", "--from", "old"], "start: 'old' is not a folder of weights"),
        (["--work", "none", "--cooldown", 1], "cooldown: 'none' has no unet.safetensors"),
        (["--work", "none", "--channels", 16, 32, 40], "channels: (16, 32, 40); expected multiples of 16"),
    ):
        refused(place, "train-storybook", *arguments, said=said)
    refused(place, "train-storybook", "--work", "none", output="in.png", said="out: in.png is a file")
    monkeypatch.setitem(sys.modules, "skimage", None)
    refused(place, "train-storybook", "--work", "none", said='pip install -e ".[train]"')


def test_overflow_is_one_line(quick, place, tiny_folder, monkeypatch):
    monkeypatch.setattr("gooddrag.motion.mask_loss", lambda z, *_: z.sum() * np.nan)
    common = ["drag", "in.png", "--points", POINTS, "--model", tiny_folder]
    refused(place, *common, "--no-lora", said="drag: nan in loss at t = ")


def test_full_disk(quick, place, tiny_folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    before = tree(place)
    result = gooddrag_("drag", "in.png", "--points", POINTS, "--model", tiny_folder, "--no-lora", "-o", "out")
    assert result.exit_code == 2 and result.stderr.splitlines()[-1].startswith("gooddrag: [Errno 28] No space left")
    assert tree(place) == before


def test_interrupted(quick, place, tiny_folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gooddrag.motion.mask_loss", interrupt)
    before = tree(place)
    result = gooddrag_("drag", "in.png", "--points", POINTS, "--model", tiny_folder, "--no-lora", "-o", "out")
    assert result.exit_code == 130 and "gooddrag: interrupted, nothing written" in result.stderr
    assert tree(place) == before


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["drag"], "Missing argument '"),
        (["drag", "in.png", "-o", "out"], "Missing option '--points'"),
        (["drag", "in.png", "--points", POINTS], "Missing option '--output'"),
        (["drag", "in.png", "--points", POINTS, "-o", "out", "--preset", "papyrus"], "Invalid value for '--preset'"),
        (["drag", "in.png", "--points", POINTS, "-o", "out", "--seed", "x"], "Invalid value for '--seed'"),
        (["drag", "in.png", "--points", POINTS, "-o", "out", "--seed", "-1"], "Invalid value for '--seed'"),
        (["drag", "in.png", "--points", POINTS, "-o", "out", "--seed", 2**63], "Invalid value for '--seed'"),
        (["demo", "--seed", "-1"], "Invalid value for '--seed'"),
        (["dragg"], "No such command 'dragg'"),
    ],
)
def test_usage_errors(place, arguments, said):
    before = tree(place)
    result = gooddrag_(*arguments)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.stderr
    assert tree(place) == before


def test_as_a_process(place, tiny_folder):
    """A real one, for what the runner cannot see: what libraries print, and the exit code."""
    command = [sys.executable, "-m", "gooddrag.cli", "drag", "in.png", "--points", "20,20>20,20", "--model",
               str(tiny_folder), "--no-lora", "-o", "out"]  # fmt: skip
    root = os.path.dirname(os.path.dirname(gooddrag.__file__))
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})
    assert ended.returncode == 2 and ended.stdout == ""
    (error,) = ended.stderr.splitlines()  # and nothing else
    assert error.startswith("gooddrag: points: handle 1 equals its target")
    assert not (place / "out").exists()
