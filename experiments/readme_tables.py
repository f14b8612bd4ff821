"""Write the tables of README and of the model card from the files they stand for: python scripts/readme_tables.py"""

from __future__ import annotations

import json
import operator
import re
from pathlib import Path
from statistics import median

from pandas import DataFrame

from experiments.cost.profile import ratio_text
from gooddrag import benchmark
from gooddrag.metrics import GAMMAS, Interval

ROOT = Path(__file__).parents[1]
CARD = ROOT / "gooddrag" / "storybook" / "weights" / "README.md"
SIDE = 128  # px, the pages of Storybook100
NEAR = 0.02  # of the side
VERDICTS = ("reproduced", "partly", "not reproduced", "untested")


def claims_table(claims: list[dict]) -> str:
    """The claims ledger as a markdown table."""
    rows = ["| paper | claim | the paper's figure | ours | verdict |", "|---|---|---|---|---|"]
    for c in claims:
        ours = f"{c['ours']} ({c['model']}; {c['where']})" if c["ours"] else ""
        verdict = f"**{c['verdict']}**" + (f": {c['why']}" if c["why"] else "")
        source = f"[{c['source']}]({c['picture']})" if "picture" in c else c["source"]
        rows.append(f"| {source} | {c['claim']} | {c['paper']} | {ours} | {verdict} |")
    return "\n".join(rows)


def edits_table(report: dict) -> str:
    """The run of storybook edits, one row per variant of the settings."""
    columns = {
        "edits": lambda s: s["edits"],
        "error to the truth below half of the unedited page's": lambda s: s["below_half"],
        "below it": lambda s: s["below_one"],
        "median": lambda s: s["median_ratio"],
        "damage outside the mask (median)": lambda s: f"{s['median_damage_outside']:.5f}",
        "all handles within 3 px": lambda s: s["handles_within_3px"],
        "updates (median)": lambda s: f"{s['median_updates']:.0f}",
    }
    rows = [f"Model `{report['model']}`, weights {report['weights']}; {report['machine']}.", ""]
    rows += [f"| settings | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, summary in report["summary"].items():
        rows.append(f"| {name} | {' | '.join(str(column(summary)) for column in columns.values())} |")
    return "\n".join(rows)


def methods_table(table: DataFrame) -> str:
    """Storybook100: one row per method, means over the edits, the paper's DAI beside ours; medians of what it cost."""
    about, cost = table.iloc[0], benchmark.costs(table)
    n, failed = table["sample"].nunique(), (table["state"] != "done").sum()
    machines = ", ".join(table["machine"].unique())
    rows = [f"{n} edits, {failed} failed; model `{about.model}`, weights {about.weights}; {machines}.", ""]
    dai = [f"DAI, radius {gamma}" for gamma in GAMMAS]
    columns = [*dai, "error to the truth inside the mask", "damage outside it", "MD, px", f"handles within {NEAR:.0%}",
               "edit, s", "U-Net calls"]  # fmt: skip
    rows += [f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for method in table["method"].unique():
        published = benchmark.TABLE_1.get(method, (None,) * len(GAMMAS))
        cells = [number(benchmark.mean(table, method, f"dai_{gamma}"), 4) + (f" (paper {paper:.4f})" if paper else "")
                 for gamma, paper in zip(GAMMAS, published, strict=True)]  # fmt: skip
        measures = {"truth_error_inside_mask": 4, "damage_outside_mask": 5, "md": 1}
        cells += [number(benchmark.mean(table, method, column), digits) for column, digits in measures.items()]
        cells.append(arrived(table[table["method"] == method]))
        cells += [f"{cost.loc[method, 'edit_seconds']:.0f}", f"{cost.loc[method, 'unet_calls']:.0f}"]
        rows.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(rows)


def ratios_table(table: DataFrame, first: str = "GoodDrag") -> str:
    """Storybook100: the first method's means divided by the others', with the paired bootstrap interval."""
    others = [m for m in table["method"].unique() if m not in (first, "Unedited", "Copy-paste")]
    columns = {**{f"dai_{g}": f"DAI, radius {g}" for g in GAMMAS}, "truth_error_inside_mask": "error to the truth",
               "damage_outside_mask": "damage outside the mask"}  # fmt: skip
    rows = [f"| {first} divided by | {' | '.join(columns.values())} | nearer to the truth / equal / further |",
            "|---" * (len(columns) + 2) + "|"]  # fmt: skip
    for other in others:
        try:
            found = {column: benchmark.compare(table, first, other, column) for column in columns}
        except ValueError:  # an edit without a value: no mean, no ratio
            rows.append(f"| {other} |{' - |' * (len(columns) + 1)}")
            continue
        cells = [f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for _, r in found.values()]
        mine, its = (benchmark.values(table, method, "truth_error_inside_mask") for method in (first, other))
        nearer, equal = (sum(test(mine[edit], its[edit]) for edit in mine) for test in (operator.lt, operator.eq))
        rows.append(f"| {other} | {' | '.join(cells)} | {nearer} / {equal} / {len(mine) - nearer - equal} |")
    for other, published in benchmark.TABLE_1.items():
        if other != first:
            cells = [f"{a / b:.2f}" for a, b in zip(benchmark.TABLE_1[first], published, strict=True)]
            rows.append(f"| {other}, in the paper | {' | '.join(cells)} | | | |")
    return "\n".join(rows)


def tasks_table(table: DataFrame, methods: tuple[str, ...] = ("GoodDrag", "DragDiffusion", "SDE-Drag")) -> str:
    """Storybook100 by kind of edit: the median error as a share of the unedited page's; how many edits are below 1."""
    rows = [f"| task | edits | {' | '.join(methods)} |", "|---" * (len(methods) + 2) + "|"]
    groups = [*table.groupby("task"), ("all", table)]
    for task, group in groups:
        shares = [group.loc[group["method"] == method, "truth_error_ratio"] for method in methods]
        cells = [f"{x.median():.2f} ({(x < 1).sum()} below 1)" if x.notna().all() else "-" for x in shares]
        rows.append(f"| {task} | {group['sample'].nunique()} | {' | '.join(cells)} |")
    return "\n".join(rows)


def by_method(table: DataFrame) -> dict[str, DataFrame]:
    """Each method's rows, all in the order of the samples."""
    return {m: table[table["method"] == m].sort_values("sample", ignore_index=True) for m in table["method"].unique()}


def aims_table(table: DataFrame, preset: DataFrame, terms: DataFrame) -> str:
    """Storybook100: what the embedded model was to reach, what it does with the released settings, and with its own.

    Args:
        table: of the benchmark. preset: its columns of errors, damage and distances, one row per edit. terms: of the
            benchmark with the preset, against which its edits are held.
    """
    edits, alike = by_method(table), by_method(terms)
    both = edits["GoodDrag"], preset

    def nearer(of: dict[str, DataFrame], than: str) -> str:
        mine, other = (of[m]["truth_error_inside_mask"] for m in ("GoodDrag", than))
        return f"{(mine < other).sum()}" + (f" of {len(mine)}" if len(mine) < len(preset) else "")

    rows = {
        "median error to the truth inside the mask, as a share of the unedited page's": (
            "at most 0.25", [f"{x['truth_error_ratio'].median():.2f}" for x in both]),
        "nearer to the truth than the unedited page": ("90", [(x["truth_error_ratio"] < 1).sum() for x in both]),
        "damage outside the mask at most 0.001": ("100", [(x["damage_outside_mask"] <= 0.001).sum() for x in both]),
        f"all handles within {NEAR:.0%} of the side from their targets": ("90", [arrived(x) for x in both]),
        **{f"nearer to the truth than {name}": ("67", [nearer(edits, name), nearer(alike, name)])
           for name in ("DragDiffusion", "GoodDrag without IP")},
    }  # fmt: skip
    cells = "\n".join(f"| {what} | {aim} | {' | '.join(map(str, got))} |" for what, (aim, got) in rows.items())
    return f"| of {len(preset)} edits | aim | `DragConfig()` | `DragConfig.storybook()` |\n|---|---|---|---|\n{cells}"


def terms_table(terms: DataFrame, table: DataFrame) -> str:
    """Storybook100, methods with the preset, and on the same pages with their released settings in brackets; last, on
    how many GoodDrag is nearer to the truth than the method of its row.
    """
    both = by_method(terms), by_method(table[table["sample"].isin(terms["sample"])])
    columns = {
        "median error, as a share of the unedited page's": lambda x: f"{x['truth_error_ratio'].median():.2f}",
        "nearer to the truth than the unedited page": lambda x: (x["truth_error_ratio"] < 1).sum(),
        "damage outside the mask (mean)": lambda x: f"{x['damage_outside_mask'].mean():.5f}",
        f"all handles within {NEAR:.0%}": arrived,
        "DAI, radius 10": lambda x: f"{x['dai_10'].mean():.4f}",
    }
    n = terms["sample"].nunique()
    rows = [f"| of {n} edits | {' | '.join(columns)} | GoodDrag nearer |", "|---" * (len(columns) + 2) + "|"]
    for method in both[0]:
        cells = ["{} ({})".format(*(of(run[method]) for run in both)) for of in columns.values()]
        errors = [[run[m]["truth_error_inside_mask"] for m in ("GoodDrag", method)] for run in both]
        wins = [(mine < other).sum() for mine, other in errors]
        rows.append(f"| {method} | {' | '.join(cells)} | {'' if method == 'GoodDrag' else f'{wins[0]} ({wins[1]})'} |")
    return "\n".join(rows)


def oracle_table(report: dict) -> str:
    """Errors of edits whose dragged latent was made by hand (benchmarks/oracle.py), beside drags."""
    ways = [way for way in report["records"][0] if way not in ("seed", "task")]
    rows = [f"| of {len(report['records'])} edits | median | below half |", "|---|---|---|"]
    for way in ways:
        errors = [record[way] for record in report["records"]]
        rows.append(f"| {way} | {median(errors):.2f} | {sum(error < 0.5 for error in errors)} |")
    return "\n".join(rows)


def cost_table() -> str:
    """Ratios of what an edit costs, each from one run of one command."""
    profile, formats, batch, mid, sd15 = (
        json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("profile", "cpu_formats", "batch", "against_unfrozen_mid", "against_unfrozen_sd15")
    )
    drag = ratio_text([run["phases"]["drag"] for run in profile])
    whole = ratio_text([run["whole"] for run in profile])
    seconds = [run["second_drag"]["seconds"] / run["whole"]["seconds"] for run in profile]
    second = f"{min(seconds):.2f} to {max(seconds):.2f}"
    formats = formats["rows"]
    pays = [row["seconds_ratio"] for row in batch["rows"]]
    rows = [
        ("drag phase / the bare U-Net calls that it needs", drag, "gooddrag profile --runs 5"),
        ("whole edit, LoRA included / the same", whole, "gooddrag profile --runs 5"),
        ("another drag of the same picture / the first edit", second, "gooddrag profile --runs 5"),
        ("one update with unfrozen weights and whole feature maps / ours, time, 88 M and 860 M parameters",
         f"{mid['times_faster']:.2f}, {sd15['times_faster']:.2f}", "benchmarks/against_unfrozen.py"),
        ("ours / the same, peak memory beside the weights",
         f"{mid['share_of_peak']:.2f}, {sd15['share_of_peak']:.2f}", "benchmarks/against_unfrozen.py"),
        ("float32 / the same with the channels last, and / bfloat16, a whole drag (neither is switched on)",
         f"{formats['float32, channels_last']['ratio']['drag']:.2f}, {formats['bfloat16']['ratio']['drag']:.2f}",
         "benchmarks/cpu_formats.py"),
        ("two or four edits one by one / in one batch, on two cores", f"{min(pays):.2f} to {max(pays):.2f}",
         "benchmarks/batch.py"),
    ]  # fmt: skip
    cells = "\n".join(f"| {what} | {ratio} | `{command}` |" for what, ratio, command in rows)
    return f"| time, unless said otherwise | ratio | measured by |\n|---|---|---|\n{cells}"


def arrived(edits: DataFrame) -> str:
    """On how many edits all handles end within NEAR of the page's side from their targets, by their own tracking."""
    left = edits["distance_left_px"]
    return f"{(left <= NEAR * SIDE).sum()}" if left.notna().all() else "-"


def number(mean: Interval | None, digits: int) -> str:
    """A mean, or a dash where an edit has none."""
    return "-" if mean is None else f"{mean.value:.{digits}f}"


def fill(text: str, name: str, table: str) -> str:
    """The text with the table between its two markers replaced."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    new, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.S)
    if count != 1:
        raise ValueError(f"README: {count} places for {name!r}; expected one pair of markers")
    return new


def filled_readme() -> str:
    """README as it should be."""
    claims = json.loads((ROOT / "notebooks" / "claims.json").read_text(encoding="utf-8"))["claims"]
    report = json.loads((ROOT / "results" / "storybook_released.json").read_text(encoding="utf-8"))
    table = benchmark.read(ROOT / "results" / "storybook100.csv")
    tables = {"claims": claims_table(claims), "edits": edits_table(report), "methods": methods_table(table),
              "ratios": ratios_table(table), "tasks": tasks_table(table), "cost": cost_table()}  # fmt: skip
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, filled in tables.items():
        text = fill(text, name, filled)
    return text


def filled_card() -> str:
    """The embedded model's card as it should be."""
    records = json.loads((ROOT / "results" / "storybook100_preset.json").read_text(encoding="utf-8"))["records"]
    rows = [{**record, "distance_left_px": max(record["distance_left_px"])} for record in records]
    preset = DataFrame(rows).sort_values("name", ignore_index=True)
    table = benchmark.read(ROOT / "results" / "storybook100.csv")
    oracle = json.loads((ROOT / "results" / "oracle.json").read_text(encoding="utf-8"))
    terms = benchmark.read(ROOT / "results" / "storybook100_terms.csv")
    text = CARD.read_text(encoding="utf-8")
    tables = {
        "aims": aims_table(table, preset, terms),
        "terms": terms_table(terms, table),
        "oracle": oracle_table(oracle),
    }
    for name, filled in tables.items():
        text = fill(text, name, filled)
    return text


if __name__ == "__main__":
    for path, text in {ROOT / "README.md": filled_readme(), CARD: filled_card()}.items():
        path.write_text(text, encoding="utf-8")
