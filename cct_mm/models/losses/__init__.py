"""Losses, one file for each: L_s (ab-CE), L_u (consistency), L_P-Wise (pairwise) and L_w (weak)."""

from .annealed_ce import AnnealedCrossEntropy, annealed_cross_entropy
from .consistency import DISTANCES, ConsistencyLoss, js, kl, mse
from .pairwise import PairwiseLoss
from .weak import weak_cross_entropy, weak_cross_entropy_with_gradient, weak_position_weight

__all__ = [
    'DISTANCES',
    'AnnealedCrossEntropy',
    'ConsistencyLoss',
    'PairwiseLoss',
    'annealed_cross_entropy',
    'js',
    'kl',
    'mse',
    'weak_cross_entropy',
    'weak_cross_entropy_with_gradient',
    'weak_position_weight',
]
