"""Runs that were killed, copied, damaged, changed or extended, through ``tools/train.py``."""

import os
import re
import shutil
import signal

import pytest
import torch
from fork_server import wait_until

KILLER = '''
"""Kills its process at a chosen moment of writing a checkpoint."""

import os
import signal

moment, name = os.environ['KILL_AT'].split()
fsync, replace, unlink = os.fsync, os.replace, os.unlink


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def cut(handle):
    path = os.readlink(f'/proc/self/fd/{handle}')
    if moment.isdigit() and name in path:
        os.truncate(path, int(moment))
        kill()
    fsync(handle)


def rename(source, target):
    here = os.path.basename(target) == name
    if here and moment == 'before':
        kill()
    replace(source, target)
    if here and moment == 'after':
        kill()


os.fsync, os.replace = cut, rename
'''


@pytest.fixture(scope='module')
def killer(tools):
    return plugin(tools, 'killer', KILLER)


def plugin(tools, name, code):
    path = tools.root / f'{name}.py'
    path.write_text(code)
    return str(path)


@pytest.fixture
def work_dir(tools, straight, request):
    """A copy of the finished run as it was after three iterations."""
    folder = tools.root / re.sub(r'\W+', '-', request.node.name)
    folder.mkdir()
    shutil.copy(straight.work_dir / 'iter_3.pth', folder)
    (folder / 'last_checkpoint').write_text(str(straight.work_dir / 'iter_3.pth'))
    return folder


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def assert_ends_as(folder, expected, iteration=6):
    found = torch.load(folder / f'iter_{iteration}.pth', weights_only=False)
    wanted = expected.checkpoint(iteration)
    for name, value in wanted['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
    assert found['param_schedulers'] == wanted['param_schedulers']
    for index, state in wanted['optimizer']['state'].items():
        momentum = found['optimizer']['state'][index]['momentum_buffer']
        assert torch.equal(momentum, state['momentum_buffer'])


class TestKilled:
    """kill -9 in the middle of a checkpoint, at each of its steps."""

    @pytest.mark.parametrize(
        ('moment', 'left', 'num_workers'),
        [
            ('0 iter_6.pth', 'iter_3.pth', 0),
            ('1000 iter_6.pth', 'iter_3.pth', 2),
            ('before iter_6.pth', 'iter_3.pth', 0),
            ('after iter_6.pth', 'iter_3.pth', 0),
            ('before last_checkpoint', 'iter_3.pth', 0),
            ('after last_checkpoint', 'iter_6.pth', 2),
        ],
    )
    def test_ends_bit_for_bit_as_without(
        self, tools, straight, killer, work_dir, moment, left, num_workers, monkeypatch
    ):
        # With one kept, nothing but the new one is left at the end.
        options = [
            'default_hooks.checkpoint.max_keep_ckpts=1',
            f'train_dataloader.num_workers={num_workers}',
        ]
        (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_3.pth'))
        command = ['tools/train.py', '--resume', '--cfg-options', *options]
        run = tools.fork(*command, work_dir=work_dir.name, PLUGIN=killer, KILL_AT=moment)
        assert run.code == -signal.SIGKILL, run.output
        assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / left)
        torch.load(work_dir / left, weights_only=False)

        run = tools.fork(*command, work_dir=work_dir.name)
        assert run.code == 0, run.output
        assert_ends_as(work_dir, straight)
        if left == 'iter_3.pth':
            # A run that was at its end has nothing to clean up.
            names = {path.name for path in work_dir.iterdir() if 'pth' in path.name}
            assert names - {'iter_3.pth'} == {'iter_6.pth'}


class TestDiverged:
    def test_leaves_the_last_good_one_where_one_is_kept(self, tools, work_dir):
        diverge = plugin(
            tools,
            'diverge',
            'from cct_mm.engine import TrainingProgressHook\n'
            'def spoil(self, runner, *rest, **others):\n'
            '    if runner.iter == 5:\n'
            '        next(runner.model.parameters()).data[0] = float("nan")\n'
            'TrainingProgressHook.after_train_iter = spoil\n',
        )
        option = 'default_hooks.checkpoint.max_keep_ckpts=1'
        run = tools.fork(
            'tools/train.py', '--cfg-options', option, work_dir='spoiled', PLUGIN=diverge
        )
        assert run.code != 0
        assert re.search(r'iteration 6: weight \S+ not finite', run.output)
        names = sorted(path.name for path in run.work_dir.glob('*iter*'))
        assert names == ['iter_3.pth']
        assert (run.work_dir / 'last_checkpoint').read_text() == str(run.work_dir / 'iter_3.pth')


class TestFullDisk:
    def test_leaves_the_older_ones_whole_and_says_so(self, tools, straight, work_dir):
        full = plugin(
            tools,
            'full',
            'import errno, os\n'
            'fsync = os.fsync\n'
            'def full(handle):\n'
            '    if "iter_6" in os.readlink(f"/proc/self/fd/{handle}"):\n'
            '        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n'
            '    fsync(handle)\n'
            'os.fsync = full\n',
        )
        run = tools.fork('tools/train.py', '--resume', work_dir=work_dir.name, PLUGIN=full)
        assert run.code == 1
        last = run.output.strip().splitlines()[-1]
        assert last.startswith(f'{work_dir}/iter_6.pth could not be written (No space left')
        assert '--resume' in last
        assert not list(work_dir.glob('*iter_6*')) + list(work_dir.glob('.*'))
        tools.train(work_dir.name, '--resume')
        assert_ends_as(work_dir, straight)


class TestCopiedWorkDir:
    def test_goes_on_with_its_own_checkpoint_and_leaves_the_other_folder_alone(
        self, tools, straight, work_dir
    ):
        # Whose best checkpoint mmengine would remove, for a resumed run remembers its place.
        options = {
            'default_hooks__checkpoint__save_best': 'mIoU',
            'train_cfg__val_interval': 3,
            'default_hooks__checkpoint__max_keep_ckpts': 1,
        }
        first = tools.train('with-best', **options)
        best = next(first.work_dir.glob('best_*.pth'))
        copy = work_dir.with_name('copy-of-with-best')
        copy.mkdir()
        content = torch.load(first.work_dir / 'iter_6.pth', weights_only=False)
        # As it was in the middle, with a score that any validation beats.
        content['meta']['iter'] = 3
        content['message_hub']['runtime_info']['best_score'] = -1.0
        torch.save(content, copy / 'iter_3.pth')
        (copy / 'last_checkpoint').write_text(str(first.work_dir / 'iter_6.pth'))
        before = files(first.work_dir)
        assert best in before
        tools.train(copy.name, '--resume', **options)
        assert files(first.work_dir) == before
        assert list(copy.glob('best_*.pth'))
        assert (copy / 'last_checkpoint').read_text() == str(copy / 'iter_6.pth')

    @pytest.mark.parametrize('pointer', ['absent', 'stale'])
    def test_needs_no_pointer(self, tools, straight, work_dir, pointer):
        (work_dir / 'last_checkpoint').unlink()
        if pointer == 'stale':
            (work_dir / 'last_checkpoint').write_text('/absent/iter_1.pth')
        run = tools.train(work_dir.name, '--resume')
        assert sorted(run.losses) == [4, 5, 6]
        assert_ends_as(work_dir, straight)


class TestDamagedCheckpoint:
    def test_falls_back_to_the_one_before_with_a_warning(self, tools, straight, work_dir):
        shutil.copy(straight.work_dir / 'iter_6.pth', work_dir / 'iter_5.pth')
        content = bytearray((work_dir / 'iter_5.pth').read_bytes())
        content[len(content) // 2] ^= 1
        (work_dir / 'iter_5.pth').write_bytes(content)
        (work_dir / 'last_checkpoint').write_text('iter_5.pth')
        run = tools.train(work_dir.name, '--resume')
        assert re.search(r'WARNING.*iter_5\.pth holds other bytes.*iter_3\.pth', run.output)
        assert_ends_as(work_dir, straight)

    def test_alone_is_refused_and_not_overwritten(self, tools, work_dir):
        (work_dir / 'iter_3.pth').write_bytes(b'')
        before = files(work_dir)
        run = tools.fork('tools/train.py', '--resume', work_dir=work_dir.name)
        assert run.code == 1
        assert 'no whole checkpoint to go on with: iter_3.pth is empty' in run.output
        assert files(work_dir) == before


class TestChangedSettings:
    def test_another_length_is_refused_with_the_two_ways(self, tools, work_dir):
        before = files(work_dir)
        options = ['--resume', '--cfg-options', 'train_cfg.max_iters=12']
        run = tools.fork('tools/train.py', *options, work_dir=work_dir.name)
        assert run.code == 1
        said = run.output[run.output.index('max_iters is 12') :]
        assert 'was started with 6' in said
        assert f'load_from={work_dir}/iter_3.pth' in said
        assert said.rstrip().endswith(' --extend')
        assert files(work_dir) == before

    def test_an_end_before_what_is_done_is_refused(self, tools, work_dir):
        options = ['--extend', '--cfg-options', 'train_cfg.max_iters=2']
        run = tools.fork('tools/train.py', *options, work_dir=work_dir.name)
        assert run.code == 1
        assert 'of which 3 are done' in run.output

    def test_a_finished_run_says_that_it_is(self, tools, work_dir, straight):
        shutil.copy(straight.work_dir / 'iter_6.pth', work_dir)
        (work_dir / 'last_checkpoint').write_text('iter_6.pth')
        before = files(work_dir)
        run = tools.train(work_dir.name, '--resume')
        assert 'this run is finished, with all its 6 iterations' in run.output
        assert files(work_dir) == before

    def test_an_extended_run_has_the_schedule_of_a_fresh_one(self, tools, straight, work_dir):
        options = {'train_cfg__max_iters': 9}
        run = tools.train(work_dir.name, '--extend', **options)
        fresh = tools.train('fresh-nine', **{**options, 'param_scheduler__0__end': 9})
        lrs = {t: line['lr'] for t, line in fresh.losses.items()}
        assert {t: line['lr'] for t, line in run.losses.items()} == {
            t: lrs[t] for t in range(4, 10)
        }
        assert 'PolyLR.end 6 -> 9' in run.output
        assert 'Extended from 6 to 9 iterations; at iteration 3' in run.output
        assert re.search(r'\n  unsupervised_weight: 30 -> 30\n', run.output)
        # Broken off, it goes on without the flag, as what it has become.
        (work_dir / 'iter_9.pth').unlink()
        whole = run.losses
        for folder in work_dir.glob('*/vis_data'):
            shutil.rmtree(folder)
        run = tools.train(work_dir.name, '--resume', **options)
        assert run.losses == {t: whole[t] for t in (7, 8, 9)}

    def test_what_matters_is_named_and_whether_it_holds(self, tools, straight, work_dir):
        run = tools.train(
            work_dir.name,
            '--resume',
            model__decode_head__dropout_ratio=0.25,
            optim_wrapper__optimizer__lr=5.0,
            param_scheduler__0__power=2.0,
            train_dataloader__num_workers=1,
            default_hooks__checkpoint__interval=2,
        )
        assert run.output.count('the settings differ') == 1
        said = run.output[run.output.index('the settings differ') :]
        held, _, restored = said.partition('The new ones have NO effect')
        assert 'model.decode_head.dropout_ratio: 0.5 -> 0.25' in held
        assert 'optim_wrapper.optimizer.lr: 0.05 -> 5.0' in restored
        assert 'param_scheduler.0.power: 0.9 -> 2.0' in restored
        assert 'num_workers' not in said[: said.index('2', said.index('power'))]
        assert {t: line['lr'] for t, line in run.losses.items()} == {
            t: straight.losses[t]['lr'] for t in (4, 5, 6)
        }

    def test_another_order_is_named(self, tools, work_dir):
        path = work_dir / 'iter_3.pth'
        content = torch.load(path, weights_only=False)
        key = 'train_dataloader.dataset.domains'
        content['meta']['orders'][key].reverse()
        torch.save(content, path)
        run = tools.train(work_dir.name, '--resume')
        assert re.search(rf'{key}, in their order: .*unlabeled.*labeled.* -> ', run.output)

    @pytest.mark.parametrize(
        'options',
        [
            ['optim_wrapper.optimizer.type=RMSprop'],
            ['param_scheduler.0.type=CosineAnnealingLR'],
        ],
    )
    def test_that_cannot_take_over_the_state_are_refused(self, tools, work_dir, options):
        before = files(work_dir)
        run = tools.fork(
            'tools/train.py', '--resume', '--cfg-options', *options, work_dir=work_dir.name
        )
        assert run.code == 1
        assert 'cannot take over its state' in run.output
        assert options[0].split('=')[1] in run.output
        assert files(work_dir) == before

    def test_other_groups_of_parameters_are_refused(self, tools, work_dir):
        # Without it all parameters are in one group.
        option = 'optim_wrapper.paramwise_cfg=None'
        run = tools.fork(
            'tools/train.py', '--resume', '--cfg-options', option, work_dir=work_dir.name
        )
        assert run.code == 1
        assert 'Traceback' not in run.output
        assert 'expected the same: model, or optim_wrapper.paramwise_cfg' in run.output
        assert f'load_from={work_dir}/iter_3.pth {option}' in run.output
        assert not list(work_dir.glob('iter_[4-6].pth'))

    @pytest.mark.parametrize('part', ['optimizer', 'param_schedulers', 'message_hub'])
    def test_a_checkpoint_without_a_part_of_the_state_is_refused(self, tools, work_dir, part):
        content = torch.load(work_dir / 'iter_3.pth', weights_only=False)
        del content[part]
        torch.save(content, work_dir / 'iter_3.pth')
        run = tools.fork('tools/train.py', '--resume', work_dir=work_dir.name)
        assert run.code == 1
        assert f'iter_3.pth holds no {part}' in run.output

    def test_none_are_named_of_a_run_as_it_was(self, tools, work_dir):
        assert 'the settings differ' not in tools.train(work_dir.name, '--resume').output


class TestScale:
    @pytest.mark.slow
    def test_resuming_at_iteration_100000_loads_only_what_is_trained_on(self, tools, work_dir):
        counter = plugin(
            tools,
            'counter',
            'from cct_mm.datasets import MultiDomainDataset\n'
            'get = MultiDomainDataset.__getitem__\n'
            'def count(self, draw):\n'
            '    print("LOADED", draw, flush=True)\n'
            '    return get(self, draw)\n'
            'MultiDomainDataset.__getitem__ = count\n',
        )
        content = torch.load(work_dir / 'iter_3.pth', weights_only=False)
        content['meta']['iter'] = 100_000
        text = content['meta']['cfg'].replace('max_iters=6', 'max_iters=100002')
        content['meta']['cfg'] = text.replace('end=6', 'end=100002')
        (work_dir / 'iter_3.pth').unlink()
        torch.save(content, work_dir / 'iter_100000.pth')
        for workers, flag in ((0, '--resume'), (2, '--extend')):
            shutil.rmtree(work_dir.with_name('far'), ignore_errors=True)
            shutil.copytree(work_dir, work_dir.with_name('far'))
            length = 100_003 if flag == '--extend' else 100_002
            options = [
                f'train_cfg.max_iters={length}',
                'param_scheduler.0.end=100002',
                'train_cfg.val_interval=1000000',
                f'train_dataloader.num_workers={workers}',
            ]
            run = tools.fork(
                'tools/train.py', flag, '--cfg-options', *options, work_dir='far', PLUGIN=counter
            )
            assert run.code == 0, run.output
            assert sorted(run.losses) == list(range(100_001, length + 1))
            # Each worker is two batches ahead; 3 images are validated on at the end.
            least = 4 * (length - 100_000) + 3
            assert least <= run.output.count('LOADED') <= least + 4 * 2 * workers


class TestWorkDir:
    @pytest.mark.parametrize('tool', ['tools/train.py', 'tools/test.py'])
    def test_that_takes_no_files_is_refused_before_any_work(self, tools, straight, tool):
        (tools.root / 'a-file').write_text('text')
        checkpoint = [straight.work_dir / 'iter_6.pth'] if tool.endswith('test.py') else []
        run = tools.fork(tool, *checkpoint, work_dir='a-file')
        assert run.code == 1
        assert 'nothing can be written there' in run.output
        assert 'Traceback' not in run.output

    def test_with_checkpoints_of_a_run_before_is_named(self, tools, work_dir):
        assert re.search(
            r'WARNING.*has iter_3\.pth of a run before', tools.train(work_dir.name).output
        )

    def test_of_another_training_that_runs_is_refused(self, tools, straight, work_dir):
        # A training that never ends; its loader's worker outlives it.
        stopper = plugin(
            tools,
            'stopper',
            'import time\n'
            'from cct_mm.engine import TrainingProgressHook\n'
            'def stop(self, runner, *rest, **others):\n'
            '    print("STOPPED", flush=True)\n'
            '    time.sleep(300)\n'
            'TrainingProgressHook.after_train_iter = stop\n',
        )
        command = tools.command(
            'tools/train.py',
            '--resume',
            '--cfg-options',
            'train_dataloader.num_workers=1',
            work_dir=work_dir.name,
        )
        log = tools.root / 'first.log'
        first = tools.server.start(log, *command, environment={'PLUGIN': stopper})
        assert wait_until(lambda: 'STOPPED' in first.output, 60), first.output
        before = files(work_dir)
        second = tools.fork('tools/train.py', '--resume', work_dir=work_dir.name)
        assert second.code == 1
        assert f'{work_dir} is in use by another training' in second.output
        assert files(work_dir) == before
        first.kill()
        assert first.wait() == -signal.SIGKILL
        tools.train(work_dir.name, '--resume')
        assert_ends_as(work_dir, straight)

    def test_of_a_run_before_is_no_start_of_one_that_may_be_restarted(self, tools, work_dir):
        before = files(work_dir)
        run = tools.fork('tools/train.py', work_dir=work_dir.name, TORCHELASTIC_MAX_RESTARTS='3')
        assert run.code == 1
        assert 'has iter_3.pth of a run before' in run.output
        assert files(work_dir) == before

    def test_gets_one_checkpoint_where_epochs_are_counted_and_that_is_said(self, tools):
        run = tools.train('by-epoch', default_hooks__checkpoint__by_epoch=True)
        assert re.search(r'WARNING.*one checkpoint, at the end', run.output)
        assert [path.name for path in run.work_dir.glob('*.pth')] == ['epoch_1.pth']


class TestTrust:
    class Code:
        def __init__(self, folder):
            self.folder = folder

        def __reduce__(self):
            return os.mkdir, (str(self.folder),)

    def test_code_in_a_checkpoint_runs_only_if_the_user_says_so(self, tools, straight):
        content = straight.checkpoint()
        marker = tools.root / 'code-has-run'
        path = tools.root / 'harmful.pth'
        torch.save({**content, 'x': self.Code(marker)}, path)
        for tool, arguments in (
            ('tools/test.py', [path]),
            ('tools/train.py', ['--cfg-options', f'load_from={path}']),
        ):
            run = tools.fork(tool, *arguments, work_dir='refused')
            assert run.code == 1
            assert f'holds {os.mkdir.__module__}.mkdir' in run.output
            assert f'--trust-checkpoint {path}' in run.output
            assert 'Traceback' not in run.output
            assert not marker.exists()
        run = tools.fork('tools/test.py', path, '--trust-checkpoint', path, work_dir='trusted')
        assert run.code == 0, run.output
        assert marker.exists()


class TestInterrupted:
    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_ends_with_the_command_that_goes_on(self, tools, work_dir, number):
        interrupter = plugin(
            tools,
            'interrupter',
            'import os, signal\n'
            'from cct_mm.engine import TrainingProgressHook\n'
            'def interrupt(self, runner, *rest, **others):\n'
            '    if runner.iter == 4:\n'
            f'        os.kill(os.getpid(), {int(number)})\n'
            'TrainingProgressHook.after_train_iter = interrupt\n',
        )
        run = tools.fork('tools/train.py', '--resume', work_dir=work_dir.name, PLUGIN=interrupter)
        assert run.code == 130, run.output
        last = run.output.strip().splitlines()[-1]
        assert last.startswith(f'Interrupted. To go on from {work_dir}/iter_3.pth: python tools/')
        assert last.endswith(' --resume')
