"""CCT whose guided perturbations know the truth: a bound on what better masks could give."""

from dataclasses import dataclass

from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX
from cct_mm.models.cct import Target
from cct_mm.models.cct.perturbations import Guidance
from cct_mm.models.domain import Domain
from cct_mm.models.segmentors import CCT
from cct_mm.models.segmentors.batch import Batch


@dataclass
class TrueTarget(Target):
    """A target whose guidance is the truth; ``prob`` is still the main head's prediction.

    Args:
        truth: Labels of the images, 255 where nobody knows them.

    Shape:
        - truth: [B, H, W], int64
    """

    truth: Tensor | None = None

    def guidance(self, size: tuple[int, int]) -> Guidance:
        """Bring the truth to z's size; what nobody knows is no foreground."""
        valid = super().guidance(size).valid  # [B, 1, h, w]
        down, across = (full // own for full, own in zip(self.truth.shape[1:], size, strict=True))
        labels = self.truth[:, ::down, ::across]  # [B, h, w]
        known = labels != IGNORE_INDEX
        labels = labels.where(known, 0)
        foreground = (self.foreground[labels] & known).unsqueeze(1)  # [B, 1, h, w]
        return Guidance(labels, foreground & valid, valid)


@MODELS.register_module()
class CCTWithTrueForeground(CCT):
    """CCT in which Obj-Msk, Con-Msk and G-Cutout mask true objects instead of predicted ones.

    An experiment and no method: it reads the labels of images that count as unlabeled. They come as
    those of a ``weak`` source, since no pipeline of an unlabeled one may load any, and nothing else
    of the loss sees them::

        custom_imports = dict(imports=['cct_mm', 'cct_mm.lab.gain.true_foreground'])
        model = dict(type='CCTWithTrueForeground')
    """

    def auxiliary_target(self, domain: Domain, unlabeled: Batch) -> TrueTarget:
        """Return CCT's target with the truth in the place of pseudo-labels.

        Raises:
            ValueError: If the images come without labels.
        """
        target = vars(super().auxiliary_target(domain, unlabeled))
        truth = target.pop('pseudo_labels')
        if truth is None:
            raise ValueError(
                f'CCTWithTrueForeground: the unlabeled images of domain {domain.name} come without '
                'labels, expected those of a weak source; see configs/gain/cct-true-foreground_'
                'efficientnet-lite0_camvid-n20.py'
            )
        return TrueTarget(**target, truth=truth)
