"""What runs were trained with: an overview, and what differs between their configs."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pprint import pformat
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from cct_mm.engine.config_options import RUNNER_KEYS

from .runs import Group

MISSING = object()
"""Stands for an entry that a config does not have."""
OF_THE_START = {'work_dir', 'load_from', 'resume', 'launcher', 'experiment_name', 'cfg'}
"""Entries that say how a training was started, not what it is."""
SCOPE = '_scope_'
"""Where mmengine notes that an entry comes from a config of mmseg."""


@dataclass(frozen=True)
class Difference:
    """An entry that is not the same in all configs.

    Args:
        key: Its dotted path.
        values: Its value in each config as text, None where it is missing.
    """

    key: str
    values: tuple[str | None, ...]


def differences(configs: Sequence[Config]) -> list[Difference]:
    """Return what differs between configs, of what the runner reads.

    Args:
        configs: The configs.
    """
    known = {*signature(Runner.__init__).parameters, *RUNNER_KEYS} - OF_THE_START - {'self'}
    contents = [config.to_dict() for config in configs]
    return list(_differences([{k: v for k, v in c.items() if k in known} for c in contents], ''))


def _differences(values: Sequence[Any], key: str):
    if all(isinstance(value, dict) for value in values):
        for name in dict.fromkeys(name for value in values for name in value if name != SCOPE):
            below = [value.get(name, MISSING) for value in values]
            yield from _differences(below, f'{key}.{name}' if key else str(name))
    elif any(value != values[0] for value in values):
        yield Difference(key, tuple(None if v is MISSING else _text(v) for v in values))


def _text(value: Any) -> str:
    return pformat(value, width=60, sort_dicts=False, compact=True)


def overview(group: Group) -> dict[str, str]:
    """Return the main settings of a group by their names; what is not known is left out.

    Args:
        group: The group, whose runs differ by their seeds.
    """
    cfg, rows = group.first.config, {}
    model = cfg.get('model', {})
    rows['Method'] = model.get('type')
    rows['Encoder'] = _network(model.get('backbone')) + _neck(model.get('neck'))
    rows['Domains'] = '; '.join(
        f'{name}: {", ".join(map(str, domain.get("classes", ())))}'
        for name, domain in model.get('domains', {}).items()
    )
    rows['Auxiliary decoders'] = ', '.join(
        f'{entry.get("num", 1)} {entry.get("type")}'
        for entry in model.get('auxiliary', {}).get('perturbations', ())
    )
    rows['Iterations'] = cfg.get('train_cfg', {}).get('max_iters')
    sampler = cfg.get('train_dataloader', {}).get('sampler', {})
    rows['Images of an iteration'] = ', '.join(
        f'{count} {kind.removesuffix("_per_batch")}'
        for kind, count in sampler.items()
        if kind.endswith('_per_batch') and count
    )
    optimizer = cfg.get('optim_wrapper', {}).get('optimizer', {})
    if optimizer:
        rows['Optimizer'] = f'{optimizer.get("type")}, learning rate {optimizer.get("lr")}'
    rows['Seeds'] = ', '.join(
        str(run.config.get('randomness', {}).get('seed', 'not set')) for run in group.runs
    )
    rows['Work dir'] = str(group.first.folder)
    return {name: str(value) for name, value in rows.items() if value not in (None, '')}


def _network(backbone: dict | None) -> str:
    if not backbone:
        return ''
    parts = [backbone.get('type'), backbone.get('model_name'), backbone.get('depth')]
    return ' '.join(str(part) for part in parts if part is not None)


def _neck(neck: dict | None) -> str:
    return f', neck {neck.get("type")}' if neck else ''
