"""The rule that turns notebook 02's kept results into the ledger's row for Fig. 4."""

import pytest

from experiments.studies.verdicts import RULES


def rows(gains, sigma=0.1, n=10):
    """Rows as the notebook keeps them: per page, two draws at once and spread, the latter better by the gain."""
    made = []
    for page, gain in enumerate(gains):
        for way, more in (("at once", 0.0), ("spread", gain)):
            made.append(dict(page=page, way=way, sigma=sigma, n=n, psnr=[25 + more, 27 + more],
                             ssim=[0.8 + more / 100, 0.9 + more / 100], left=[0.1, 0.1]))  # fmt: skip
    return made


@pytest.mark.parametrize(
    "gains, verdict",
    [([1.0] * 20, "reproduced"), ([-1.0] * 20, "not reproduced"), ([1.0] * 11 + [-1.0] * 9, "not reproduced"),
     ([1.0] * 11, "untested")],
)  # fmt: skip
def test_verdict_counts_pages(gains, verdict):
    file, rule = RULES["fig4"]
    assert file == "fig04_noise.json"
    assert rule(rows(gains)).verdict == verdict


def test_other_strengths_and_shares_do_not_count():
    others = rows([-9.0] * 20, sigma=0.4) + rows([-9.0] * 20, n=2)
    verdict = RULES["fig4"][1](rows([1.0] * 20) + others)
    assert verdict.verdict == "reproduced" and "20 of 20" in verdict.ours
