"""Models, registered in mmseg's registries."""

from . import deep_stem, efficientnet_lite
from .adversarial import DomainDiscriminator
from .batch_preprocessor import BatchPreprocessor
from .cct import AuxiliaryBank
from .classification_head import ClassificationHead
from .domain import Domain
from .head_as_neck import HeadAsNeck
from .keep_backbone_maps import KeepBackboneMaps
from .losses import AnnealedCrossEntropy, ConsistencyLoss, PairwiseLoss
from .psp_neck import PSPNeck
from .segmentors import (
    CCT,
    CrossPseudoSupervision,
    EntropyMinimization,
    ImageClassifier,
    InputVAT,
    MeanTeacher,
    MultiDomainSegmentor,
    PseudoLabeling,
    SupervisedSegmentor,
    WeakToStrong,
)
from .subpixel_head import SubPixelHead
from .tta import DomainTTAModel

__all__ = [
    'CCT',
    'AnnealedCrossEntropy',
    'AuxiliaryBank',
    'BatchPreprocessor',
    'ClassificationHead',
    'ConsistencyLoss',
    'CrossPseudoSupervision',
    'Domain',
    'DomainDiscriminator',
    'DomainTTAModel',
    'EntropyMinimization',
    'HeadAsNeck',
    'ImageClassifier',
    'KeepBackboneMaps',
    'InputVAT',
    'MeanTeacher',
    'MultiDomainSegmentor',
    'PseudoLabeling',
    'SupervisedSegmentor',
    'PSPNeck',
    'PairwiseLoss',
    'SubPixelHead',
    'WeakToStrong',
    'deep_stem',
    'efficientnet_lite',
]
