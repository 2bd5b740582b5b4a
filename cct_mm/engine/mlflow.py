"""mmengine's MLflow backend, with the pictures of all validations."""

import os.path as osp

import numpy as np
from mmengine import visualization
from mmengine.registry import VISBACKENDS


@VISBACKENDS.register_module(force=True)
class MLflowVisBackend(visualization.MLflowVisBackend):
    """mmengine's backend, registered under the same name so that existing configs use this one.

    A picture is called as mmengine's ``LocalVisBackend`` calls it, ``NAME_STEP.png``. MLflow takes
    the format of a file from its suffix, which names need not have, and mmengine's backend would
    replace the picture of one validation by that of the next. The arguments are mmengine's.
    """

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Save a picture, RGB, [H, W, 3], uint8, as an artifact of the run."""
        super().add_image(f'{osp.splitext(name)[0]}_{step}.png', image, step, **kwargs)
