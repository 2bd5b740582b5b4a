"""From a packed sample back to an image, for test-time augmentation."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class UnpackInputs(BaseTransform):
    """Undo ``PackSegInputs``, so that further transforms can follow the pipeline of a source.

    ``tta_pipeline`` in ``configs/_base_/default_runtime.py`` begins with it: each domain has a
    pipeline of its own, with its own size, and mmseg's ``TestTimeAug`` follows. The labels are
    packed again as they are, whatever happens to the image.

    Required keys: ``inputs``, ``data_samples``. Added keys: ``img``, ``img_shape``, the sample's
    meta information and, where it is labeled, ``gt_seg_map``.
    """

    def transform(self, results: dict) -> dict:
        """Return the image and all that the sample knows of it."""
        sample = results['data_samples']
        image = np.ascontiguousarray(results['inputs'].permute(1, 2, 0).numpy())
        unpacked = dict(sample.metainfo, img=image, img_shape=image.shape[:2])
        if 'gt_sem_seg' in sample:
            # Not in seg_fields, which transforms of the image change with it.
            unpacked['gt_seg_map'] = sample.gt_sem_seg.data.squeeze(0).numpy()
        return unpacked
