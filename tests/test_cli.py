"""`gooddrag` as a person types it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import TINY_SD, mask_of, picture, same
from typer.testing import CliRunner

import gooddrag
from gooddrag import cli
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.files import SRGB
from gooddrag.sample import Sample

POINTS = "20,20>40,35"
COMMANDS = ("demo", "drag", "bench", "figures")


@pytest.fixture
def quick(monkeypatch):
    """Settings that take a moment; which preset was asked for is seen in lam."""
    presets = {"released": 0.1, "paper": 0.2, "fast": 0.4, "storybook": 0.5}
    monkeypatch.setattr(DragConfig, "preset", lambda name: DragConfig(num_steps=4, K=2, B=1, J=1, lam=presets[name]))
    monkeypatch.setattr(LoraConfig, "preset", lambda name: LoraConfig(rank=2, steps=2, batch_size=1))


@pytest.fixture
def place(home, monkeypatch):
    """A folder with a picture, points and a mask, which is the working directory and the home."""
    monkeypatch.chdir(home)
    picture().save("in.png")
    Image.fromarray(mask_of((64, 64), (10, 10, 50, 50))).convert("L").save("mask.png")
    Path("points.json").write_text('{"points": [[20, 20], [40, 35]]}')
    return home


def gooddrag_(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def succeeded(result):
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)


def test_round_trip(quick, place, tiny_folder):
    command = ("drag", "in.png", "--points", "points.json", "--mask", "mask.png", "--model", tiny_folder)
    result = gooddrag_(*command, "--output=~/out/edit", "--keep-outside", "--preset", "paper")
    metrics = succeeded(result)
    assert metrics["model"] == "tiny" and metrics["damage_outside_mask"] == 0 and metrics["drag_operations"] == 2
    written = set(os.listdir("out/edit"))
    assert {"result.png", "overview.png"} <= written
    sample = Sample.open("out/edit")
    assert sample.name == "in" and sample.points.tolist() == [[[20, 20], [40, 35]]]
    assert sample.image.tobytes() == picture().tobytes()
    assert Image.open("out/edit/result.png").info["icc_profile"] == SRGB
    report = json.loads(Path("out/edit/metrics.json").read_text())
    assert report["config"]["lam"] == 0.2 and metrics.items() <= report.items()
    assert "written: ~/out/edit/result.png and overview.png, by tiny" in result.stderr
    assert "asked for, on c" in result.stderr  # which model made it


def test_options_reach_the_model_and_the_editor(quick, place, monkeypatch):
    shutil.copytree(TINY_SD / "vae", "other/vae")
    model, load_model, made = gooddrag.load_model(TINY_SD, device="cpu"), gooddrag.load_model, []
    editor = gooddrag.DragEditor(model, LoraConfig(rank=2, steps=3, lr=1e-2)).set_image("in.png")
    save_file({f"unet.{k}": v for k, v in editor.lora.items()}, "mine.safetensors")
    assert same(gooddrag.DragEditor(model, "mine.safetensors").set_image("in.png").lora, editor.lora)
    monkeypatch.setattr(gooddrag, "load_model", lambda **options: made.append(options) or load_model(**options))
    common = ("drag", "in.png", "--points", POINTS, "--model", TINY_SD, "--device=cpu", "--dtype=float64")
    succeeded(gooddrag_(*common, "-o", "with", "--lora=~/mine.safetensors"))
    succeeded(gooddrag_(*common, "-o", "without", "--no-lora", "--vae", "other/vae"))
    asked = {"name": str(TINY_SD), "device": "cpu", "dtype": torch.float64}
    assert made == [asked | {"vae": None}, asked | {"vae": "other/vae"}]
    assert Path("with/result.png").read_bytes() != Path("without/result.png").read_bytes()


def test_notes_are_said_once(quick, place, tiny_folder):
    picture((1200, 900)).save("large.png")
    Image.new("L", (1200, 900)).save("empty.png")
    command = ("drag", "large.png", "--points", "100,100>800,500", "--mask", "empty.png", "--no-lora", "-o", "out")
    result = gooddrag_(*command, "--model", tiny_folder)
    assert succeeded(result)["size"] == [1200, 900]
    assert result.stderr.count("note: edited at 85x64, scaled back to 1200x900; --keep-outside leaves what") == 1
    assert result.stderr.count("note: mask: empty (nothing above half of white), so nothing may change\n") == 1


def test_without_a_preset_the_settings_are_those_of_the_model(quick, place, tiny_folder, monkeypatch):
    shutil.copytree(tiny_folder, "own")
    Path("own/training.json").write_text('{"preset": "fast"}')
    monkeypatch.setenv("GOODDRAG_CACHE", "kept")
    for seed in (0, 3):
        result = gooddrag_("drag", "in.png", "--points", POINTS, "--seed", seed, "--model", "own", "-o", "out")
        succeeded(result)
        assert "settings: fast\n" in result.stderr
    assert len(list(Path("kept").rglob("*.safetensors"))) == 2  # a LoRA by each seed
    assert json.loads(Path("out/metrics.json").read_text())["config"]["lam"] == 0.4


def test_demo(quick, place, tiny_folder):
    result = gooddrag_("demo", "--model", tiny_folder, "-o", "out", "--seed", 3, "--preset", "storybook")
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "squared error to the truth inside the mask" in result.stdout and "next: gooddrag drag" in result.stdout
    assert "storybook edit 3: " in result.stderr and Path("out/overview.png").exists()
    assert Sample.open("out").truth is not None


@pytest.fixture
def data(place):
    for i in range(3):
        image = picture((48, 48), i)
        Sample(image, [[[10, 12], [30, 20]]], None, picture((48, 48), 9), f"cat_{i}").save(place / "data" / f"cat_{i}")
    return place / "data"


def test_bench(data, tiny_folder):
    common = ("bench", "~/data", "-o", "~/out", "--model", tiny_folder, "--methods", "Unedited,Copy-paste")
    first = gooddrag_(*common, "--only", "0, 2-2")
    assert first.exit_code == 0, first.output + repr(first.exception)
    assert "Copy-paste" in first.stdout and "dai_1, unedited = 1" in first.stdout
    assert "written: ~/out/table.csv" in first.stderr
    assert len(Path("out/table.csv").read_text().splitlines()) == 1 + 4
    (data / "cat_1" / "original.png").write_text("no image")
    assert "note: samples: 1 of 3 cannot be used" in gooddrag_(*common).stderr
    strict = gooddrag_(*common, "--strict")
    assert strict.exit_code == 2 and "gooddrag: samples: 1 of 3 cannot be used" in strict.stderr


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("nowhere",), "data: 'nowhere'; expected storybook100, drag100, dragbench"),
        (("dragbench",), "source: none given; expected --source"),
        (("data", "--methods", "GoodDrag,BadDrag"), "methods: 'BadDrag'; expected some of Unedited"),
        (("data", "--only", "0,7"), "only: '0,7' (range object index out of range); expected places from 0 to 2"),
    ],
)
def test_mistakes_of_bench_are_one_line(data, tiny_folder, arguments, said):
    result = gooddrag_("bench", *arguments, "-o", "out", "--model", tiny_folder)
    assert result.exit_code == 2 and result.stderr.startswith(f"gooddrag: {said}")
    assert len(result.stderr.splitlines()) == 1 and not os.path.exists("out")


def test_figures(place):
    draw = "import os; open(os.environ['GOODDRAG_FIGURES'] + '/fig09.png', 'w').write('drawn')"
    result = gooddrag_("figures")
    assert result.exit_code == 2 and "notebooks: none; expected a clone of the repository" in result.stderr
    os.makedirs("notebooks")
    for name, source in (("09_draws", draw), ("10_breaks", "assert 1 == 2, 'not so'")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, f"notebooks/{name}.ipynb")
    before = Path("notebooks/09_draws.ipynb").read_bytes()
    done = gooddrag_("figures", "9")
    assert done.exit_code == 0 and done.stdout == "figures/fig09.png\n", done.output
    assert Path("figures/fig09.png").read_text() == "drawn"
    assert Path("notebooks/09_draws.ipynb").read_bytes() == before
    for chosen, said in (
        (["9", "10"], "figures: 10_breaks.ipynb stopped: AssertionError: not so"),
        (["9", "11"], "notebooks: 09, 11; expected 09, 10"),
    ):
        result = gooddrag_("figures", *chosen, "-o", "out")
        assert result.exit_code == 2 and f"gooddrag: {said}" in result.stderr and not os.path.exists("out")


def test_help_and_version():
    for command in COMMANDS:
        result = gooddrag_(command, "--help")
        assert result.exit_code == 0 and f"Example: gooddrag {command} " in " ".join(result.stdout.split())
    shown = gooddrag_("--help").stdout
    assert all(word in shown for word in (*COMMANDS, "--version", "--install-completion"))
    assert "Usage" in gooddrag_().output and gooddrag_("--version").stdout == f"gooddrag {gooddrag.__version__}\n"


def refused(place, *arguments, said, output="out"):
    before = tree(place)
    result = gooddrag_("drag", *arguments, "--no-lora", "-o", output)
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.output + repr(result.exception)
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "model: "))]
    assert result.stdout == "" and len(lines) == 1 and lines[0].startswith(f"gooddrag: {said}"), result.stderr
    assert tree(place) == before


def test_what_a_user_gets_wrong_is_one_line(place, tiny_folder):
    common = ("in.png", "--model", tiny_folder, f"--points={POINTS}")
    refused(place, "none.png", *common[1:], said="image: 'none.png' cannot be read ([Errno 2] No such file")
    refused(place, *common, "--points=20,20>64,3", said="points: target 1 at (64, 3) is outside the image of 64 x 64")
    refused(place, *common, "--preset", "papyrus", said="preset: 'papyrus'; expected one of released")
    refused(place, *common, "--dtype", "float31", said="dtype: 'float31'; expected torch.float32")
    refused(place, *common, "--device", "abacus", said="device: 'abacus'")
    refused(place, *common, output="in.png", said="output: 'in.png' cannot be written (it is a file)")


def test_what_is_given_is_not_replaced(place, tiny_folder):
    """An edit writes the sample that it is of: into the sample's own folder that would be instead of it."""
    common = ("--points", POINTS, "--model", tiny_folder)
    os.makedirs("other")
    shutil.copy("mask.png", "other")
    mask = ("--mask", "other/mask.png")
    refused(place, "in.png", *common, output=".", said="output: '.' holds in.png, which is given; expected another")
    refused(place, "in.png", *common, *mask, output="~/other", said="output: '~/other' holds mask.png")


@pytest.mark.parametrize(
    "error, code, said",
    [
        (OSError(28, "No space left on device"), 2, "gooddrag: [Errno 28] No space left"),
        (KeyboardInterrupt(), 130, "gooddrag: interrupted, nothing half written"),
        (ImportError("No module named 'x'"), 2, "gooddrag: No module named 'x'; expected `pip install"),
    ],
)
def test_what_goes_wrong_leaves_nothing(quick, place, tiny_folder, monkeypatch, error, code, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("PIL.Image.Image.save", fail)
    before = tree(place)
    result = gooddrag_("drag", "in.png", "--points", POINTS, "--model", tiny_folder, "--no-lora", "-o", "out")
    assert result.exit_code == code and result.stderr.splitlines()[-1].startswith(said)
    assert tree(place) == before


def test_as_a_process(place, tiny_folder):
    """A real one, for what the runner cannot see: what libraries print, and the exit code."""
    command = f"{sys.executable} -m gooddrag drag in.png --points 20,20>20,20 --model {tiny_folder} -o out"
    env = {**os.environ, "PYTHONPATH": str(Path(gooddrag.__file__).parents[1])}
    ended = subprocess.run(command.split(), capture_output=True, text=True, env=env)
    assert ended.returncode == 2 and ended.stdout == "" and not (place / "out").exists()
    (error,) = ended.stderr.splitlines()  # and nothing else
    assert error.startswith("gooddrag: points: handle 1 equals its target")
