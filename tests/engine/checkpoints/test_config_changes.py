"""What differs between two configs, read from the text that a checkpoint holds."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from cct_mm.engine.checkpoints.config_changes import changes, orders, parse_config


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def poly(**other):
    return dict(type='PolyLR', power=0.9, begin=0, by_epoch=False, **other)


def config(**other):
    return Config(
        dict(
            model=dict(
                type='CCT', backbone=dict(depth=18, init_cfg=dict(checkpoint='a')), tuple=(1,)
            ),
            train_dataloader=dict(
                batch_size=4, num_workers=2, dataset=dict(pipeline=[dict(type='A', p=0.5)])
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=100, val_interval=10),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.1),
                paramwise_cfg=dict(custom_keys={'decode_head.x': dict(lr_mult=10.0)}),
            ),
            param_scheduler=[poly()],
            custom_hooks=[dict(type='DomainCheckHook')],
            work_dir='a',
            **other,
        )
    )


def compare(one, other):
    return changes(parse_config(one.pretty_text), parse_config(other.pretty_text))


class TestParseConfig:
    def test_reads_what_the_text_holds(self):
        found = parse_config(config(inf=float('inf'), none=None, negative=-1).pretty_text)
        expected = config().to_dict()
        expected['model']['tuple'] = [1]
        assert found.pop('none') is None
        assert found.pop('negative') == -1
        assert found.pop('inf') == 'inf'
        assert found == expected

    def test_runs_nothing(self, tmp_path):
        text = f'import os\nx = os.mkdir({str(tmp_path / "x")!r})\ny = [f(1), 2]\nos.abort()\n'
        assert parse_config(text) == {'x': f'os.mkdir({str(tmp_path / "x")!r})', 'y': ['f(1)', 2]}
        assert not (tmp_path / 'x').exists()

    def test_refuses_what_is_no_python(self):
        with pytest.raises(ValueError, match='line 2 of the config is no Python'):
            parse_config('x = 1\n}')


class TestChanges:
    @pytest.mark.parametrize(
        ('key', 'value'),
        [
            ('work_dir', 'b'),
            ('load_from', 'x.pth'),
            ('resume', True),
            ('launcher', 'pytorch'),
            ('log_level', 'DEBUG'),
            ('default_hooks', dict(checkpoint=dict(type='CheckpointHook', interval=5))),
            ('visualizer', dict(type='X')),
            ('train_dataloader.num_workers', 0),
            ('train_dataloader.persistent_workers', True),
            ('train_cfg.val_interval', 20),
            ('model.backbone.init_cfg.checkpoint', 'b'),
            ('iterations', 100),
            ('param_scheduler.0.end', 100),
            ('custom_hooks', [dict(type='DivergenceHook'), dict(type='DomainCheckHook')]),
            ('test_dataloader', dict(batch_size=1)),
        ],
    )
    def test_that_do_not_matter_are_none(self, key, value):
        other = config()
        other.merge_from_dict({key: value})
        assert compare(config(), other) == {}

    @pytest.mark.parametrize(
        ('key', 'old', 'new'),
        [
            ('model.backbone.depth', 18, 50),
            ('train_dataloader.batch_size', 4, 8),
            ('train_dataloader.dataset.pipeline.0.p', 0.5, 0.25),
            ('train_cfg.max_iters', 100, 200),
            ('optim_wrapper.optimizer.lr', 0.1, 0.2),
            ('param_scheduler.0.power', 0.9, 1.0),
        ],
    )
    def test_that_matter_are_named_with_both_values(self, key, old, new):
        other = config()
        other.merge_from_dict({key: new})
        found = compare(config(), other)
        assert found.pop(key) == (old, new)
        # The schedule ends where the training does.
        assert set(found) <= {'param_scheduler.0.end'}

    def test_what_one_lacks_is_absent(self):
        other = config(randomness=dict(seed=1))
        ((key, values),) = compare(config(), other).items()
        assert (key, [str(value) for value in values]) == ('randomness.seed', ['absent', '1'])

    def test_hooks_of_others_matter(self):
        other = config()
        other.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
        assert 'EMAHook' in str(compare(config(), other))


def test_new_names_of_settings_are_no_changes():
    old, new = (
        parse_config(
            f"model = dict(type='{kind}', norm='{norm}', auxiliary=dict(perturbations=["
            f"dict(type='F-Drop'), dict(type='F-Noise', {bound}=0.3)]))\n"
            "train_cfg = dict(type='IterBasedTrainLoop', max_iters=9)"
        )
        for kind, norm, bound in (
            ('MultiDomainSegmentor', 'per-domain', 'range'),
            ('SupervisedSegmentor', 'domain-specific', 'bound'),
        )
    )
    assert changes(old, new) == {}
    assert changes(old, {**new, 'model': {**new['model'], 'norm': 'frozen'}}) == {
        'model.norm': ('domain-specific', 'frozen')
    }


def test_orders_are_those_of_the_config():
    flip, crop = dict(type='RandomFlip'), dict(type='RandomCrop')
    domains = dict(night=dict(labeled=1), day=dict(unlabeled=1, labeled=1))
    dataset = dict(augmentation=dict(flip=flip, crop=crop), domains=domains)
    assert list(orders(dict(train_dataloader=dict(dataset=dataset))).values()) == [
        ['flip', 'crop'],
        ['night.labeled', 'day.unlabeled', 'day.labeled'],
    ]
    assert list(orders({}).values()) == [[], []]
