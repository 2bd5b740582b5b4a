"""Networks whose checkpoint brings every weight need no pretrained ones."""

import inspect

from mmseg.registry import MODELS


def skip_pretraining(model: dict) -> None:
    """Change a network's config such that its backbone neither reads nor downloads weights.

    Without it, a trained network could not be built where its pretrained weights are not: mmseg's
    backbones read them when weights are initialized, ``TIMMBackbone`` downloads them at once.

    Args:
        model: Config of the network.
    """
    backbone = model['backbone']
    model.pop('pretrained', None)
    backbone['init_cfg'] = None
    if 'checkpoint_path' in backbone:
        # A file for timm.
        backbone['checkpoint_path'] = ''
    kind = MODELS.get(backbone['type']) if isinstance(backbone['type'], str) else backbone['type']
    parameter = inspect.signature(kind).parameters.get('pretrained') if kind else None
    # By default a TIMMBackbone downloads.
    given = backbone.get('pretrained', parameter and parameter.default)
    if given:
        backbone['pretrained'] = False if isinstance(given, bool) else None
