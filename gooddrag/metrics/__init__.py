"""How good an edit is: accuracy (DAI, MD), fidelity to the truth and to the input, image quality, and the statistics.

Images are PIL images of one size or uint8 arrays (H, W, 3); every number is computed on values in [0, 1].
"""

from gooddrag.metrics.accuracy import GAMMAS, dai, vae_round_trip
from gooddrag.metrics.fidelity import damage_outside, edit_metrics, psnr, ssim, truth_error
from gooddrag.metrics.learned import LEARNED, image_fidelity, learned_scores, quality
from gooddrag.metrics.matching import features, match, mean_distance
from gooddrag.metrics.statistics import Interval, mean_interval, rank_correlation, ranks, ratio_interval, spearman

__all__ = [
    "GAMMAS",
    "LEARNED",
    "Interval",
    "dai",
    "damage_outside",
    "edit_metrics",
    "features",
    "image_fidelity",
    "learned_scores",
    "match",
    "mean_distance",
    "mean_interval",
    "psnr",
    "quality",
    "rank_correlation",
    "ranks",
    "ratio_interval",
    "spearman",
    "ssim",
    "truth_error",
    "vae_round_trip",
]
