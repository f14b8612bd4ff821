"""Verdicts by one rule, and the ledger that the results fill."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import claims
from experiments.claims import FAILS, HOLDS, OPEN, PARTLY, RULES, SMALLER, UNDECIDED, UNTESTED, Part, judge
from experiments.keep import RESULTS
from gooddrag.evaluation import benchmark
from gooddrag.evaluation.metrics import Interval

LEDGER = json.loads((RESULTS / "claims.json").read_text(encoding="utf-8"))


def won(wins, n):
    """A comparison that the first way wins so often."""
    return Part.wins("x", [0] * n, [1] * wins + [-1] * (n - wins))


@pytest.mark.parametrize("wins, verdict", [(16, HOLDS), (13, HOLDS), (11, UNDECIDED), (5, UNDECIDED), (3, FAILS)])
def test_an_interval_that_holds_one_half_is_undecided_here(wins, verdict):
    part = won(wins, 16)
    low, high = (float(x.rstrip("%)")) for x in part.numbers.split("(")[1].split(" to "))
    assert part.verdict == verdict and part.numbers.startswith(f"{wins} of 16 ")
    assert (low > 50, high < 50) == (verdict == HOLDS, verdict == FAILS)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_wins_against_their_definition(pairs):
    a, b = zip(*pairs, strict=True)
    part, other = Part.wins("x", a, b), Part.wins("x", b, a)
    won, lost = sum(x < y for x, y in pairs), sum(x > y for x, y in pairs)
    assert part.numbers.startswith(f"{won} of {won + lost} (") and part.n == len(pairs)
    assert other.verdict == {HOLDS: FAILS, FAILS: HOLDS}.get(part.verdict, UNDECIDED)


@pytest.mark.parametrize(
    "low, high, verdict",
    [(0.5, 0.66, HOLDS), (0.5, 0.7, OPEN), (0.7, 0.99, SMALLER), (0.9, 1.1, UNDECIDED), (1.1, 1.3, FAILS)],
)
def test_a_ratio_is_held_against_what_the_paper_says(low, high, verdict):
    assert Part.ratio("x", Interval((low + high) / 2, low, high, 20), 2 / 3).verdict == verdict


def test_a_claim_has_the_verdict_of_its_parts_or_holds_in_part():
    verdicts = {(16, 16): HOLDS, (16, 8): PARTLY, (16, 0): PARTLY, (8, 8): UNDECIDED, (8, 0): FAILS, (0, 0): FAILS}
    for parts, verdict in verdicts.items():
        found = judge(*(won(wins, 16) for wins in parts))
        assert found.verdict == verdict and found.ours.count(" of 16") == len(parts)
        assert bool(found.why) == (len(set(parts)) > 1)
    assert judge(won(11, 11)).verdict == UNTESTED
    ratios = {low: Part.ratio("x", Interval(low, low, high, 20), 2 / 3) for low, high in ((0.5, 0.7), (0.7, 0.9))}
    assert judge(won(16, 16), ratios[0.5]).verdict == OPEN
    assert judge(*ratios.values()).verdict == SMALLER and judge(won(8, 16), ratios[0.7]).verdict == PARTLY


def test_rules_of_the_benchmark():
    table = benchmark.read(RESULTS / "storybook100.csv")
    operations = table.loc[table["method"] == "GoodDrag", "drag_operations"]
    assert claims.alternated(table)["sample"].nunique() == (operations >= 10).sum() == 77
    with pytest.raises(ValueError, match="^method: 'SDE-Drag'"):
        RULES["fig11_here"](table[table["method"] != "SDE-Drag"])
    table.loc[operations.index[0], ["drag_operations", "md"]] = np.nan  # a failed edit is not left out
    with pytest.raises(ValueError, match="expected finite numbers"):
        RULES["aldd_here"](table)


def test_every_claim_of_the_paper_has_a_row_that_stands_on_something():
    ids = [c["id"] for c in LEDGER["claims"]]
    assert len(ids) == len(set(ids)) == 30 and set(RULES) < set(ids)
    for claim in LEDGER["claims"]:
        assert claim["verdict"] in claims.VERDICTS and claim["claim"] and claim["paper"]
        stands = claim["ours"] and (RESULTS / claim["where"]).is_file()
        assert claim["why"] and not claim["ours"] if claim["verdict"] == UNTESTED else stands, claim["id"]


def test_the_ledger_is_what_the_results_say(tmp_path):
    copy = tmp_path / "claims.json"
    copy.write_text(json.dumps(LEDGER), encoding="utf-8")
    claims.fill(copy)
    assert json.loads(copy.read_text(encoding="utf-8")) == LEDGER, "run python -m experiments.run documents"
