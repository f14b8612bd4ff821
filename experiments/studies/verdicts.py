"""What kept results say of the paper's claims: one rule per claim, the same in the notebooks and in the ledger.

A claim is split into parts, each a comparison on the same edits. A part that counts wins "holds" if the 95 % interval
of their share lies above one half, "fails" if it lies below, and is "undecided" otherwise. A part that is a ratio
"holds" if its whole interval lies below the bound that stands in for the paper's words, is "weaker" if it lies below 1
only, and else as above. All parts hold: "reproduced". Some hold or are weaker: "partly". None: "not reproduced". Fewer
than 12 edits: "untested".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.keep import Paired, paired
from experiments.studies import aldd, ip
from experiments.studies.study import ENOUGH, Records, column, versus
from gooddrag.config import DragConfig
from gooddrag.metrics import GAMMAS, Interval, mean_interval

if TYPE_CHECKING:
    from pandas import DataFrame

MUCH = 2 / 3  # "about half", "much smaller": at most this share of the other
BEHIND = 0.8  # "still lag behind ... by a significant margin" (Sec. 5.2)
UPDATES = 90  # Fig. 5 shows the features after so many motion supervision steps


@dataclass(frozen=True)
class Part:
    """One measured part of a claim: what was compared, the numbers, and "holds", "weaker", "undecided" or "fails"."""

    what: str
    numbers: str
    status: str

    @classmethod
    def of(cls, what: str, pair: Paired) -> Part:
        status = "holds" if pair.low > 0.5 else "fails" if pair.high < 0.5 else "undecided"
        return cls(what, f"{pair.wins} of {pair.n} ({pair.low:.0%} to {pair.high:.0%})", status)

    @classmethod
    def ratio(cls, what: str, ratio: Interval, most: float) -> Part:
        """Of a ratio that the paper says is at most `most`."""
        status = ("holds" if ratio.high <= most else "weaker" if ratio.high < 1 else "fails" if ratio.low > 1
                  else "undecided")  # fmt: skip
        return cls(what, f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})", status)


@dataclass(frozen=True)
class Verdict:
    """What the ledger says of a claim: verdict, our figure, and why it is not more than that."""

    verdict: str
    ours: str
    why: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.verdict, self.ours))) + (f" [{self.why}]" if self.why else "")


def judge(parts: list[Part], n: int) -> Verdict:
    """The verdict on the parts of one claim, measured on n edits."""
    if n < ENOUGH:
        return Verdict("untested", "", f"{n} edits are kept so far; a verdict takes {ENOUGH}")
    ours = "; ".join(f"{part.what}: {part.numbers}" for part in parts)
    by_status = {status: [part.what for part in parts if part.status == status]
                 for status in ("weaker", "undecided", "fails")}  # fmt: skip
    why = "; ".join(status if len(whats) == len(parts) else f"{status}: {', '.join(whats)}"
                    for status, whats in by_status.items() if whats)  # fmt: skip
    if not why:
        return Verdict("reproduced", ours, "")
    seen = any(part.status in ("holds", "weaker") for part in parts)
    return Verdict("partly" if seen else "not reproduced", ours, why)


def _pairs(*parts: tuple[str, str, str, str, int]) -> Callable[[Records], Verdict]:
    """A rule made of comparisons (what, first way, second way, number, sign of better)."""

    def rule(records: Records) -> Verdict:
        judged = [Part.of(what, versus(records, first, second, key, sign)) for what, first, second, key, sign in parts]
        return judge(judged, len(column(records, parts[0][1], parts[0][3])))

    return rule


fig1 = _pairs(("nearer to the manifold when alternating", aldd.ALTERNATING, aldd.AT_ONCE, "off_manifold", 1))
fig12 = _pairs(
    ("nearer to the truth when alternating", aldd.ALTERNATING, aldd.AT_ONCE, "truth", 1),
    ("less damage outside the mask when alternating", aldd.ALTERNATING, aldd.AT_ONCE, "damage", 1),
    ("fewer operations at once do less damage outside the mask", aldd.FEWER_AT_ONCE, aldd.AT_ONCE, "damage", 1),
    ("fewer operations at once leave the handle behind", aldd.AT_ONCE, aldd.FEWER_AT_ONCE, "way_gone", -1),
)
fig13 = _pairs(
    ("J = 3 goes further than J = 1", ip.THREE, ip.ONE, "way_gone", -1),
    ("J = 3 is nearer to the truth than J = 1", ip.THREE, ip.ONE, "truth", 1),
    ("J = 3 is nearer to the truth than a larger step", ip.THREE, ip.LARGER, "truth", 1),
    ("nearer to the truth with IP", ip.THREE, ip.WITHOUT, "truth", 1),
)
fig14a = _pairs(("larger spread with IP in the second half of the run", ip.THREE, ip.WITHOUT, "late_spread", -1))


def fig5(records: Records) -> Verdict:
    """Nearer to the original features at the moment that the figure shows; J updates make one drag operation."""
    k = UPDATES // 3 - 1  # both ways have J = 3
    ways = ([values[k] for values in column(records, way, "distance")] for way in (ip.THREE, ip.WITHOUT))
    pair = paired(*ways)
    return judge([Part.of(f"less drift with IP after {UPDATES} updates", pair)], pair.n)


def fig14b(records: Records) -> Verdict:
    """Smaller on most edits, and much smaller in the mean over them."""
    what = "in the second half of the run"
    smaller = Part.of(f"smaller distance with IP {what}", versus(records, ip.THREE, ip.WITHOUT, "late_distance"))
    shares = np.divide(*(column(records, way, "late_distance") for way in (ip.THREE, ip.WITHOUT)))
    return judge([smaller, Part.ratio("mean ratio", mean_interval(shares), MUCH)], len(shares))


def fig4(records: Records) -> Verdict:
    """Noise of sigma 0.1 in ten samples, as printed; a page's vote is the mean over its draws."""

    def pages(way: str, key: str) -> list[float]:
        return [-float(np.mean(r[key])) for r in records if (r["way"], r["sigma"], r["n"]) == (way, 0.1, 10)]

    parts = [Part.of(f"higher {key.upper()} when spread", paired(pages("spread", key), pages("at once", key)))
             for key in ("psnr", "ssim")]  # fmt: skip
    return judge(parts, len(pages("spread", "psnr")))


def overhead(records: Records) -> Verdict:
    """The same latents and gradients through the U-Net, exactly, on every edit."""
    totals = [
        [(r["latents"], r["backwards"]) for r in records if r["way"] == way] for way in (aldd.ALTERNATING, aldd.AT_ONCE)
    ]
    same = sum(a == b for a, b in zip(*totals, strict=True))
    latents, backwards = np.median(totals[0], axis=0).astype(int)
    numbers = f"{same} of {len(totals[0])} edits, {latents} latents forward and {backwards} backward"
    return judge([Part("same work", numbers, "holds" if same == len(totals[0]) else "fails")], len(totals[0]))


def _ratios(other: str, most: float) -> Callable[[DataFrame], Verdict]:
    """A rule on GoodDrag's mean DAI divided by the other's, at every radius of the patch."""

    def rule(table: DataFrame) -> Verdict:
        from gooddrag.benchmark import compare  # pandas

        parts = [Part.ratio(f"radius {gamma}", compare(table, "GoodDrag", other, f"dai_{gamma}")[1], most)
                 for gamma in GAMMAS]  # fmt: skip
        n = table["sample"].nunique()
        verdict = judge(parts, n)
        return replace(verdict, ours=verdict.ours and f"{n} edits, {verdict.ours}")

    return rule


def fig11(table: DataFrame) -> Verdict:
    """Fig. 11 with the known truth in place of people: error inside the mask for accuracy, SSIM for quality."""
    from gooddrag.benchmark import compare  # pandas

    table = table.assign(unlike=-table["ssim_truth"])  # lower is better
    parts = [Part.of(f"{what}, before {other}", compare(table, "GoodDrag", other, column)[0])
             for what, column in (("accuracy", "truth_error_inside_mask"), ("quality", "unlike"))
             for other in ("DragDiffusion", "SDE-Drag")]  # fmt: skip
    return judge(parts, table["sample"].nunique())


def alternated(table: DataFrame) -> DataFrame:
    """Of a benchmark's table, the edits on which GoodDrag completed its first portion of B operations, and denoised.

    Up to there both orders are the same, so that this is no choice by outcome. On the others the early stop came before
    the first denoising step, and without AlDD they are the same to the last digit.

    Raises:
        ValueError: an edit of GoodDrag failed or is missing.
    """
    mine = table[table["method"] == "GoodDrag"]
    if lost := list(mine.loc[mine["drag_operations"].isna(), "sample"]):
        raise ValueError(f"table: no drag operations of GoodDrag on {', '.join(lost[:3])}; expected every edit")
    return table[table["sample"].isin(mine.loc[mine["drag_operations"] >= DragConfig().B, "sample"])]


def _needed(other: str, pick: Callable[[DataFrame], DataFrame] = lambda table: table) -> Callable[[DataFrame], Verdict]:
    """A rule on GoodDrag against itself without one of its ideas, on the edits of the benchmark that `pick` leaves."""
    columns = {"nearer to the truth": "truth_error_inside_mask", "less damage outside the mask": "damage_outside_mask"}

    def rule(table: DataFrame) -> Verdict:
        from gooddrag.benchmark import compare  # pandas

        table = pick(table)
        if (n := table["sample"].nunique()) < ENOUGH:
            return judge([], n)
        parts = [Part.of(what, compare(table, "GoodDrag", other, column)[0]) for what, column in columns.items()]
        return judge(parts, n)

    return rule


aldd_needed, ip_needed = _needed("GoodDrag without AlDD", alternated), _needed("GoodDrag without IP")
table1, star = _ratios("DragDiffusion", MUCH), _ratios("DragDiffusion*", BEHIND)


RULES: dict[str, tuple[str, Callable[[Any], Verdict]]] = {  # claim -> file in results/, rule for what it holds
    "fig1": (f"{aldd.STUDY.name}.json", fig1),
    "fig4": ("fig04_noise.json", fig4),  # written by notebook 02
    "fig12": (f"{aldd.STUDY.name}.json", fig12),
    "overhead": (f"{aldd.STUDY.name}.json", overhead),
    "fig5": (f"{ip.STUDY.name}.json", fig5),
    "fig13": (f"{ip.STUDY.name}.json", fig13),
    "fig14a": (f"{ip.STUDY.name}.json", fig14a),
    "fig14b": (f"{ip.STUDY.name}.json", fig14b),
    "table1_here": ("storybook100.csv", table1),  # of `gooddrag bench`
    "star_here": ("storybook100.csv", star),
    "aldd_here": ("storybook100.csv", aldd_needed),
    "ip_here": ("storybook100.csv", ip_needed),
    "fig11_here": ("storybook100.csv", fig11),
}
