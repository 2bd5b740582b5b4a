"""A domain file and the configs that train on it: what their texts say."""

import keyword
import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from cct_mm.names import check_domain_name

from . import templates
from .survey import Survey

LOCAL = ('data_root', 'lists', 'files', 'image', 'masks', 'resize', 'pack')
"""Variables of a domain file, which a domain cannot be called."""


@dataclass(frozen=True)
class Network:
    """A network that configs are written for."""

    crop: int  # in pixels, where images are large enough
    model: str  # file in configs/_base_/models
    schedule: str  # file in configs/_base_/schedules
    iterations: int  # of that schedule
    method: str  # file in configs/_base_/methods
    auxiliary: str  # its entry for model.auxiliary
    paramwise: str | None  # its entry for the optimizer's paramwise_cfg
    workers: int  # of the training's dataloader


NETWORKS = {
    'efficientnet-lite0': Network(
        256, 'efficientnet-lite0_jpu', 'sgd_poly_400', 400,
        'cct_small', 'small_auxiliary', 'small_paramwise', 1,
    ),
    'resnet50-d8': Network(
        512, 'resnet50-d8_psp', 'sgd_poly_4350', 4350, 'cct', 'paper_auxiliary', None, 4,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class DomainFile:
    """A domain file as configs need it."""

    name: str
    path: str
    crop: int  # side of the crops in training, in pixels
    parts: frozenset[str]  # of 'train', 'val', 'test'
    unlabeled: bool  # whether there are unlabeled images


def check_name(name: str) -> None:
    """Check that a domain's name can be a variable of its file, and of configs.

    Raises:
        ValueError: If it cannot.
    """
    check_domain_name(name)
    taken = {*LOCAL, *signature(Runner.__init__).parameters}
    if not name.isidentifier() or keyword.iskeyword(name) or name in taken or name[0] == '_':
        raise ValueError(
            f'domain {name}: configs have a variable of its name, expected letters, digits and _, '
            'and no word of Python or of configs, such as my_data'
        )


def read_domain_file(path: str) -> DomainFile:
    """Read a domain file that :func:`domain_text` has written.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is another file.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'--join {path}: no such file, expected a domain file')
    found = Config.fromfile(path)
    names = [key.removesuffix('_train') for key in found if key.endswith('_train')]
    if len(names) != 1 or f'{names[0]}_crop' not in found:
        raise ValueError(
            f'--join {path}: it has the entries {", ".join(found)}, expected NAME, NAME_train and '
            'NAME_crop, as in a domain file that tools/new_domain.py has written'
        )
    (name,) = names
    parts = frozenset(part for part in ('train', 'val', 'test') if f'{name}_{part}' in found)
    unlabeled = 'unlabeled' in found[f'{name}_train']
    return DomainFile(name, osp.abspath(path), found[f'{name}_crop'], parts, unlabeled)


def check_together(domains: Sequence[DomainFile]) -> None:
    """Check that one network can have these domains.

    Raises:
        ValueError: If two have one name, or crops differ.
    """
    names = [domain.name for domain in domains]
    for i, domain in enumerate(domains):
        if domain.name in names[:i]:
            raise ValueError(f'--join: two domains are called {domain.name}, expected two names')
        if domain.crop != domains[0].crop:
            raise ValueError(
                f'--join: crops are {domains[0].crop} pixels in {domains[0].path} and '
                f'{domain.crop} in {domain.path}, expected one size; write the second anew with '
                f'--join {domains[0].path}, from where it takes its crop'
            )


def domain_text(name: str, found: Survey, crop: int, notes: Sequence[str]) -> str:
    """Return the text of a domain file.

    Args:
        name: Of the domain.
        found: Its data.
        crop: Side of the crops in training, in pixels.
        notes: What was found and chosen, for its header.
    """
    here = found.masks.in_colors
    return templates.DOMAIN.render(
        name=name,
        notes=notes,
        root=found.root,
        classes=found.classes.names,
        things=found.things,
        weights=found.class_weights(),
        palette=found.palette(),
        masks_here=here,
        image=_arguments(orientation=found.images.orientation, max_value=found.images.max_value),
        # Masks that are written anew hold the classes themselves.
        masks=_arguments(label_map=None if here else found.classes.label_map or None),
        crop=crop,
        unlabeled=found.unlabeled,
        evaluated=[part for part in ('val', 'test') if found.split[part]],
    )


def _arguments(**given: Any) -> str:
    return ''.join(f', {key}={value!r}' for key, value in given.items() if value is not None)


def training_texts(
    domains: Sequence[DomainFile], network: Network, base: str, out: str
) -> dict[str, str]:
    """Return the configs that train on domains, by the names of their files.

    Args:
        domains: One or several.
        network: The network.
        base: The folder ``configs/_base_`` of this package.
        out: Folder of the configs. From outside of a clone, their paths to ``base`` are absolute,
            so that ``out`` can be moved; inside, a clone can be moved with them.
    """

    def path(file: str) -> str:
        package = Path(base).parents[1]
        outside = Path(file).is_relative_to(package) and not Path(out).is_relative_to(package)
        return file if outside else osp.relpath(file, out)

    parts = ('default_runtime', 'augmentations/weak', f'models/{network.model}')
    bases = [f'{base}/{part}.py' for part in (*parts, f'schedules/{network.schedule}')]
    name = '-'.join(domain.name for domain in domains)
    texts = {
        f'supervised_{name}.py': templates.SUPERVISED.render(
            domains=domains,
            bases=[path(file) for file in (*bases, *(domain.path for domain in domains))],
            crop=domains[0].crop,
            workers=network.workers,
            validated=[domain for domain in domains if 'val' in domain.parts],
            tested=[domain for domain in domains if domain.parts & {'val', 'test'}],
            untested=[domain for domain in domains if not domain.parts & {'val', 'test'}],
        )
    }
    if any(domain.unlabeled for domain in domains):
        each = ', '.join(f'{d.name}={4 if d.unlabeled else 0}' for d in domains)
        everywhere = all(domain.unlabeled for domain in domains)
        texts[f'cct_{name}.py'] = templates.CCT.render(
            name=name,
            domains=domains,
            method=path(f'{base}/methods/{network.method}.py'),
            auxiliary=network.auxiliary,
            paramwise=network.paramwise,
            # A number stands in the base of the config.
            unlabeled_per_batch='4' if everywhere else f'dict(_delete_=True, {each})',
        )
        texts[f'recommended_{name}.py'] = templates.RECOMMENDED.render(
            name=name,
            domains=domains,
            strong=path(f'{base}/methods/recommended_strong.py'),
        )
    return texts
