"""What kept results say of the paper's claims: one rule per claim, the same in the notebooks and in the ledger.

A claim is split into parts, each a comparison on the same edits. A part holds if the 95 % interval of the share of
wins lies above one half, leans if only the share itself does, and fails otherwise. All parts hold: "reproduced". None
holds or leans: "not reproduced". Anything between: "partly". Fewer than 12 edits: "untested".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gooddrag.experiments import Paired, paired
from gooddrag.metrics import GAMMAS
from gooddrag.studies import aldd, ip
from gooddrag.studies.study import ENOUGH, Records, column, versus

if TYPE_CHECKING:
    from pandas import DataFrame

MUCH = 2 / 3  # "much smaller": at most this share of the other


@dataclass(frozen=True)
class Part:
    """One measured part of a claim: what was compared, and whether it "holds", "leans" or "fails"."""

    text: str
    status: str

    @classmethod
    def of(cls, what: str, pair: Paired) -> Part:
        status = "holds" if pair.low > 0.5 else "leans" if pair.share > 0.5 else "fails"
        numbers = f"{pair.wins} of {pair.n} ({pair.low:.0%} to {pair.high:.0%})"
        return cls(f"{what}: {numbers}", status)


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
    ours = "; ".join(part.text for part in parts)
    missing = [f"{part.text.split(':')[0]} {part.status}" for part in parts if part.status != "holds"]
    if not missing:
        return Verdict("reproduced", ours, "")
    verdict = "not reproduced" if all(part.status == "fails" for part in parts) else "partly"
    return Verdict(verdict, ours, "; ".join(missing))


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
fig5 = _pairs(("less drift with IP in the second half of the run", ip.THREE, ip.WITHOUT, "late_distance", 1))
fig13 = _pairs(
    ("J = 3 goes further than J = 1", ip.THREE, ip.ONE, "way_gone", -1),
    ("J = 3 is nearer to the truth than J = 1", ip.THREE, ip.ONE, "truth", 1),
    ("J = 3 is nearer to the truth than a larger step", ip.THREE, ip.LARGER, "truth", 1),
    ("nearer to the truth with IP", ip.THREE, ip.WITHOUT, "truth", 1),
)
fig14a = _pairs(("larger spread with IP in the second half of the run", ip.THREE, ip.WITHOUT, "late_spread", -1))


def fig14b(records: Records) -> Verdict:
    """Smaller on most edits, and much smaller in the middle of them."""
    smaller = Part.of("smaller distance with IP", versus(records, ip.THREE, ip.WITHOUT, "late_distance"))
    with_ip, without = (np.array(column(records, way, "late_distance")) for way in (ip.THREE, ip.WITHOUT))
    ratio = float(np.median(with_ip / without))
    much = Part(f"median ratio: {ratio:.2f}", "holds" if ratio <= MUCH else "leans" if ratio < 1 else "fails")
    return judge([smaller, much], len(with_ip))


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
    text = f"same work on {same} of {len(totals[0])} edits: {latents} latents forward and {backwards} backward"
    return judge([Part(text, "holds" if same == len(totals[0]) else "fails")], len(totals[0]))


def _ratios(other: str, most: float) -> Callable[[DataFrame], Verdict]:
    """A rule on GoodDrag's mean DAI divided by the other's: at every radius the whole interval lies below `most`."""

    def rule(table: DataFrame) -> Verdict:
        from gooddrag.benchmark import compare  # pandas

        parts, n = [], table["sample"].nunique()
        for gamma in GAMMAS:
            _, ratio = compare(table, "GoodDrag", other, f"dai_{gamma}")
            status = "holds" if ratio.high <= most else "leans" if ratio.value < 1 else "fails"
            text = f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
            parts.append(Part(f"ratio of the means over {n} edits, radius {gamma}: {text}", status))
        return judge(parts, n)

    return rule


table1, star = _ratios("DragDiffusion", MUCH), _ratios("DragDiffusion*", 0.8)  # "half", "by a significant margin"


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
}
