"""The paper's seven perturbations (Section 3.2.3), under their names in the paper."""

from .adversarial import IVAT
from .base import (
    PERTURBATIONS,
    AdditiveDirection,
    ChannelMask,
    Context,
    Guidance,
    MultiplicativeNoise,
    Perturbation,
    SpatialMask,
)
from .feature import FDrop, FNoise
from .guided import ConMsk, GCutout, ObjMsk
from .random import DropOut

__all__ = [
    'IVAT',
    'PERTURBATIONS',
    'AdditiveDirection',
    'ChannelMask',
    'ConMsk',
    'Context',
    'DropOut',
    'FDrop',
    'FNoise',
    'GCutout',
    'Guidance',
    'MultiplicativeNoise',
    'ObjMsk',
    'Perturbation',
    'SpatialMask',
]
