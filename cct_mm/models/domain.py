"""One domain: its classes, its main head and, where a method adds them, its auxiliary decoders."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseModule, ModuleList
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from cct_mm.labels import IGNORE_INDEX, has_background
from cct_mm.models.head_inputs import check_inputs
from cct_mm.models.losses.average import mean_over_ranks
from cct_mm.models.losses.labeled import loss_by_feat, terms_of, weight_of
from cct_mm.models.norm import statistics_kept
from cct_mm.names import check_class_names, check_domain_name


class Domain(BaseModule):
    """A dataset as the network sees it: classes, foreground and a main head of its own.

    Args:
        name: The domain's name, the key in the segmentor's ``domains``.
        classes: Names of its classes, in the order of their labels.
        decode_head: Config of its main head; ``num_classes`` is filled in.
        foreground: Names of the classes that are things rather than stuff: what Obj-Msk, Con-Msk
            and G-Cutout mask. None means all but ``background`` where class 0 has that name, else
            that they are not known. An empty sequence says that there are no things.
        auxiliary_head: Configs of heads of deep supervision, as mmseg calls them; one, or a list.
        z_index: Which of the encoder's maps is z, the one that is perturbed.

    Raises:
        ValueError: For a name or class names that cannot be, see :mod:`cct_mm.names`, a foreground
            name that is no class, or a head whose ``num_classes`` or ``out_channels`` disagrees
            with the classes, or whose ``ignore_index`` is not 255.
    """

    KEYS = ('classes', 'decode_head', 'foreground', 'auxiliary_head', 'z_index')
    """What a config says about a domain itself; further entries are a method's."""

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        decode_head: dict,
        foreground: Sequence[str] | None = None,
        auxiliary_head: dict | Sequence[dict] = (),
        z_index: int = -1,
    ) -> None:
        super().__init__()
        check_domain_name(name)
        self.name = name
        check_class_names(classes, f'domain {name}')
        self.classes = tuple(classes)
        self.z_index = z_index
        self.foreground_names = self._foreground_names(foreground)
        self.has_no_things = foreground is not None and not self.foreground_names
        mask = torch.tensor([c in self.foreground_names for c in self.classes])
        self.register_buffer('foreground', mask, persistent=False)
        self.decode_head = MODELS.build(self._complete(decode_head))
        heads = [auxiliary_head] if isinstance(auxiliary_head, dict) else auxiliary_head
        # Not auxiliary_head, which settings for CCT's auxiliary decoders would match.
        self.deep_heads = ModuleList(MODELS.build(self._complete(head)) for head in heads)
        channels = getattr(self.decode_head, 'out_channels', self.num_classes)
        if channels != self.num_classes:
            raise ValueError(
                f'domain {name}: its head has out_channels={channels}, expected '
                f'{self.num_classes}, one for each class, for a softmax tells them apart; remove '
                'out_channels from decode_head'
            )

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    @property
    def image_level_classes(self) -> slice:
        """The classes that image-level labels tell apart: all but ``background``, where it is 0."""
        return slice(int(has_background(self.classes)), None)

    def _foreground_names(self, foreground: Sequence[str] | None) -> tuple[str, ...]:
        if foreground is None:
            return self.classes[1:] if has_background(self.classes) else ()
        unknown = [c for c in foreground if c not in self.classes]
        if unknown:
            raise ValueError(
                f'domain {self.name}: foreground names {unknown}, expected some of its classes '
                f'{list(self.classes)}'
            )
        return tuple(foreground)

    def _complete(self, decode_head: dict) -> dict:
        """Fill in what follows from the classes, and a loss in which padding does not count."""
        given = decode_head.get('num_classes', self.num_classes)
        if given != self.num_classes:
            raise ValueError(
                f'domain {self.name}: its head has num_classes={given}, expected '
                f'{self.num_classes} (its classes: {", ".join(self.classes)}); remove num_classes '
                'from decode_head, it follows from the classes'
            )
        ignored = decode_head.get('ignore_index', IGNORE_INDEX)
        if ignored != IGNORE_INDEX:
            raise ValueError(
                f'domain {self.name}: its head has ignore_index={ignored}, expected '
                f'{IGNORE_INDEX}, as padding and pseudo-labels have it; remove it from '
                f'decode_head, and let masks be mapped: label_map={{{ignored}: {IGNORE_INDEX}}} '
                'of LoadCheckedAnnotations'
            )
        loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
        return {'loss_decode': loss, **decode_head, 'num_classes': self.num_classes}

    def z(self, features: Sequence[Tensor]) -> Tensor:
        """Return the map that is perturbed, and that the discriminator looks at.

        Args:
            features: The encoder's maps, [B, D, h, w] each.

        Raises:
            ValueError: If ``z_index`` names none of them, or there are none.
        """
        self._check_encoded(features)
        if not -len(features) <= self.z_index < len(features):
            raise ValueError(
                f'domain {self.name}: z_index is {self.z_index}, but the encoder gives '
                f'{len(features)} maps, expected one of 0-{len(features) - 1}: '
                + ', '.join(f'{i}: {m.shape[1]} channels' for i, m in enumerate(features))
            )
        return features[self.z_index]

    def logits(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return g(features), resized to the input's size (H, W) where the head is coarser.

        Shape:
            - features: the encoder's maps, [B, D, h, w] each
            - output: [B, C, H, W]

        Raises:
            ValueError: If there are no maps, or the head reads one that the encoder does not give
                or that has another number of channels.
        """
        self._check_encoded(features)
        check_inputs(self.decode_head, features, f'domain {self.name}: its decode_head')
        logits = self.decode_head(features)
        if not isinstance(logits, Tensor):
            raise ValueError(
                f'domain {self.name}: its decode_head {type(self.decode_head).__name__} gives a '
                f'{type(logits).__name__}, expected one map of logits; take a head that does, such '
                'as UPerHead, SegformerHead or FCNHead'
            )
        if logits.shape[2:] == torch.Size(size):
            return logits
        return resize(logits, size, mode='bilinear', align_corners=self.decode_head.align_corners)

    def _check_encoded(self, features: Sequence[Tensor]) -> None:
        if not len(features):
            raise ValueError(
                f'domain {self.name}: there are no maps of the encoder, expected some: a batch has '
                'them after self.encode(batch), and never if it has no images, len(batch) == 0'
            )

    def loss(
        self, features: Sequence[Tensor], samples: list[SegDataSample], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return L_s, the loss of the main head by its ``loss_decode``, and those of deep heads.

        On several ranks, mmseg's cross-entropy is brought to the mean over all ranks' pixels, or
        over the weights of their classes where these have some.

        Raises:
            ValueError: If a sample has no labels.
        """
        for sample in samples:
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'domain {self.name}, labeled source: {sample.metainfo.get("img_path")} comes '
                    "without labels, expected a label map; add dict(type='LoadCheckedAnnotations') "
                    'to its pipeline, or make it an unlabeled source'
                )
        losses = self._loss_of(self.decode_head, self.logits(features, size), samples)
        for i, head in enumerate(self.deep_heads):
            check_inputs(head, features, f'domain {self.name}: its auxiliary_head')
            name = 'aux' if len(self.deep_heads) == 1 else f'aux_{i}'
            losses |= add_prefix(self._loss_of(head, head(features), samples), name)
        return losses

    def _loss_of(
        self, head: nn.Module, logits: Tensor, samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        losses = loss_by_feat(head, logits, samples)
        if get_world_size() > 1:
            labels = torch.stack([sample.gt_sem_seg.data for sample in samples])
            labeled = labels != head.ignore_index
            # mmseg adds up terms of one name.
            for name, term in {term.loss_name: term for term in terms_of(head)}.items():
                weight = getattr(term, 'class_weight', None)
                if isinstance(term, CrossEntropyLoss) and (
                    term.avg_non_ignore or weight is not None
                ):
                    weight = [1.0] * head.num_classes if weight is None else weight
                    count = weight_of(labels, labeled, weight)
                    losses[name] = losses[name] * count / mean_over_ranks(count).clamp(min=1e-6)
        return losses

    @torch.no_grad()
    def predict_target(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return y^u, the main prediction that the auxiliary decoders are held to, in float32.

        No gradient reaches the main head by it (Section 3.2.2), dropout is off, and the running
        statistics of the head's batch norms stay as they are.

        Shape:
            - output: [B, C, H, W], probabilities
        """
        with untouched(self.decode_head):
            return self.logits(features, size).float().softmax(dim=1)


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Run a module without dropout and drop path, and in all else as in training."""
    dropouts = [m for m in module.modules() if m.training and _drops(m)]
    for m in dropouts:
        m.training = False
    try:
        yield
    finally:
        for m in dropouts:
            m.training = True


def _drops(module: nn.Module) -> bool:
    # mmcv, timm and torchvision each have their own drop path.
    named = type(module).__name__ in ('DropPath', 'DropBlock2d', 'StochasticDepth')
    return named or isinstance(module, _DropoutNd | nn.MultiheadAttention)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Run a module without dropout and without a trace in its batch norms' running statistics."""
    with without_dropout(module), statistics_kept(module):
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Run a module in evaluation mode; each part of it gets its own mode back."""
    training = [m for m in module.modules() if m.training]
    for m in training:
        m.training = False
    try:
        yield
    finally:
        for m in training:
            m.training = True
