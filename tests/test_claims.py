"""The claims ledger: complete, honest about what is untested, and what README shows."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import quick
from tiny import picture

from experiments.studies import ledger
from gooddrag import benchmark
from gooddrag.sample import Sample

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "notebooks" / "claims.json"
CLAIMS = json.loads(LEDGER.read_text(encoding="utf-8"))["claims"]
EXPECTED = {"fig8", "fig11", "fig11_here", "aldd_here", "ip_here", "table1_here", "star_here",
            "fig1", "fig4", "fig5", "fig12", "fig13", "fig14a", "fig14b", "overhead", "table1", "table2", "table3",
            "runtime", "memory"}  # fmt: skip


def readme_tables():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "scripts" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_claim_of_the_paper_has_a_row():
    ids = [c["id"] for c in CLAIMS]
    assert len(ids) == len(set(ids))
    assert set(ids) >= EXPECTED


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c["id"])
def test_verdict_stands_on_something(claim):
    assert claim["verdict"] in readme_tables().VERDICTS
    assert all(claim[key] for key in ("source", "claim", "paper"))
    assert "picture" not in claim or (ROOT / claim["picture"]).is_file()
    if claim["verdict"] == "untested":
        assert claim["why"] and not claim["ours"]
    else:
        assert claim["ours"] and claim["model"]
        assert (ROOT / claim["where"].split("#")[0]).is_file(), claim["where"]
        if claim["verdict"] != "reproduced":
            assert claim["why"]


def test_readme_and_card_show_the_results():
    script = readme_tables()
    assert (ROOT / "README.md").read_text(encoding="utf-8") == script.filled_readme()
    assert script.CARD.read_text(encoding="utf-8") == script.filled_card()


def test_the_ledger_is_what_the_kept_results_say(tmp_path):
    copy = tmp_path / "claims.json"
    copy.write_bytes(LEDGER.read_bytes())
    ledger.fill(copy, ROOT / "results")
    assert copy.read_text(encoding="utf-8") == LEDGER.read_text(encoding="utf-8"), (
        "run scripts/kept_results.py --claims"
    )


def test_every_difference_is_a_field_or_has_a_reason():
    from gooddrag import DragConfig, LoraConfig

    rows = json.loads((ROOT / "notebooks" / "differences.json").read_text(encoding="utf-8"))["rows"]
    assert [r["row"] for r in rows] == list(range(1, 29))
    names = {f.name for config in (DragConfig, LoraConfig) for f in dataclasses.fields(config)}
    for row in rows:
        assert set(row["fields"]) <= names, row
        assert row["fields"] or row["ours"], row


def test_paper_and_released_presets_differ_where_the_table_says_so():
    from gooddrag import DragConfig

    released, paper = (dataclasses.asdict(c) for c in (DragConfig.released(), DragConfig.paper()))
    differ = {name for name in released if released[name] != paper[name]}
    assert differ == {
        "lam", "feature_block", "grid", "drag_scale", "capped_step", "skip_distance", "tracking", "track_at_start",
        "tracking_reference", "stop_distance", "stop_unmoved", "adam", "inversion",
    }  # fmt: skip


def test_tables_of_a_benchmark_run(tiny, tmp_path):
    """Means and ratios are the benchmark's own; a failed edit leaves dashes, and never a mean of the others."""

    mask = np.zeros((48, 48), bool)
    mask[4:40, 4:44] = True
    pages = [Sample(picture((48, 48), i), [[[10, 12], [30, 20]]], mask, picture((48, 48), i + 9), name=f"page {i}")
             for i in range(3)]  # fmt: skip
    table = benchmark.run(tmp_path / "out", pages, quick.METHODS, model=tiny, progress=False)
    script = readme_tables()
    lines = script.methods_table(table).splitlines()
    assert lines[0].startswith("3 edits, 0 failed; model `tiny`") and len(lines) == 4 + len(quick.METHODS)
    (mine,) = (line for line in lines if line.startswith("| GoodDrag |"))
    assert f"| {benchmark.mean(table, 'GoodDrag', 'dai_1').value:.4f} (paper 0.0696) |" in mine
    ratios = script.ratios_table(table)
    _, ratio = benchmark.compare(table, "GoodDrag", "SDE-Drag", "dai_20")
    assert f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" in ratios
    assert "| DragDiffusion, in the paper | 0.47 | 0.47 | 0.49 | 0.54 | | | |" in ratios
    errors = {m: table[table["method"] == m].set_index("sample")["truth_error_inside_mask"]
              for m in ("GoodDrag", "SDE-Drag")}  # fmt: skip
    nearer = (errors["GoodDrag"] < errors["SDE-Drag"]).sum()
    assert any(line.startswith("| SDE-Drag |") and line.endswith(f"| {nearer} / 0 / {3 - nearer} |")
               for line in ratios.splitlines())  # fmt: skip
    same = table.assign(truth_error_inside_mask=1.0)
    assert all(line.endswith("| 0 / 3 / 0 |") for line in script.ratios_table(same).splitlines()[2:]
               if "paper" not in line)  # fmt: skip
    shares = table[table["method"] == "GoodDrag"]["truth_error_ratio"]
    assert script.tasks_table(table, ("GoodDrag",)).splitlines()[-1] == (
        f"| all | 3 | {shares.median():.2f} ({(shares < 1).sum()} below 1) |"
    )
    table["distance_left_px"] = [2.0, 2.56, 3.0] * (len(table) // 3)
    assert script.arrived(table[:3]) == "2" and script.arrived(table[:3].assign(distance_left_px=np.nan)) == "-"
    table.loc[(table["method"] == "SDE-Drag") & (table["sample"] == "page 1"), ["dai_20", "state"]] = [None, "failed"]
    assert "3 edits, 1 failed" in script.methods_table(table)
    assert any(line.startswith("| SDE-Drag |") and "| - (paper 0.1143)" in line
               for line in script.methods_table(table).splitlines())  # fmt: skip
    assert "| SDE-Drag | - |" in script.ratios_table(table)
