"""The claims ledger: complete, honest about what is untested, and what README shows."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLAIMS = json.loads((ROOT / "notebooks" / "claims.json").read_text(encoding="utf-8"))["claims"]
EXPECTED = {"fig1", "fig4", "fig5", "fig12", "fig13", "fig14a", "fig14b", "overhead", "table1", "table2", "table3",
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
    if claim["verdict"] == "untested":
        assert claim["why"] and not claim["ours"]
    else:
        assert claim["ours"] and claim["model"]
        assert (ROOT / claim["where"].split("#")[0]).is_file(), claim["where"]
        if claim["verdict"] != "reproduced":
            assert claim["why"]


def test_readme_shows_the_ledger():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme_tables().filled_readme()
