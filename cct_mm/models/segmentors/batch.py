"""The images of one iteration that a loss treats alike."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from cct_mm.labels import IGNORE_INDEX, SUPERVISIONS, has_background
from cct_mm.models.strong_views import StrongView
from cct_mm.models.transfer import stack_on


@dataclass
class Batch:
    """Images of one domain with the same kind of supervision.

    Args:
        images: Normalized and padded, [B, 3, H, W].
        samples: Their data samples, which hold labels (if any), further views and meta information.
        features: h(images), the encoder's maps, [B, D, h, w] each; empty until they are encoded.
        prob: y^u, what the losses on unlabeled images hold the network to, [B, C, H, W]; None until
            a method has asked for it.
        strong: The encoded strong views of the images, and what CutMix has done; None until a
            method has asked for them.
        maps: The backbone's maps, where they are known before the images are encoded, [B, D, h, w]
            each; a ``CachedFeaturesDataset`` brings them.
    """

    images: Tensor
    samples: list[SegDataSample]
    features: Sequence[Tensor] = ()
    prob: Tensor | None = None
    strong: tuple['Batch', StrongView] | None = None
    maps: Sequence[Tensor] = ()

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
        sizes = [tuple(sample.metainfo['img_shape'][:2]) for sample in self.samples]
        if all(size == self.size for size in sizes):
            valid = torch.ones(
                len(self), 1, *self.size, dtype=torch.bool, device=self.images.device
            )
        else:
            valid = _inside(sizes, self.size, self.images.device)
        filled = self._filled()
        return valid if filled is None else valid & ~filled

    def _filled(self) -> Tensor | None:
        """Return True where a transform has filled an image, [B, 1, H, W], or None if nowhere."""
        if not any('filled' in sample for sample in self.samples):
            return None
        nowhere = torch.zeros(1, *self.size, dtype=torch.bool, device=self.images.device)
        maps = [sample.filled.data if 'filled' in sample else nowhere for sample in self.samples]
        return torch.stack([_padded(map_, self.size) for map_ in maps])

    def among_named(self, prob: Tensor, classes: Sequence[str]) -> Tensor:
        """Return predictions among the classes that each image is known to have, and background.

        What an image's label names, ``image_labels`` of its sample, is what its pixels can be; the
        probabilities of all other classes go to these. Images without such a label stay as they
        are, and so do those that have further classes which the domain leaves out.

        Args:
            prob: Probabilities, [B, C, H, W].
            classes: The domain's classes; class 0 is always possible where it is background.

        Returns:
            Tensor: Probabilities, [B, C, H, W].

        Raises:
            ValueError: If an image has a label, and nothing says whether it names all classes.
        """
        everywhere = (0,) if has_background(classes) else ()
        named = [
            (*everywhere, *sample.metainfo['image_labels']) if _is_named(sample) else ()
            for sample in self.samples
        ]
        if not any(named):
            return prob
        count = prob.shape[1]
        possible = [torch.tensor([not own or i in own for i in range(count)]) for own in named]
        kept = stack_on(prob.device, possible)[:, :, None, None]
        # So that what is left is above 0 where the network is certain of another class.
        prob = prob.clamp(min=torch.finfo(prob.dtype).tiny) * kept
        return prob / prob.sum(dim=1, keepdim=True)

    def pseudo_labels(self) -> Tensor | None:
        """Return y_p of the weakly labeled images, 255 elsewhere: [B, H, W], int64.

        Returns:
            None where no image is weakly labeled.

        Raises:
            ValueError: If a weakly labeled image comes without its pseudo-labels.
        """
        if not any(sample.metainfo['supervision'] == 'weak' for sample in self.samples):
            return None
        shape = (1, *self.size)
        none = self.images.new_full(shape, IGNORE_INDEX, dtype=torch.int64)
        labels = []
        for sample in self.samples:
            weak = sample.metainfo['supervision'] == 'weak'
            if weak and 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'{sample.metainfo["domain"]}, weak source: '
                    f'{sample.metainfo.get("img_path")} comes without pseudo-labels, expected '
                    'a label map; make them with tools/gen_pseudo_labels.py, and load them in '
                    'its pipeline with LoadCheckedAnnotations'
                )
            labels.append(sample.gt_sem_seg.data.long().view(shape) if weak else none)
        return torch.cat(labels)


def _is_named(sample: SegDataSample) -> bool:
    """Tell whether an image has a label that names all that it shows."""
    meta = sample.metainfo
    if meta.get('image_labels') is None:
        return False
    if 'image_labels_complete' not in meta:
        raise ValueError(
            f'{meta.get("domain")}, {meta.get("supervision")} source: {meta.get("img_path")} comes '
            'with image_labels and without image_labels_complete, expected both, because an image '
            'that also shows classes the domain leaves out may be of any class; add '
            "'image_labels_complete' to the meta_keys of PackSegInputs, or leave 'image_labels' out"
        )
    return meta['image_labels_complete']


def _inside(
    sizes: Sequence[tuple[int, int]], padded: tuple[int, int], device: torch.device
) -> Tensor:
    """Return True in the upper left part of each map that has the image's size, [B, 1, H, W]."""
    limits = stack_on(device, [torch.tensor(sizes)])[0, :, :, None]  # [B, 2, 1]
    rows, columns = (torch.arange(side, device=device) for side in padded)
    return (rows < limits[:, 0])[:, None, :, None] & (columns < limits[:, 1])[:, None, None, :]


def _padded(map_: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a map of booleans, [1, h, w], with False up to the size, [1, H, W]."""
    down, across = (full - side for full, side in zip(size, map_.shape[1:], strict=True))
    return F.pad(map_, (0, across, 0, down)) if down or across else map_


def select(inputs: Tensor, data_samples: list[SegDataSample], *supervisions: str) -> Batch:
    """Return the images that have one of these kinds of supervision.

    Args:
        inputs: All images of the iteration, [B, 3, H, W].
        data_samples: Their samples.
        *supervisions: Some of :data:`~cct_mm.labels.SUPERVISIONS`.
    """
    chosen = [s.metainfo['supervision'] in supervisions for s in data_samples]
    # The labeled images come first, so that this is mostly one slice. A list of indices would be
    # copied to the device, which waits for it.
    runs, start = [], 0
    for taken, run in itertools.groupby(chosen):
        end = start + len(list(run))
        if taken:
            runs.append(inputs[start:end])
        start = end
    images = torch.cat(runs) if len(runs) > 1 else runs[0] if runs else inputs[:0]
    samples = list(itertools.compress(data_samples, chosen))
    maps = [sample.backbone_maps for sample in samples if 'backbone_maps' in sample]
    stacked = [stack_on(images.device, level).float() for level in zip(*maps, strict=True)]
    return Batch(images, samples, maps=stacked)


def join(batches: Sequence[Batch]) -> Batch:
    """Return several batches as one, before they are encoded."""
    # Not strict: where one has no maps of the backbone, there are none of all.
    levels = zip(*(batch.maps for batch in batches), strict=False)
    return Batch(
        torch.cat([batch.images for batch in batches]),
        [sample for batch in batches for sample in batch.samples],
        maps=[torch.cat(level) for level in levels],
    )


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
