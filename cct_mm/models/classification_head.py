"""The classification branch g_c (paper, Section 3.3): global average pooling and a linear layer."""

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class ClassificationHead(BaseDecodeHead):
    """Compute scores of classes at each position, whose mean over positions classifies the image.

    Global average pooling and a linear layer commute. So the layer is applied at every position
    first: the mean of its output is that of the usual branch, and its output at each position is
    what class activation maps show.

    Args:
        in_channels: Channels of the encoder's map.
        num_classes: Number of classes C of the domain. The score of ``background`` is not trained,
            because background is in every image.
        in_index: Index of the encoder's map that is read.
        loss_decode: Ignored; a domain's config may have it for segmentation heads.
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
        """Return the scores at each position.

        Shape:
            - features: the encoder's maps, [B, D, h, w] each
            - output: [B, C, h, w]
        """
        return self.cls_seg(self._transform_inputs(features))

    def class_activation_maps(self, features: Sequence[Tensor]) -> Tensor:
        """Return M_c = max(0, w_c z), the contribution of each position to the score of class c.

        The bias is left out, as by Zhou et al. (the paper's [61]), since it belongs to no position.

        Shape:
            - features: the encoder's maps, [B, D, h, w] each
            - output: [B, C, h, w], >= 0
        """
        return F.relu(F.conv2d(self._transform_inputs(features), self.conv_seg.weight))

    def pool(self, scores: Tensor, valid: Tensor) -> Tensor:
        """Return the mean score over the positions of the image, without its padding.

        Shape:
            - scores: [B, C, h, w]
            - valid: [B, 1, H, W], bool
            - output: [B, C]
        """
        # [B, 1, h, w]
        weight = F.interpolate(valid.to(scores.dtype), scores.shape[2:], mode='nearest')
        return (scores * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp(min=1)

    def loss(self, *args, **kwargs) -> dict[str, Tensor]:
        """Refuse to be trained as a segmentation head."""
        raise NotImplementedError(
            "ClassificationHead is for model=dict(type='ImageClassifier'), not for segmentation"
        )

    loss_by_feat = loss


def image_level_targets(samples: Sequence, num_classes: int, device: torch.device) -> Tensor:
    """Return 1 for each class that a sample's image-level labels name and 0 for the others, [B, C].

    Raises:
        ValueError: If a sample has no image-level labels.
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
