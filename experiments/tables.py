"""Write the tables of the documents from the files that they stand for, between `<!-- begin NAME -->` and its end.

DAI has two conventions: Eq. 10 divides by the number of pairs once, the released code twice. A table, or a sentence,
has one of them and names it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path

import pandas as pd
from scipy.stats import gmean

from experiments.claims import VERDICTS, Part, compare
from experiments.keep import RESULTS, read_json
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.metrics import GAMMAS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / name for name in ("README.md", "docs/benchmarks.md", "docs/ledger.md", "storybook/weights/README.md")
]
OWN = "GoodDrag with the preset"  # the embedded model's
BOUNDS = ("Unedited", "VAE round trip", "Copy-paste", "Blur")  # not methods
CONVENTIONS = {"paper": "by Eq. 10", "released": "as released"}
NEAR = 0.02  # of the picture's width
WAYS = {  # columns of a study of the preset
    "edits": len,
    "nearest page, geometric mean, thousandths": lambda rows: f"{1000 * gmean(rows['page']):.2f}",
    "way that the handles went, median": lambda rows: f"{rows['way_gone'].median():.0%}",
    "largest damage, thousandths": lambda rows: f"{1000 * rows['damage'].max():.1f}",
}
COLUMNS = {"paper": [f"dai_{g}" for g in GAMMAS], "released": [f"dai_released_{g}" for g in GAMMAS]}


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [[*header], *([*row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def listed(first: str, groups: Iterable[tuple[str, pd.DataFrame]], columns: Mapping[str, Callable]) -> str:
    """A row for each group, with its name and a column for each function of it."""
    return markdown([first, *columns], [[name, *(of(rows) for of in columns.values())] for name, rows in groups])


@cache
def bench(name: str = "storybook100") -> pd.DataFrame:
    """A table of `gooddrag bench`."""
    return benchmark.read(RESULTS / f"{name}.csv")


@cache
def data(name: str) -> dict:
    return read_json(RESULTS / f"{name}.json")


def by_way(name: str) -> list[tuple[str, pd.DataFrame]]:
    """The records of each way of a study."""
    return [*pd.DataFrame(data(name)["data"]).groupby("way", sort=False)]


def run(name: str = "storybook100") -> str:
    """Which run the tables show."""
    table = bench(name)
    about, failed = table.iloc[0], (table["state"] != "done").sum()
    made_by = f"model `{about.model}`, weights {about.weights}, autoencoder {about.vae}, gooddrag {about.gooddrag}; "
    made_by += ", ".join(table["machine"].dropna().unique())
    fits = table.groupby("method", sort=False)["lora_seconds"].median().dropna()
    fitted = ", ".join(f"{seconds:.0f} s ({method})" for method, seconds in fits.items())
    text = f"{table['sample'].nunique()} edits of pictures {about.width:.0f} px wide, {failed} failed; {made_by}."
    return f"{text} To fit a LoRA took {fitted} at the median; the seconds below leave it out."


def by_radius(first: str, rows: Iterable[Iterable[str]], convention: str) -> str:
    return markdown([first, *(f"DAI {CONVENTIONS[convention]}, radius {g}" for g in GAMMAS)], rows)


def shares(means: dict[str, Iterable[float]], convention: str) -> str:
    """Means of DAI by method, the unedited images first; in brackets their share of these."""

    def cell(value: float, nothing: float) -> str:
        return "-" if pd.isna(value) else f"{value:.4f} ({value / nothing:.0%})"

    unedited = next(iter(means.values()))
    return by_radius("method", [[m, *map(cell, values, unedited)] for m, values in means.items()], convention)


def dai(convention: str, name: str = "storybook100") -> str:
    """Means of DAI over a run of the benchmark."""
    means = benchmark.summary(bench(name), COLUMNS[convention])[COLUMNS[convention]]
    return shares(means.T.to_dict("list"), convention)


def bounds(convention: str) -> str:
    """Drag100 without a model; Table 1 beside it in its own convention."""
    means = {method: values[convention] for method, values in data("drag100_bounds")["dai"].items()}
    if convention == "released":
        means |= {f"{method}, Table 1": values for method, values in benchmark.TABLE_1.items()}
    return shares(means, convention)


def ratios(convention: str) -> str:
    """GoodDrag's mean DAI divided by the others', with the paired bootstrap interval."""
    table, keys = bench(), COLUMNS[convention]
    others = [m for m in table["method"].unique() if m not in ("GoodDrag", *BOUNDS)]
    shares = {o: [benchmark.share(table, "GoodDrag", key, of=o) for key in keys] for o in others}
    rows = [[o, *(Part.ratio("", share, 1).numbers for share in found)] for o, found in shares.items()]
    return by_radius("GoodDrag divided by", rows, convention)


def mean(column: str, digits: int) -> Callable[[pd.DataFrame], str]:
    """The mean over all edits; a dash where an edit has no value."""
    return lambda rows: "-" if rows[column].isna().any() else f"{rows[column].mean():.{digits}f}"


def median(column: str, digits: int = 0) -> Callable[[pd.DataFrame], str]:
    """The median over the edits that were done and have a value."""
    return lambda rows: "-" if pd.isna(m := rows.loc[rows["state"] == "done", column].median()) else f"{m:.{digits}f}"


def measures(name: str = "storybook100") -> str:
    """A run of the benchmark: what DAI does not see, what an edit costs and, with a truth, how near it comes.

    A row a method, and no column of dashes alone.
    """
    table = bench(name)
    if name == "storybook100":
        table = pd.concat([table, bench("storybook100_preset").assign(method=OWN)])

    def nearer(rows: pd.DataFrame) -> str:
        key = "truth_error_inside_mask"
        if rows[key].isna().any():
            return "-"
        return compare(table, rows["method"].iloc[0], "GoodDrag", key).numbers.split(" of ")[0]

    columns = {
        "mean error to the truth inside the mask": mean("truth_error_inside_mask", 4),
        "mean damage outside the mask": mean("damage_outside_mask", 5),
        "mean MD, px": mean("md", 1),
        "MD in the mask, px": mean("md_inside", 1),
        "mean of MD / drag length": mean("md_share", 2),
        f"edits with all handles within {NEAR:.0%}": arrived,
        "nearer to the truth than GoodDrag": nearer,
        "median squared distance to the nearest page": median("nearest_page", 5),
        "median s, LoRA apart": median("edit_seconds"),
        "median U-Net calls": median("unet_calls"),
        "median updates": median("updates"),
    }
    groups = [*table.groupby("method", sort=False)]
    some = {what: of for what, of in columns.items() if any(of(rows) != "-" for _, rows in groups)}
    return listed("method", groups, some)


def arrived(rows: pd.DataFrame) -> str:
    """On how many edits all handles end within NEAR of the side from their targets, by their own tracking."""
    left = rows["distance_left_px"]
    return "-" if left.isna().any() else str((left <= NEAR * rows["width"]).sum())


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
    more = benchmark.share(bench("drag100"), "GoodDrag", "damage_outside_mask", of="DragDiffusion")
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
            Part.ratio("", more, 1).numbers,
        ],
        ["less damage by alternating than all at once, B = 10 (the paper's); B = 2", "one example", fig12],
        ["... than all at once at one lower noise level (control)", "-", control],
        ["IP: the handle's feature stays nearer", "one example", *found["fig5"].values()],
        ["IP: the result is nearer to the truth", "-", found["ip_all"]["nearer to the truth"]],
    ]
    return markdown(["", "paper", "here (95 % interval)"], rows)


def aims() -> str:
    """GoodDrag with the embedded model's preset and as released, beside what the preset was aimed at."""
    tables = {"its preset": bench("storybook100_preset"), "as released": bench()}
    tables["first generation, its preset"] = bench("storybook100_first_preset")
    columns = {
        "edits": len,
        "median of error to the truth / the unedited page's": median("truth_error_ratio", 2),
        "nearer to the truth than the unedited page": lambda t: (t["truth_error_ratio"] < 1).sum(),
        "damage outside the mask at most 0.001": lambda t: (t["damage_outside_mask"] <= 0.001).sum(),
        f"all handles within {NEAR:.0%} of the side from their targets": arrived,
        "median squared distance to the nearest page": median("nearest_page", 5),
    }
    own = [(name, table[table["method"] == "GoodDrag"]) for name, table in tables.items()]
    return listed("Storybook100", own, columns)


def presets() -> str:
    """What the embedded model's preset was chosen among."""
    steps = [(f"25 levels, fresh noise, {way}", rows) for way, rows in by_way("preset_steps")]
    return listed("settings", [*by_way("presets"), *steps], WAYS)


def fits() -> str:
    """What the preset's LoRA was chosen among."""
    return listed("the LoRA's layers", by_way("preset_lora"), WAYS)


def model() -> str:
    """What the embedded model does by itself."""
    return markdown(["there and back", "dB"], [[k, f"{v:.1f}"] for k, v in data("storybook_model")["data"].items()])


PLAIN = (run, measures, claims, headline, verdicts, aims, presets, fits, model)
TABLES: dict[str, Callable[[], str]] = {table.__name__: table for table in PLAIN}
for key in CONVENTIONS:
    TABLES |= {f"{table.__name__} {key}": partial(table, key) for table in (bounds, dai, ratios)}
    TABLES[f"drag100 {key}"] = partial(dai, key, "drag100")
TABLES |= {f"drag100 {table.__name__}": partial(table, "drag100") for table in (run, measures)}
MARKED = re.compile(r"<!-- begin ([\w ]+) -->.*?<!-- end \1 -->", re.DOTALL)


def filled(text: str) -> str:
    """A document with every table between its markers made anew."""
    return MARKED.sub(lambda at: f"<!-- begin {at[1]} -->\n{TABLES[at[1]]()}\n<!-- end {at[1]} -->", text)


def write() -> None:
    """All documents."""
    for path in DOCUMENTS:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
