"""Weights of the authors' ResNet-50 by the names of mmseg's ``ResNetV1c``."""

from mmengine.runner import CheckpointLoader
from torch import Tensor

PREFIX = 'deep-stem://'

STEM = {'conv1': '0', 'bn1': '1', 'conv2': '3', 'bn2': '4', 'conv3': '6', 'bn3': '7'}
"""The layers of the stem, and their places in mmseg's."""


@CheckpointLoader.register_scheme(prefixes=PREFIX)
def load_deep_stem(filename: str, map_location: str | None = None) -> dict[str, Tensor]:
    """Load weights whose stem has its layers side by side with the stages.

    Args:
        filename: ``deep-stem://`` and what mmengine loads: a path or a URL.
        map_location: As for ``torch.load``.
    """
    path = filename.removeprefix(PREFIX)
    weights = CheckpointLoader.load_checkpoint(path, map_location, logger='current')
    return {_name(key): value for key, value in weights.get('state_dict', weights).items()}


def _name(key: str) -> str:
    layer, _, rest = key.partition('.')
    return f'stem.{STEM[layer]}.{rest}' if layer in STEM else key
