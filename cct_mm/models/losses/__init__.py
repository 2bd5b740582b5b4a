"""Losses: L_s (ab-CE), L_u (consistency) and L_P-Wise, one file each."""

from .annealed_ce import AnnealedCrossEntropy, annealed_cross_entropy
from .consistency import DISTANCES, ConsistencyLoss, js, kl, mse
from .pairwise import PairwiseLoss

__all__ = [
    'DISTANCES',
    'AnnealedCrossEntropy',
    'ConsistencyLoss',
    'PairwiseLoss',
    'annealed_cross_entropy',
    'js',
    'kl',
    'mse',
]
