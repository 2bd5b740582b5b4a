"""A head's feature part in the encoder, so that what is perturbed is what the classifier sees."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .head_inputs import check_inputs

OF_THE_CLASSIFIER = ('num_classes', 'out_channels', 'threshold', 'loss_decode', 'sampler')
"""Entries of a decode head's config that have no meaning without its classifier."""


@MODELS.register_module()
class HeadAsNeck(BaseModule):
    """An mmseg decode head without its classifier, as the tail of the shared encoder.

    Heads such as ``UPerHead`` and ``SegformerHead`` fuse several of the backbone's maps and
    classify the fused map by a 1x1 convolution, ``conv_seg``. CCT perturbs one map, and its
    auxiliary decoders should start from the one that the classifier sees: here the fusion belongs
    to the encoder, and the main head is the classifier alone::

        neck=dict(type='HeadAsNeck', head=dict(type='UPerHead', channels=512, ...)),
        decode_head=dict(type='FCNHead', in_channels=512, channels=512, num_convs=0,
                         concat_input=False),

    Any head works that ends in ``cls_seg``. Checkpoints of the undivided network are loaded, see
    :mod:`cct_mm.models.mmseg_weights`.

    Args:
        head: Config of the decode head; what concerns its classifier and loss is ignored.
        neck: Config of the neck between backbone and head, where the undivided network has one.
        init_cfg: As in mmengine.

    Shape:
        - inputs: the backbone's maps, [B, D, h, w] each
        - output: the maps that the head reads (``neck``'s, else the inputs), for the heads of deep
          supervision, and last the map before the classifier, [B, channels, h, w]

    Raises:
        ValueError: If the head has no ``conv_seg``, its output is not the map before it, or it does
            not fit the maps.
    """

    def __init__(self, head: dict, neck: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.neck = MODELS.build(neck) if neck is not None else None
        kept = {key: value for key, value in head.items() if key not in OF_THE_CLASSIFIER}
        # mmseg's heads ask for classes; any number will do, for the classifier goes.
        self.head = MODELS.build({**kept, 'num_classes': 3})
        if not hasattr(self.head, 'conv_seg'):
            raise ValueError(
                f'HeadAsNeck: {type(self.head).__name__} has no conv_seg, expected a head that '
                'ends in this classifier, such as UPerHead; leave it as decode_head and let '
                'z_index name the map to perturb'
            )
        self.head.conv_seg = nn.Identity()
        # The main head has its own dropout, and the auxiliary decoders perturb the map themselves.
        self.head.dropout = None

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the maps, and last the fused one."""
        maps = tuple(inputs if self.neck is None else self.neck(inputs))
        check_inputs(self.head, maps, 'HeadAsNeck: its head')
        fused = self.head(maps)
        if not isinstance(fused, Tensor) or fused.shape[1] != self.head.channels:
            found = f'{fused.shape[1]} channels' if isinstance(fused, Tensor) else type(fused)
            raise ValueError(
                f'HeadAsNeck: {type(self.head).__name__} without its classifier gives {found}, '
                f'expected one map of its {self.head.channels} channels; leave it as decode_head '
                'and let z_index name the map to perturb'
            )
        return (*maps, fused)
