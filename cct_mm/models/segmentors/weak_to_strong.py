"""Weak-to-strong consistency (FixMatch, UniMatch): the strong view is taught by the weak one."""

import logging

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from cct_mm import keyed
from cct_mm.models.adversarial import WithDiscriminator
from cct_mm.models.domain import Domain
from cct_mm.models.losses.average import mean_weight
from cct_mm.models.norm import runs_again, statistics_kept
from cct_mm.models.progress import NeedsProgress
from cct_mm.models.strong_views import StrongView, StrongViews
from cct_mm.models.transfer import stack_on
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs
from .teacher import WithTeacher

LOSS = dict(
    type='ConsistencyLoss',
    distance='kl',
    over_classes='sum',
    hard_labels=True,
    confidence=0.95,
    average_over='valid',
)
"""FixMatch's loss: cross-entropy with the labels of which y^u is certain, over all pixels."""


class StrongConsistency(nn.Module):
    """What is learned from the strong views, and how much.

    Args:
        views: Number of strong views of each image.
        augmentation: Settings of :class:`~cct_mm.models.strong_views.StrongViews`.
        channel_dropout: Share of the channels of each weak image's maps that are dropped in a
            stream of its own, for which the main head has to find the same labels, as in UniMatch;
            0 for no such stream.
        loss: Settings of the ``ConsistencyLoss`` that differ from :data:`LOSS`.
        weight: :class:`RampUp` of each of the two losses.

    Raises:
        ValueError: If a number is out of range, or there is nothing to learn from.
    """

    def __init__(
        self,
        views: int = 2,
        augmentation: dict = {},  # noqa: B006
        channel_dropout: float = 0.0,
        loss: dict = {},  # noqa: B006
        weight: dict = {'final': 1.0, 'length': 0.0},  # noqa: B006
    ) -> None:
        super().__init__()
        if not 0 <= channel_dropout < 1:
            raise ValueError(
                f'strong: channel_dropout is {channel_dropout}, expected a share in [0, 1): 0.5'
            )
        if views < 0 or not (views or channel_dropout):
            raise ValueError(
                f'strong: views is {views} and channel_dropout {channel_dropout}, expected at '
                'least one view, or dropped channels'
            )
        self.views = views
        self.augmentation = StrongViews(**augmentation)
        self.channel_dropout = channel_dropout
        self.loss = MODELS.build({**LOSS, **loss})
        self.weight = RampUp(**weight)

    def distance(self, target: Tensor, logits: Tensor, valid: Tensor) -> Tensor:
        """Return how far a prediction is from y^u.

        Shape:
            - target, logits: [B, C, H, W]
            - valid: [B, 1, H, W], bool
            - output: scalar
        """
        weight = self.loss.position_weight(target, valid)  # [B, H, W]
        return self.loss(target, logits.float(), weight)

    def drop_channels(self, maps: list[Tensor], keys: list[tuple[keyed.Part, ...]]) -> list[Tensor]:
        """Return maps with some channels of each image zero, the others larger to make up for it.

        Args:
            maps: The encoder's, [B, D, h, w] each.
            keys: For each image what its random numbers depend on.
        """
        channels, kept = [x.shape[1] for x in maps], 1 - self.channel_dropout
        draws = [torch.rand(sum(channels), generator=keyed.generator(*key)) for key in keys]
        masks = (stack_on(maps[0].device, draws) < kept) / kept  # [B, sum of D]
        parts = masks[:, :, None, None].split(channels, dim=1)
        return [x * mask for x, mask in zip(maps, parts, strict=True)]


class WithStrongViews(NeedsProgress):
    """Part of a method that may learn from strong views of the unlabeled images.

    It is a mixin of :class:`~cct_mm.models.segmentors.MultiDomainSegmentor` before
    :class:`~cct_mm.models.segmentors.teacher.WithTeacher`; the method calls :meth:`loss_strong`.

    Args:
        strong: Settings of :class:`StrongConsistency`, or None.
        **kwargs: As for the segmentor.

    Raises:
        ValueError: If shared batch norms would count strong views, where backward runs them again.
    """

    def __init__(self, *, strong: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.strong = None if strong is None else StrongConsistency(**strong)
        self._warned = False
        if self.strong and self.norm == 'shared' and runs_again(self.backbone):
            raise ValueError(
                f"{type(self).__name__}: norm is 'shared' and the backbone has with_cp=True, "
                'expected one of them, because backward would run strong views again and shared '
                'batch norms count them; set model.backbone.with_cp=False, or '
                "model.norm='domain-specific'"
            )

    def loss_strong(self, domain: Domain, unlabeled: Batch) -> dict[str, Tensor]:
        """w(t) d(y^u, g(h(strong views))), and w(t) d(y^u, g(z with channels dropped)).

        Args:
            domain: Of the images; it is active.
            unlabeled: Weak images, with their features.
        """
        strong = self.strong
        if strong is None or not len(unlabeled):
            return {}
        weight = strong.weight(self.progress)
        target, valid = self.target(domain, unlabeled), unlabeled.valid()
        losses = {}
        if strong.views:
            seen, view = self.strong_views(unlabeled)
            copies = (strong.views, 1, 1, 1)
            mixed, inside = (view.mixed(maps.repeat(copies)) for maps in (target, valid))
            with statistics_kept(domain.decode_head):
                logits = domain.logits(seen.features, seen.size)  # [V B, C, H, W]
            losses['loss_strong'] = weight * strong.distance(mixed, logits, inside)
        if strong.channel_dropout:
            maps = strong.drop_channels(unlabeled.features, self._keys(unlabeled, 'channels'))
            with statistics_kept(domain.decode_head):
                logits = domain.logits(maps, unlabeled.size)  # [B, C, H, W]
            losses['loss_channels'] = weight * strong.distance(target, logits, valid)
        certain = strong.loss.position_weight(target, valid) > 0  # [B, H, W]
        return losses | {'certain': 100 * (mean_weight(valid.squeeze(1)) * certain).sum()}

    def strong_views(self, batch: Batch) -> tuple[Batch, StrongView]:
        """Return the encoded strong views of all images, and what CutMix has done.

        The running statistics of batch norms stay those of weak images.

        Args:
            batch: Weak images.

        Shape:
            - images of the returned batch: [V B, D, H, W], one of the V views after the other
        """
        if batch.strong is None:
            if len(batch) == 1:
                self._warn_of_one_image(batch)
            count = self.strong.views
            keys = [key for i in range(count) for key in self._keys(batch, f'strong view {i}')]
            scale = {}
            if self.data_preprocessor._enable_normalize:
                scale = dict(mean=self.data_preprocessor.mean, std=self.data_preprocessor.std)
            images, valid = (x.repeat(count, 1, 1, 1) for x in (batch.images, batch.valid()))
            view = self.strong.augmentation(images, valid, keys, **scale)
            seen = Batch(view.images, batch.samples * count)
            with statistics_kept(self):
                self.encode(seen)
            batch.strong = seen, view
        return batch.strong

    def _warn_of_one_image(self, batch: Batch) -> None:
        """Say once that CutMix finds no other image in the batch."""
        cutmix = self.strong.augmentation.shares['cutmix']
        if not cutmix or self._warned:
            return
        self._warned = True
        print_log(
            f'domain {batch.samples[0].metainfo.get("domain")}: strong.augmentation.cutmix is '
            f'{cutmix}, but the batch of a process has one unlabeled image, expected at least two, '
            'because a box comes from another image: no image is mixed; raise '
            "unlabeled_per_batch of the sampler (and train_dataloader's batch_size with it), or "
            'set model.strong.augmentation.cutmix=0',
            logger='current',
            level=logging.WARNING,
        )

    def _keys(self, batch: Batch, purpose: str) -> list[tuple[keyed.Part, ...]]:
        seed = self.progress.seed
        return [(seed, purpose, sample.metainfo['sample_key']) for sample in batch.samples]


@MODELS.register_module()
class WeakToStrong(WithStrongViews, WithDiscriminator, WithTeacher, MultiDomainSegmentor):
    """L = L_s + L_strong: strong views of unlabeled images, taught by the weak views.

    With the settings of ``configs/rivals`` it is FixMatch, UniMatch (two views and dropped
    channels) or CutMix consistency with a mean teacher (CutMix alone, soft labels).

    Args:
        strong: Settings of :class:`StrongConsistency`.
        **kwargs: As for :class:`~cct_mm.models.adversarial.WithDiscriminator`,
            :class:`~cct_mm.models.segmentors.teacher.WithTeacher` and
            :class:`~cct_mm.models.segmentors.MultiDomainSegmentor`.
    """

    needs = Needs(unlabeled=True, sample_keys=True)

    def __init__(self, *, strong: dict = {}, **kwargs) -> None:  # noqa: B006
        super().__init__(strong=strong, **kwargs)

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + L_strong [+ L_adv], from labeled images and weak and strong unlabeled ones."""
        if self.joint_encoding:
            self.encode(labeled, unlabeled)
        else:
            self.encode(labeled)
            # Gradients reach the weak view by its dropped channels or the discriminator alone.
            used = self.strong.channel_dropout or self.discriminator is not None
            with torch.set_grad_enabled(bool(used)):
                self.encode(unlabeled)
        losses = self.loss_labeled(domain, labeled) | self.loss_strong(domain, unlabeled)
        return losses | self.loss_adversarial(domain, labeled, unlabeled)
