"""Models, registered in mmseg's registries."""

from . import efficientnet_lite
from .adversarial import DomainDiscriminator
from .cct import AuxiliaryBank
from .domain import Domain
from .losses import AnnealedCrossEntropy, ConsistencyLoss, PairwiseLoss
from .psp_neck import PSPNeck
from .segmentors import CCT, MultiDomainSegmentor
from .subpixel_head import SubPixelHead

__all__ = [
    'CCT',
    'AnnealedCrossEntropy',
    'AuxiliaryBank',
    'ConsistencyLoss',
    'Domain',
    'DomainDiscriminator',
    'MultiDomainSegmentor',
    'PSPNeck',
    'PairwiseLoss',
    'SubPixelHead',
    'efficientnet_lite',
]
