"""Show labels and predictions in the colors of their domain."""

import os.path as osp
from collections import Counter
from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.registry import HOOKS
from mmengine.structures import PixelData
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from torch import Tensor

LARGEST = 512
"""Longest side of a picture of the validation, in pixels."""


@VISUALIZERS.register_module(name='SegLocalVisualizer', force=True)
class DomainVisualizer(SegLocalVisualizer):
    """mmseg's visualizer, registered under its name so that existing configs use this one.

    Where ``dataset_meta`` knows several data sets, as that of a ``MultiDomainDataset`` does, a
    sample is drawn with the classes and the palette of its domain, whose name begins the picture's:
    files of several domains may have one name. All else is drawn as by mmseg's.
    """

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        *args,
        out_file: str | None = None,
        **kwargs,
    ) -> None:
        """Draw a sample; the arguments are mmseg's."""
        meta = self.dataset_meta
        domain = None if data_sample is None else data_sample.metainfo.get('domain')
        if domain in meta.get('domains', ()):
            self.dataset_meta = meta['domains'][domain]
            name = f'{domain}_{name}'
            if out_file is not None:
                folder, file = osp.split(out_file)
                out_file = osp.join(folder, f'{domain}_{file}')
        try:
            super().add_datasample(name, image, data_sample, *args, out_file=out_file, **kwargs)
        finally:
            self.dataset_meta = meta


@HOOKS.register_module()
class DomainVisualizationHook(SegVisualizationHook):
    """mmseg's ``SegVisualizationHook``, and a few pictures of each domain in every validation.

    These are always of the same images, labels on the left and prediction on the right, at most
    :data:`LARGEST` pixels wide, so that one can follow them through the training, in TensorBoard
    for example.

    Args:
        draw: As in mmseg: draw every prediction of a test, and in validation each ``interval``-th.
        val_pictures: How many pictures of each domain a validation draws where ``draw`` is False.
        **kwargs: As for mmseg's hook.
    """

    def __init__(self, draw: bool = False, val_pictures: int = 0, **kwargs) -> None:
        # mmseg's would warn that nothing is drawn.
        super().__init__(draw=True, **kwargs)
        self.draw = draw
        self.val_pictures = val_pictures
        self._drawn: Counter[str] = Counter()

    def before_val(self, runner) -> None:
        """Begin to count."""
        self._drawn.clear()

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw the first images of each domain."""
        if self.draw:
            super().after_val_iter(runner, batch_idx, data_batch, outputs)
        if self.draw or not is_main_process():
            return
        for inputs, sample in zip(data_batch['inputs'], outputs, strict=True):
            domain = sample.metainfo.get('domain')
            # A classifier predicts no map.
            if self._drawn[domain] < self.val_pictures and 'pred_sem_seg' in sample:
                self._drawn[domain] += 1
                image, small = shrunk(inputs, sample)
                name = f'val_{osp.splitext(osp.basename(sample.img_path))[0]}'
                self._visualizer.add_datasample(name, image, small, step=runner.iter)


def shrunk(inputs: Tensor, sample: SegDataSample) -> tuple[np.ndarray, SegDataSample]:
    """Return an image as the network gets it, with its label maps, for a small picture.

    Args:
        inputs: BGR image, [3, H, W].
        sample: Its labels and its prediction, of any size.

    Shape:
        - output: the image, [h, w, 3], RGB, uint8; label maps [1, h, w], h and w <= LARGEST
    """
    height, width = inputs.shape[1:]
    factor = min(1, LARGEST / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    image = inputs.permute(1, 2, 0).cpu().numpy().clip(0, 255).astype(np.uint8)
    image = mmcv.imresize(image, size, interpolation='area')[..., ::-1]
    small = SegDataSample(metainfo=sample.metainfo)
    for key in ('gt_sem_seg', 'pred_sem_seg'):
        if key in sample:
            labels = sample.get(key).data.squeeze(0).cpu().numpy().astype(np.uint8)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            small.set_field(PixelData(data=torch.from_numpy(labels)[None].long()), key)
    return np.ascontiguousarray(image), small
