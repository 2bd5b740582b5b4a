"""Test-time augmentation of a network with a head for each domain."""

import warnings

from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample


@MODELS.register_module()
class DomainTTAModel(SegTTAModel):
    """mmseg's mean over versions of an image (paper, Supplement F), each image by its domain.

    mmseg's ``test.py --tta`` and ours put the segmentor into ``tta_model`` of the config and
    ``tta_pipeline``, which makes the versions, behind the pipelines of the test images.
    """

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """Return for each image the sample with the class of the highest mean probability.

        Args:
            data_samples_list: For each image its versions, tagged with ``domain``.
        """
        merged = []
        for versions in data_samples_list:
            # mmseg asks the segmentor for its number of channels, which depends on the domain.
            with self.module.active(versions[0].metainfo['domain']), warnings.catch_warnings():
                # mmseg hands over labels [H, W], and mmengine says for each image what it makes.
                warnings.filterwarnings('ignore', 'The shape of value will convert')
                merged += super().merge_preds([versions])
        return merged
