"""Write the tables of the documents from the files that they stand for, between `<!-- begin NAME -->` and its end.

DAI has two conventions: Eq. 10 divides by the number of pairs once, the released code twice. A table, or a sentence,
has one of them and names it.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from experiments.card import NEAR, aims, bench, data, fits, generator, markdown, model, presets, samples
from experiments.claims import SYSTEMS, VERDICTS, Part, method_wins
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.metrics import GAMMAS, ratio_interval

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / name for name in ("README.md", "docs/benchmarks.md", "docs/ledger.md", "storybook/weights/README.md")
]
OWN = "GoodDrag with the preset"  # the embedded model's
BOUNDS = ("Unedited", "VAE round trip", "Copy-paste", "Blur")  # not methods
CONVENTIONS = {"paper": "by Eq. 10", "released": "as released"}
COLUMN = {"paper": "dai_{}", "released": "dai_released_{}"}


def methods(name: str = "storybook100") -> list[str]:
    return list(bench(name)["method"].unique())


def mean(table: pd.DataFrame, method: str, column: str, digits: int = 4) -> str:
    """The mean over all edits; a dash where an edit has no value."""
    values = [*benchmark.values(table, method, column).values()]
    return "-" if None in values else f"{sum(values) / len(values):.{digits}f}"


def run(name: str = "storybook100") -> str:
    """Which run the tables show."""
    table = bench(name)
    about, failed, widths = table.iloc[0], (table["state"] != "done").sum(), table["width"]
    size = f"{widths.min():.0f}" + (f" to {widths.max():.0f}" if widths.nunique() > 1 else "")
    made_by = f"model `{about.model}`, weights {about.weights}, autoencoder {about.vae}, gooddrag {about.gooddrag}; "
    made_by += ", ".join(table["machine"].dropna().unique())
    fits = table.groupby("method", sort=False)["lora_seconds"].median().dropna()
    fitted = ", ".join(f"{seconds:.0f} s ({method})" for method, seconds in fits.items())
    text = f"{table['sample'].nunique()} edits of pictures {size} px wide, {failed} failed; {made_by}."
    return text + (f" To fit a LoRA took {fitted} at the median; the seconds below leave it out." if fitted else "")


def columns(convention: str) -> tuple[list[str], list[str]]:
    """The columns of DAI in a table of the benchmark, and their headers."""
    headers = [f"DAI {CONVENTIONS[convention]}, radius {g}" for g in GAMMAS]
    return [COLUMN[convention].format(g) for g in GAMMAS], headers


def shares(means: dict[str, Iterable[float]], convention: str) -> str:
    """Means of DAI by method, the unedited images first; in brackets their share of these."""
    nothing = next(iter(means.values()))
    pairs = {m: zip(values, nothing, strict=True) for m, values in means.items()}
    cells = {m: ["-" if pd.isna(v) else f"{v:.4f} ({v / none:.0%})" for v, none in row] for m, row in pairs.items()}
    return markdown(["method", *columns(convention)[1]], [[m, *row] for m, row in cells.items()])


def dai(convention: str, name: str = "storybook100") -> str:
    """Means of DAI over a run of the benchmark."""
    table, (keys, _) = bench(name), columns(convention)
    ordered = sorted(methods(name), key=lambda m: m != "Unedited")
    return shares({m: table.loc[table["method"] == m, keys].mean(skipna=False) for m in ordered}, convention)


def bounds(convention: str) -> str:
    """Drag100 without a model; Table 1 beside it in its own convention."""
    means = {method: values[convention] for method, values in data("drag100_bounds")["dai"].items()}
    if convention == "released":
        means |= {f"{method}, Table 1": values for method, values in benchmark.TABLE_1.items()}
    return shares(means, convention)


def ratios(convention: str) -> str:
    """GoodDrag's mean DAI divided by the others', with the paired bootstrap interval."""
    keys, headers = columns(convention)
    rows = []
    for other in (m for m in methods() if m not in ("GoodDrag", *BOUNDS)):
        pairs = [[benchmark.values(bench(), m, key) for m in ("GoodDrag", other)] for key in keys]
        failed = any(None in values.values() for pair in pairs for values in pair)
        cells = ["-"] * len(pairs) if failed else [Part.ratio("", ratio_interval(*pair), 1).numbers for pair in pairs]
        rows.append([other, *cells])
    if convention == "released":
        mine = benchmark.TABLE_1["GoodDrag"]
        paper = {m: zip(mine, v, strict=True) for m, v in benchmark.TABLE_1.items() if m != "GoodDrag"}
        rows += [[f"{m}, Table 1 on Drag100", *(f"{a / b:.2f}" for a, b in row)] for m, row in paper.items()]
    return markdown(["GoodDrag divided by", *headers], rows)


def order(convention: str) -> str:
    """The order of the methods by mean DAI at radius 1, in one convention."""
    rows = bench()[~bench()["method"].isin(BOUNDS)]
    ranked = rows.groupby("method")[COLUMN[convention].format(1)].mean().sort_values().index
    return f"By mean DAI {CONVENTIONS[convention]} at radius 1: {', '.join(ranked)}."


def measures(name: str = "storybook100") -> str:
    """A run of the benchmark: what DAI does not see, what an edit costs and, with a truth, how near it comes."""
    return measured(bench(name))


def animals() -> str:
    """The same of the systems on the animals, which are what DragGAN's generator was trained on."""
    table = pd.concat([bench(), bench("storybook100_preset").assign(method=OWN)])
    shown = "Unedited", *SYSTEMS, "FastDrag improved", OWN, "DragGAN"
    return measured(table[(table["category"] == "animal") & table["method"].isin(shown)])


def measured(table: pd.DataFrame) -> str:
    """A row a method; a dash where an edit has no value, and no column of dashes alone."""
    means = {"mean error to the truth inside the mask": ("truth_error_inside_mask", 4)}
    means |= {"mean damage outside the mask": ("damage_outside_mask", 5), "mean MD, px": ("md", 1)}
    means |= {"MD in the mask, px": ("md_inside", 1), "mean of MD / drag length": ("md_share", 2)}
    costs = {"median s, LoRA apart": "edit_seconds", "median U-Net calls": "unet_calls", "median updates": "updates"}
    rows = []
    for m in table["method"].unique():
        own, row = table[table["method"] == m], {what: mean(table, m, *of) for what, of in means.items()}
        row[f"edits with all handles within {NEAR:.0%}"] = arrived(own)
        known = own["truth_error_inside_mask"].notna().all()
        won = method_wins(table, m, "GoodDrag", "truth_error_inside_mask").wins if known else "-"
        pages = own["nearest_page"].median(skipna=False)
        row |= {"nearer to the truth than GoodDrag": won}
        row |= {"median distance to the nearest page, thousandths": "-" if pd.isna(pages) else f"{1000 * pages:.2f}"}
        cost = own.loc[own["state"] == "done", [*costs.values()]].median()
        row |= {what: "-" if pd.isna(cost[key]) else f"{cost[key]:.0f}" for what, key in costs.items()}
        rows.append({"method": m, **row})
    shown = pd.DataFrame(rows)
    shown = shown.loc[:, (shown != "-").any()]
    return markdown(shown.columns, shown.values.tolist())


def arrived(rows: pd.DataFrame) -> str:
    """On how many edits all handles end within NEAR of the side from their targets, by their own tracking."""
    left = rows["distance_left_px"]
    return "-" if left.isna().any() else str((left <= NEAR * rows["width"]).sum())


def which() -> str:
    """Which system is first in what; GoodDrag's ablations are none."""
    own, table, lines = OWN, bench(), []
    table = table[table["method"].isin((*SYSTEMS, "FastDrag improved", "DragGAN"))]
    table = pd.concat([table, bench("storybook100_preset").assign(method=own)])
    firsts = {
        "Fastest, once a LoRA is fitted": ("edit_seconds", "{:.0f} s an edit at the median"),
        "Nearest to the truth": ("truth_error_ratio", "median error {:.2f} of the unedited page's"),
        "Least damage outside the mask": ("damage_outside_mask", "median {:.5f}"),
    }
    for what, (key, show) in firsts.items():
        medians = table.groupby("method")[key].median().sort_values().head(3)
        lines.append(f"- {what}: " + ", then ".join(f"**{m}** ({show.format(v)})" for m, v in medians.items()) + ".")
    for said, key in {
        "nearer to the truth": "truth_error_inside_mask",
        "less damage": "damage_outside_mask",
        "lower MD": "md",
    }.items():
        for one, other in ((own, "FastDrag improved"), (own, "DragGAN"), ("FastDrag improved", "GoodDrag")):
            won = Part.wins("", method_wins(table, one, other, key))
            lines.append(f"- {one} against {other}, {said}: {won.numbers}, {won.verdict}.")
    return "\n".join(lines)


def tasks() -> str:
    """Storybook100 by kind of edit: median error as a share of the unedited page's, and how many are below 1."""
    chosen = ("GoodDrag", "DragDiffusion", "SDE-Drag", "Blur")
    rows = []
    for task, group in [*bench().groupby("task"), ("all", bench())]:
        shares = [group.loc[group["method"] == m, "truth_error_ratio"] for m in chosen]
        cells = [f"{x.median():.2f} ({(x < 1).sum()} below 1)" if x.notna().all() else "-" for x in shares]
        rows.append([task, group["sample"].nunique(), *cells])
    return markdown(["task", "edits", *chosen], rows)


def claims() -> str:
    """The ledger."""
    rows = []
    for c in data("claims")["claims"]:
        ours = f"{c['ours']} ({c['model']}; results/{c['where']})" if c["ours"] else ""
        verdict = f"**{c['verdict']}**" + (f": {c['why']}" if c["why"] else "")
        rows.append([c["source"], c["claim"], c["paper"], ours, verdict])
    return markdown(["paper", "claim", "the paper's figure", "ours", "verdict"], rows)


def verdicts() -> str:
    """How many claims have which verdict."""
    found = [c["verdict"] for c in data("claims")["claims"]]
    counts = [f"{verdict}: {found.count(verdict)}" for verdict in VERDICTS if verdict in found]
    later = sum(c["source"].startswith("Later") for c in data("claims")["claims"])
    return f"Of {len(found)} claims, {later} of them from later papers: {'; '.join(counts)}."


def headline() -> str:
    """README's few lines of the ledger, and the price in damage."""
    parts = {c["id"]: [part.split(": ", 1) for part in c["ours"].split("; ") if part] for c in data("claims")["claims"]}
    found = {claim: dict(pairs) for claim, pairs in parts.items()}
    damage = benchmark.share(bench("drag100"), "GoodDrag", "damage_outside_mask", of="DragDiffusion")
    pair = (benchmark.TABLE_1[method] for method in ("GoodDrag", "DragDiffusion"))
    less = "less damage outside the mask, B = {}"
    fig12, control = ("; ".join(found[c][less.format(B)] for B in (10, 2)) for c in ("fig12", "aldd_control"))
    first = "DAI as released (the paper's [very probably](docs/ledger.md#which-unit-table-1-has)) on Drag100: "
    first += "GoodDrag's divided by DragDiffusion's, radius 1, 5, 10, 20"
    paper = ", ".join(f"{a / b:.2f}" for a, b in zip(*pair, strict=True))
    rows = [
        [first, paper, ", ".join(found["table1_drag100"][f"radius {g}"] for g in GAMMAS)],
        [
            "damage outside the mask, divided likewise (above 1: GoodDrag damages more)",
            "-",
            Part.ratio("", damage, 1).numbers,
        ],
        ["less damage by alternating than all at once, B = 10 (the paper's); B = 2", "one example", fig12],
        ["... than all at once at one lower noise level (control)", "-", control],
        ["IP: the handle's feature stays nearer", "one example", *found["fig5"].values()],
        ["IP: the result is nearer to the truth", "-", found["ip_all"]["nearer to the truth"]],
    ]
    return markdown(["", "paper", "here (95 % interval)"], rows)


def others() -> str:
    """What later papers measured for GoodDrag."""
    names = ("DragDiffusion", "DragNoise", "FreeDrag", "FastDrag", "GoodDrag", "own method")
    rows = [[o["source"], o["measure"], *(o["values"].get(n, "-") for n in names)] for o in data("claims")["others"]]
    return markdown(["source", "set, measure", *names], rows)


def inference() -> str:
    """Which convention Table 1 has: its DragDiffusion as a share of doing nothing, each way, and what others found."""
    table_1, found = benchmark.TABLE_1["DragDiffusion"], []
    for convention, name in CONVENTIONS.items():
        nothing = data("drag100_bounds")["dai"]["unedited"][convention]
        parts = ", ".join(f"{a / b:.0%}" for a, b in zip(table_1, nothing, strict=True))
        found.append(
            f"- {name}, Table 1's DAI of DragDiffusion is {parts} of the unedited images' at radius 1, 5, 10, 20."
        )
        here = benchmark.share(bench("drag100"), "DragDiffusion", COLUMN[convention].format(1))
        found.append(f"- {name}, the embedded model's DAI of DragDiffusion on Drag100 is {here.value:.0%} at radius 1.")
    for o in data("claims")["outside"]:
        share = f"{o['value']} of {o['nothing']} by doing nothing, {o['value'] / o['nothing']:.0%}"
        found.append(f"- {o['source']}: {o['measure']} of DragDiffusion {share}.")
    return "\n".join(found)


PLAIN = (run, measures, animals, which, tasks, claims, headline, verdicts, others, inference)
PLAIN += (aims, presets, fits, samples, model, generator)
TABLES: dict[str, Callable[[], str]] = {table.__name__: table for table in PLAIN}
for key in CONVENTIONS:
    TABLES |= {f"{table.__name__} {key}": partial(table, key) for table in (bounds, dai, ratios, order)}
TABLES |= {f"drag100 {table.__name__}": partial(table, "drag100") for table in (run, measures)}
TABLES |= {f"drag100 {key}": partial(dai, key, "drag100") for key in CONVENTIONS}


def filled(text: str) -> str:
    """A document with every table between its markers made anew.

    Raises:
        ValueError: a marker whose table is not known, or without its end.
    """

    def table(match: re.Match) -> str:
        if match[1] not in TABLES:
            raise ValueError(f"begin {match[1]}: no such table; expected one of {', '.join(TABLES)}")
        return f"<!-- begin {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end {match[1]} -->"

    new, count = re.subn(r"<!-- begin ([\w ]+) -->.*?<!-- end \1 -->", table, text, flags=re.S)
    if count != text.count("<!-- begin "):
        raise ValueError("text: a begin without its end; expected pairs of markers")
    return new


def write() -> None:
    """All documents."""
    for path in DOCUMENTS:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
