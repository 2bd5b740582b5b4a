"""The classification branch g_c (paper, Section 3.3): global average pooling and a linear layer."""

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class ClassificationHead(BaseDecodeHead):
    """Scores of classes at each position of a map, whose mean over positions classifies the image.

    Pooling and a linear layer commute, so the layer is applied at every position first: the mean of
    its output is that of the usual branch, and its output is what class activation maps show.

    Args:
        in_channels: Channels of the encoder's map.
        num_classes: Number of classes C of the domain, background included. Each has a score; that
            of background is not trained, for it is in every image.
        in_index: Which of the encoder's maps.
        loss_decode: Of segmentation heads, which a domain may bring along; not used.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        in_index: int = -1,
        loss_decode: dict | None = None,
    ) -> None:
        del loss_decode
        super().__init__(
            in_channels, in_channels, num_classes=num_classes, in_index=in_index, dropout_ratio=0
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the scores at each position, bias included.

        Shape:
            - features: the encoder's maps, [B, D, h, w] each
            - output: [B, C, h, w]
        """
        return self.cls_seg(self._transform_inputs(features))

    def class_activation_maps(self, features: Sequence[Tensor]) -> Tensor:
        """Return M_c = max(0, w_c z), the share of each position in the score of class c.

        As in Zhou et al. (the paper's [61]) the bias, which has no place, is left out.

        Shape:
            - features: the encoder's maps, [B, D, h, w] each
            - output: [B, C, h, w], >= 0
        """
        return F.relu(F.conv2d(self._transform_inputs(features), self.conv_seg.weight))

    def pool(self, scores: Tensor, valid: Tensor) -> Tensor:
        """Return the mean over the positions that show the image and not padding.

        Shape:
            - scores: [B, C, h, w]
            - valid: [B, 1, H, W], bool
            - output: [B, C]
        """
        weight = F.interpolate(valid.to(scores.dtype), scores.shape[2:], mode='nearest')
        return (scores * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp(min=1)

    def loss(self, *args, **kwargs) -> dict[str, Tensor]:
        """Refuse to be trained as a segmentation head."""
        raise NotImplementedError(
            "ClassificationHead is for model=dict(type='ImageClassifier'), not for segmentation"
        )

    loss_by_feat = loss


def image_level_targets(samples: Sequence, num_classes: int, device: torch.device) -> Tensor:
    """Return the image-level labels of samples as 0 and 1: [B, C].

    Raises:
        ValueError: If a sample has none.
    """
    targets = torch.zeros(len(samples), num_classes, device=device)
    for target, sample in zip(targets, samples, strict=True):
        labels = sample.metainfo.get('image_labels')
        if labels is None:
            raise ValueError(
                f'{sample.metainfo.get("domain")}: {sample.metainfo.get("img_path")} comes without '
                'image-level labels; add LoadImageLabels to the pipeline of its source, and '
                '"image_labels" to the meta_keys of PackSegInputs'
            )
        target[list(labels)] = 1
    return targets
