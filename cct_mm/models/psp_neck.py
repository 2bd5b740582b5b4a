"""The encoder's tail: pyramid pooling (paper, Section 4.1 and Table 11: 2048 -> 512 channels)."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, initialize
from mmseg.models.decode_heads.psp_head import PPM
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .resampling import pool, upsample


@MODELS.register_module()
class PSPNeck(BaseModule):
    """Pyramid pooling module whose output is z, the feature map that CCT perturbs.

    In mmseg it is a part of ``PSPHead``. Here it belongs to the shared encoder, because the main
    head and all auxiliary decoders start from its output.

    Args:
        in_channels: Channels of the backbone's map that is pooled.
        out_channels: Channels D of z.
        pool_scales: Sizes to which the pyramid pools the map, in positions.
        in_index: Index of the backbone's map that is pooled.
        kernel_size: Kernel size of the convolution that merges the pyramid, odd.
        norm_cfg: Config of the normalization layers.
        act_cfg: Config of the activation layers.
        align_corners: How the pooled maps are resized.
        init_cfg: As in mmengine; None leaves the convolutions to mmcv, which takes Kaiming's normal
            distribution.

    Shape:
        - inputs: the backbone's maps, of which ``in_index`` is [B, in_channels, h, w]
        - output: a tuple of one map, [B, out_channels, h, w]

    Raises:
        ValueError: In training with a batch of one image per device, where batch norm has a single
            value for each channel of the map that is pooled to 1x1.
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

    def init_weights(self) -> None:
        """Initialize as mmengine does, but ``init_cfg`` last: mmcv's convolutions undo it."""
        super().init_weights()
        if self.init_cfg:
            initialize(self, self.init_cfg)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Return z as the only map of a tuple."""
        x = inputs[self.in_index]  # [B, in_channels, h, w]
        if self.training:
            self._check_batch(len(x))
        return (self.bottleneck(torch.cat([x, *self._levels(x)], dim=1)),)

    def _levels(self, x: Tensor) -> list[Tensor]:
        """Return what ``self.pyramid(x)`` does, in its weights, at x's size: [B, D', h, w] each."""
        pooled = pool(x, self.pyramid.pool_scales)
        convolutions = [convolution for _, convolution in self.pyramid]
        return [
            upsample(convolution(part), x, self.pyramid.align_corners)
            for convolution, part in zip(convolutions, pooled, strict=True)
        ]

    def _check_batch(self, size: int) -> None:
        if size != 1 or 1 not in self.pyramid.pool_scales:
            return
        if any(
            isinstance(m, _BatchNorm) and not isinstance(m, nn.SyncBatchNorm) and m.training
            for m in self.modules()
        ):
            raise ValueError(
                'PSPNeck: the encoder got a batch of 1 image in training, expected at least 2, '
                'because batch norm has a single value per channel where the map is pooled to 1x1. '
                'Raise labeled_per_batch / unlabeled_per_batch (and batch_size) to 2, or use '
                "norm_cfg=dict(type='SyncBN') on several GPUs"
            )
