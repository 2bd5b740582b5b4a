"""The length of a training, and the schedules that end with it."""

import pytest
from mmengine.config import Config
from mmengine.optim import PolyLR

from cct_mm.engine.run_length import check_length, early_end, stretch


def poly(**other):
    return dict(type='PolyLR', power=0.9, begin=0, by_epoch=False, **other)


def config():
    return Config(dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=100)))


class TestEarlyEnd:
    @pytest.mark.parametrize(
        'schedules',
        [
            [],
            [poly()],
            [poly(end=100)],
            [dict(type='LinearLR', begin=0, end=10, by_epoch=False), poly()],
            poly(),
            dict(encoder=[poly()], head=poly(end=100)),
            # A warm-up, and a constant rate after it.
            [dict(type='LinearLR', start_factor=0.1, end=10, by_epoch=False)],
            [dict(type='ConstantLR', factor=0.1, end=10, by_epoch=False)],
        ],
    )
    def test_of_schedules_that_follow_the_training_is_none(self, schedules):
        changed = config()
        changed.param_scheduler = schedules
        assert early_end(changed) == ''

    @pytest.mark.parametrize('end', [50, 200])
    def test_names_both(self, end):
        changed = config()
        changed.param_scheduler = [poly(end=end)]
        assert f'(PolyLR) ends at {end}, the training at max_iters=100' in early_end(changed)


def test_schedules_of_the_old_length_are_stretched_and_others_kept():
    changed = config()
    changed.param_scheduler = [
        dict(type='LinearLR', begin=0, end=10, by_epoch=False),
        dict(type='CosineAnnealingLR', begin=10, end=100, T_max=90, by_epoch=False),
        poly(),
    ]
    said = stretch(changed, 100, 300)
    assert said == ['CosineAnnealingLR.end 100 -> 300', 'CosineAnnealingLR.T_max 90 -> 290']
    assert [item.get('end') for item in changed.param_scheduler] == [10, 300, None]


class TestCheckLength:
    @pytest.mark.parametrize('key', ['max_iters', 'max_epochs', 'val_interval'])
    @pytest.mark.parametrize('value', [0, -3, 2.5, 'abc', None])
    def test_refuses_what_is_no_whole_number_above_0(self, key, value):
        with pytest.raises(ValueError, match=rf'train_cfg\.{key} is {value!r}, expected'):
            check_length(dict(train_cfg={key: value}))

    @pytest.mark.parametrize(
        'train', [None, {}, dict(max_iters=1, val_interval=10), dict(max_iters=2.0)]
    )
    def test_of_others_is_none(self, train):
        check_length(dict(train_cfg=train))


def test_a_type_may_be_a_class():
    changed = config()
    changed.param_scheduler = [{**poly(end=50), 'type': PolyLR}]
    assert '(PolyLR) ends at 50' in early_end(changed)
    assert stretch(changed, 50, 100) == ['PolyLR.end 50 -> 100']
