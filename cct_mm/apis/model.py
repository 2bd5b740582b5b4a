"""Load a trained network, ready to predict."""

import copy
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from cct_mm.engine.checkpoints.loading import load_weights
from cct_mm.engine.config_file import read_config
from cct_mm.engine.config_options import merge_options
from cct_mm.models import ImageClassifier, MultiDomainSegmentor
from cct_mm.models.pretraining import skip_pretraining
from cct_mm.quiet import quiet_losses

ALL = 'all'
"""In the place of a domain's name: every domain of the network."""


def init_model(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device = 'cpu',
    domain: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> MultiDomainSegmentor:
    """Load a network for :func:`~cct_mm.apis.predict`, as ``init_model`` of mmseg does.

    Unlike mmseg's, it reads the checkpoint as data, and refuses one that does not have exactly the
    weights of the network.

    Args:
        config: Config of the network, or its path; it stays as it is.
        checkpoint: Path of its checkpoint; None leaves the weights random.
        device: Where the network computes, such as ``'cuda'``.
        domain: The domain that images belong to where nothing else is said,
            ``model.default_domain``. A network with one domain needs none.
        cfg_options: Entries of the config to override, as ``--cfg-options`` of the tools.

    Returns:
        The network in evaluation mode, with its config as ``cfg``, and ``dataset_meta`` of the
        checkpoint, which knows the palettes.

    Raises:
        ValueError: If the network is no segmentor of this package, the domain or the device is
            unknown, or the checkpoint does not exist, is damaged, belongs to another network or
            would run code.
    """
    register_all_modules(init_default_scope=False)
    cfg = copy.deepcopy(config) if isinstance(config, Config) else read_config(Path(config))
    merge_options(cfg, cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    skip_pretraining(cfg.model)
    with quiet_losses():
        model = MODELS.build(cfg.model)
    check_segmentor(model)
    meta = {} if checkpoint is None else load_weights(model, checkpoint).get('meta', {})
    model.cfg, model.dataset_meta = cfg, meta.get('dataset_meta')
    if domain is not None:
        model.default_domain = domain
    return model.to(_device(device)).eval()


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device is {name!r}: {error}') from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'device is {device}, but PyTorch finds {torch.cuda.device_count()} GPUs, expected cpu '
            'or one of these'
        )
    return device


def check_segmentor(model: torch.nn.Module) -> None:
    """Check that a network predicts label maps of domains.

    Raises:
        ValueError: If it does not.
    """
    if isinstance(model, MultiDomainSegmentor) and not isinstance(model, ImageClassifier):
        return
    raise ValueError(
        f'the network is a {type(model).__name__}, expected a segmentor of this package, such as '
        'CCT or SupervisedSegmentor; for a plain network of mmseg take mmseg.apis.inference_model, '
        'for a classifier tools/gen_pseudo_labels.py'
    )


def domains_of(model: MultiDomainSegmentor, domain: str | None) -> list[str]:
    """Return the names of the domains that are meant.

    Args:
        model: The network.
        domain: Name of one of its domains, :data:`ALL`, or None for the default domain or the only
            one.

    Raises:
        ValueError: If there is no such domain, or None is given but there are several.
    """
    names = list(model.domains)
    if domain is None:
        domain = model.default_domain or (names[0] if len(names) == 1 else None)
    if domain in names:
        return [domain]
    if domain == ALL:
        return names
    found = 'no domain is chosen' if domain is None else f'domain {domain!r} is unknown'
    raise ValueError(
        f'{found}, expected one of {", ".join(names)}, or {ALL} for each of them; choose by '
        '--domain, in Python by the argument domain'
    )
