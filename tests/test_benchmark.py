"""The runner: complete, resumable at any moment, never mixed up, never flattering."""

import dataclasses
import gc
import json
import math
import os
import shutil
import weakref
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import quick
import torch
from quick import Brighter
from tiny import picture, save_tiny

import gooddrag as gd
from gooddrag import benchmark, metrics
from gooddrag.baselines import METHODS, Dragging, Unedited, dragging
from gooddrag.benchmark import COLUMNS, TIMES, cluster
from gooddrag.benchmark.folder import Folder, slug
from gooddrag.benchmark.job import Job, run_jobs, unfinished
from gooddrag.benchmark.runner import Progress, duration
from gooddrag.files import load_image
from gooddrag.sample import Sample

SAME = [c for c in COLUMNS if c not in TIMES]


def make(n, size=(48, 48)):
    mask = np.zeros(size[::-1], bool)
    mask[4:40, 4:44] = True
    return [Sample(picture(size, i), [[[10, 12 + i], [30, 20]]], mask, picture(size, i + 50), name=f"sample {i}",
                   category="animal" if i % 2 else "plant", task="relocation") for i in range(n)]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """Three samples, five real methods, one run."""
    path = tmp_path_factory.mktemp("bench") / "out"
    return path, benchmark.run(path, make(3), quick.METHODS, model=tiny, progress=False)


def same(a, b):
    pd.testing.assert_frame_equal(a[SAME], b[SAME])


# what it is for


def test_the_table_has_a_row_per_task_in_order(finished):
    path, table = finished
    assert list(table.columns) == COLUMNS and len(table) == 15
    assert list(table["method"][:5]) == [m for m in METHODS if m in quick.METHODS]  # as in the paper's tables
    assert (table["state"] == "done").all() and (table["error"] == "").all()
    assert table["sample"].tolist() == [f"sample {i}" for i in range(3) for _ in range(5)]
    assert table[["model", "dtype", "gooddrag"]].drop_duplicates().values.tolist() == [["tiny", "float32", "0.1.0"]]


def test_scores_are_those_of_the_images(finished, tiny):
    path, table = finished
    for row in table[table["sample"] == "sample 1"].itertuples():
        sample = make(2)[1]
        image = load_image(benchmark.images(path, "sample 1")[row.method])
        phi = metrics.vae_round_trip(tiny, sample.image)
        assert row.dai_5 == metrics.dai(phi, image, sample.points, 5)
        assert row.dai_released_20 == metrics.dai(sample.image, image, sample.points, 20, "released")
        assert row.truth_error_inside_mask == metrics.truth_error(sample, image)
        assert row.damage_outside_mask == metrics.damage_outside(sample, image)
        assert row.md == metrics.mean_distance(tiny, sample, image)


def test_lora_and_inversion_are_shared_by_the_methods_of_a_sample(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "cache"))
    table = benchmark.run(tmp_path / "out", make(1), quick.METHODS, model=tiny, progress=False).set_index("method")
    lora, prepare = table["lora_seconds"].dropna(), table["prepare_seconds"].dropna()
    assert list(lora.index) == list(prepare.index) == ["GoodDrag"]  # the first that needs them
    calls = table["unet_calls"]
    assert calls["Unedited"] == calls["Copy-paste"] == 0 and calls["GoodDrag"] >= 5 and calls["SDE-Drag"] >= 5
    assert table.loc["GoodDrag", "drag_operations"] == 2 and math.isnan(table.loc["SDE-Drag", "drag_operations"])
    costs = benchmark.costs(table.reset_index())
    assert costs["unet_calls"].to_dict() == calls.to_dict() and math.isnan(costs["lora_seconds"]["SDE-Drag"])


def test_a_finished_run_computes_nothing(finished, tiny, tmp_path):
    path, table = finished
    before = {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()}
    same(table, benchmark.run(path, make(3), quick.METHODS, model=tiny, progress=False))
    assert {f: f.stat().st_mtime_ns for f in path.rglob("*") if f.is_file()} == before


def test_methods_samples_and_seeds_may_be_added(tiny, tmp_path):
    log = tmp_path / "log"
    methods = {"Brighter": Brighter(log=str(log))}
    benchmark.run(tmp_path / "out", make(1), methods, model=tiny, progress=False)
    table = benchmark.run(tmp_path / "out", make(2), methods | {"Unedited": Unedited()}, (0, 3), tiny, progress=False)
    assert log.read_text().splitlines() == ["sample 0 0", "sample 1 0", "sample 0 3", "sample 1 3"]
    assert len(table) == 8 and set(table["seed"]) == {0, 3}
    brighter = table[(table["method"] == "Brighter") & (table["sample"] == "sample 0")]
    assert brighter["damage_outside_mask"].is_monotonic_increasing  # seed 3 is another image
    assert len(benchmark.load(tmp_path / "out")) == 8


def test_score_recomputes_without_running(finished, tiny, tmp_path):
    path, table = finished
    copy = shutil.copytree(path, tmp_path / "copy")
    for file in copy.glob("results/*/*/*/metrics.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"scores": {}}))
    assert benchmark.load(copy)["dai_1"].isna().all()
    assert benchmark.score(copy, tiny) == 15
    same(table, benchmark.load(copy))


def test_learned_scores_stay_and_unknown_ones_are_refused(finished, tiny, tmp_path):
    path, _ = finished
    copy = shutil.copytree(path, tmp_path / "copy")
    folder = Folder(copy)
    record = folder.result("sample-1", 0, "copy-paste")
    folder.rewrite("sample-1", 0, "copy-paste", record | {"scores": record["scores"] | {"TReS": 55.0}})
    before = {file: file.read_bytes() for file in copy.rglob("metrics.json")}
    with pytest.raises(ValueError, match="^learned: FID; expected some of IF, TReS, MUSIQ, TOPIQ"):
        benchmark.score(copy, tiny, learned=["FID"])
    assert before == {file: file.read_bytes() for file in copy.rglob("metrics.json")}
    benchmark.score(copy, tiny)
    table = benchmark.load(copy)
    assert table["TReS"].dropna().tolist() == [55.0] and table["IF"].isna().all()


def test_what_a_rater_looks_at(finished, tmp_path):
    path, _ = finished
    samples, results = benchmark.edited(path, ["GoodDrag", "Unedited"])
    assert [s.name for s in samples] == ["sample 0", "sample 1", "sample 2"] and list(results) == [
        "GoodDrag",
        "Unedited",
    ]
    assert all(results["Unedited"][s.name].tobytes() == s.image.tobytes() for s in samples)
    with pytest.raises(ValueError, match="^methods: 'BadDrag'; expected some of"):
        benchmark.edited(path, ["BadDrag"])
    with pytest.raises(ValueError, match="^seed: 7; expected one of 0$"):
        benchmark.edited(path, seed=7)


def test_csv_gives_the_table_back(finished, tmp_path):
    _, table = finished
    benchmark.save(table, tmp_path / "table.csv")
    again = benchmark.read(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(again, table, rtol=1e-5)
    (tmp_path / "short.csv").write_text("a,b\n1,2\n")
    for file, said in (("short.csv", "lacks sample"), ("none.csv", "cannot be read")):
        with pytest.raises(ValueError, match=said):
            benchmark.read(tmp_path / file)


def test_parts_of_a_run_join_to_the_table_of_the_whole(finished, tiny, tmp_path):
    _, table = finished
    for part, places in (("a", (0, 2)), ("b", (1, 2))):
        benchmark.run(tmp_path / part, [make(3)[i] for i in places], quick.METHODS, model=tiny, progress=False)
        benchmark.save(benchmark.load(tmp_path / part), tmp_path / f"{part}.csv")
    a, b = (benchmark.read(tmp_path / f"{part}.csv") for part in "ab")
    pd.testing.assert_frame_equal(benchmark.join([a, b])[SAME], table[SAME], rtol=1e-5)
    half = benchmark.join([a[a["sample"] == "sample 0"], b[(b["sample"] == "sample 1") & (b["method"] != "GoodDrag")]])
    assert len(half) == 10 and benchmark.mean(half, "GoodDrag", "md") is None  # it lacks sample 1, and says so
    b.loc[b["sample"] == "sample 2", "state"] = a.loc[a["method"] == "GoodDrag", "state"] = "missing"
    joined = benchmark.join([a, b])
    missing = joined[joined["state"] == "missing"][["sample", "method"]].values.tolist()
    assert len(joined) == 15 and missing == [["sample 0", "GoodDrag"], ["sample 2", "GoodDrag"]]


# what goes wrong


@pytest.mark.parametrize(("column", "rows", "said"), [
    ("weights", None, "weights is"),
    ("settings", "GoodDrag", "settings of GoodDrag is"),
    ("key", "sample 1", "key of sample 1, 0, Unedited is"),
])  # fmt: skip
def test_tables_of_different_runs_do_not_join(finished, column, rows, said):
    _, table = finished
    other = table.copy()
    other.loc[(other["method"] == rows) | (other["sample"] == rows) | (rows is None), column] = "0" * 16
    with pytest.raises(ValueError, match=f"^tables: {said} '.*' and '0000000000000000'; expected runs of one model"):
        benchmark.join([table, other])


def test_an_error_is_a_result(tiny, tmp_path):
    methods = {"Unedited": Unedited(), "Brighter": Brighter(log=str(tmp_path / "log"), at="sample 1")}
    table = benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False)
    row = table[(table["method"] == "Brighter") & (table["sample"] == "sample 1")].iloc[0]
    assert (row["state"], row["error"]) == ("failed", "RuntimeError: no sample 1 today") and math.isnan(row["dai_1"])
    record = Folder(tmp_path / "out").result("sample-1", 0, "brighter")
    assert "Traceback" in record["traceback"] and "quick.py" in record["traceback"]

    shown = benchmark.summary(table, ["dai_1"])
    assert shown.loc["Brighter", ["done", "failed", "missing"]].tolist() == [2, 1, 0]
    assert math.isnan(shown.loc["Brighter", "dai_1"]) and shown.loc["Unedited", "dai_1"] > 0  # no mean over the rest
    assert benchmark.mean(table, "Brighter", "dai_1") is None
    with pytest.raises(ValueError, match="1 of 3 missing or not finite .sample 1."):
        benchmark.compare(table, "Brighter", "Unedited", "dai_1")

    same(table, benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False))  # it stays
    again = benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False, retry_failed=True)
    assert (again["state"] == "done").all()
    assert len((tmp_path / "log").read_text().splitlines()) == 4


def test_a_method_that_returns_no_image_fails(tiny, tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Wrong:
        def __call__(self, model, sample, seed=0):
            return sample.image.resize((9, 9))

    table = benchmark.run(tmp_path / "out", make(1), {"Wrong": Wrong()}, model=tiny, progress=False)
    assert "expected a PIL RGB image of (48, 48) px" in table["error"][0]


def test_interrupted_and_resumed(tiny, tmp_path):
    log = tmp_path / "log"
    methods = {"Brighter": Brighter(log=str(log), at="sample 1", then="interrupt")}
    with pytest.raises(KeyboardInterrupt):
        benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False)
    assert list(benchmark.load(tmp_path / "out")["state"]) == ["done", "missing", "missing"]
    table = benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False)
    assert (table["state"] == "done").all()
    assert log.read_text().splitlines() == [f"sample {i} 0" for i in (0, 1, 1, 2)]


def test_a_full_disk_is_no_methods_failure(tiny, tmp_path):
    log = tmp_path / "log"
    methods = {"Brighter": Brighter(log=str(log), at="sample 1", then="full disk")}
    with pytest.raises(OSError, match="No space left"):
        benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False)
    assert list(benchmark.load(tmp_path / "out")["state"]) == ["done", "missing", "missing"]
    table = benchmark.run(tmp_path / "out", make(3), methods, model=tiny, progress=False)
    assert (table["state"] == "done").all()


@pytest.mark.parametrize("harm", ["image cut", "image gone", "record cut", "record of other settings", "leftovers"])
def test_what_is_half_there_is_made_again(finished, tiny, tmp_path, harm):
    path, table = finished
    copy = shutil.copytree(path, tmp_path / "copy")
    place = Folder(copy).place("sample-1", 0, "copy-paste")
    if harm == "image cut":
        (place / "image.png").write_bytes((place / "image.png").read_bytes()[:-30])
    elif harm == "image gone":
        (place / "image.png").unlink()
    elif harm == "record cut":
        (place / "metrics.json").write_text((place / "metrics.json").read_text()[:200])
    elif harm == "record of other settings":
        (place / "metrics.json").write_text((place / "metrics.json").read_text().replace('"key": "', '"key": "0'))
    else:
        place.rename(left := place.with_name(".copy-paste-0123456789ab"))
    job = Job("sample-1", 0, tuple(slug(m) for m in quick.METHODS))
    assert unfinished(Folder(copy), job) == ["copy-paste"]
    same(table, benchmark.run(copy, make(3), quick.METHODS, model=tiny, progress=False))
    assert harm != "leftovers" or not left.exists()


def test_a_job_in_other_hands_is_left_alone(tiny, tmp_path):
    folder = Folder(tmp_path / "out")
    methods = {"Brighter": Brighter()}
    folder.prepare(tiny, make(1), methods, [0])
    job, by_slug = Job("sample-0", 0, ("brighter",)), {"brighter": Brighter()}
    with folder.lock("sample-0", 0):
        assert run_jobs(Folder(tmp_path / "out"), [job], by_slug, tiny) == [job]
    assert run_jobs(folder, [job], by_slug, tiny) == [] and unfinished(folder, job) == []


def test_nothing_is_mixed_in(finished, tiny, tmp_path):
    path, table = finished
    other = save_tiny(tmp_path / "tiny", seed=1)
    moved = [dataclasses.replace(make(1)[0], points=[[[10, 12], [31, 20]]])]
    changed = {"Copy-paste": dataclasses.replace(quick.METHODS["Copy-paste"], radius=5)}
    files = sorted(path.rglob("*"))
    for samples, methods, model, said in (
        (make(3), quick.METHODS, str(other), "^model: vae is '"),
        (moved, quick.METHODS, tiny, "^samples: 'sample 0' is another edit"),
        (make(3), changed, tiny, "^methods: settings.radius is 4 in this folder, 5 was asked for"),
    ):
        with pytest.raises(ValueError, match=said):
            benchmark.run(path, samples, methods, model=model, progress=False)
        assert sorted(path.rglob("*")) == files
    with pytest.raises(ValueError, match="^model: tiny with weights .*expected this folder's tiny"):
        benchmark.score(path, str(other))
    with pytest.raises(
        ValueError, match="^model: none given, and this folder only knows .* 'tiny'; expected its folder"
    ):
        benchmark.score(path)
    same(table, benchmark.load(path))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"samples": []}, "^samples: none given"),
        ({"methods": {}}, "^methods: none given"),
        ({"samples": 2 * make(1)}, "^samples: 'sample 0' and 'sample 0' would share a folder"),
        ({"methods": {"A b": Unedited(), "a-B": Unedited()}}, "^methods: 'A b' and 'a-B' would share"),
        ({"methods": {"../": Unedited()}}, "^methods: '../'; expected letters or digits"),
        ({"seeds": []}, "^seeds: "),
        ({"seeds": [1, 1]}, "^seeds: "),
        ({"seeds": [-1]}, "^seeds: "),
        ({"seeds": "01"}, "^seeds: '01'; expected distinct whole numbers"),
        ({"seeds": 1}, "^seeds: 1; expected distinct whole numbers"),
        ({"samples": "page"}, "^samples: 'p'; expected Samples"),
        ({"methods": [Unedited()]}, "^methods: a list; expected a dict of names and methods"),
        ({"workers": -1}, "^workers: -1"),
        ({"workers": "2"}, "^workers: '2'; expected a whole number, 0 or more"),
        ({"batch": 0}, "^batch: 0; expected a whole number, 1 or more"),
        ({"workers": 1, "scheduler": "tcp://x:1"}, "^workers, scheduler: both"),
        ({"workers": 1}, "^model: a loaded one"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(tiny, tmp_path, changes, said):
    arguments = {"samples": make(1), "methods": {"Unedited": Unedited()}, "model": tiny, "progress": False} | changes
    with pytest.raises(ValueError, match=said):
        benchmark.run(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_results_says_so(tmp_path):
    for function in (benchmark.load, benchmark.score):
        with pytest.raises(ValueError, match="holds no results; expected what `gooddrag bench` writes"):
            function(tmp_path)


@pytest.mark.parametrize("file, content", [
    ("model.json", "{"), ("model.json", "{}"),
    ("model.json", '{"model": "tiny", "weights": "", "vae": "", "dtype": "float33"}'),
    ("methods/copy-paste.json", "{"), ("methods/copy-paste.json", "{}"),
    ("plans/*.json", "{"), ("plans/*.json", "{}"), ("plans/*.json", '{"samples": [[]], "methods": [], "seeds": []}'),
    ("plans/*.json", '{"samples": ["sample-0"], "methods": ["copy-paste"], "seeds": ["0"]}'),
])  # fmt: skip
def test_a_damaged_file_of_the_folder_is_named(finished, tmp_path, file, content):
    copy = shutil.copytree(finished[0], tmp_path / "copy")
    (damaged,) = copy.glob(file)
    damaged.write_text(content)
    for function in (benchmark.load, benchmark.edited):
        with pytest.raises(ValueError, match=f"^folder: {damaged} cannot be read; expected what `gooddrag bench` wr"):
            function(copy)


def test_a_method_that_is_gone_is_named(finished, tmp_path):
    copy = shutil.copytree(finished[0], tmp_path / "copy")
    (copy / "methods" / "copy-paste.json").unlink()
    same(benchmark.load(copy), finished[1])
    shutil.rmtree(copy / "results" / "sample-1" / "seed-0" / "copy-paste")
    with pytest.raises(ValueError, match="^folder: .*methods/copy-paste.json cannot be read"):
        benchmark.load(copy)


def test_a_damaged_plan_is_named_before_anything_is_computed(tiny, tmp_path):
    log, path = tmp_path / "log", tmp_path / "out"
    benchmark.run(path, make(1), {"Unedited": Unedited()}, model=tiny, progress=False)
    (plan,) = path.glob("plans/*.json")
    plan.write_text("{}")
    with pytest.raises(ValueError, match=f"^folder: {plan} cannot be read"):
        benchmark.run(path, make(1), {"Brighter": Brighter(log=str(log))}, model=tiny, progress=False)
    assert not log.exists()


def test_names_become_folders():
    names = [*METHODS, "007 animal: open mouth"]
    assert len({slug(n) for n in names}) == len(names)
    assert slug("DragDiffusion*") == "dragdiffusion-star" and slug(names[-1]) == "007-animal-open-mouth"
    assert slug("../a/b\\c") == "a-b-c"


# batches


LOOSE = ["unet_calls", "unet_images", "batch"]
FILES = dict(rtol=1e-3, atol=1e-3)  # an image is whole numbers: what rounds the other way differs by 1 / 255


def drags():
    return {name: quick.METHODS[name] for name in ("Copy-paste", "GoodDrag", "GoodDrag without IP")}


def test_a_batch_gives_the_results_of_one_by_one(tiny64, tmp_path, monkeypatch):
    samples = [*make(3), *make(4, (40, 64))[3:]]  # the last one is of another size
    single = benchmark.run(tmp_path / "single", samples, drags(), model=tiny64, progress=False)
    monkeypatch.setattr(dragging, "_kept", OrderedDict())  # as in a new process
    table = benchmark.run(tmp_path / "batch", samples, drags(), model=tiny64, progress=False, batch=4)
    columns = [c for c in SAME if c not in LOOSE]
    pd.testing.assert_frame_equal(table[columns], single[columns], **FILES)
    by = table.set_index(["method", "sample"])
    assert by.loc["GoodDrag", "batch"].tolist() == [3, 3, 3, 1] and (by.loc["Copy-paste", "batch"] == 1).all()
    alone = single.set_index(["method", "sample"])
    for column in ("unet_images", "unet_calls"):  # the calls are shared by all, the images everyone's own
        assert by.loc["GoodDrag", column].tolist() == alone.loc["GoodDrag", column].tolist()
    assert by.loc["GoodDrag", "prepare_seconds"].notna().all()  # each one's own, and shared by the methods that follow
    assert by.loc["GoodDrag without IP", ["lora_seconds", "prepare_seconds"]].isna().all(axis=None)


@dataclasses.dataclass(frozen=True)
class Fragile(Dragging):
    """A drag that no more than two samples get through at once, and sample 1 not at all."""

    def edit_together(self, model, samples, seed=0):
        if len(samples) > 2 or "sample 1" in [s.name for s in samples]:
            raise MemoryError(f"samples: {len(samples)} at once are too many")
        return super().edit_together(model, samples, seed)

    def edit(self, model, sample, seed=0, callback=None):
        if sample.name == "sample 1":
            raise RuntimeError("no sample 1 today")
        return super().edit(model, sample, seed, callback)


def test_a_batch_that_fails_is_halved_and_pays_once_for_its_preparation(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(dragging, "_kept", OrderedDict())
    methods = {"GoodDrag": Fragile(quick.DRAG, gd.LoraConfig(rank=2, steps=1, batch_size=1))}
    table = benchmark.run(tmp_path / "out", make(5), methods, model=tiny, progress=False, batch=5)
    assert table["state"].tolist() == ["done", "failed", "done", "done", "done"]
    assert table["batch"].fillna(0).tolist() == [1, 0, 1, 2, 2]  # 5 -> 2 (-> 1, 1) and 3 (-> 1, 2)
    assert table["error"][1] == "RuntimeError: no sample 1 today"
    assert table.loc[[0, 2, 3, 4], ["lora_seconds", "prepare_seconds"]].notna().all(axis=None)


def test_the_tensors_of_a_failed_edit_do_not_stay(tiny, tmp_path):
    gc.disable()
    try:
        benchmark.run(tmp_path / "out", make(1), {"GoodDrag": Greedy()}, model=tiny, progress=False)
        assert Greedy.held() is None
    finally:
        gc.enable()


@dataclasses.dataclass(frozen=True)
class Greedy:
    """Holds a tensor when it fails, as what runs out of memory does."""

    def __call__(self, model, sample, seed=0):
        tensor = torch.zeros(3)
        Greedy.held = weakref.ref(tensor)
        raise RuntimeError("out of memory")


# numbers


def test_means_and_comparisons_by_hand(finished):
    _, table = finished
    found = benchmark.values(table, "Unedited", "truth_error_ratio")
    assert found == {f"sample {i}": 1.0 for i in range(3)}
    value = benchmark.mean(table, "Copy-paste", "dai_1")
    rows = table[table["method"] == "Copy-paste"]
    assert value.value == pytest.approx(rows["dai_1"].mean()) and value.low <= value.value <= value.high
    wins, ratio = benchmark.compare(table, "Unedited", "GoodDrag", "damage_outside_mask")
    assert wins.wins == wins.n == 3 and ratio.value == 0
    by = benchmark.summary(table, ["md"], "category")
    assert by.loc[("Unedited", "plant"), "done"] == 2 and by.loc[("Unedited", "animal"), "done"] == 1
    with pytest.raises(ValueError, match="^method: 'None'; expected one of"):
        benchmark.values(table, "None", "md")


def test_the_estimate_waits_until_every_method_has_a_time():
    class Bar:
        n = 0

        def update(self):
            self.n += 1

        def set_postfix_str(self, text, refresh):
            self.text = text

    bar = Bar()
    progress = Progress(bar, {(f"s{i}", 0, method) for i in range(3) for method in ("slow", "quick")}, 2)
    progress.told(("s0", 0, "slow"), 100.0)
    assert "unknown" in bar.text
    progress.told(("s0", 0, "quick"), 1.0)
    assert bar.text == "2 min left"  # (2 * 100 + 2 * 1) / 2 = 101 s
    progress.told(("s0", 0, "quick"), 9.0)  # again: by an event and by the job's end, or after a worker died
    assert bar.text == "2 min left" and bar.n == 2
    for i in (1, 2):
        progress.told((f"s{i}", 0, "slow"), None)  # somebody else's
        progress.told((f"s{i}", 0, "quick"), 1.0)
    assert bar.text == "" and bar.n == 6
    assert [duration(s) for s in (5, 600, 9000)] == ["5 s", "10 min", "2.5 h"]


# a cluster


def test_two_workers_give_the_same_table_though_one_dies(finished, tiny_folder, tmp_path):
    _, table = finished
    extra = {"Brighter": Brighter(log=str(tmp_path / "log"), at="sample 1", then="die")}
    methods = {name: quick.METHODS[name] for name in ("Unedited", "GoodDrag")}
    parallel = benchmark.run(tmp_path / "out", make(2), methods | extra, model=str(tiny_folder), workers=2,
                             progress=False)  # fmt: skip
    assert (parallel["state"] == "done").all() and len(parallel) == 6
    expected = table[table["method"].isin(list(methods)) & (table["sample"] != "sample 2")]
    got = parallel[parallel["method"] != "Brighter"]
    same(expected.reset_index(drop=True), got.reset_index(drop=True))
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["sample 0 0", "sample 1 0", "sample 1 0"]


def test_a_worker_tells_of_each_method_not_only_of_the_whole_job(tiny_folder, tmp_path, monkeypatch):
    """The second method waits until this process has heard of the first one."""
    sign, hear = tmp_path / "heard", Progress.told

    def heard(self, task, seconds):
        if task[2] == "unedited":
            sign.touch()
        hear(self, task, seconds)

    monkeypatch.setattr(Progress, "told", heard)
    methods = {"Unedited": quick.METHODS["Unedited"], "Waiting": quick.Waiting(str(sign))}
    table = benchmark.run(tmp_path / "out", make(1), methods, model=str(tiny_folder), workers=1, progress=False)
    assert table["state"].tolist() == ["done", "done"]


def test_a_group_that_kills_its_workers_is_taken_apart(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "DEATHS", 0)
    methods = {"Brighter": Brighter(at="sample 1", then="die", once=False)}
    table = benchmark.run(tmp_path / "out", make(2), methods, model=str(tiny_folder), workers=1, batch=2,
                          progress=False)  # fmt: skip
    assert table["state"].tolist() == ["done", "failed"] and "1 workers died on this edit" in table["error"][1]


def environment():
    return {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS") or k.startswith("MALLOC_")}


@pytest.mark.parametrize("asked", [None, "3"])
def test_a_worker_has_its_share_of_the_cores_and_the_systems_own_memory_allocator(monkeypatch, asked):
    """Dask would set MALLOC_TRIM_THRESHOLD_: every large tensor then is new memory from the system, page by page."""
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, asked) if asked else monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    before = environment()
    with cluster._client(2, None) as client:
        seen = client.run(environment)
    expected = {"OMP_NUM_THREADS": asked or "2", "MKL_NUM_THREADS": asked or "2"}
    assert len(seen) == 2 and all(expected.items() <= env.items() for env in seen.values())
    assert not any(name.startswith("MALLOC_") for env in seen.values() for name in env)
    assert environment() == before


def test_no_scheduler_at_the_address(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT", "1s")
    with pytest.raises(ValueError, match="^scheduler: nothing at 'tcp://127.0.0.1:9'"):
        benchmark.run(tmp_path / "out", make(1), {"Unedited": Unedited()}, model=str(tiny_folder),
                      scheduler="tcp://127.0.0.1:9", progress=False)  # fmt: skip


def test_every_worker_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert [cluster._visible(i) for i in range(2)] == ["2", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert cluster._visible(1) == "1"
