"""Show labels and predictions in the colors of their domain."""

import os.path as osp
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.dist import is_main_process
from mmengine.registry import HOOKS
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from torch import Tensor

from cct_mm.visualization import colorize, overlay, viewable

LARGEST = 512
"""Longest side of an image in a picture of the validation, in pixels."""


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

    These are always of the same images, beside each its labels, where it has them, and its
    prediction, so that one can follow them through the training, in TensorBoard for example.

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
                palette = self._visualizer.dataset_meta['domains'][domain]['palette']
                name = f'{domain}_val_{osp.splitext(osp.basename(sample.img_path))[0]}'
                # Not by add_datasample, which takes a second to find places for the classes' names.
                self._visualizer.add_image(name, panels(inputs, sample, palette), runner.iter)


def panels(inputs: Tensor, sample: SegDataSample, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Return an image, its labels, if any, and its prediction side by side, small.

    Args:
        inputs: The image as the network gets it, BGR.
        sample: Its label maps, of any size.
        palette: R, G, B of each class.

    Shape:
        - inputs: [C, H, W]
        - output: [h, w, 3], RGB, uint8; no image in it is larger than :data:`LARGEST`
    """
    height, width = inputs.shape[1:]
    factor = min(1, LARGEST / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    image = viewable(inputs.permute(1, 2, 0).cpu().numpy().clip(0, 255))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    found = [image]
    for key in ('gt_sem_seg', 'pred_sem_seg'):
        if key in sample:
            labels = sample.get(key).data.squeeze(0).cpu().numpy().astype(np.uint8)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            found.append(overlay(image, colorize(labels, palette)))
    return np.hstack(found)
