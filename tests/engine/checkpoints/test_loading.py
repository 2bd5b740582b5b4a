"""Checkpoints are read as data: known types pass, code does not run."""

import argparse
import collections
import datetime
import logging
import os
import pathlib
import pickle
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer, MMLogger
from mmengine.runner import CheckpointLoader, load_checkpoint

from cct_mm.engine.checkpoints.files import CheckpointError
from cct_mm.engine.checkpoints.loading import read_checkpoint, trust_checkpoint

WEIGHTS = {'weight': torch.arange(6.0).reshape(2, 3), 'bias': torch.zeros(2)}


class Runs:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def buffer():
    log = HistoryBuffer()
    for value in (1.0, 3.0):
        log.update(value, 2)
    return log


UPSTREAM = {
    'meta': {
        'epoch': 0,
        'iter': 40000,
        'cfg': 'max_iters = 1',
        'time': '20240101_000000',
        'seed': np.int64(7),
        'dataset_meta': {'classes': ('a', 'b'), 'palette': [[0, 0, 0], [1, 2, 3]]},
    },
    'state_dict': WEIGHTS,
    'message_hub': {
        'log_scalars': collections.OrderedDict({'train/loss': buffer()}),
        'runtime_info': collections.OrderedDict(
            iter=40000, best=np.float64(0.5), loss=torch.tensor(0.25), names=np.array(['a', 'b'])
        ),
        'resumed_keys': collections.OrderedDict({'train/loss': True}),
    },
    'optimizer': {'state': {0: {'momentum_buffer': torch.ones(2)}}, 'param_groups': [{'lr': 0.1}]},
    'param_schedulers': [{'power': 0.9, '_last_value': [0.1]}],
}

KNOWN = {
    'dtypes': {str(np.dtype(kind)): np.zeros(2, kind) for kind in '?bhilqBHILQefdFDSU'},
    'scalars': [np.float32(1.5), np.int64(2), np.bool_(True), np.datetime64('2024-01-01')],
    'objects': np.array([None, 'a'], dtype=object),
    'config': ConfigDict(model=dict(type='X', channels=[1, 2])),
    'whole config': Config(dict(model=dict(type='X'))),
    'counter': collections.Counter('aab'),
    'time': [datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 1), datetime.timedelta(1)],
    'path': [pathlib.Path('a/b'), pathlib.PurePosixPath('c'), pathlib.PureWindowsPath('d')],
    'arguments': argparse.Namespace(lr=0.1),
    'builtins': [{1, 2}, frozenset({3}), slice(1, 2), range(3), 1 + 2j, bytearray(b'x')],
}


@pytest.fixture
def save(tmp_path):
    def save(content, name='x.pth', **options):
        path = tmp_path / name
        torch.save(content, path, **options)
        return path

    return save


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'code-has-run'


@pytest.fixture
def harmful(save, marker):
    return save({**UPSTREAM, 'x': Runs(os.mkdir, str(marker))})


class TestKnownTypes:
    def test_of_a_checkpoint_of_mmengine(self, save):
        found = read_checkpoint(save(UPSTREAM))
        log = found['message_hub']['log_scalars']['train/loss']
        assert (log.mean(), log.max(), log.current()) == (1.0, 3.0, 3.0)
        assert log.statistics('mean') == buffer().statistics('mean')
        assert torch.equal(found['state_dict']['weight'], WEIGHTS['weight'])
        assert found['meta'] == UPSTREAM['meta']

    @pytest.mark.parametrize('kind', KNOWN)
    def test_of_others(self, save, kind):
        found = read_checkpoint(save({'x': KNOWN[kind]}))['x']
        if kind == 'whole config':
            found, expected = found.to_dict(), KNOWN[kind].to_dict()
        else:
            expected = KNOWN[kind]
        np.testing.assert_equal(found, expected)

    def test_containers_that_torch_cannot_fill_come_as_plain_ones(self, save):
        found = read_checkpoint(
            save({'x': [collections.defaultdict(list, a=[1]), collections.deque([1, 2], maxlen=3)]})
        )
        assert found == {'x': [{'a': [1]}, [1, 2]]}

    @pytest.mark.parametrize('module', ['numpy.core.multiarray', 'numpy._core.multiarray'])
    def test_of_another_version_of_numpy(self, tmp_path, module):
        # Both names in one file of protocol 2, as torch.save writes it.
        array = pickle.dumps({'x': np.arange(3.0)}, protocol=2)
        own = np.zeros(1).__reduce__()[0].__module__
        other = array.replace(own.encode(), module.encode())
        path = tmp_path / 'x.pth'
        legacy = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}]
        path.write_bytes(
            b''.join(pickle.dumps(part, protocol=2) for part in legacy)
            + other
            + pickle.dumps([], protocol=2)
        )
        assert read_checkpoint(path)['x'].tolist() == [0.0, 1.0, 2.0]

    def test_of_the_format_before_torch_1_6(self, save):
        path = save(UPSTREAM, _use_new_zipfile_serialization=False)
        assert torch.equal(read_checkpoint(path)['state_dict']['weight'], WEIGHTS['weight'])

    def test_paths_of_another_system_are_pure(self, tmp_path, save):
        path = save({'x': pathlib.PureWindowsPath('a')}, _use_new_zipfile_serialization=False)
        content = path.read_bytes().replace(b'PureWindowsPath', b'WindowsPath')
        path.write_bytes(content)
        assert read_checkpoint(path)['x'] == pathlib.PureWindowsPath('a')


class TestCode:
    def ways(self):
        return {
            'reader': read_checkpoint,
            'loader': CheckpointLoader.load_checkpoint,
            'model': partial(load_checkpoint, torch.nn.Linear(3, 2)),
        }

    @pytest.mark.parametrize('way', ['reader', 'loader', 'model'])
    def test_is_refused_with_its_name_and_the_flag(self, harmful, marker, way):
        with pytest.raises(CheckpointError) as caught:
            self.ways()[way](str(harmful))
        assert str(harmful) in str(caught.value)
        assert f'{os.mkdir.__module__}.mkdir' in str(caught.value)
        assert f'--trust-checkpoint {harmful}' in str(caught.value)
        assert not marker.exists()

    @pytest.mark.parametrize(
        'call',
        [
            (os.system, 'true'),
            (eval, '1'),
            (exec, '1'),
            (getattr, HistoryBuffer, '__init__'),
            (getattr, 'a', 'upper'),
            (partial, print),
            (Config.fromstring, 'x = 1', '.py'),
            (__import__, 'os'),
            (torch.load, 'x'),
            (np.load, 'x'),
        ],
        ids=lambda call: getattr(call[0], '__name__', 'partial'),
    )
    def test_of_other_kinds_is_refused(self, save, call):
        with pytest.raises(CheckpointError, match='--trust-checkpoint'):
            read_checkpoint(save({'x': Runs(*call)}))

    def test_is_refused_in_the_format_before_torch_1_6(self, save, marker):
        path = save(Runs(os.mkdir, str(marker)), _use_new_zipfile_serialization=False)
        with pytest.raises(CheckpointError, match='--trust-checkpoint'):
            read_checkpoint(path)
        assert not marker.exists()

    def test_is_refused_from_an_address(self, harmful, marker, tmp_path, monkeypatch):
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
        handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
        with HTTPServer(('127.0.0.1', 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f'http://127.0.0.1:{server.server_port}'
            with pytest.raises(CheckpointError, match=r'mkdir.*--trust-checkpoint http://'):
                CheckpointLoader.load_checkpoint(f'{address}/x.pth')
            torch.save(UPSTREAM, tmp_path / 'good.pth')
            found = CheckpointLoader.load_checkpoint(f'{address}/good.pth')
            server.shutdown()
        assert not marker.exists()
        assert found['meta']['iter'] == 40000

    def test_runs_for_the_file_that_the_user_trusts_and_no_other(self, harmful, marker, save):
        trust_checkpoint(str(harmful))
        other = save({'x': Runs(os.mkdir, str(marker))}, 'other.pth')
        with pytest.raises(CheckpointError):
            read_checkpoint(other)
        assert not marker.exists()
        assert read_checkpoint(harmful)['meta']['iter'] == 40000
        assert marker.exists()


class TestNoCheckpoint:
    @pytest.mark.parametrize(
        ('content', 'words'),
        [
            (b'', 'begins with'),
            (b'<!DOCTYPE html>', r"no checkpoint: it begins with b'<!DOCTYPE html>'"),
            (b'version https://git-lfs.github.com/spec/v1', 'no checkpoint: it begins with b.vers'),
            (b'\x80\x02rubbish', 'cannot be read'),
            (b'PK\x03\x04rubbish', 'is cut off or overwritten'),
        ],
    )
    def test_is_named_with_what_it_is(self, tmp_path, content, words):
        path = tmp_path / 'x.pth'
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words) as caught:
            read_checkpoint(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize('content', [[1, 2], torch.ones(2), 'text'])
    def test_of_another_kind_than_a_dict_is_named(self, save, content):
        with pytest.raises(CheckpointError, match=f'holds a {type(content).__name__}, expected a'):
            read_checkpoint(save(content))

    def test_plain_pickle_is_named(self, tmp_path):
        (tmp_path / 'x.pth').write_bytes(pickle.dumps({'state_dict': {}}))
        with pytest.raises(CheckpointError, match=r'cannot be read .*Unsupported'):
            read_checkpoint(tmp_path / 'x.pth')

    @pytest.mark.parametrize('wrapped', [True, False])
    def test_with_nan_is_said(self, save, wrapped):
        said = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        MMLogger.get_current_instance().addHandler(handler)
        weights = {**WEIGHTS, 'mask': torch.tensor(-torch.inf)}
        read_checkpoint(save({'state_dict': weights} if wrapped else weights))
        assert said == []
        weights['bias'] = torch.tensor([1.0, torch.nan])
        path = save({'state_dict': weights} if wrapped else weights)
        read_checkpoint(path)
        MMLogger.get_current_instance().removeHandler(handler)
        assert [text.partition(',')[0] for text in said] == [f'checkpoint {path}: bias holds nan']

    def test_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(CheckpointError, match='none.pth does not exist'):
            CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))

    def test_with_flipped_bits_is_named(self, save):
        path = save({'w': torch.arange(5000.0)})
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match='holds other bytes than were written'):
            read_checkpoint(path)
