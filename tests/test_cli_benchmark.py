"""`gooddrag bench`, `score` and `join` as a person types them."""

import re
import shutil

import pytest
from PIL import Image
from tiny import picture
from typer.testing import CliRunner

from gooddrag import benchmark, cli, storybook100
from gooddrag.baselines import CopyPaste
from gooddrag.cli_asked import find_methods, find_samples, numbers
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.sample import Sample

QUICK = ("--methods", "unedited,Copy-Paste")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i in range(3):
        image = picture((48, 48), i)
        Sample(image, [[[10, 12], [30, 20]]], None, picture((48, 48), 9), f"cat_{i}").save(folder / f"cat_{i}")
    return folder


def gooddrag_(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def test_bench_then_score(data, tiny_folder, tmp_path):
    out = tmp_path / "out"
    common = ("bench", data, "-o", out, "--model", tiny_folder, *QUICK)
    first = gooddrag_(*common, "--only", "0,2")
    assert first.exit_code == 0, first.output + repr(first.exception)
    assert "Copy-paste" in first.stdout and "written: " in first.stderr and len(benchmark.read(out / "table.csv")) == 4
    whole = gooddrag_(*common, "--table", tmp_path / "t.csv", "--sheet", tmp_path / "s.jpg")
    assert whole.exit_code == 0 and len(benchmark.read(tmp_path / "t.csv")) == 6
    assert Image.open(tmp_path / "s.jpg").size == (4 * 132 - 4, 32 + 3 * 132 - 4)  # user edit, two methods, truth

    shutil.rmtree(out / "results" / "cat-1")
    assert "scored: 4" in (again := gooddrag_("score", out, "--model", tiny_folder)).stderr
    assert "not finished: 2 missing, 0 failed; means need every edit" in again.stderr and "NaN" in again.stdout
    assert gooddrag_("score", out, "--keep").exit_code == 0
    one = ("score", out, "--keep", "--sheet", tmp_path / "one.jpg", "--sheet-of")
    assert gooddrag_(*one, "Copy-paste").exit_code == 0
    assert Image.open(tmp_path / "one.jpg").size == (6 * 132 - 4, 2 * 132 - 4)  # user edit, result, truth, twice a row
    assert (refused := gooddrag_(*one, "Nothing")).exit_code == 2 and "sheet-of: 'Nothing'; expected" in refused.stderr


def test_an_empty_mask_is_noted_once_with_its_sample(data, tiny_folder, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    sample = Sample.open(data / "cat_1")
    with pytest.warns(UserWarning, match="mask: empty"):
        Sample(sample.image, sample.points, Image.new("L", (48, 48)), name="cat_1").save(tmp_path / "data" / "cat_1")
    run = gooddrag_("bench", tmp_path / "data", "-o", tmp_path / "out", "--model", tiny_folder, *QUICK)
    (note,) = [line for line in run.stderr.splitlines() if "mask: empty" in line]
    assert run.exit_code == 0 and note.startswith("note: folder: sample 'cat_1': mask: empty (no pixel above 0)")


def test_a_run_in_which_every_edit_failed_ends_with_1(data, tiny_folder, tmp_path, monkeypatch):
    common = ("bench", data, "-o", tmp_path / "out", "--model", tiny_folder)
    assert gooddrag_(*common, "--methods", "unedited").exit_code == 0
    monkeypatch.setattr(CopyPaste, "__call__", lambda *_: 1 / 0)
    some = gooddrag_(*common, *QUICK)
    assert some.exit_code == 0 and "not finished: 0 missing, 3 failed" in some.stderr
    none = gooddrag_(*common, "--methods", "copy-paste", "--only", "0-1")
    assert none.exit_code == 1 and none.stderr.splitlines()[-1] == "gooddrag: all 2 edits of this run failed"
    assert len(benchmark.read(tmp_path / "out" / "table.csv")) == 6


def test_join(data, tiny_folder, tmp_path):
    for part in "0", "1-2":
        run = gooddrag_("bench", data, "-o", tmp_path / part, "--only", part, "--model", tiny_folder, *QUICK,
                        "--table", tmp_path / f"{part}.csv")  # fmt: skip
        assert run.exit_code == 0, run.stderr
    parts = [tmp_path / f"{part}.csv" for part in ("0", "1-2")]
    joined = gooddrag_("join", *parts, "-o", tmp_path / "all.csv")
    assert joined.exit_code == 0 and "Copy-paste" in joined.stdout and "all.csv" in joined.stderr
    assert (benchmark.read(tmp_path / "all.csv")["state"] == "done").sum() == 6
    wrong = gooddrag_("join", parts[0], tmp_path / "none.csv", "-o", tmp_path / "no.csv")
    assert wrong.exit_code == 2 and "none.csv' cannot be read" in wrong.stderr and not (tmp_path / "no.csv").exists()


@pytest.mark.parametrize("option, file, said", [
    ("--table", "a-file/t.csv", "table: .*a-file is a file; expected a folder"),
    ("--sheet", "data", "sheet: 'data' is a folder; expected a file"),
    ("--sheet", "s.xyz", "sheet: 's.xyz'; expected a name that ends in .jpg, "),
])  # fmt: skip
def test_what_cannot_be_written_is_refused_first(data, tiny_folder, tmp_path, monkeypatch, option, file, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    (tmp_path / "data").mkdir()
    result = gooddrag_("bench", data, "-o", "out", "--model", tiny_folder, *QUICK, option, file)
    assert result.exit_code == 2 and re.search(said, result.stderr) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments, said", [
    (("nowhere",), "data: 'nowhere'; expected storybook100, drag100, dragbench, sde_dragbench, or a folder"),
    (("storybook100", "--preset", "dragdiffusion"), "preset: 'dragdiffusion', which is a method of its own; expected"),
    (("dragbench",), "source: none given; expected --source"),
    (("DATA", "--methods", "GoodDrag,BadDrag"), "methods: 'baddrag'; expected some of Unedited"),
    (("DATA", "--methods", ""), "methods: ''; expected some of Unedited"),
    (("DATA", "--only", "7"), "only: 7; expected places from 0 to 2"),
    (("DATA", "--only", "-1"), "only: '-1'; expected whole numbers"),
    (("DATA", "--only", ""), "only: ''; expected whole numbers"),
    (("DATA", "--only", "0,2,0-1"), "only: '0,2,0-1' has 0 twice; expected each number once"),
    (("DATA", "--source", "x"), "source: 'x' beside '"),
    (("storybook100", "--source", "x"), "source: 'x' beside 'storybook100'; expected it with drag100, "),
    (("DATA", "--sheet-of", "GoodDrag"), "sheet-of: 'GoodDrag' without a sheet; expected --sheet"),
    (("DATA", "--sheet", "s.jpg", "--sheet-of", "no"), "sheet-of: 'no'; expected one of Unedited, "),
    (("DATA", "--seeds", "x"), "seeds: 'x'; expected whole numbers"),
    (("DATA", "--workers", "1", "--scheduler", "tcp://a:1"), "workers, scheduler: both given"),
])  # fmt: skip
def test_mistakes_are_one_line(data, tiny_folder, tmp_path, arguments, said):
    arguments = [data if a == "DATA" else a for a in arguments]
    result = gooddrag_("bench", *arguments, "-o", tmp_path / "out", "--model", tiny_folder)
    assert result.exit_code == 2 and "Traceback" not in result.stderr
    assert len(lines := result.stderr.splitlines()) == 1 and lines[0].startswith(f"gooddrag: {said}"), result.stderr
    assert not (tmp_path / "out").exists()


def test_score_of_nothing(tmp_path):
    result = gooddrag_("score", tmp_path)
    assert result.exit_code == 2 and "holds no results" in result.stderr


def test_interrupted(data, tiny_folder, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gooddrag.benchmark.run", interrupt)
    result = gooddrag_("bench", data, "-o", tmp_path / "out", "--model", tiny_folder)
    assert result.exit_code == 130 and "what was finished is there, the same command goes on" in result.stderr


def test_numbers_and_names():
    assert numbers("0-2, 7", "only") == [0, 1, 2, 7]
    assert list(find_methods("gooddrag,dragdiffusion*")) == ["GoodDrag", "DragDiffusion*"]
    assert len(find_methods(None)) == 9
    (mine,) = find_methods("GoodDrag without IP", "fast").values()
    assert mine.config == DragConfig.fast(ip=False) and mine.lora == LoraConfig.fast()
    assert find_samples("storybook100", None, [7])[0].name == storybook100()[7].name
