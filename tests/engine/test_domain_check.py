"""Before training, model, data and sampler have to speak of the same domains."""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from messages import naming
from mmengine.hooks import EMAHook
from mmengine.model import convert_sync_batchnorm
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.nn import DataParallel
from torch.utils.data import SequentialSampler

from cct_mm.datasets import AddView, AlternatingDomainSampler
from cct_mm.datasets.multi_domain import Source
from cct_mm.engine import DomainCheckHook
from cct_mm.models import DomainDiscriminator

GOOD = {'day': ('sky', 'ground', 'car'), 'night': ('sky', 'lamp')}
EVENTS = ['train', 'val', 'test']


def test_is_registered_in_mmengine():
    assert HOOKS.get('DomainCheckHook') is DomainCheckHook


def loader(domains, batch_size=8, labeled=4, unlabeled=4, weak=0):
    dataset = mock.MagicMock(domains=list(domains))
    dataset.metainfo = dict(domains={name: dict(classes=c) for name, c in domains.items()})
    sampler = AlternatingDomainSampler(dataset, labeled, unlabeled, weak, seed=0)
    return SimpleNamespace(dataset=dataset, sampler=sampler, batch_size=batch_size)


def check(runner, event, loader):
    if event != 'train' and len(getattr(loader.dataset, 'metainfo', {}).get('domains', ())) > 1:
        loader.batch_size = 1
    setattr(runner, f'{event}_dataloader', loader)
    getattr(DomainCheckHook(), f'before_{event}')(runner)


@pytest.mark.parametrize('event', EVENTS)
class TestDomains:
    @pytest.mark.parametrize('names', [('day', 'night'), ('night', 'day')])
    def test_that_agree_pass(self, runner, event, names):
        check(runner, event, loader({name: GOOD[name] for name in names}))

    def test_of_a_wrapped_model_are_seen(self, runner, event):
        runner.model = DataParallel(runner.model)
        check(runner, event, loader(GOOD))
        with pytest.raises(ValueError, match="it has domain 'dawn'"):
            check(runner, event, loader({'dawn': ('sky',)}))

    def test_that_the_model_lacks_are_named(self, runner, event):
        with naming(f'{event}_dataloader', "domain 'dawn'", "['day', 'night']"):
            check(runner, event, loader({'day': GOOD['day'], 'dawn': ('sky',)}))

    def test_with_another_number_of_classes_are_named(self, runner, event):
        with naming(
            f'{event}_dataloader',
            "domain night has 3 classes ['sky', 'lamp', 'cat']",
            "expected the 2 of model.domains.night, ['sky', 'lamp']",
        ):
            check(runner, event, loader({'night': ('sky', 'lamp', 'cat')}))

    def test_with_the_same_classes_in_another_order_are_named(self, runner, event):
        with pytest.raises(ValueError, match=r"domain night has 2 classes \['lamp', 'sky'\]"):
            check(runner, event, loader({'night': ('lamp', 'sky')}))


@pytest.mark.parametrize('event', ['val', 'test'])
def test_evaluation_is_on_all_domains_of_the_model_or_some(runner, event):
    check(runner, event, loader({'night': GOOD['night']}))


class TestBatchSize:
    def test_that_the_sampler_does_not_fill_is_named(self, runner):
        with naming(
            'train_dataloader',
            'batch_size is 8',
            'expected 6',
            'labeled_per_batch=4 + unlabeled_per_batch=2',
        ):
            check(runner, 'train', loader(GOOD, batch_size=8, labeled=4, unlabeled=2))

    def test_without_unlabeled_images_is_that_of_the_labeled_ones(self, runner):
        check(runner, 'train', loader(GOOD, batch_size=4, labeled=4, unlabeled=0))

    @pytest.mark.parametrize('event', ['val', 'test'])
    def test_of_several_domains_in_evaluation_is_one(self, runner, event):
        data = loader(GOOD, batch_size=4)
        setattr(runner, f'{event}_dataloader', data)
        with naming(f'{event}_dataloader', 'batch_size is 4', "['day', 'night']", 'expected 1'):
            getattr(DomainCheckHook(), f'before_{event}')(runner)

    def test_of_another_sampler_is_its_own_matter(self, runner, make_model):
        runner.model = make_model('SupervisedSegmentor')
        other = loader(GOOD, batch_size=5)
        other.sampler = SequentialSampler(range(3))
        check(runner, 'train', other)

    def test_of_validation_is_checked_before_training(self, runner):
        runner.val_loop, runner.val_dataloader = object(), loader(GOOD, batch_size=4)
        with pytest.raises(ValueError, match='^val_dataloader: batch_size is 4 with the domains'):
            check(runner, 'train', loader(GOOD))


class TestIterationsWithoutLabels:
    @pytest.mark.parametrize('unlabeled', [8, dict(day=4, night=8)])
    def test_are_refused(self, runner, unlabeled):
        with pytest.raises(ValueError, match='^train_dataloader: iterations of domain .* 8 unlab'):
            check(runner, 'train', loader(GOOD, labeled=0, unlabeled=unlabeled))

    def test_are_refused_with_pseudo_labels_too(self, runner):
        data = loader(GOOD, labeled=0, unlabeled=0, weak=8)
        with pytest.raises(ValueError, match='domain day have 8 weak images and no labeled ones'):
            check(runner, 'train', data)

    def test_are_refused_with_any_method(self, runner, make_model):
        runner.model = make_model('SupervisedSegmentor')
        with pytest.raises(ValueError, match='have 8 unlabeled images and no labeled ones'):
            check(runner, 'train', loader(GOOD, labeled=0, unlabeled=8))

    def test_are_what_a_classifier_learns_from(self, runner, make_model):
        runner.model = make_model('ImageClassifier')
        check(runner, 'train', loader(GOOD, labeled=0, unlabeled=0, weak=8))


class TestNeeds:
    def test_of_cct_are_the_sample_keys_of_its_sampler(self, runner):
        other = loader(GOOD)
        other.sampler = SequentialSampler(range(3))
        with pytest.raises(
            ValueError, match='SequentialSampler, expected an AlternatingDomainSampler.*CCT'
        ):
            check(runner, 'train', other)

    def test_of_a_method_without_random_numbers_are_met_by_any_sampler(self, runner, make_model):
        runner.model = make_model('SupervisedSegmentor')
        other = loader(GOOD)
        other.sampler = SequentialSampler(range(3))
        check(runner, 'train', other)

    @pytest.mark.parametrize('missing', [(), ('other',)])
    def test_of_mean_teacher_are_views_of_unlabeled_images(self, runner, make_model, missing):
        runner.model = make_model('MeanTeacher')
        data = loader(GOOD)
        source = Source('night', 'unlabeled', SimpleNamespace(pipeline=[]))
        labeled = Source('night', 'labeled', SimpleNamespace(pipeline=[]))
        data.dataset.sources = [labeled, source]
        source.dataset.pipeline += [AddView(name, []) for name in missing]
        with pytest.raises(
            ValueError, match=r"^night, unlabeled source: .*MeanTeacher needs 'strong'.*AddView"
        ):
            check(runner, 'train', data)
        source.dataset.pipeline.append(AddView('strong', []))
        check(runner, 'train', data)

    def test_are_views_in_each_part_of_a_joined_source(self, runner, make_model):
        runner.model = make_model('MeanTeacher')
        data = loader(GOOD)
        parts = [SimpleNamespace(pipeline=[AddView('strong', [])]), SimpleNamespace(pipeline=[])]
        data.dataset.sources = [Source('night', 'unlabeled', SimpleNamespace(datasets=parts))]
        with pytest.raises(ValueError, match=r"^night, unlabeled source: .*needs 'strong'"):
            check(runner, 'train', data)

    @pytest.mark.parametrize(
        ('unlabeled', 'silent'), [(0, False), (4, True), (dict(day=4, night=0), True)]
    )
    def test_of_unlabeled_images_that_nobody_meets_are_named_in_the_log(
        self, runner, unlabeled, silent
    ):
        check(runner, 'train', loader(GOOD, 4 if unlabeled == 0 else 8, unlabeled=unlabeled))
        said = [call.args[0] for call in runner.logger.warning.call_args_list]
        assert [s.partition(':')[0] for s in said] == [
            'train_dataloader loads no unlabeled images, from which CCT learns'
        ] * (not silent)

    def test_of_a_supervised_method_are_no_unlabeled_images(self, runner, make_model):
        runner.model = make_model('SupervisedSegmentor')
        with pytest.raises(ValueError, match='day have 4 unlabeled .*SupervisedSegmentor does'):
            check(runner, 'train', loader(GOOD))


def test_an_average_of_a_discriminator_is_refused(runner):
    runner.hooks = [EMAHook()]
    check(runner, 'train', loader(GOOD))
    runner.model.discriminator = DomainDiscriminator(list(GOOD), in_channels=32, channels=(4,))
    with naming('EMAHook', 'model.discriminator', 'remove'):
        check(runner, 'train', loader(GOOD))
    runner.hooks = []
    check(runner, 'train', loader(GOOD))


def test_epochs_without_an_end_are_refused(runner):
    runner.train_loop = mock.create_autospec(EpochBasedTrainLoop, instance=True)
    with pytest.raises(ValueError, match=r"set train_cfg=dict\(type='IterBasedTrainLoop', max_i"):
        check(runner, 'train', loader(GOOD))


def test_synchronized_norms_of_timm_without_their_activation_are_refused(runner):
    layers = pytest.importorskip('timm.layers')
    runner.model.backbone = convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(8)))
    check(runner, 'train', loader(GOOD))
    runner.model.backbone = convert_sync_batchnorm(nn.Sequential(layers.BatchNormAct2d(8)))
    with pytest.raises(ValueError, match=r'^sync_bn: the batch norm backbone\.0 has lost its act'):
        check(runner, 'train', loader(GOOD))


def test_plain_dataset_of_mmseg_is_refused(runner):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=('sky',))))
    with pytest.raises(ValueError, match='its dataset is a SimpleNamespace, expected a MultiDom'):
        check(runner, 'val', loader)


@pytest.fixture
def said(runner):
    """Return what the hook has warned of."""
    return lambda: [call.args[0] for call in runner.logger.warning.call_args_list]


@pytest.fixture
def load(runner, model):
    """Load a checkpoint of the model after a change of its weights or classes; return the hook."""

    def load(change=lambda weights: None, classes=None):
        weights = {f'module.{name}': value for name, value in model.state_dict().items()}
        change(weights)
        checkpoint = {'state_dict': weights}
        if classes is not None:
            domains = {name: dict(classes=names) for name, names in classes.items()}
            checkpoint['meta'] = dict(dataset_meta=dict(domains=domains))
        hook = DomainCheckHook()
        hook.after_load_checkpoint(runner, checkpoint)
        return hook

    return load


def without(domain):
    """A change of a checkpoint: to that of a model without this domain."""

    def change(weights):
        for name in [name for name in weights if f'.domains.{domain}.' in name]:
            del weights[name]

    return change


def renamed(domain, name):
    """A change of a checkpoint: the domain has another name."""

    def change(weights):
        for key in [key for key in weights if f'.domains.{domain}.' in key]:
            weights[key.replace(domain, name)] = weights.pop(key)

    return change


def of_a_classifier(weights):
    """A change of a checkpoint: the head of each domain is another."""
    for key in [key for key in weights if '.decode_head.' in key]:
        del weights[key]
    for domain in GOOD:
        weights[f'module.domains.{domain}.decode_head.conv_seg.weight'] = torch.zeros(3, 32, 1, 1)


def with_a_wide_head(weights):
    """A change of a checkpoint: the head of ``night`` has a shape of its own."""
    weights['module.domains.night.decode_head.weights.0'] = torch.zeros(5, 32)


class TestCheckpoint:
    def test_with_the_models_domains_passes_in_silence(self, load, said, runner):
        hook = load(classes={'day': list(GOOD['day']), 'night': GOOD['night']})
        runner.train_dataloader = loader(GOOD)
        hook.before_train(runner)
        runner.test_dataloader = loader(GOOD, batch_size=1)
        hook.before_test(runner)
        assert said() == []

    @pytest.mark.parametrize(
        'meta', [{}, dict(meta={}), dict(meta=dict(dataset_meta=dict(classes=('sky',))))]
    )
    @pytest.mark.parametrize('bare', [True, False])
    def test_that_does_not_tell_its_classes_is_loaded(self, runner, model, said, meta, bare):
        hook = DomainCheckHook()
        weights = model.state_dict()
        hook.after_load_checkpoint(runner, weights if bare else {'state_dict': weights, **meta})
        runner.test_dataloader = loader(GOOD, batch_size=1)
        hook.before_test(runner)
        assert said() == []

    def test_with_other_domains_says_what_matches_and_what_does_not(self, load, said):
        load(renamed('night', 'dawn'))
        assert said() == [
            "the checkpoint has the domains ['dawn', 'day'], not ['night'], whose heads stay as "
            'they are',
            "the checkpoint's domains ['dawn'] are not in the model: left out",
        ]

    def test_of_an_encoder_alone_is_no_matter_of_domains(self, load, said):
        def encoder(weights):
            without('day')(weights)
            without('night')(weights)

        load(encoder)
        assert said() == []

    def test_of_another_encoder_is_told_to_a_training_and_refused_by_a_test(
        self, load, said, runner
    ):
        def wider(weights):
            name = next(n for n, v in weights.items() if '.backbone.' in n and v.ndim == 4)
            weights[name] = torch.cat([weights[name]] * 2)

        hook = load(wider)
        assert any('another backbone' in warning for warning in said())
        runner.test_dataloader = loader(GOOD, batch_size=1)
        with pytest.raises(ValueError, match='another backbone .* would be noise'):
            hook.before_test(runner)
        runner._resume = True
        with pytest.raises(ValueError, match='another backbone .* would not go on as it was'):
            load(wider)

    def test_with_weights_that_are_not_finite_is_not_gone_on_with(self, load, said, runner):
        def diverged(weights):
            name = next(n for n, v in weights.items() if v.is_floating_point())
            weights[name] = torch.full_like(weights[name], float('nan'))

        hook = load(diverged)
        # Whoever loads a checkpoint is told once, by the loading.
        assert said() == []
        runner.test_dataloader = loader(GOOD, batch_size=1)
        with pytest.raises(ValueError, match='not finite'):
            hook.before_test(runner)
        runner._resume = True
        with pytest.raises(ValueError, match='not finite'):
            load(diverged)

    def test_with_norms_by_domain_is_refused_by_a_model_without(self, runner):
        checkpoint = {'state_dict': {'backbone.bn1.statistics.day.running_mean': None}}
        DomainCheckHook().after_load_checkpoint(runner, checkpoint)
        runner.model.norm = 'shared'
        with pytest.raises(ValueError, match="has norm='shared', which has none there"):
            DomainCheckHook().after_load_checkpoint(runner, checkpoint)

    @pytest.mark.parametrize(('norm', 'fits'), [('shared', False), ('frozen', True)])
    def test_with_norms_by_domain_in_the_neck_alone_is_of_a_frozen_encoder(
        self, runner, norm, fits
    ):
        runner.model.norm = norm
        checkpoint = {'state_dict': {'neck.conv.bn.statistics.day.running_mean': None}}
        with (
            nullcontext()
            if fits
            else pytest.raises(ValueError, match='domain-specific batch norms')
        ):
            DomainCheckHook().after_load_checkpoint(runner, checkpoint)

    def test_without_a_domains_head_does_not_test_it(self, load, runner):
        hook = load(without('night'))
        runner.test_dataloader = loader({'day': GOOD['day']})
        hook.before_test(runner)
        runner.test_dataloader = loader(GOOD, batch_size=1)
        with naming('test_dataloader', 'no head for domain night', '--domain'):
            hook.before_test(runner)


MORE_CLASSES = (
    'the checkpoint has 3 classes in domain night, expected the 2 of model.domains.night: label 2 '
    "is 'cat', expected none"
)
OTHER_HEAD = (
    "the checkpoint has another head for domain {} than the model's SubPixelHead: "
    'domains.{}.decode_head.weights.0 is {}, expected ({classes}, 32)'
)
NOT_THERE = OTHER_HEAD.format('day', 'day', 'not there', classes=3)


@pytest.mark.parametrize(
    ('checkpoint', 'sentence'),
    [
        (dict(classes={**GOOD, 'night': ('sky', 'lamp', 'cat')}), MORE_CLASSES),
        (
            dict(classes={**GOOD, 'night': ['sky']}),
            'the checkpoint has 1 classes in domain night, expected the 2 of model.domains.night: '
            "label 1 is none, expected 'lamp'",
        ),
        (
            dict(classes={**GOOD, 'night': ('lamp', 'sky')}),
            'the checkpoint has 2 classes in domain night, expected the 2 of model.domains.night: '
            "the order is another, label 0 is 'lamp', expected 'sky'",
        ),
        (dict(change=of_a_classifier), NOT_THERE),
        (
            dict(change=with_a_wide_head),
            OTHER_HEAD.format('night', 'night', '(5, 32)', classes=2),
        ),
    ],
    ids=['more', 'fewer', 'order', 'classifier', 'shape'],
)
class TestCheckpointThatHasADomainOtherwise:
    def test_is_not_tested(self, load, runner, checkpoint, sentence):
        hook = load(**checkpoint)
        runner.test_dataloader = loader(GOOD, batch_size=1)
        with naming('test_dataloader', sentence, '--domain'):
            hook.before_test(runner)

    def test_is_not_resumed(self, load, runner, checkpoint, sentence):
        runner._resume = True
        with naming(sentence, 'would not go on as it was', 'load_from, without resume'):
            load(**checkpoint)

    def test_starts_a_training_that_is_told(self, load, said, runner, checkpoint, sentence):
        hook = load(**checkpoint)
        runner.iter, runner.train_dataloader = 0, loader(GOOD)
        hook.before_train(runner)
        domain = 'day' if sentence == NOT_THERE else 'night'
        assert said()[0] == (
            f'{sentence}; weights of domain {domain} whose names and shapes match are loaded, the '
            'others stay as they are'
        )
        assert len(said()) == (2 if sentence == NOT_THERE else 1)


def test_checkpoint_with_a_further_domain_is_not_resumed(load, runner):
    def change(weights):
        weights['module.domains.dawn.decode_head.weights.0'] = torch.zeros(5, 32)

    load(change)
    runner._resume = True
    with pytest.raises(ValueError, match=r"domains \['dawn'\] are not in the model, so the run wo"):
        load(change)


def test_checkpoint_with_the_domains_in_another_order_is_not_resumed(load, said, runner):
    def change(weights):
        for name in [name for name in weights if '.domains.day.' in name]:
            weights[name] = weights.pop(name)

    load(change)
    assert said() == []
    runner._resume = True
    with naming("order ['night', 'day']", "order ['day', 'night']", 'load_from, without resume'):
        load(change)


def test_discriminator_of_other_domains_is_named(load, said, runner):
    def change(weights):
        for name in [name for name in weights if '.discriminator.' in name]:
            del weights[name]
        weights.update(other.state_dict(prefix='module.discriminator.'))

    runner.model.discriminator = DomainDiscriminator(list(GOOD), in_channels=32, channels=(4,))
    other = DomainDiscriminator(list(GOOD), in_channels=32, channels=(4,))
    load(change)
    assert said() == []
    other = DomainDiscriminator(['day', 'dawn'], in_channels=16, channels=(4,))
    load(change)
    assert said() == [
        "the checkpoint's discriminator is for 16 channels of domains ['day', 'dawn'], not for 32 "
        "channels of domains ['day', 'night']: left out"
    ]


def test_checkpoint_with_one_domain_otherwise_is_tested_on_another(load, runner):
    hook = load(classes={**GOOD, 'night': ('lamp', 'sky')})
    runner.test_dataloader = loader({'day': GOOD['day']})
    hook.before_test(runner)


class TestDomainWithoutTraining:
    @pytest.fixture(params=['data', 'order'])
    def day_alone(self, request, runner):
        """A training of ``day``: without data of ``night``, or with data that have no turn."""
        data = loader(GOOD if request.param == 'order' else {'day': GOOD['day']})
        data.sampler.order = ['day', 'day']
        runner.iter, runner.train_dataloader = 0, data

    def test_is_refused(self, day_alone, runner):
        with naming(
            'train_dataloader',
            "['day'], not 'night' of model.domains",
            'remove it from model.domains',
            "sampler's order",
        ):
            DomainCheckHook().before_train(runner)

    def test_of_another_sampler_is_one_without_data(self, runner):
        runner.iter, runner.train_dataloader = 0, loader({'night': GOOD['night']})
        runner.train_dataloader.sampler = SequentialSampler(range(3))
        with pytest.raises(ValueError, match=r"it trains the domains \['night'\], not 'day' of"):
            DomainCheckHook().before_train(runner)

    def test_whose_head_comes_from_a_checkpoint_is_named_in_the_log(
        self, day_alone, load, said, runner
    ):
        load().before_train(runner)
        assert said() == [
            'train_dataloader does not train domain night of the model: its head stays that of the '
            'checkpoint, while the encoder changes'
        ]

    @pytest.mark.parametrize(
        'checkpoint',
        [dict(change=without('night')), dict(classes={**GOOD, 'night': ('lamp', 'sky')})],
        ids=['no head', 'other classes'],
    )
    def test_that_a_checkpoint_does_not_bring_is_refused(self, day_alone, load, runner, checkpoint):
        hook = load(**checkpoint)
        with pytest.raises(ValueError, match="not 'night' of model.domains"):
            hook.before_train(runner)
