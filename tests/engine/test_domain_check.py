"""Before training, model, data and sampler have to speak of the same domains."""

import re
from types import SimpleNamespace
from unittest import mock

import pytest
from mmengine.registry import HOOKS
from torch.nn import DataParallel
from torch.utils.data import SequentialSampler

from cct_mm.datasets import AlternatingDomainSampler
from cct_mm.engine import DomainCheckHook

GOOD = {'day': ('sky', 'ground', 'car'), 'night': ('sky', 'lamp')}
EVENTS = ['train', 'val', 'test']


def test_is_registered_in_mmengine():
    assert HOOKS.get('DomainCheckHook') is DomainCheckHook


def loader(domains, batch_size=8, labeled=4, unlabeled=4):
    dataset = mock.MagicMock(domains=list(domains))
    dataset.metainfo = dict(domains={name: dict(classes=c) for name, c in domains.items()})
    sampler = AlternatingDomainSampler(dataset, labeled, unlabeled, seed=0)
    return SimpleNamespace(dataset=dataset, sampler=sampler, batch_size=batch_size)


def check(runner, event, loader):
    if event != 'train' and len(getattr(loader.dataset, 'metainfo', {}).get('domains', ())) > 1:
        loader.batch_size = 1
    setattr(runner, f'{event}_dataloader', loader)
    getattr(DomainCheckHook(), f'before_{event}')(runner)


def exactly(sentence):
    return pytest.raises(ValueError, match=f'^{re.escape(sentence)}$')


@pytest.mark.parametrize('event', EVENTS)
class TestDomains:
    @pytest.mark.parametrize('names', [('day', 'night'), ('night', 'day'), ('night',)])
    def test_that_agree_pass_also_a_part_of_the_models(self, runner, event, names):
        check(runner, event, loader({name: GOOD[name] for name in names}))

    def test_of_a_wrapped_model_are_seen(self, runner, event):
        runner.model = DataParallel(runner.model)
        check(runner, event, loader(GOOD))
        with pytest.raises(ValueError, match="it has domain 'dawn'"):
            check(runner, event, loader({'dawn': ('sky',)}))

    def test_that_the_model_lacks_are_named(self, runner, event):
        with exactly(
            f"{event}_dataloader: it has domain 'dawn', but model.domains are ['day', 'night']; "
            'use the same names in both'
        ):
            check(runner, event, loader({'day': GOOD['day'], 'dawn': ('sky',)}))

    def test_with_another_number_of_classes_are_named(self, runner, event):
        with exactly(
            f"{event}_dataloader: domain night has 3 classes ['sky', 'lamp', 'cat'], expected the "
            "2 of model.domains.night, ['sky', 'lamp']; give both the same"
        ):
            check(runner, event, loader({'night': ('sky', 'lamp', 'cat')}))

    def test_with_the_same_classes_in_another_order_are_named(self, runner, event):
        with pytest.raises(ValueError, match=r"domain night has 2 classes \['lamp', 'sky'\]"):
            check(runner, event, loader({'night': ('lamp', 'sky')}))


class TestBatchSize:
    def test_that_the_sampler_does_not_fill_is_named(self, runner):
        with exactly(
            'train_dataloader: batch_size is 8, expected 6 = labeled_per_batch=4 + '
            'unlabeled_per_batch=2 of its sampler; make them agree'
        ):
            check(runner, 'train', loader(GOOD, batch_size=8, labeled=4, unlabeled=2))

    def test_without_unlabeled_images_is_that_of_the_labeled_ones(self, runner):
        check(runner, 'train', loader(GOOD, batch_size=4, labeled=4, unlabeled=0))

    def test_of_another_sampler_is_its_own_matter(self, runner):
        other = loader(GOOD, batch_size=5)
        other.sampler = SequentialSampler(range(3))
        check(runner, 'train', other)


def test_plain_dataset_of_mmseg_is_refused(runner):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=('sky',))))
    with pytest.raises(ValueError, match='its dataset is a SimpleNamespace, expected a MultiDom'):
        check(runner, 'val', loader)

    @pytest.mark.parametrize('event', ['val', 'test'])
    def test_of_several_domains_in_evaluation_is_one(self, runner, event):
        data = loader(GOOD, batch_size=4)
        setattr(runner, f'{event}_dataloader', data)
        with exactly(
            f"{event}_dataloader: batch_size is 4 with the domains ['day', 'night'], expected 1: "
            'their images have different sizes'
        ):
            getattr(DomainCheckHook(), f'before_{event}')(runner)


class TestCheckpoint:
    @pytest.fixture
    def load(self, runner):
        """Load a checkpoint with some domains; return the hook and what it said."""
        runner.logger = mock.MagicMock()

        def load(*domains):
            hook = DomainCheckHook()
            keys = [f'module.domains.{name}.decode_head.weights.0' for name in domains]
            hook.after_load_checkpoint(runner, {'state_dict': dict.fromkeys([*keys, 'backbone.x'])})
            return hook, [call.args[0] for call in runner.logger.warning.call_args_list]

        return load

    def test_with_the_models_domains_passes_in_silence(self, load):
        _, said = load('day', 'night')
        assert said == []

    def test_with_other_domains_says_what_matches_and_what_does_not(self, load):
        _, said = load('day', 'dawn')
        assert said == [
            "the checkpoint has the domains ['dawn', 'day'], not ['night'], whose heads stay as "
            'they are',
            "the checkpoint's domains ['dawn'] are not in the model: left out",
        ]

    def test_of_an_encoder_alone_is_no_matter_of_domains(self, load):
        _, said = load()
        assert said == []

    def test_with_norms_by_domain_is_refused_by_a_model_without(self, runner):
        checkpoint = {'state_dict': {'backbone.bn1.statistics.day.running_mean': None}}
        DomainCheckHook().after_load_checkpoint(runner, checkpoint)
        runner.model.norm = 'shared'
        with pytest.raises(ValueError, match="has norm='shared', expected 'per-domain'"):
            DomainCheckHook().after_load_checkpoint(runner, checkpoint)

    def test_without_a_domains_head_does_not_test_it(self, load, runner):
        hook, _ = load('day')
        runner.test_dataloader = loader({'day': GOOD['day']})
        hook.before_test(runner)
        runner.test_dataloader = loader(GOOD, batch_size=1)
        with pytest.raises(ValueError, match=r"the checkpoint has no head for \['night'\]"):
            hook.before_test(runner)
