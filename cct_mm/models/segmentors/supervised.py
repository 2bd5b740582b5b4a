"""Supervised training on the labeled images alone: the baseline of the paper."""

import warnings

from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.models.adversarial import WithDiscriminator
from cct_mm.models.domain import Domain

from .batch import Batch
from .multi_domain import MultiDomainSegmentor


@MODELS.register_module()
class SupervisedSegmentor(WithDiscriminator, MultiDomainSegmentor):
    """L = L_s, and L_adv where the model has a discriminator.

    Args:
        **kwargs: As for :class:`~cct_mm.models.adversarial.WithDiscriminator` and
            :class:`~cct_mm.models.segmentors.MultiDomainSegmentor`.
    """

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s [+ L_adv], from labeled images.

        Raises:
            ValueError: If there are unlabeled images, from which this method cannot learn.
        """
        if len(unlabeled):
            raise ValueError(
                f'{type(self).__name__} got {len(unlabeled)} unlabeled or weakly labeled images of '
                f'domain {domain.name}, expected none: it has no unsupervised loss. Set '
                'unlabeled_per_batch=0 and weak_per_batch=0 in the sampler (and batch_size to '
                'labeled_per_batch), or use a method such as CCT'
            )
        self.encode(labeled)
        losses = self.loss_labeled(domain, labeled)
        return losses | self.loss_adversarial(domain, labeled)


@MODELS.register_module(name='MultiDomainSegmentor')
def former_supervised_segmentor(**kwargs) -> SupervisedSegmentor:
    """Build the supervised baseline by its former name in configs."""
    warnings.warn(
        "type='MultiDomainSegmentor' is now called type='SupervisedSegmentor'; please rename it in "
        'your config, it means the same',
        FutureWarning,
        stacklevel=2,
    )
    return SupervisedSegmentor(**kwargs)
