"""Predictions as files, one for each image, as mmseg's ``test.py --out`` asks a metric for them."""

from pathlib import Path

import cv2
import numpy as np

from cct_mm.files import write_atomically


class PredictionFiles:
    """Writes label maps as PNGs, named after their images.

    Where there are several domains, each has a folder, because images of two may have one name.

    Args:
        folder: Where to write.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._images: dict[Path, str] = {}

    def write(self, sample: dict, folder: str) -> None:
        """Write the prediction of an image.

        Args:
            sample: A data sample as metrics get it.
            folder: Name of the subfolder, or ''.

        Raises:
            ValueError: If an image of the same name was there before.
        """
        image = sample['img_path']
        path = self.folder / folder / f'{Path(image).stem}.png'
        other = self._images.setdefault(path, image)
        if other != image:
            raise ValueError(
                f'{path} is the prediction of {other} and of {image}, expected images of different '
                'names; evaluate them one after another, into two folders'
            )
        labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy().astype(np.uint8)
        # Of such data sets label 0 means nothing in files, and the first class is 1.
        labels += bool(sample.get('reduce_zero_label'))
        write_atomically(path, cv2.imencode('.png', labels)[1].tobytes())
