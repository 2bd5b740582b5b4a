"""Processes and hosts that die, hang or are cut off while they train.

Hosts are network namespaces of this machine, with one link between them.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from unittest import mock

import pytest
import torch
from processes import ROOT, Launch
from tiny_network import tiny_toy_config

from cct_mm.lab.toy_scenes import writing

ITERATIONS = 14


class Training:
    """Starts the launch script on a tiny config."""

    def __init__(self, root):
        self.root = root
        self.data = root / 'data'
        self.config = root / 'tiny.py'
        self.config.write_text(tiny_toy_config(ITERATIONS, interval=2, base_channels=16))
        with mock.patch.object(writing, 'SPLIT_SIZES', {'train': 16, 'val': 3, 'test': 3}):
            writing.write_toy_scenes(self.data)

    def start(self, name, *arguments, processes=2, config=None, prefix=(), log='log', **variables):
        environment = {
            **os.environ,
            'CCT_MM_DATA': str(self.data),
            'PYTHON': sys.executable,
            'OMP_NUM_THREADS': '1',
            'CUDA_VISIBLE_DEVICES': '',
            'TORCH_ELASTIC_SHUTDOWN_TIMEOUT': '3',
            **variables,
        }
        work_dir = self.root / name
        work_dir.mkdir(exist_ok=True)
        command = ['tools/dist_train.sh', str(config or self.config), str(processes)]
        command = [*prefix, *command, '--work-dir', str(work_dir), *arguments]
        return Launch(command, work_dir / f'{log}.txt', environment)

    def checkpoint(self, name, iteration=ITERATIONS):
        return self.root / name / f'iter_{iteration}.pth'

    def weights(self, name):
        return torch.load(self.checkpoint(name), weights_only=False)['state_dict']


def within(seconds):
    return ['--cfg-options', f'env_cfg.dist_cfg.timeout={seconds}', 'train_cfg.max_iters=10000']


@pytest.fixture(scope='module')
def training(tmp_path_factory):
    return Training(tmp_path_factory.mktemp('faults'))


@pytest.fixture(scope='module')
def undisturbed(training):
    with training.start('undisturbed') as run:
        assert run.end() == 0, run.output
    return training.weights('undisturbed')


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.slow
class TestOneHost:
    @pytest.mark.counted('faults', cause='killed process')
    def test_a_killed_process_ends_all_and_is_named(self, training):
        with training.start('killed', *within(600)) as run:
            run.wait_for(training.checkpoint('killed', 2))
            killed = run.rank(1)
            os.kill(killed, signal.SIGKILL)
            assert run.end(120) == 1
            last = run.output.splitlines()[-1]
        assert last.startswith(f'rank 1 (process {killed}) died of SIGKILL: the out-of-memory')
        assert 'Go on from the last checkpoint with --resume; MAX_RESTARTS=3' in last

    @pytest.mark.counted('faults', cause='hung process')
    def test_a_hung_process_ends_all_in_the_set_time_and_is_named(self, training):
        with training.start('hung', *within(5)) as run:
            run.wait_for(training.checkpoint('hung', 2))
            os.kill(run.rank(1), signal.SIGSTOP)
            assert run.end(150) == 1
            assert 'Timed out waiting 5000ms' in run.output
            assert 'no answer from rank 1: dead, hung, or cut off by the network' in run.output

    @pytest.mark.counted('faults', cause='hung process that holds the store')
    @pytest.mark.soak
    def test_a_hung_first_process_which_holds_the_store_ends_all_too(self, training):
        with training.start('hung-0', *within(5)) as run:
            run.wait_for(training.checkpoint('hung-0', 2))
            os.kill(run.rank(0), signal.SIGSTOP)
            assert run.end(150) == 1
            assert 'no answer from rank 0: dead, hung, or cut off by the network' in run.output

    @pytest.mark.counted('faults', cause='killed process, restarted')
    def test_a_restart_goes_on_from_the_last_checkpoint_to_the_same_weights(
        self, training, undisturbed
    ):
        with training.start('restarted', MAX_RESTARTS='1') as run:
            run.wait_for(training.checkpoint('restarted', 4))
            os.kill(run.rank(0), signal.SIGKILL)
            assert run.end() == 0, run.output
            assert 'resumed epoch: 0, iter: ' in run.output
        assert_same_weights(training.weights('restarted'), undisturbed)

    @pytest.mark.counted('faults', cause='hosts with other data')
    def test_processes_with_other_images_are_refused_before_the_first_iteration(self, training):
        shutil.copytree(training.data, training.root / 'data-1')
        (unlabeled,) = (training.root / 'data-1').glob('**/day/n12_unlabeled.txt')
        unlabeled.write_text(''.join(unlabeled.read_text().splitlines(keepends=True)[:-1]))
        config = training.root / 'other_data.py'
        config.write_text(
            f'_base_ = {str(training.config)!r}\n'
            f"folder = '{training.root}/data' + ('-1' if '{{{{$RANK:0}}}}' == '1' else '')\n"
            "root = folder + '/ToyScenes/day'\n"
            'train_dataloader = dict(dataset=dict(domains=dict(day=dict(\n'
            '    labeled=dict(data_root=root), unlabeled=dict(data_root=root)))))\n'
            'del folder, root\n'
        )
        with training.start('other-data', config=config) as run:
            assert run.end(150) == 1
            assert (
                'the processes of this run differ in train_dataloader, day, unlabeled source: '
                'rank 0 has 4 images'
            ) in run.output
            assert 'rank 1 has 3 images' in run.output
        assert not list((training.root / 'other-data').glob('*.pth'))

    @pytest.mark.counted('faults', cause='killed launcher')
    def test_a_killed_launcher_takes_its_processes_along(self, training):
        with training.start('orphans', *within(600)) as run:
            run.wait_for(training.checkpoint('orphans', 2))
            run.process.kill()
            assert run.end(60) == -signal.SIGKILL


@pytest.mark.slow
class TestLoader:
    """One process, whose workers are at fault."""

    OPTIONS = ('train_dataloader.num_workers=1', 'train_dataloader.timeout=4')

    @pytest.mark.counted('faults', cause='killed loader worker')
    @pytest.mark.parametrize('persistent', [True, pytest.param(False, marks=pytest.mark.soak)])
    def test_a_killed_worker_ends_the_run_with_its_signal(self, training, persistent):
        name = f'worker-{persistent}'
        options = [*within(600), *self.OPTIONS, f'train_dataloader.persistent_workers={persistent}']
        with training.start(name, *options, processes=1) as run:
            run.wait_for(training.checkpoint(name, 2))
            os.kill(run.processes(RANK='0')[-1], signal.SIGKILL)
            assert run.end(120) == 1
            assert 'is killed by signal: Killed' in run.output
            assert 'out of memory (look at dmesg): lower num_workers or batch_size' in run.output

    @pytest.mark.counted('faults', cause='file system that blocks')
    def test_files_that_block_for_ever_end_the_run_in_the_set_time(self, training):
        data = training.root / 'blocking'
        shutil.copytree(training.data, data)
        options = [*within(600), *self.OPTIONS]
        with training.start('blocked', *options, processes=1, CCT_MM_DATA=str(data)) as run:
            run.wait_for(training.checkpoint('blocked', 2))
            # What a dead network mount does to whoever opens a file.
            for image in data.glob('ToyScenes/day/**/*.png'):
                image.unlink()
                os.mkfifo(image)
            assert run.end(120) == 1
            assert 'DataLoader timed out after 4' in run.output
            assert 'is a file system of the images dead or very slow?' in run.output


def ip(*arguments):
    return subprocess.run(['ip', *arguments], capture_output=True, text=True, check=True)


@pytest.fixture(scope='module')
def hosts():
    """Two network namespaces with a link between them."""
    names = [f'cct{os.getpid()}{letter}' for letter in 'ab']
    links = [f'veth{os.getpid()}{letter}' for letter in 'ab']
    try:
        ip('netns', 'add', names[0])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'this machine allows no network namespaces: {error}')
    try:
        ip('netns', 'add', names[1])
        try:
            ip(
                *f'link add {links[0]} netns {names[0]} type veth peer name {links[1]}'.split(),
                'netns',
                names[1],
            )
        except subprocess.CalledProcessError as error:
            pytest.skip(f'this machine allows no virtual network links: {error.stderr}')
        for number, (name, link) in enumerate(zip(names, links, strict=True), start=1):
            ip('-n', name, 'addr', 'add', f'10.93.7.{number}/24', 'dev', link)
            ip('-n', name, 'link', 'set', 'lo', 'up')
            ip('-n', name, 'link', 'set', link, 'up')
        yield list(zip(names, links, strict=True))
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'del', name], check=False)


@pytest.mark.slow
class TestTwoHosts:
    def start(self, training, hosts, number, name, *arguments, log=None, **variables):
        return training.start(
            name,
            *arguments,
            processes=1,
            prefix=['ip', 'netns', 'exec', hosts[number][0]],
            log=log or f'log-{number}',
            NNODES='2',
            NODE_RANK=str(number),
            MASTER_ADDR='10.93.7.1',
            **variables,
        )

    @pytest.mark.counted('faults', cause='two hosts')
    @pytest.mark.soak
    def test_train_to_the_weights_of_two_processes_on_one(self, training, hosts, undisturbed):
        with (
            self.start(training, hosts, 0, 'two-hosts') as first,
            self.start(training, hosts, 1, 'two-hosts') as second,
        ):
            assert first.end() == 0, first.output
            assert second.end() == 0, second.output
        assert_same_weights(training.weights('two-hosts'), undisturbed)

    @pytest.mark.counted('faults', cause='cut link')
    def test_a_cut_link_ends_both_in_the_set_time(self, training, hosts):
        with (
            self.start(training, hosts, 0, 'cut', *within(5)) as first,
            self.start(training, hosts, 1, 'cut', *within(5)) as second,
        ):
            first.wait_for(training.checkpoint('cut', 2))
            name, link = hosts[1]
            ip('-n', name, 'link', 'set', link, 'down')
            try:
                for run, other in ((first, 1), (second, 0)):
                    assert run.end(150) == 1
                    assert f'no answer from rank {other}: dead, hung, or cut off' in run.output
            finally:
                ip('-n', name, 'link', 'set', link, 'up')

    @pytest.mark.counted('faults', cause='lost host that comes back')
    @pytest.mark.soak
    @pytest.mark.parametrize('gone', [0, 1])
    def test_a_host_that_comes_back_trains_on_with_the_other(
        self, training, hosts, undisturbed, gone
    ):
        name = f'back-{gone}'
        runs = [
            self.start(training, hosts, number, name, '--resume', MAX_RESTARTS='3')
            for number in (0, 1)
        ]
        with runs[0], runs[1]:
            runs[0].wait_for(training.checkpoint(name, 4))
            runs[gone].kill_all()
            runs[gone] = self.start(
                training, hosts, gone, name, '--resume', log='again', MAX_RESTARTS='3'
            )
            with runs[gone]:
                for run in runs:
                    assert run.end(300) == 0, run.output
        assert_same_weights(training.weights(name), undisturbed)


def launch(*arguments, **variables):
    return subprocess.run(
        [sys.executable, 'tools/dist_run.py', '1', 'tools/train.py', 'config.py', *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


class TestLaunchScript:
    @pytest.mark.counted('faults', cause='port that is taken')
    def test_names_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(('', 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = launch(NNODES='2', MASTER_ADDR='127.0.0.1', PORT=str(port))
        assert done.returncode == 1
        assert f'PORT={port}: this host cannot listen there (Address already in use)' in done.stderr

    def test_refuses_restarts_on_several_hosts_that_would_start_anew(self):
        done = launch(NNODES='2', MAX_RESTARTS='1', PORT='0')
        assert done.returncode == 1
        assert done.stderr.startswith('MAX_RESTARTS=1 on NNODES=2 hosts without --resume')

    def test_refuses_what_is_no_number(self):
        done = launch(MAX_RESTARTS='many')
        assert done.returncode == 1
        assert done.stderr == 'MAX_RESTARTS=many in the environment: expected a number\n'
