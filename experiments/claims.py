"""What results say of the paper's claims, by the rule that docs/ledger.md states, and the ledger (results/claims.json).

A claim is made of parts, each measured on the same edits: wins, or a ratio that the paper says is at most a bound.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.keep import RESULTS, read_json, write_json
from experiments.study import Records
from gooddrag.config import DragConfig
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.metrics import GAMMAS, Interval, mean_interval, percents, wilson
from gooddrag.notebook import both

VERDICTS = ("holds", "holds, size undecided", "holds, but smaller", "holds in part")
VERDICTS += ("does not hold here", "undecided here", "untested")
HOLDS, OPEN, SMALLER, PARTLY, FAILS, UNDECIDED, UNTESTED = VERDICTS
ENOUGH = 12  # edits below which no verdict is given
MUCH = 2 / 3  # "about half", "much smaller": at most this share of the other
BEHIND = 0.8  # "still lag behind ... by a significant margin" (Sec. 5.2)
FASTER = 3.2 / 21  # FastDrag's seconds by the next method's (GeoDrag, ICLR 2026)
SYSTEMS = ("GoodDrag", "DragDiffusion", "DragNoise", "FreeDrag", "DragonDiffusion", "FastDrag", "SDE-Drag")
CAREFUL = ("DragDiffusion", "DragNoise", "FreeDrag")  # said to move less: a higher mean distance, edit by edit
UPDATES = 90  # Fig. 5 shows the features after so many motion supervision steps
HIGHER = {"way_gone", "late_spread", "late_depth", "psnr", "ssim", "ssim_truth"}  # numbers that are better when higher


class Part(NamedTuple):
    """One measured part of a claim: what was compared, the numbers, the verdict on it, and of how many edits."""

    what: str
    numbers: str
    verdict: str
    n: int

    @classmethod
    def wins(cls, what: str, first: Iterable[float], second: Iterable[float]) -> "Part":
        """How often the first way has the lower number, of the same edits in the same order; equal pairs do not count.
        ValueError: a number is missing or not finite."""
        a, b = np.array([[*first], [*second]], float)
        if not np.isfinite([a, b]).all():
            raise ValueError(f"first, second: an edit failed ({what}); expected finite numbers of every edit")
        won, n = int((a < b).sum()), int((a != b).sum())
        share = wilson(won, n) if n else Interval(0.5, 0, 1, 0)
        verdict = HOLDS if share.low > 0.5 else FAILS if share.high < 0.5 else UNDECIDED
        equal = f", {a.size - n} equal" if n < a.size else ""
        return cls(what, f"{won} of {n} ({percents(share.low, share.high)}){equal}", verdict, a.size)

    @classmethod
    def ratio(cls, what: str, ratio: Interval, most: float) -> "Part":
        """Of a ratio that the paper says is at most `most`."""
        below = HOLDS if ratio.high <= most else SMALLER if ratio.low > most else OPEN
        verdict = below if ratio.high < 1 else FAILS if ratio.low > 1 else UNDECIDED
        return cls(what, f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})", verdict, ratio.n)


class Verdict(NamedTuple):
    """The verdict on a claim, our figures, and which parts say otherwise."""

    verdict: str
    ours: str
    why: str


def judge(*parts: Part) -> Verdict:
    """The verdict on the parts of one claim."""
    if (n := min(part.n for part in parts)) < ENOUGH:
        return Verdict(UNTESTED, "", f"{n} edits are kept so far; a verdict takes {ENOUGH}")
    ours = "; ".join(f"{part.what}: {part.numbers}" for part in parts)
    found, ways = {part.verdict for part in parts}, (HOLDS, OPEN, SMALLER)  # of holding, the weakest last
    if len(found) == 1:
        return Verdict(*found, ours, "")
    whole = max(found, key=ways.index) if found <= {*ways} else PARTLY if found & {*ways} else FAILS
    others = (f"{part.what}: {part.verdict}" for part in parts if part.verdict not in (HOLDS, whole))
    return Verdict(whole, ours, "; ".join(others))


def compare(data: Records | pd.DataFrame, first: str, second: str, key: str, what: str = "") -> Part:
    """Two ways of a study, or two methods of a table of `gooddrag bench`, by one number of each edit."""
    if isinstance(data, pd.DataFrame):
        mine, its = (benchmark.values(data, method, key) for method in (first, second))
        a, b = np.array([(mine[name], its[name]) for name in mine], float).T
    else:
        a, b = both(data, first, second, key)
    sign = -1 if key in HIGHER else 1
    return Part.wins(what, sign * a, sign * b)


def wins(*parts: tuple[str, str, str, str], on: Callable = lambda data: data) -> Callable[[Any], Verdict]:
    """A rule made of comparisons (what, first, second, number) as in `compare`; `on` picks the edits."""
    return lambda data: judge(*(compare(on(data), *ways, what) for what, *ways in parts))


ALTERNATING, SMALL, AT_ONCE, FEWER = "alternating", "alternating, B = 2", "at once", "at once, fewer"
THREE, ONE, LARGER, WITHOUT = "IP, J = 3", "IP, J = 1", "IP, J = 1, triple step", "without IP"
WORDS = {  # number -> what the first way is, where it wins
    "truth": "nearer to the truth",
    "damage": "less damage outside the mask",
    "dai_released": "lower DAI as released, radius 5",
    "late_spread": "larger spread with IP in the second half of the run",
    "late_depth": "deeper minimum in units of the spread",
    "truth_error_inside_mask": "nearer to the truth",
    "nearest_page": "nearer to a page",
    "damage_outside_mask": "less damage outside the mask",
    "dai_released_1": "lower DAI as released, radius 1",
    "md": "lower MD",
    "ssim_truth": "higher SSIM",
}
AHEAD = ("truth_error_inside_mask", "nearest_page", "damage_outside_mask", "dai_released_1", "md")


def between(first: str, second: str, *numbers: str, when: str = "") -> list[tuple[str, str, str, str]]:
    """Comparisons of two ways by these numbers."""
    return [(WORDS[key] + when, first, second, key) for key in numbers]


def fig4(records: Records) -> Verdict:
    """Noise of sigma 0.1 in ten samples, as printed, and the control: all of it at one level, of the mean lever of the
    ten. A page's vote is the mean over its draws."""
    printed = [record for record in records if (record["sigma"], record["n"]) == (0.1, 10)]
    pages = [{**r, "edit": r["page"], "psnr": np.mean(r["psnr"]), "ssim": np.mean(r["ssim"])} for r in printed]
    return wins(
        ("higher PSNR when spread", "spread", "at once", "psnr"),
        ("higher SSIM when spread", "spread", "at once", "ssim"),
        ("higher PSNR when spread than at once at one lower level", "spread", "control", "psnr"),
    )(pages)


def fig5(records: Records) -> Verdict:
    """Nearer to the original features at the moment that the figure shows; J = 3 updates make one drag operation."""
    then = [{**record, "then": record["distance"][UPDATES // 3 - 1]} for record in records]
    return judge(compare(then, THREE, WITHOUT, "then", f"less drift with IP after {UPDATES} updates"))


def fig14b(records: Records) -> Verdict:
    """Smaller on most edits, and much smaller in the mean over them."""
    smaller = compare(records, THREE, WITHOUT, "late_distance", "smaller in the second half of the run")
    shares = np.divide(*both(records, THREE, WITHOUT, "late_distance"))
    return judge(smaller, Part.ratio("mean ratio", mean_interval(shares), MUCH))


def overhead(records: Records) -> Verdict:
    """The same latents and gradients through the U-Net, exactly, on every edit."""
    pairs = [both(records, ALTERNATING, AT_ONCE, key) for key in ("latents", "backwards")]
    same = np.all([one == other for one, other in pairs], axis=0)
    latents, backwards = (int(np.median(one)) for one, _ in pairs)
    numbers = f"{same.sum()} of {same.size} edits, {latents} latents forward and {backwards} backward"
    return judge(Part("same work", numbers, HOLDS if same.all() else FAILS, same.size))


def dai_ratios(table: pd.DataFrame, other: str, most: float = MUCH) -> Verdict:
    """GoodDrag's mean DAI divided by the other's at every radius, as released, which is Table 1's convention."""
    shares = {g: benchmark.share(table, "GoodDrag", f"dai_released_{g}", of=other) for g in GAMMAS}
    return judge(*(Part.ratio(f"radius {g}", share, most) for g, share in shares.items()))


def timed(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The edits of which this method's seconds are known."""
    return table[table["sample"].map(benchmark.values(table, method, "edit_seconds")).notna()]


def fastdrag(table: pd.DataFrame) -> Verdict:
    """Faster than every other method by the factor reported, at least 21 to 3.2, in seconds without those of the LoRA,
    which FastDrag saves."""
    table, others = timed(table, "FastDrag"), [system for system in SYSTEMS if system != "FastDrag"]
    ratios = {other: benchmark.share(table, "FastDrag", "edit_seconds", of=other) for other in others}
    return judge(*(Part.ratio(f"its seconds, LoRA apart, divided by {o}'s", r, FASTER) for o, r in ratios.items()))


def draggan_time(table: pd.DataFrame) -> Verdict:
    """Seconds of both with what they fit to a picture first, PTI or a LoRA at its median."""
    mine = table["method"] == "GoodDrag"
    lora = table.loc[mine, "lora_seconds"].median()
    table = timed(table.assign(seconds=table["edit_seconds"] + mine * lora), "DragGAN")
    return judge(compare(table, "GoodDrag", "DragGAN", "seconds", f"fewer seconds, with {lora:.0f} s for a LoRA"))


def alternated(table: pd.DataFrame) -> pd.DataFrame:
    """Without the samples on which GoodDrag ended before its first B operations: up to there both orders are equal."""
    return table[~(table["sample"].map(benchmark.values(table, "GoodDrag", "drag_operations")) < DragConfig().B)]


RULES: dict[str, Callable[[Any], Verdict]] = {  # for what the file holds that the ledger names
    "fig1": wins(
        ("nearer to the pages along the walk, B = 10", ALTERNATING, AT_ONCE, "walk_page"),
        ("the result, B = 10", ALTERNATING, AT_ONCE, "page"),
        ("along the walk, B = 2", SMALL, AT_ONCE, "walk_page"),
        ("the result, B = 2", SMALL, AT_ONCE, "page"),
    ),
    "fig4": fig4,
    "fig12": wins(
        *between(ALTERNATING, AT_ONCE, "truth", "damage", when=", B = 10"),
        *between(SMALL, AT_ONCE, "truth", "damage", when=", B = 2"),
        ("fewer operations at once do less damage", FEWER, AT_ONCE, "damage"),
        ("fewer operations at once leave the handle behind", AT_ONCE, FEWER, "way_gone"),
    ),
    "aldd_control": wins(  # all at once at the level of the same mean lever
        *between(ALTERNATING, "at once, T = 35", "truth", "damage", when=", B = 10"),
        *between(SMALL, "at once, T = 27", "truth", "damage", when=", B = 2"),
    ),
    "overhead": overhead,
    "fig5": fig5,
    "fig13": wins(
        ("J = 3 goes further than J = 1", THREE, ONE, "way_gone"),
        ("J = 3 is nearer to the truth than J = 1", THREE, ONE, "truth"),
    ),
    "steps": wins(
        ("J = 3 is nearer to the truth than a triple step", THREE, LARGER, "truth"),
        *between(THREE, LARGER, "dai_released"),
    ),
    "ip_all": wins(*between(THREE, WITHOUT, "truth", "dai_released")),
    "fig14a": wins(*between(THREE, WITHOUT, "late_spread", "late_depth")),
    "fig14b": fig14b,
    "fig8": wins(
        *between("GoodDrag", "DragGAN", "nearest_page", "damage_outside_mask", "ssim_truth", "truth_error_inside_mask"),
        on=lambda table: table[table["category"] == "animal"],  # which its generator was trained on
    ),
    "draggan_time": draggan_time,
    "speed_here": fastdrag,
    "least_here": wins(*((f"{m} less than {o}", o, m, "md") for m in CAREFUL for o in SYSTEMS if o not in CAREFUL)),
    "table1_here": partial(dai_ratios, other="DragDiffusion"),
    "table1_drag100": partial(dai_ratios, other="DragDiffusion"),
    "sde_drag100": partial(dai_ratios, other="SDE-Drag"),
    "sde_here": partial(dai_ratios, other="SDE-Drag"),
    "star_here": partial(dai_ratios, other="DragDiffusion*", most=BEHIND),
    "aldd_here": wins(*between("GoodDrag", "GoodDrag without AlDD", *AHEAD), on=alternated),
    "ip_here": wins(*between("GoodDrag", "GoodDrag without IP", *AHEAD)),
    "fig11_here": wins(  # without people: error for accuracy, the distance to the nearest page for quality
        ("accuracy, before DragDiffusion", "GoodDrag", "DragDiffusion", "truth_error_inside_mask"),
        ("accuracy, before SDE-Drag", "GoodDrag", "SDE-Drag", "truth_error_inside_mask"),
        ("quality, before DragDiffusion", "GoodDrag", "DragDiffusion", "nearest_page"),
        ("quality, before SDE-Drag", "GoodDrag", "SDE-Drag", "nearest_page"),
    ),
}


def fill(ledger: Path = RESULTS / "claims.json", results: Path = RESULTS) -> dict[str, Verdict]:
    """Write verdict, figures, model and weights of every claim that has a rule, from the file that it names."""
    book, found = read_json(ledger), {}
    for claim in (claim for claim in book["claims"] if claim["id"] in RULES):
        file = results / claim["where"]
        if file.suffix == ".csv":
            data = benchmark.read(file)
            model, weights, size = data.iloc[0][["model", "weights", "width"]]
        else:
            record = read_json(file)
            data, model, weights, size = (record[key] for key in ("data", "model", "weights", "size"))
        if claim["id"] == "aldd_control":
            data = read_json(results / "aldd.json")["data"] + data
        found[claim["id"]] = verdict = RULES[claim["id"]](data)
        claim |= {**verdict._asdict(), "model": f"{model}, pictures of {size:.0f} px", "weights": weights}
    write_json(ledger, book)
    return found
