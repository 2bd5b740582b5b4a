"""The config of CCT whose steps are measured, and what is changed in it."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from cct_mm.engine.config_file import read_config
from cct_mm.models.pretraining import skip_pretraining

DEFAULT_CONFIG = 'configs/cct/cct_resnet50-d8_camvid-n20.py'


def load_config(path: str, options: Sequence[str] | None = None) -> Config:
    """Read a config of CCT.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It trains something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'config {path} does not exist; give one with --config, or call this from the root of '
            'the repository'
        )
    cfg = read_config(path, options)
    register_all_modules(init_default_scope=True)
    if not cfg.get('model', {}).get('auxiliary'):
        raise ValueError(
            f'{path}: its model has no auxiliary decoders, expected a config of CCT such as '
            f'{DEFAULT_CONFIG}; give one with --config'
        )
    _complete_decoders(cfg)
    return cfg


def _complete_decoders(cfg: Config) -> None:
    """Say what z is like where the config leaves it to CCT to measure it."""
    auxiliary = cfg.model.auxiliary
    if not {'in_channels', 'stride'} <= auxiliary.keys():
        skip_pretraining(cfg.model)
        (bank, *_) = (domain.auxiliary for domain in MODELS.build(cfg.model).domains.values())
        auxiliary.in_channels, auxiliary.stride = bank.in_channels, bank.stride


def with_decoders(entries: Sequence[dict], count: int) -> list[dict]:
    """Return the same mix of perturbations with another number of decoders.

    The numbers are rounded by largest remainders.

    Example:
        >>> with_decoders([dict(type='F-Drop', num=6), dict(type='I-VAT', num=2)], 4)
        [{'type': 'F-Drop', 'num': 3}, {'type': 'I-VAT', 'num': 1}]
    """
    own = [entry.get('num', 1) for entry in entries]
    exact = [number * count / sum(own) for number in own]
    counts = [int(number) for number in exact]
    by_remainder = sorted(range(len(own)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return [{**entry, 'num': n} for entry, n in zip(entries, counts, strict=True) if n]


def set_domains(cfg: Config, classes: int, domains: int) -> None:
    """Give the model that many domains and classes; all classes but the first are foreground."""
    own = next(iter(cfg.model.domains.values()))
    names = ['background', *(f'class {i}' for i in range(1, classes))]
    cfg.model.domains = {
        f'domain{i}': {**own, 'classes': names, 'foreground': names[1:]} for i in range(domains)
    }
