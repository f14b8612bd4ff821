"""Compute the kept results of notebooks 04 to 06 and 12 anew, and fill the claims ledger from all kept results.

    python scripts/kept_results.py                  everything, about half an hour on two idle cores
    python scripts/kept_results.py aldd ip          some of the studies
    python scripts/kept_results.py --workers 2      so many edits at a time, each on its share of the cores
    python scripts/kept_results.py --claims         only the ledger (notebooks/claims.json)

The single-image LoRAs are cached, so that the studies share them. Each study writes results/NAME.json when all of its
edits are done; interrupted, it goes on with the next edit.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

import gooddrag as gd
from experiments.studies import aldd, differences, identity, ip, ledger
from experiments.studies.study import samples

ROOT = Path(__file__).parents[1]
STUDIES = {
    study.name: study
    for study in (
        aldd.STUDY, aldd.CONDITIONS_STUDY, ip.STUDY, identity.LORA, identity.MASACTRL, differences.STUDY,
    )
}  # fmt: skip


def side_by_side(name: str, options: argparse.Namespace) -> None:
    """Compute all edits of a study in processes of their own; `Study.results` finds their records."""
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        shares = [(name, options.model, options.edits, k, options.workers) for k in range(options.workers)]
        list(pool.map(compute_share, *zip(*shares, strict=True)))


def compute_share(name: str, label: str, edits: int | None, k: int, workers: int) -> None:
    """Every `workers`-th edit of a study from the k-th on."""
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    study, model = STUDIES[name], gd.load_model(label)
    drawn = samples(model, edits or study.n)
    study.compute(model, drawn, progress=k == 0, parts=study.parts(model, edits), share=(k, workers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"some of {', '.join(STUDIES)}; default: all")
    parser.add_argument("--claims", action="store_true", help="compute nothing")
    parser.add_argument("--edits", type=int, help="a trial on so many edits, without the ledger")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    if unknown := set(options.studies) - set(STUDIES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(STUDIES)}")

    if not options.claims:
        model = gd.load_model(options.model)
        for name in options.studies or STUDIES:
            if options.workers > 1:
                side_by_side(name, options)
            record = STUDIES[name].results(model, options.out, recompute=True, n=options.edits, progress=True)
            print(f"{name}: {record['seconds']:.0f} s")
        if options.edits or options.model != "storybook":
            return  # a trial: the ledger stays as it is
    for line in ledger.fill(ROOT / "notebooks" / "claims.json", options.out):
        print(line)


if __name__ == "__main__":
    main()
