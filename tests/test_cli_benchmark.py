"""`gooddrag bench`, `score` and `join` as a person types them."""

import re
import shutil

import pytest
from PIL import Image
from tiny import picture
from typer.testing import CliRunner

from gooddrag import benchmark, cli, storybook100
from gooddrag.cli_benchmark import find_methods, find_samples, numbers
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
    assert (refused := gooddrag_(*one, "Nothing")).exit_code == 2 and "method: 'Nothing'; expected" in refused.stderr


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
])  # fmt: skip
def test_what_cannot_be_written_is_refused_first(data, tiny_folder, tmp_path, monkeypatch, option, file, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    (tmp_path / "data").mkdir()
    result = gooddrag_("bench", data, "-o", "out", "--model", tiny_folder, *QUICK, option, file)
    assert result.exit_code == 2 and re.search(said, result.stderr) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments, said", [
    (("nowhere",), "data: 'nowhere'; expected storybook100, drag100, dragbench, sde_dragbench, or a folder"),
    (("dragbench",), "source: none given; expected --source"),
    (("DATA", "--methods", "GoodDrag,BadDrag"), "methods: baddrag; expected some of Unedited"),
    (("DATA", "--only", "7"), "only: 7; expected places from 0 to 2"),
    (("DATA", "--only", "-1"), "only: '-1'; expected whole numbers"),
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
    assert find_samples("storybook100", None, [7])[0].name == storybook100()[7].name
