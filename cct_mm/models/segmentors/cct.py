"""Cross-Consistency Training (paper, Sections 3.2 and 3.3, Algorithm 1): unlabeled images."""

import logging
from collections.abc import Sequence
from functools import partial

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.models.adversarial import WithDiscriminator
from cct_mm.models.cct import (
    AuxiliaryBank,
    Target,
    UnsupervisedLoss,
    UnsupervisedTerms,
    consistency_fused,
    consistency_reference,
    consistency_triton,
)
from cct_mm.models.cct.auxiliary_bank import without_guided
from cct_mm.models.domain import Domain
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs
from .teacher import WithTeacher
from .weak_to_strong import WithStrongViews

PATHS = {
    'fused': consistency_fused,
    'reference': consistency_reference,
    'triton': consistency_triton,
    'triton-tf32': partial(consistency_triton, precision='tf32'),
}


@MODELS.register_module()
class CCT(WithStrongViews, WithDiscriminator, WithTeacher, MultiDomainSegmentor):
    """Supervised training plus consistency between main and auxiliary predictions.

    Args:
        auxiliary: Config of each domain's :class:`AuxiliaryBank`: ``perturbations``,
            ``in_channels``, ``stride``, ``channels``, ``last_relu``, ``shared``. A domain's own
            ``auxiliary`` entries override the common ones. ``in_channels`` and ``stride`` of z
            follow from the encoder where they are left out.
        loss_consistency: Config of the distance d of Eq. 2, a ``ConsistencyLoss`` without ``type``.
        unsupervised_weight: :class:`RampUp` of w_u in Eq. 3; the paper ends at lambda_u = 30 after
            the first tenth of training.
        weak_weight: :class:`RampUp` of w_w in Eq. 5, for images with pseudo-labels (sources
            ``weak``); the paper ends at lambda_w = 0.4.
        loss_pairwise: Config of Eq. 10, or None.
        path: ``'fused'`` computes all auxiliary decoders together, ``'reference'`` one after
            another as the paper tells it, and ``'triton'`` together in kernels for NVIDIA GPUs; the
            results are the same to rounding, and so are checkpoints. ``'triton-tf32'`` rounds the
            operands of products to TF32.
        auxiliary_view: Whose z is perturbed: that of the ``'weak'`` images, as in the paper, or of
            their first ``'strong'`` view, which needs ``strong``.
        **kwargs: Beyond the paper, ``strong`` adds
            :class:`~cct_mm.models.segmentors.weak_to_strong.StrongConsistency`, and ``teacher``
            gives y^u to :class:`~cct_mm.models.segmentors.teacher.WithTeacher`. Else as for
            :class:`~cct_mm.models.adversarial.WithDiscriminator` and
            :class:`~cct_mm.models.segmentors.MultiDomainSegmentor`.

    Raises:
        ValueError: Where a guided perturbation meets a domain whose foreground classes are not
            known, for an unknown path or view, or where there is no strong view.
    """

    needs = Needs(unlabeled=True, sample_keys=True)

    def __init__(
        self,
        *,
        domains: dict[str, dict],
        auxiliary: dict,
        loss_consistency: dict = {'type': 'ConsistencyLoss'},  # noqa: B006
        unsupervised_weight: dict = {'final': 30.0},  # noqa: B006
        weak_weight: dict = {'final': 0.4},  # noqa: B006
        loss_pairwise: dict | None = None,
        path: str = 'fused',
        auxiliary_view: str = 'weak',
        **kwargs,
    ) -> None:
        domains = {
            name: {**domain, 'auxiliary': {**auxiliary, **domain.get('auxiliary', {})}}
            for name, domain in domains.items()
        }
        super().__init__(domains=domains, **kwargs)
        self.loss_consistency = MODELS.build({'type': 'ConsistencyLoss', **loss_consistency})
        self.loss_pairwise = MODELS.build(loss_pairwise) if loss_pairwise else None
        self.unsupervised_weight = RampUp(**unsupervised_weight)
        self.weak_weight = RampUp(**weak_weight)
        if path not in PATHS:
            raise ValueError(f'CCT: path is {path!r}, expected one of {", ".join(PATHS)}')
        self.unsupervised_loss = PATHS[path]
        if auxiliary_view not in ('weak', 'strong'):
            raise ValueError(
                f"CCT: auxiliary_view is {auxiliary_view!r}, expected 'weak' or 'strong'"
            )
        if auxiliary_view == 'strong' and not (self.strong and self.strong.views):
            raise ValueError(
                "CCT: auxiliary_view is 'strong', but the model makes no strong views; add "
                'strong=dict(views=1) to the model'
            )
        self.auxiliary_view = auxiliary_view

    def extend_domain(self, domain: Domain, *, auxiliary: dict) -> None:
        """Give a domain its auxiliary decoders.

        Args:
            domain: The domain.
            auxiliary: Config of its :class:`AuxiliaryBank`. Where the domain says that it has no
                things, ``foreground=()``, guided perturbations are left out.
        """
        if domain.has_no_things:
            auxiliary = _without_guided(domain.name, auxiliary)
            if not auxiliary['perturbations']:
                raise ValueError(
                    f'domain {domain.name}: it has no things, foreground=(), and all of its '
                    'perturbations mask things, expected one more at least, such as F-Noise; add '
                    'it to auxiliary.perturbations, or name things in foreground'
                )
        inferred = not {'in_channels', 'stride'} <= auxiliary.keys()
        if inferred:
            auxiliary = {**self._measure(domain), **auxiliary}
        domain.auxiliary = AuxiliaryBank(num_classes=domain.num_classes, **auxiliary)
        if inferred:
            encoder = self.encoder_maps()
            self._check_map(domain.auxiliary, domain.z(encoder.maps), encoder.image)
        _warn_of_more_maps(domain)
        if domain.auxiliary.guided and not domain.foreground_names:
            raise ValueError(
                f'domain {domain.name}: {", ".join(domain.auxiliary.guided)} mask foreground '
                'objects, but the domain names no foreground classes; add foreground=(...) with '
                'its things to the domain, or foreground=() if it has none, which leaves these '
                'perturbations out'
            )

    def _measure(self, domain: Domain) -> dict[str, int]:
        """Return channels and stride of z.

        Raises:
            ValueError: If there is no such map, or decoders cannot bring it to the image's size.
        """
        encoder = self.encoder_maps()
        z = domain.z(encoder.maps)
        (height, width), (h, w) = encoder.image, z.shape[2:]
        stride = height // h
        if (h * stride, w * stride) != (height, width) or stride.bit_count() != 1 or stride < 2:
            raise ValueError(
                f'domain {domain.name}: z, map {domain.z_index} of the encoder, has {h}x{w} '
                f'positions for an image of {height}x{width}, expected one for each 2x2, 4x4, 8x8, '
                "... pixels: the auxiliary decoders double its size until it is the image's; "
                'rescale the maps in a neck, e.g. by 14 / 8 = 1.75 for a ViT with patches of 14: '
                f"neck=dict(type='MultiLevelNeck', in_channels=[{z.shape[1]}], out_channels=256, "
                'scales=[1.75])'
            )
        return dict(in_channels=z.shape[1], stride=stride)

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """Algorithm 1: L = L_s + w_u L_u [+ w_w L_w + w_p L_P-Wise + L_strong + L_adv]."""
        # z^l = h(x^l), z = h(x^u)
        self.encode(labeled, unlabeled)
        # L_s: the main head learns from labels
        losses = self.loss_labeled(domain, labeled)
        # L_u: the auxiliary decoders learn from the main head, on perturbed z
        losses |= self.loss_unlabeled(domain, unlabeled)
        # L_strong: the main head learns from strong views, where the model makes some
        losses |= self.loss_strong(domain, unlabeled)
        # L_adv: the encoder hides the domain from the discriminator, where there is one
        return losses | self.loss_adversarial(domain, labeled, unlabeled)

    def loss_unlabeled(self, domain: Domain, unlabeled: Batch) -> dict[str, Tensor]:
        """w_u L_u (Eqs. 2, 3): hold the auxiliary decoders to the main head's prediction.

        Weakly labeled images are unlabeled ones with pseudo-labels y_p, from which the auxiliary
        decoders learn too: + w_w L_w (Eqs. 5, 6). The main head never sees y_p. Without unlabeled
        images in this iteration there is no such loss.

        Raises:
            ValueError: If the auxiliary decoders do not fit z, or an image with pseudo-labels comes
                without them.
        """
        if not len(unlabeled):
            return {}
        # z = h(x^u), [B, D, h, w], and y^u = g(z), [B, C, H, W], which has no gradient
        z, target = self.auxiliary_input(domain, unlabeled)
        self._check_map(domain.auxiliary, z, unlabeled.size)

        # w_u L_u = w_u 1/K sum_k d(y^u, g_a^k(p_k(z))), in float32 whatever the encoder's precision
        terms = UnsupervisedTerms(
            self.loss_consistency,
            self.unsupervised_weight(self.progress),
            self.loss_pairwise,
            self.weak_weight(self.progress),
        )
        with torch.autocast(z.device.type, enabled=False):
            loss = self.unsupervised_loss(domain.auxiliary, z.float(), target, terms)
        return {'loss_unsupervised': loss.total} | self._monitored(domain.auxiliary, loss)

    def auxiliary_input(self, domain: Domain, unlabeled: Batch) -> tuple[Tensor, Target]:
        """Return z, which is perturbed, [B, D, h, w], and what its decoders learn from.

        Both are those of a strong view where ``auxiliary_view`` says so.

        Args:
            domain: The active domain.
            unlabeled: Its unlabeled images, encoded.
        """
        target = self.auxiliary_target(domain, unlabeled)
        if self.auxiliary_view == 'weak':
            return domain.z(unlabeled.features), target
        seen, view = self.strong_views(unlabeled)
        return domain.z(seen.features)[: len(unlabeled)], target.mixed(view)

    def auxiliary_target(self, domain: Domain, unlabeled: Batch) -> Target:
        """Return what the auxiliary decoders learn from: y^u = g(z) and what goes with it.

        Args:
            domain: The active domain.
            unlabeled: Its unlabeled images, encoded.
        """
        return Target(
            prob=self.target(domain, unlabeled),
            valid=unlabeled.valid(),
            foreground=domain.foreground,
            key=(self.progress.seed, domain.name, self.progress.iteration),
            samples=[sample.metainfo['sample_key'] for sample in unlabeled.samples],
            pseudo_labels=unlabeled.pseudo_labels(),
        )

    def _monitored(self, bank: AuxiliaryBank, loss: UnsupervisedLoss) -> dict[str, Tensor]:
        """Mean distance of each kind of perturbation and the like, for the log; not trained on."""
        means = bank.means_by_kind(loss.distances)
        values = {f'distance {name}': mean for name, mean in means.items()}
        further = {'pairwise': loss.pairwise, 'weak': loss.weak}
        return values | {name: value for name, value in further.items() if value is not None}

    def _check_map(self, bank: AuxiliaryBank, z: Tensor, size: tuple[int, int]) -> None:
        if z.shape[1] != bank.in_channels:
            raise ValueError(
                f'CCT: auxiliary decoders have in_channels {bank.in_channels}, but z, the map that '
                f'is perturbed, has {z.shape[1]} channels; set '
                f'model.auxiliary.in_channels={z.shape[1]}'
            )
        expected = tuple(side * bank.stride for side in z.shape[2:])
        if expected != size:
            raise ValueError(
                f'CCT: auxiliary decoders of stride {bank.stride} make {expected[0]}x{expected[1]} '
                f'of z, expected the image size {size[0]}x{size[1]}; set '
                'model.auxiliary.stride to the stride of the encoder and '
                'data_preprocessor.size_divisor to a multiple of it'
            )


def _without_guided(name: str, auxiliary: dict) -> dict:
    """Leave the perturbations out that mask things, for a domain that has none, and say so."""
    perturbations, left_out = without_guided(auxiliary['perturbations'])
    if left_out:
        print_log(
            f'domain {name} has no foreground classes: it trains without {", ".join(left_out)}, '
            'which mask foreground objects',
            'current',
        )
    return {**auxiliary, 'perturbations': perturbations}


def _warn_of_more_maps(domain: Domain) -> None:
    """Say so where the main head reads more than the one map that is perturbed."""
    head = domain.decode_head
    if isinstance(getattr(head, 'in_index', None), Sequence):
        print_log(
            f'domain {domain.name}: its head {type(head).__name__} reads maps '
            f'{list(head.in_index)} of the encoder, but only z, map {domain.z_index}, is '
            'perturbed: the auxiliary decoders see less than the head; let its part before the '
            "classifier be the neck, dict(type='HeadAsNeck', head=...)",
            logger='current',
            level=logging.WARNING,
        )
