"""The images of one iteration that a loss treats alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX, SUPERVISIONS


@dataclass
class Batch:
    """Images of one domain with the same kind of supervision.

    Args:
        images: Normalized and padded, [B, 3, H, W].
        samples: Their data samples, which hold labels (if any), further views and meta information.
        features: h(images), the encoder's maps, [B, D, h, w] each; empty until they are encoded.
    """

    images: Tensor
    samples: list[SegDataSample]
    features: Sequence[Tensor] = ()

    def __len__(self) -> int:
        """Return B."""
        return len(self.samples)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, padding included."""
        return tuple(self.images.shape[2:])

    def valid(self) -> Tensor:
        """Return True where the image is, False on padding and filling: [B, 1, H, W], bool.

        The preprocessor pads; a transform such as RandomRotate fills, see
        :mod:`cct_mm.datasets.filling`.
        """
        valid = torch.ones(len(self), 1, *self.size, dtype=torch.bool, device=self.images.device)
        for mask, sample in zip(valid, self.samples, strict=True):
            height, width = sample.metainfo['img_shape'][:2]
            mask[:, height:] = False
            mask[:, :, width:] = False
            if 'filled' in sample:
                filled = sample.filled.data
                mask[:, : filled.shape[1], : filled.shape[2]] &= ~filled
        return valid

    def pseudo_labels(self) -> Tensor | None:
        """Return y_p of the weakly labeled images, 255 elsewhere: [B, H, W], int64.

        Returns:
            None where no image is weakly labeled.

        Raises:
            ValueError: If a weakly labeled image comes without its pseudo-labels.
        """
        if not any(sample.metainfo['supervision'] == 'weak' for sample in self.samples):
            return None
        labels = self.images.new_full((len(self), *self.size), IGNORE_INDEX, dtype=torch.int64)
        for own, sample in zip(labels, self.samples, strict=True):
            if sample.metainfo['supervision'] == 'weak':
                if 'gt_sem_seg' not in sample:
                    raise ValueError(
                        f'{sample.metainfo["domain"]}, weak source: '
                        f'{sample.metainfo.get("img_path")} comes without pseudo-labels, expected '
                        'a label map; make them with tools/gen_pseudo_labels.py, and load them in '
                        'its pipeline with LoadCheckedAnnotations'
                    )
                own.copy_(sample.gt_sem_seg.data.squeeze(0))
        return labels


def select(inputs: Tensor, data_samples: list[SegDataSample], *supervisions: str) -> Batch:
    """Return the images that have one of these kinds of supervision.

    Args:
        inputs: All images of the iteration, [B, 3, H, W].
        data_samples: Their samples.
        *supervisions: Some of :data:`~cct_mm.labels.SUPERVISIONS`.
    """
    chosen = [i for i, s in enumerate(data_samples) if s.metainfo['supervision'] in supervisions]
    return Batch(inputs[chosen], [data_samples[i] for i in chosen])


def check_supervision(data_samples: Sequence[SegDataSample]) -> None:
    """Check that every sample says which kind of supervision it has.

    Raises:
        ValueError: If one does not, or says something else.
    """
    found = {sample.metainfo.get('supervision') for sample in data_samples}
    if unknown := found - set(SUPERVISIONS):
        raise ValueError(
            f'a sample has supervision {unknown.pop()!r} in its metainfo, expected one of '
            f'{", ".join(SUPERVISIONS)}; train on a MultiDomainDataset, which tags its samples'
        )


def check_sizes(data_samples: Sequence[SegDataSample]) -> None:
    """Check that all images of a batch have one size.

    mmseg would pad the smaller ones, but different sizes mostly mean a forgotten Resize or crop.
    Where the preprocessor has a ``size`` to pad to, padding is meant, and this is not called.

    Raises:
        ValueError: If sizes differ.
    """
    sizes = {tuple(sample.metainfo['img_shape'][:2]): sample for sample in data_samples}
    if len(sizes) > 1:
        found = ', '.join(
            f'{height}x{width} ({sample.metainfo.get("img_path", "no path")})'
            for (height, width), sample in sizes.items()
        )
        raise ValueError(
            f'a batch holds images of sizes {found}, expected one size for all labeled and '
            'unlabeled images of a domain: give the pipelines of both sources the same Resize '
            'or crop'
        )
