"""The benchmark: complete, resumable at any moment, the same however it is run, never mixed up, never flattering."""

import dataclasses
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import dask
import distributed
import pandas as pd
import pytest
import quick
import torch
from quick import Brighter
from tiny import mask_of, picture, save_tiny

from experiments import edits
from gooddrag.evaluation import benchmark, metrics
from gooddrag.evaluation.benchmark import COLUMNS, slug
from gooddrag.evaluation.datasets import folder as own_folder
from gooddrag.evaluation.jobs import metered, read_record, settings
from gooddrag.evaluation.methods import METHODS, CopyPaste, Unedited
from gooddrag.files import load_image
from gooddrag.sample import Sample

TIMES = ["lora_seconds", "edit_seconds", "score_seconds", "peak_memory_mib", "finished"]
SAME = [c for c in COLUMNS if c not in TIMES]


def make(n, size=(48, 48)):
    mask = mask_of(size, (4, 4, 44, 40))
    about = [dict(name=f"sample {i}", category="animal" if i % 2 else "plant", task="relocation") for i in range(n)]
    points = [[[[10, 12 + i], [30, 20]], [[30, 30], [20, 34]]] for i in range(n)]
    return [Sample(picture(size, i), points[i], mask, picture(size, i + 50), **about[i]) for i in range(n)]


@pytest.fixture(scope="module")
def finished(tiny_folder, tmp_path_factory):
    """Three samples, four real methods, one run in this process, which has three threads."""
    path, before = tmp_path_factory.mktemp("bench") / "out", torch.get_num_threads()
    torch.set_num_threads(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOODDRAG_CACHE", str(path.parent / "cache"))
        table = benchmark.run(path, make(3), quick.METHODS, model=str(tiny_folder))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)
    return path, table


def same(a, b):
    pd.testing.assert_frame_equal(a[SAME], b[SAME])


# what it is for


def test_the_table_has_a_row_per_task_in_order_and_a_second_run_computes_nothing(finished, tiny):
    path, table = finished
    assert list(table.columns) == COLUMNS and (table["state"] == "done").all() and (table["error"] == "").all()
    assert list(table["method"]) == 3 * [m for m in METHODS if m in quick.METHODS]
    assert table["sample"].tolist() == [f"sample {i}" for i in range(3) for _ in range(4)]
    same_for_all = table[["model", "dtype", "threads", "pairs"]].drop_duplicates().values.tolist()
    assert same_for_all == [["tiny", "float32", 1, 2]]
    assert len(list(path.rglob("*.json"))) == len(list(path.rglob("*.png"))) == 12
    before = {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()}
    same(table, benchmark.run(path, make(3), quick.METHODS, model=tiny))
    assert {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()} == before


def test_scores_are_those_of_the_images(finished, tiny):
    path, table = finished
    sample, rows = make(2)[1], table[table["sample"] == "sample 1"].set_index("method", drop=False)
    phi = metrics.vae_round_trip(tiny, sample.image)
    for row in rows.itertuples():
        image = load_image(path / slug(row.method) / "sample-1.png")
        assert row.dai_5 == metrics.dai(phi, image, sample.points, 5)
        assert row.dai_released_20 == metrics.dai(sample.image, image, sample.points, 20, "released")
        assert row.truth_error_inside_mask == metrics.truth_error(sample, image)
        assert row.damage_outside_mask == metrics.edit_metrics(sample, image)["damage_outside_mask"]
        assert row.md == pytest.approx(metrics.mean_distance(tiny, sample, image))
        assert row.md_inside == pytest.approx(metrics.mean_distance(tiny, sample, image, inside=True))
        assert row.md_share == pytest.approx(row.md / metrics.drag_length(sample))
    ones = rows.loc["Unedited", ["md_share", "truth_error_ratio", "damage_outside_mask"]]
    assert ones.tolist() == [1, 1, 0]


def test_the_cost_of_a_drag(finished, tiny):
    _, table = finished
    by = table[table["sample"] == "sample 0"].set_index("method")
    with metered(tiny) as cost:
        quick.METHODS["GoodDrag"](tiny, make(1)[0])  # its LoRA is in this test's cache, or 2 more calls
    assert by.loc["GoodDrag", "unet_calls"] in (cost["calls"], cost["calls"] - quick.LORA.steps)
    assert by.loc[["Unedited", "Copy-paste"], "unet_calls"].tolist() == [0, 0]
    assert by.loc["GoodDrag", "drag_operations"] == 2 and math.isnan(by.loc["SDE-Drag", "drag_operations"])
    assert by.index[by["lora_seconds"].notna()].tolist() == ["SDE-Drag"]  # GoodDrag finds the same LoRA in the cache


def test_methods_samples_and_seeds_may_be_added(tiny, tmp_path):
    method = Brighter(str(tmp_path / "log"))
    benchmark.run(tmp_path / "out", make(1), {"Brighter": method}, model=tiny)
    more = {"Brighter": method, ("Brighter", 3): method, "Unedited": Unedited()}
    table = benchmark.run(tmp_path / "out", make(2), more, model=tiny)
    assert (tmp_path / "log").read_text().splitlines() == ["sample 0 0", "sample 0 3", "sample 1 0", "sample 1 3"]
    assert table["method"].tolist() == 2 * ["Unedited", "Brighter", "Brighter"]
    assert table["seed"].tolist() == 2 * [0, 0, 3]
    damage = table[(table["method"] == "Brighter") & (table["sample"] == "sample 0")]["damage_outside_mask"]
    assert damage.is_monotonic_increasing and damage.nunique() == 2  # seed 3 is another image
    assert benchmark.values(table, "Brighter", "damage_outside_mask")["sample 0"] == pytest.approx(damage.mean())


def test_scores_are_added_without_running(finished, tmp_path, monkeypatch):
    path, table = finished
    copy = shutil.copytree(path, tmp_path / "copy")
    monkeypatch.setattr(edits, "scenes", lambda name: (len(name), None))
    monkeypatch.setattr(edits, "nearest", lambda image, before, after: (before + image.width / 1000, None))
    edits.fill_nearest_page(copy)
    same(table.assign(nearest_page=len("sample 0") + 0.048), benchmark.read(copy))


def test_csv_gives_the_table_back(finished, tmp_path):
    _, table = finished
    table.to_csv(tmp_path / "table.csv", index=False)
    pd.testing.assert_frame_equal(benchmark.read(tmp_path / "table.csv"), table)
    (tmp_path / "short.csv").write_text("a,b\n1,2\n")
    for file in ("short.csv", "."):
        with pytest.raises(ValueError, match="^source: .*holds no results"):
            benchmark.read(tmp_path / file)


# what goes wrong


def test_an_error_is_a_result(tiny, tmp_path):
    log = tmp_path / "log"
    methods = {"Unedited": Unedited(), "Brighter": Brighter(str(log), at="sample 1")}
    table = benchmark.run(tmp_path / "out", make(3), methods, model=tiny)
    row = table[(table["method"] == "Brighter") & (table["sample"] == "sample 1")].iloc[0]
    assert (row["state"], row["error"]) == ("failed", "RuntimeError: no sample 1 today") and math.isnan(row["dai_1"])
    record = read_record(tmp_path / "out" / "brighter" / "sample-1.json")
    assert "Traceback" in record["traceback"] and "quick.py" in record["traceback"]
    shown = benchmark.summary(table, ["dai_1"])
    assert shown.loc["Brighter", ["done", "failed", "missing"]].tolist() == [2, 1, 0]
    assert math.isnan(shown.loc["Brighter", "dai_1"]) and shown.loc["Unedited", "dai_1"] > 0  # no mean over the rest
    with pytest.raises(ValueError, match="1 of 3 missing or not finite .sample 1."):
        benchmark.share(table, "Brighter", "dai_1")
    same(table, benchmark.run(tmp_path / "out", make(3), methods, model=tiny))  # it stays
    assert len(log.read_text().splitlines()) == 3
    benchmark.forget_failures(tmp_path / "out")
    again = benchmark.run(tmp_path / "out", make(3), methods, model=tiny)
    assert (again["state"] == "done").all() and len(log.read_text().splitlines()) == 4
    wrong = {"Divides": lambda m, s, seed: 1 / 0, "Wrong": lambda m, s, seed: s.image.resize((9, 9))}
    errors = benchmark.run(tmp_path / "2", make(1), wrong, model=tiny)["error"]
    assert errors[0] == "ZeroDivisionError: division by zero" and "expected an RGB image of (48, 48) px" in errors[1]


@pytest.mark.parametrize(("then", "error"), [("interrupt", KeyboardInterrupt), ("full disk", OSError)])
def test_what_is_no_methods_failure_stops_and_is_resumed(tiny, tmp_path, then, error):
    log = tmp_path / "log"
    methods = {"Unedited": Unedited(), "Brighter": Brighter(str(log), at="sample 1", then=then)}
    with pytest.raises(error):
        benchmark.run(tmp_path / "out", make(3), methods, model=tiny)
    assert benchmark.read(tmp_path / "out")["state"].tolist() == ["done", "done", "done", "missing"]
    table = benchmark.run(tmp_path / "out", make(3), methods, model=tiny)
    assert (table["state"] == "done").all() and len(table) == 6
    assert log.read_text().splitlines() == [f"sample {i} 0" for i in (0, 1, 1, 2)]


def test_what_is_half_there_is_made_again(finished, tiny, tmp_path):
    path, table = finished
    copy = shutil.copytree(path, tmp_path / "copy")
    records = [copy / "copy-paste" / f"sample-{i}.json" for i in range(3)]
    records[0].write_text(records[0].read_text()[:200])
    records[1].unlink()
    records[2].with_suffix(".png").unlink()
    same(table, benchmark.run(copy, make(3), quick.METHODS, model=tiny))
    assert load_image(records[2].with_suffix(".png")).size == (48, 48)


def test_unusable_samples_are_rows_and_the_others_run(tiny, tmp_path):
    for sample in make(3):
        sample.save(tmp_path / "mine" / sample.name)
    (tmp_path / "mine" / "sample 0" / "points.json").write_text("{")
    (tmp_path / "mine" / "sample 2" / "original.png").write_bytes(b"x")
    data = own_folder(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"(?s)^samples: 2 of 3 cannot be used\n.*'sample 0': .*\n.*'sample 2': "):
        benchmark.run(tmp_path / "out", data, {"Unedited": Unedited()}, model=tiny, strict=True)
    assert not (tmp_path / "out").exists()
    with pytest.warns(UserWarning, match="samples: 2 of 3 cannot be used"):
        table = benchmark.run(tmp_path / "out", data, {"Unedited": Unedited()}, model=tiny)
    assert table["state"].tolist() == ["unusable", "done", "unusable"] and "'sample 0': points: " in table["error"][0]
    make(1)[0].save(tmp_path / "mine" / "sample 0")
    with pytest.warns(UserWarning, match="samples: 1 of 3"):
        mended = benchmark.run(tmp_path / "out", data, {"Copy-paste": CopyPaste()}, model=tiny)
    mine = mended[mended["method"] == "Copy-paste"]
    assert mine["state"].tolist() == ["done", "done", "unusable"] and mine["width"].tolist()[:2] == [48, 48]
    with pytest.warns(UserWarning, match="samples: 1 of 3"):
        mended = benchmark.run(tmp_path / "out", data, {"Unedited": Unedited()}, model=tiny)
    assert mended["state"].tolist() == ["done"] * 4 + ["unusable"] * 2


def test_what_is_no_dataclass_is_known_by_its_name_in_every_process():
    class Own:
        def __call__(self, model, sample, seed=0): ...

    assert settings(Own()) == settings(Own()) and settings(Own().__call__) != settings(Own())
    assert settings(lambda model, sample, seed=0: sample.image)["fields"].endswith("<lambda>")


def test_nothing_is_mixed_in(finished, tiny, tmp_path):
    path, table = finished
    other = save_tiny(tmp_path / "tiny", seed=1)
    moved = [dataclasses.replace(make(1)[0], points=[[[10, 12], [31, 20]]])]
    changed = {"Copy-paste": dataclasses.replace(quick.METHODS["Copy-paste"], radius=5)}
    for asked in ((make(3), quick.METHODS, str(other)), (moved, quick.METHODS, tiny), (make(3), changed, tiny)):
        with pytest.raises(ValueError, match="^folder: .*of another sample, model or setting; expected another folder"):
            benchmark.run(path, *asked[:2], model=asked[2])
    same(table, benchmark.read(path))
    table.assign(weights=["0" * 16, *table["weights"][1:]]).to_csv(tmp_path / "mixed.csv")
    with pytest.raises(ValueError, match="mixes models"):
        benchmark.read(tmp_path / "mixed.csv")


def test_wrong_arguments_are_named_and_nothing_is_written(tiny, tmp_path):
    for name, file in (("\u732b 1", "\u732b-1"), ("DragDiffusion*", "dragdiffusion-star"), ("7 cat: nod", "7-cat-nod")):
        assert slug(name) == file
    alike = {"A b": Unedited(), "a-B": Unedited()}
    for changes, said in (
        ({"samples": []}, "samples: none; expected distinct names"),
        ({"samples": 2 * make(1)}, "samples: sample 0, sample 0; expected distinct names"),
        ({"methods": alike}, "methods: (A b, a-B|a-B, A b); expected distinct"),
        ({"methods": {"../": Unedited()}}, "methods: ../; expected distinct names of letters or digits"),
        ({"workers": 2}, "workers, model: 2, .*expected 1 or more, and a model's name for workers"),
    ):
        arguments = {"samples": make(1), "methods": {"Unedited": Unedited()}, "model": tiny} | changes
        with pytest.raises(ValueError, match=f"^{said}"):
            benchmark.run(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


# numbers


def test_shares_by_hand(finished):
    _, table = finished
    rows = table[table["method"] == "Copy-paste"]
    unedited = table.loc[table["method"] == "Unedited", "dai_released_5"].mean()
    share = benchmark.share(table, "Copy-paste", "dai_released_5").value
    assert share == pytest.approx(rows["dai_released_5"].mean() / unedited)
    with pytest.raises(ValueError, match="^method: 'None'; expected one of"):
        benchmark.values(table, "None", "md")


# processes, clusters, and what kills them


def test_a_process_that_dies_costs_its_edit_alone(tiny_folder, tmp_path):
    log = tmp_path / "log"
    methods = {"A": Brighter(str(log), at="sample 1", then="die", once=False), "Z": Unedited()}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        table = benchmark.run(tmp_path / "out", make(3), methods, model=str(tiny_folder), workers=2)
    assert table["state"].tolist() == ["done", "done", "failed", "done", "done", "done"]
    assert table["error"][2] == "processes died on it again and again (out of memory?)"
    assert log.read_text().splitlines().count("sample 1 0") in (3, 4)  # twice beside others, then alone


def test_processes_that_cannot_read_a_method_end_the_run(tiny_folder, tmp_path, monkeypatch):
    ghost = ModuleType("ghost")
    ghost.Method = type("Method", (), {"__module__": "ghost", "__call__": lambda self, model, sample, seed=0: None})
    monkeypatch.setitem(sys.modules, "ghost", ghost)  # here, and in no other process
    with pytest.raises(ModuleNotFoundError, match="ghost"):
        benchmark.run(tmp_path / "out", make(2), {"Ghost": ghost.Method()}, model=str(tiny_folder), workers=2)
    assert not list(tmp_path.glob("out/*/*.json"))


def test_any_dask_client(finished, tiny_folder, tmp_path, cache):
    options = dict(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None)
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        table = benchmark.run(tmp_path / "out", make(3), quick.METHODS, model=str(tiny_folder), client=client)
    same(finished[1], table)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import quick
from test_benchmark import make
from gooddrag.evaluation import benchmark
if __name__ == '__main__':
    benchmark.run({out!r}, make(3), quick.METHODS, model={model!r}, workers={workers})
"""


def start(tmp_path, model, workers):
    script, out, tests = tmp_path / f"run-{workers}.py", str(tmp_path / "out"), str(Path(__file__).parent)
    script.write_text(SCRIPT.format(tests=tests, out=out, model=str(model), workers=workers))
    pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    environment = {**os.environ, "GOODDRAG_CACHE": str(tmp_path / "c")}
    return subprocess.Popen([sys.executable, str(script)], env=environment, **pipes)


def test_kill_9_at_any_moment_changes_nothing(finished, tiny_folder, tmp_path):
    """Runs in one and in two processes are killed at random moments: their first process, or only a worker."""
    rng, kills = random.Random(0), []
    for workers, whole in ((1, True), (2, False), (2, True)):
        process, before = start(tmp_path, tiny_folder, workers), len(list(tmp_path.glob("out/*/*.json")))
        while process.poll() is None and len(list(tmp_path.glob("out/*/[!.]*.json"))) < before + 2:
            time.sleep(0.02)  # importing torch is no interesting moment
        time.sleep(rng.uniform(0, 0.3))
        with suppress(OSError, IndexError):  # where it is done by now
            threads = Path(f"/proc/{process.pid}/task").glob("*/children")  # any of them may have started one
            children = [int(pid) for thread in threads for pid in thread.read_text().split()]
            started = [p for p in children if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
            os.kill(process.pid if whole else started[-1], signal.SIGKILL)
            kills.append(whole)
            time.sleep(0.2)
            if not whole:
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)  # its workers have its stderr, and are to end with it
        records = list(tmp_path.glob("out/*/[!.]*.json"))
        assert all(json.loads(file.read_text())["state"] == "done" for file in records)  # none is half written
    process = start(tmp_path, tiny_folder, 2)
    assert process.communicate(timeout=500)[0] is None and process.returncode == 0 and set(kills) == {True, False}
    same(finished[1], benchmark.read(tmp_path / "out"))
    assert len(list(tmp_path.glob("out/*/[!.]*.json"))) == len(list(tmp_path.glob("out/*/[!.]*.png"))) == 12
