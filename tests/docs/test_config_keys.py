"""docs/config_keys.md has every key of every config, and the classes' arguments and defaults."""

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
from doc_pages import commands
from mmengine.config import Config
from mmengine.runner import Runner

from cct_mm import datasets, models
from cct_mm.models.adversarial import DomainDiscriminator
from cct_mm.models.domain import Domain
from cct_mm.models.segmentors.weak_to_strong import StrongConsistency
from cct_mm.models.strong_views import StrongViews
from cct_mm.schedules import RampUp

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/config_keys.md'
TEXT = (ROOT / PAGE).read_text(encoding='utf-8')
ROWS = dict(re.findall(r'^\| `([\w.]+)` \| .*? \| ([^|]*) \|[^|]*\|$', TEXT, re.MULTILINE))
CONFIGS = sorted(
    path for path in (ROOT / 'configs').glob('*/*.py') if path.parent.name not in ('_base_', 'zoo')
)
CLASSES = {
    'model': (
        models.MultiDomainSegmentor,
        models.CCT,
        models.MeanTeacher,
        models.WeakToStrong,
        models.EntropyMinimization,
        models.PseudoLabeling,
        models.InputVAT,
        models.CrossPseudoSupervision,
    ),
    'model.decode_head': (models.SubPixelHead, models.ClassificationHead),
    'model.domains.NAME': (Domain,),
    'model.auxiliary': (models.AuxiliaryBank,),
    'model.loss_consistency': (models.ConsistencyLoss,),
    'model.unsupervised_weight': (RampUp,),
    'model.strong': (StrongConsistency,),
    'model.strong.augmentation': (StrongViews,),
    'model.discriminator': (DomainDiscriminator,),
    'X_dataloader.sampler': (datasets.AlternatingDomainSampler,),
    'X_dataloader.dataset': (datasets.MultiDomainDataset, datasets.CachedFeaturesDataset),
}
# What the package fills in itself.
FILLED_IN = {'name', 'num_classes', 'dataset', 'seed', 'domains', 'kwargs', 'self'}


def keys_of(value, path=''):
    """Dotted keys of all values in a config; lists are values."""
    if not isinstance(value, dict) or not value:
        yield path
        return
    for key, entry in value.items():
        yield from keys_of(entry, f'{path}.{key}' if path else key)


def in_general(key):
    """A key with the placeholders of the page."""
    key = re.sub(r'^(train|val|test)_dataloader', 'X_dataloader', key)
    key = re.sub(r'\bdomains\.\w+', 'domains.NAME', key)
    return re.sub(r'NAME\.(labeled|unlabeled|weak)\b', 'NAME.KIND', key)


def covered(key):
    """Whether the page has the key, or explains all of an entry above it."""
    parts = key.split('.')
    above = ['.'.join(parts[:n]) for n in range(len(parts), 0, -1)]
    return any(prefix in ROWS for prefix in above)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_every_key_of_a_config_is_explained(path):
    keys = {in_general(key) for key in keys_of(Config.fromfile(path).to_dict())}
    # Other names are parts for configs to pick from, which do nothing by themselves.
    read = {*inspect.signature(Runner).parameters, *(row.split('.')[0] for row in ROWS)}
    unexplained = {key for key in keys if not covered(key)}
    assert sorted(key for key in unexplained if key.split('.')[0] in read) == []


@pytest.mark.parametrize('prefix', CLASSES)
def test_every_argument_is_there_with_its_default(prefix):
    for cls in CLASSES[prefix]:
        for name, parameter in inspect.signature(cls).parameters.items():
            if name in FILLED_IN:
                continue
            key = f'{prefix}.{name}'
            assert covered(key) or any(row.startswith(f'{key}.') for row in ROWS), key
            # A default in words is one of mmseg, or none.
            if parameter.default is not parameter.empty and is_literal(ROWS.get(key, '–')):
                assert ast.literal_eval(ROWS[key]) == parameter.default, key


def is_literal(text):
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True


def test_the_command_shows_a_config(monkeypatch, capsys):
    (command,) = commands(PAGE)
    python, option, code = shlex.split(command)
    assert (python, option) == ('python', '-c')
    monkeypatch.chdir(ROOT)
    exec(code)
    assert 'perturbations' in capsys.readouterr().out
