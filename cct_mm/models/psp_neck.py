"""The encoder's tail: pyramid pooling (paper, Section 4.1 and Table 11: 2048 -> 512 channels)."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.decode_heads.psp_head import PPM
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@MODELS.register_module()
class PSPNeck(BaseModule):
    """Pyramid pooling module whose output is z, the feature map that CCT perturbs.

    mmseg has it inside ``PSPHead``; here it belongs to the shared encoder, because the main head
    and all auxiliary decoders start from its output.

    Args:
        in_channels: Channels of the backbone's map that is pooled.
        out_channels: Channels D of z.
        pool_scales: Output sizes of the pooling bins, in positions.
        in_index: Which of the backbone's outputs to read.
        kernel_size: Kernel of the convolution that merges the pyramid, odd.
        norm_cfg: Normalisation layers.
        act_cfg: Activation layers.
        align_corners: How the pooled maps are resized.
        init_cfg: As in mmengine.

    Shape:
        - inputs: tuple of [B, in_channels, h, w] maps
        - output: tuple of one map [B, out_channels, h, w]

    Raises:
        ValueError: In training with a batch of one image per device: bin 1 pools to 1x1, where
            batch normalisation has a single value per channel.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        out_channels: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        in_index: int = -1,
        kernel_size: int = 3,
        norm_cfg: dict = {'type': 'BN', 'requires_grad': True},  # noqa: B006
        act_cfg: dict = {'type': 'ReLU'},  # noqa: B006
        align_corners: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_index = in_index
        pooled_channels = in_channels // len(pool_scales)
        self.pyramid = PPM(
            pool_scales, in_channels, pooled_channels, None, norm_cfg, act_cfg, align_corners
        )
        self.bottleneck = ConvModule(
            in_channels + len(pool_scales) * pooled_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Return z as the only map of a tuple."""
        x = inputs[self.in_index]
        one_value = len(x) == 1 and 1 in self.pyramid.pool_scales
        if self.training and one_value and self._normalises_one_image():
            raise ValueError(
                'PSPNeck: the encoder got a batch of 1 image in training, expected at least 2: its '
                '1x1 pooling bin leaves batch norm a single value per channel. Raise '
                'labeled_per_batch / unlabeled_per_batch (and batch_size) to 2, or use norm_cfg='
                "dict(type='SyncBN') on several GPUs"
            )
        return (self.bottleneck(torch.cat([x, *self.pyramid(x)], dim=1)),)

    def _normalises_one_image(self) -> bool:
        return any(
            isinstance(m, _BatchNorm) and not isinstance(m, nn.SyncBatchNorm) and m.training
            for m in self.modules()
        )
