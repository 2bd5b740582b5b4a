"""Files of features: what a frozen backbone makes of an image, one file for each version of it."""

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine import fileio
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from cct_mm.result_folder import ResultFolder

LABEL_MAPS = ('gt_sem_seg', 'filled')
"""What a sample may carry beside its image."""

IMAGE_LABELS = ('image_labels', 'image_labels_complete')
"""Meta information that methods learn from, which is kept too."""


class FeatureFolder(ResultFolder):
    """The folder that the features of a source are written to.

    Its arguments and errors are those of a :class:`~cct_mm.result_folder.ResultFolder`.
    """

    WHAT = 'features'
    SETTINGS = 'features.json'
    RESULTS = ('*.npz',)
    OPTION = 'train_dataloader.dataset.cache'


def content_key(info: Mapping[str, Any], labeled: bool) -> str:
    """Return a name for the content of an image file and, if it is labeled, of its mask.

    Args:
        info: The sample's entry in its data set.
        labeled: Whether its labels are learned from. Else its mask is not opened.
    """
    content = hashlib.sha256(fileio.get(info['img_path']))
    if labeled and info.get('seg_map_path'):
        content.update(hashlib.sha256(fileio.get(info['seg_map_path'])).digest())
    return content.hexdigest()[:24]


def features_to_bytes(sample: Mapping[str, Any], maps: Sequence[Tensor], dtype: str) -> bytes:
    """Return the content of a file: an archive of NumPy, which has a checksum for each array.

    Args:
        sample: A packed sample of a pipeline, whose image is kept, too.
        maps: The backbone's maps of it, [D, h, w] each.
        dtype: ``'float16'`` or ``'float32'``, in which they are kept.

    Raises:
        ValueError: If the sample carries what a file does not keep, or float16 is too small.
    """
    image, data = sample['inputs'], sample['data_samples']
    if further := set(data.keys()).difference(LABEL_MAPS):
        raise ValueError(
            f'{data.get("img_path")} carries {", ".join(sorted(further))}, expected no more than '
            f'{" and ".join(LABEL_MAPS)}, which features are kept with; train without a cache'
        )
    arrays = {'image': image.numpy()}
    for i, level in enumerate(maps):
        arrays[f'map{i}'] = kept = level.cpu().to(getattr(torch, dtype)).numpy()
        if not np.isfinite(kept).all():
            raise ValueError(
                f'{data.get("img_path")}: map {i} of the backbone has values up to '
                f'{level.abs().max():.3g}, expected less than float16 can hold, 65504; set '
                "train_dataloader.dataset.dtype='float32'"
            )
    for name in data.keys():
        labels = data.get(name).data.numpy()
        # Labels are 0 to 255, which mmseg stores in eight bytes.
        arrays[name] = labels.astype(np.uint8) if labels.dtype == np.int64 else labels
    known = {name: data.metainfo[name] for name in IMAGE_LABELS if name in data.metainfo}
    # No labels are an empty array, which would be one of floats.
    arrays |= {name: np.array(value, dtype=np.int64) for name, value in known.items()}
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def read_features(path: str | os.PathLike) -> dict[str, Any]:
    """Return a packed sample that has ``backbone_maps``, as :func:`features_to_bytes` kept it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: torch.from_numpy(content[name]) for name in content.files}
        image = arrays.pop('image')
        maps = [arrays.pop(f'map{i}') for i in range(len(arrays)) if f'map{i}' in arrays]
        known = {name: arrays.pop(name).tolist() for name in IMAGE_LABELS if name in arrays}
    except FileNotFoundError:
        raise
    # In damaged archives the readers of zip and NumPy stumble over anything.
    except Exception as error:
        raise ValueError(
            f'{path} is damaged ({type(error).__name__}: {error}), expected features; run '
            'tools/cache_features.py again, which makes it anew'
        ) from None
    sample = SegDataSample(metainfo=dict(img_shape=tuple(image.shape[1:])))
    if 'image_labels' in known:
        sample.set_metainfo(dict(image_labels=tuple(known['image_labels'])))
    if 'image_labels_complete' in known:
        sample.set_metainfo(dict(image_labels_complete=bool(known['image_labels_complete'])))
    for name, labels in arrays.items():
        # By name, because files of before hold booleans as numbers.
        labels = labels.bool() if name == 'filled' else labels.long()
        setattr(sample, name, PixelData(data=labels))
    sample.backbone_maps = tuple(maps)
    return dict(inputs=image, data_samples=sample)
