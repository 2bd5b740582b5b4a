"""What a run says on the screen, and what its log file has besides."""

import warnings

import pytest
from mmengine.config import Config
from mmseg.utils import register_all_modules
from tiny_network import tiny_backbone

from cct_mm.engine.quiet_runner import EvaluationRunner, QuietRunner


@pytest.fixture
def start(tmp_path, capfd):
    """Build a runner with a log level; returns its screen, its log file, and its warnings."""

    def start(level, kind=QuietRunner):
        register_all_modules(init_default_scope=False)
        loss = dict(type='CrossEntropyLoss')
        model = dict(
            type='SupervisedSegmentor',
            backbone=tiny_backbone(4),
            decode_head=dict(
                type='FCNHead', in_channels=16, in_index=2, channels=4, loss_decode=loss
            ),
            domains=dict(day=dict(classes=('a', 'b'))),
            frozen_backbone=True,
        )
        optimizer = dict(
            optimizer=dict(type='SGD', lr=0.1),
            paramwise_cfg=dict(custom_keys=dict(x=dict(lr_mult=2.0))),
        )
        entries = dict(work_dir=str(tmp_path), log_level=level, default_scope='mmseg')
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            runner = kind.from_cfg(Config(dict(model=model, some_entry=5, **entries)))
            runner.build_optim_wrapper(optimizer)
        (file,) = tmp_path.glob('*/*.log')
        screen = capfd.readouterr()
        return screen.out + screen.err, file.read_text(), [str(w.message) for w in caught]

    return start


def test_config_environment_and_hooks_are_in_the_file_alone(start, tmp_path):
    screen, file, said = start('INFO')
    frozen = 'backbone.stem.0.weight is skipped since its requires_grad=False'
    for text in ('some_entry = 5', 'System environment', 'Hooks will be executed', frozen):
        assert text in file and text not in screen
    assert f'are in {tmp_path}' in screen
    assert not [text for text in said if 'avg_non_ignore' in text]


def test_a_user_who_asks_for_everything_gets_it(start):
    screen, _, _ = start('DEBUG')
    assert 'some_entry = 5' in screen and 'System environment' in screen


def test_an_evaluation_leaves_the_config_of_the_training(start, tmp_path):
    start('INFO', EvaluationRunner)
    assert not list(tmp_path.glob('*.py'))
    (beside_the_log,) = tmp_path.glob('*/*.py')
    assert 'some_entry = 5' in beside_the_log.read_text()


def test_the_config_in_the_work_dir_has_its_own_order(start, tmp_path):
    start('INFO')
    (written,) = tmp_path.glob('*.py')
    keys = list(Config.fromfile(written).to_dict())
    assert keys[:2] == ['model', 'some_entry']
    assert list(Config.fromfile(written).model.to_dict())[:2] == ['type', 'backbone']


def test_a_config_of_another_format_is_written_as_python(tmp_path):
    source = tmp_path / 'c.json'
    source.write_text('{"x": 1}')
    cfg = Config.fromfile(source)
    runner = object.__new__(QuietRunner)
    runner._work_dir, runner._timestamp, runner.cfg = str(tmp_path / 'run'), 'now', cfg
    runner.dump_config()
    (written,) = (tmp_path / 'run').iterdir()
    assert written.name == 'c.py' and Config.fromfile(written).x == 1
