"""What results say of the paper's claims, by one rule, and the ledger that holds it (results/claims.json).

A claim is made of parts, each measured on the same edits. A part that counts wins holds if the 95 % interval of their
share lies wholly above one half, does not hold here if it lies wholly below, and otherwise is undecided here. A part
about a ratio holds if its interval lies wholly at or below the bound that stands for the paper's words. Where it lies
wholly below 1, the part holds, but smaller, if it lies wholly above the bound, and its size is undecided if it contains
the bound. It does not hold here if it lies wholly above 1, and otherwise is undecided here. The claim has its parts'
verdict where they agree, and that of the weakest where all hold in one of these ways. Otherwise it holds in part if
some part holds, and does not hold here if none does. Fewer than 12 edits: untested.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.keep import RESULTS, read_json, write_json
from experiments.study import ENOUGH, Paired, Records, paired, versus
from gooddrag.config import DragConfig
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.metrics import GAMMAS, Interval, mean_interval, percents, ratio_interval
from gooddrag.notebook import column

VERDICTS = ("holds", "holds, size undecided", "holds, but smaller", "holds in part")
VERDICTS += ("does not hold here", "undecided here", "untested")
HOLDS, OPEN, SMALLER, PARTLY, FAILS, UNDECIDED, UNTESTED = VERDICTS
MUCH = 2 / 3  # "about half", "much smaller": at most this share of the other
BEHIND = 0.8  # "still lag behind ... by a significant margin" (Sec. 5.2)
FASTER = 3.2 / 21  # FastDrag's seconds by the next method's (GeoDrag, ICLR 2026)
SYSTEMS = ("GoodDrag", "DragDiffusion", "DragNoise", "FreeDrag", "DragonDiffusion", "FastDrag", "SDE-Drag")
UPDATES = 90  # Fig. 5 shows the features after so many motion supervision steps


@dataclass(frozen=True)
class Part:
    """One measured part of a claim: what was compared, the numbers, and the verdict on it."""

    what: str
    numbers: str
    verdict: str

    @classmethod
    def wins(cls, what: str, pair: Paired) -> "Part":
        verdict = HOLDS if pair.low > 0.5 else FAILS if pair.high < 0.5 else UNDECIDED
        equal = f", {pair.ties} equal" if pair.ties else ""
        return cls(what, f"{pair.wins} of {pair.n - pair.ties} ({percents(pair.low, pair.high)}){equal}", verdict)

    @classmethod
    def ratio(cls, what: str, ratio: Interval, most: float) -> "Part":
        """Of a ratio that the paper says is at most `most`."""
        below = HOLDS if ratio.high <= most else SMALLER if ratio.low > most else OPEN
        verdict = below if ratio.high < 1 else FAILS if ratio.low > 1 else UNDECIDED
        return cls(what, f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})", verdict)


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim, our figures, and which parts say otherwise."""

    verdict: str
    ours: str
    why: str


def judge(parts: list[Part], n: int) -> Verdict:
    """The verdict on the parts of one claim, measured on n edits."""
    if n < ENOUGH:
        return Verdict(UNTESTED, "", f"{n} edits are kept so far; a verdict takes {ENOUGH}")
    ours = "; ".join(f"{part.what}: {part.numbers}" for part in parts)
    found, ways = {part.verdict for part in parts}, (HOLDS, OPEN, SMALLER)  # of holding, the weakest last
    if len(found) == 1:
        return Verdict(*found, ours, "")
    whole = max(found, key=ways.index) if found <= {*ways} else PARTLY if found & {*ways} else FAILS
    others = (f"{part.what}: {part.verdict}" for part in parts if part.verdict not in (HOLDS, whole))
    return Verdict(whole, ours, "; ".join(others))


def _wins(*parts: tuple, of: Callable = versus) -> Callable[[Any], Verdict]:
    """A rule made of comparisons (what, first way, second way, number, higher is better), of a study's records or, with
    `of=method_wins`, of a run of `gooddrag bench`."""

    def rule(data: Any) -> Verdict:
        pairs = {what: of(data, *ways, higher_is_better=up) for what, *ways, up in parts}
        return judge([Part.wins(*pair) for pair in pairs.items()], min(pair.n for pair in pairs.values()))

    return rule


ALTERNATING, SMALL, AT_ONCE, FEWER = "alternating", "alternating, B = 2", "at once", "at once, fewer"
THREE, ONE, LARGER, WITHOUT = "IP, J = 3", "IP, J = 1", "IP, J = 1, triple step", "without IP"
fig1 = _wins(
    ("nearer to the pages along the walk, B = 10", ALTERNATING, AT_ONCE, "walk_page", False),
    ("the result, B = 10", ALTERNATING, AT_ONCE, "page", False),
    ("along the walk, B = 2", SMALL, AT_ONCE, "walk_page", False),
    ("the result, B = 2", SMALL, AT_ONCE, "page", False),
)
fig12 = _wins(
    ("nearer to the truth, B = 10", ALTERNATING, AT_ONCE, "truth", False),
    ("less damage outside the mask, B = 10", ALTERNATING, AT_ONCE, "damage", False),
    ("nearer to the truth, B = 2", SMALL, AT_ONCE, "truth", False),
    ("less damage outside the mask, B = 2", SMALL, AT_ONCE, "damage", False),
    ("fewer operations at once do less damage", FEWER, AT_ONCE, "damage", False),
    ("fewer operations at once leave the handle behind", AT_ONCE, FEWER, "way_gone", True),
)
aldd_control = _wins(  # against all at once at the level of the same mean lever
    ("nearer to the truth, B = 10", ALTERNATING, "at once, T = 35", "truth", False),
    ("less damage outside the mask, B = 10", ALTERNATING, "at once, T = 35", "damage", False),
    ("nearer to the truth, B = 2", SMALL, "at once, T = 27", "truth", False),
    ("less damage outside the mask, B = 2", SMALL, "at once, T = 27", "damage", False),
)
fig13 = _wins(
    ("J = 3 goes further than J = 1", THREE, ONE, "way_gone", True),
    ("J = 3 is nearer to the truth than J = 1", THREE, ONE, "truth", False),
)
steps = _wins(
    ("J = 3 is nearer to the truth than a triple step", THREE, LARGER, "truth", False),
    ("lower DAI as released, radius 5", THREE, LARGER, "dai_released", False),
)
ip_all = _wins(
    ("nearer to the truth", THREE, WITHOUT, "truth", False),
    ("lower DAI as released, radius 5", THREE, WITHOUT, "dai_released", False),
)
fig14a = _wins(
    ("larger spread with IP in the second half of the run", THREE, WITHOUT, "late_spread", True),
    ("deeper minimum in units of the spread", THREE, WITHOUT, "late_depth", True),
)


def fig5(records: Records) -> Verdict:
    """Nearer to the original features at the moment that the figure shows; J = 3 updates make one drag operation."""
    ways = ([values[UPDATES // 3 - 1] for values in column(records, way, "distance")] for way in (THREE, WITHOUT))
    pair = paired(*ways)
    return judge([Part.wins(f"less drift with IP after {UPDATES} updates", pair)], pair.n)


def fig14b(records: Records) -> Verdict:
    """Smaller on most edits, and much smaller in the mean over them."""
    smaller = Part.wins("smaller in the second half of the run", versus(records, THREE, WITHOUT, "late_distance"))
    shares = np.divide(*(column(records, way, "late_distance") for way in (THREE, WITHOUT)))
    return judge([smaller, Part.ratio("mean ratio", mean_interval(shares), MUCH)], len(shares))


def fig4(records: Records) -> Verdict:
    """Noise of sigma 0.1 in ten samples, as printed, and the control: all of it at one level, of the mean lever of the
    ten. A page's vote is the mean over its draws."""

    def errors(way: str, key: str) -> list[float]:
        return [-float(np.mean(r[key])) for r in records if (r["way"], r["sigma"], r["n"]) == (way, 0.1, 10)]

    cases = {f"higher {key.upper()} when spread": (key, "at once") for key in ("psnr", "ssim")}
    cases["higher PSNR when spread than at once at one lower level"] = "psnr", "control"
    pairs = {what: paired(errors("spread", key), errors(other, key)) for what, (key, other) in cases.items()}
    return judge([Part.wins(*pair) for pair in pairs.items()], min(pair.n for pair in pairs.values()))


def overhead(records: Records) -> Verdict:
    """The same latents and gradients through the U-Net, exactly, on every edit."""
    one, other = ([column(records, way, key) for key in ("latents", "backwards")] for way in (ALTERNATING, AT_ONCE))
    same = int(np.equal(one, other).all(axis=0).sum())
    latents, backwards = np.median(one, axis=1).astype(int)
    numbers = f"{same} of {len(one[0])} edits, {latents} latents forward and {backwards} backward"
    return judge([Part("same work", numbers, HOLDS if same == len(one[0]) else FAILS)], len(one[0]))


def method_wins(table: pd.DataFrame, first: str, second: str, column: str, *, higher_is_better: bool = False) -> Paired:
    """How often the first method is ahead of the second, sample by sample."""
    a, b = (benchmark.values(table, method, column) for method in (first, second))
    sign = -1 if higher_is_better else 1
    return paired([sign * a[name] for name in a], [sign * b[name] for name in a])


def _ratios(table: pd.DataFrame, other: str, most: float) -> Verdict:
    """GoodDrag's mean DAI divided by the other's at every radius, as released, which is Table 1's convention."""
    parts = []
    for gamma in GAMMAS:
        mine, its = (benchmark.values(table, method, f"dai_released_{gamma}") for method in ("GoodDrag", other))
        parts.append(Part.ratio(f"radius {gamma}", ratio_interval(mine, its), most))
    return judge(parts, len(mine))


_methods = partial(_wins, of=method_wins)


def _needed(other: str) -> Callable[[pd.DataFrame], Verdict]:
    """GoodDrag against itself without one of its ideas."""
    return _methods(
        ("nearer to the truth", "GoodDrag", other, "truth_error_inside_mask", False),
        ("nearer to a page", "GoodDrag", other, "nearest_page", False),
        ("less damage outside the mask", "GoodDrag", other, "damage_outside_mask", False),
        ("lower DAI as released, radius 1", "GoodDrag", other, "dai_released_1", False),
        ("lower MD", "GoodDrag", other, "md", False),
    )


# Fig. 11 without people: error inside the mask for accuracy, the distance to the nearest page for quality.
fig11_here = _methods(
    ("accuracy, before DragDiffusion", "GoodDrag", "DragDiffusion", "truth_error_inside_mask", False),
    ("accuracy, before SDE-Drag", "GoodDrag", "SDE-Drag", "truth_error_inside_mask", False),
    ("quality, before DragDiffusion", "GoodDrag", "DragDiffusion", "nearest_page", False),
    ("quality, before SDE-Drag", "GoodDrag", "SDE-Drag", "nearest_page", False),
)
# Artifacts by the distance to the nearest page, fidelity by damage, SSIM and error.
fig8 = _methods(
    ("nearer to a page", "GoodDrag", "DragGAN", "nearest_page", False),
    ("less damage outside the mask", "GoodDrag", "DragGAN", "damage_outside_mask", False),
    ("higher SSIM", "GoodDrag", "DragGAN", "ssim_truth", True),
    ("nearer to the truth", "GoodDrag", "DragGAN", "truth_error_inside_mask", False),
)
CAREFUL = ("DragDiffusion", "DragNoise", "FreeDrag")  # said to move less: a higher mean distance, edit by edit
least = _methods(*((f"{m} less than {o}", m, o, "md", True) for m in CAREFUL for o in SYSTEMS if o not in CAREFUL))


def fastdrag(table: pd.DataFrame) -> Verdict:
    """Faster than every other method by the factor reported, at least 21 to 3.2, in seconds without those of the LoRA,
    which FastDrag saves; on the edits whose seconds are known."""
    table = table[table["sample"].map(benchmark.values(table, "FastDrag", "edit_seconds")).notna()]
    parts, mine = [], benchmark.values(table, "FastDrag", "edit_seconds")
    for other in (system for system in SYSTEMS if system != "FastDrag"):
        ratio = ratio_interval(mine, benchmark.values(table, other, "edit_seconds"))
        parts.append(Part.ratio(f"its seconds, LoRA apart, divided by {other}'s", ratio, FASTER))
    return judge(parts, len(mine))


def draggan_time(table: pd.DataFrame) -> Verdict:
    """Seconds of both with what they fit to a picture first, PTI or a LoRA at its median; where DragGAN's are known."""
    lora = table.loc[table["method"] == "GoodDrag", "lora_seconds"].median()
    table = table[table["sample"].map(benchmark.values(table, "DragGAN", "edit_seconds")).notna()]
    mine, its = (benchmark.values(table, method, "edit_seconds") for method in ("GoodDrag", "DragGAN"))
    pair = paired([seconds + lora for seconds in mine.values()], [*its.values()])
    return judge([Part.wins(f"fewer seconds, with {lora:.0f} s for a LoRA", pair)], len(mine))


def alternated(table: pd.DataFrame) -> pd.DataFrame:
    """The samples on which GoodDrag completed its first B operations, and denoised: up to there both orders are equal.

    Raises:
        ValueError: an edit of GoodDrag failed or is missing.
    """
    operations = benchmark.values(table, "GoodDrag", "drag_operations")
    if lost := [name for name, k in operations.items() if k is None]:
        raise ValueError(f"table: no drag operations of GoodDrag on {', '.join(lost[:3])}; expected every edit")
    return table[table["sample"].map(operations) >= DragConfig().B]


RULES: Mapping[str, tuple[str, Callable[[Any], Verdict]]] = {  # claim -> files in results/, rule for what they hold
    "fig1": ("aldd.json", fig1),
    "fig4": ("fig04_noise.json", fig4),  # of `python -m experiments.run fig04_noise`
    "fig12": ("aldd.json", fig12),
    "aldd_control": ("aldd.json aldd_control.json", aldd_control),
    "overhead": ("aldd.json", overhead),
    "fig5": ("ip.json", fig5),
    "fig13": ("ip.json", fig13),
    "steps": ("ip.json", steps),
    "ip_all": ("ip.json", ip_all),
    "fig14a": ("ip.json", fig14a),
    "fig14b": ("ip.json", fig14b),
    "fig8": (
        "storybook100.csv",
        lambda table: fig8(table[table["category"] == "animal"]),
    ),  # what its GAN was trained on
    "draggan_time": ("storybook100.csv", draggan_time),
    "speed_here": ("storybook100.csv", fastdrag),
    "least_here": ("storybook100.csv", least),
    "table1_here": ("storybook100.csv", partial(_ratios, other="DragDiffusion", most=MUCH)),  # of `gooddrag bench`
    "table1_drag100": ("drag100.csv", partial(_ratios, other="DragDiffusion", most=MUCH)),
    "sde_drag100": ("drag100.csv", partial(_ratios, other="SDE-Drag", most=MUCH)),
    "sde_here": ("storybook100.csv", partial(_ratios, other="SDE-Drag", most=MUCH)),
    "star_here": ("storybook100.csv", partial(_ratios, other="DragDiffusion*", most=BEHIND)),
    "aldd_here": ("storybook100.csv", lambda table: _needed("GoodDrag without AlDD")(alternated(table))),
    "ip_here": ("storybook100.csv", _needed("GoodDrag without IP")),
    "fig11_here": ("storybook100.csv", fig11_here),
}


def fill(ledger: Path = RESULTS / "claims.json", results: Path = RESULTS) -> dict[str, Verdict]:
    """Write verdict, figures, file, model and weights of every claim that has a rule and a file of results.

    A claim without a file stays as it is. Where the file holds too few edits for a verdict it is untested.
    """
    book, found = read_json(ledger), {}
    for claim in book["claims"]:
        if claim["id"] not in RULES:
            continue
        names, rule = RULES[claim["id"]]
        *others, file = files = [results / name for name in names.split()]
        if not all(path.is_file() for path in files):
            continue
        if file.suffix == ".csv":
            data = benchmark.read(file)
            model, weights, size = data.iloc[0][["model", "weights", "width"]]
        else:
            record = read_json(file)
            data, model, weights = record["data"], record["model"], record["weights"]
            data, size = sum((read_json(other)["data"] for other in others), data), record["size"]
        try:
            verdict = rule(data)
        except (KeyError, TypeError, ValueError):  # a file of an earlier study, or a failed edit
            by = "gooddrag bench" if file.suffix == ".csv" else f"python -m experiments.run {file.stem}"
            why = f"results/{file.name} lacks measures of this claim: `{by}` computes it anew"
            verdict = Verdict(UNTESTED, "", why)
        found[claim["id"]] = verdict
        made_by = {"where": file.name, "model": f"{model}, pictures of {size:.0f} px", "weights": weights}
        claim |= {**vars(verdict), **(made_by if verdict.verdict != UNTESTED else dict.fromkeys(made_by, ""))}
    write_json(ledger, book)
    return found
