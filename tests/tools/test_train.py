"""Training and evaluation as a user starts them, see ``conftest.py``."""

import re
import shutil

import pytest
import torch

from cct_mm.datasets import toy_scenes


def assert_same_weights(run, expected):
    weights, others = (r.checkpoint()['state_dict'] for r in (run, expected))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


class TestTrain:
    def test_logs_the_losses_of_each_iteration_and_validates(self, straight):
        assert sorted(straight.losses) == [1, 2, 3, 4, 5, 6]
        assert {'loss', 'day.loss_ce', 'day.loss_unsupervised'} <= set(straight.losses[1])
        assert {'mIoU', 'day/mIoU', 'day/IoU.car'} <= set(straight.scalars[-1])

    def test_checkpoint_knows_classes_and_palette_of_every_domain(self, straight):
        domains = straight.checkpoint()['meta']['dataset_meta']['domains']
        assert list(domains) == ['day']
        assert tuple(domains['day']['classes']) == toy_scenes.DOMAINS['day']['classes']
        assert domains['day']['palette'] == toy_scenes.DOMAINS['day']['palette']

    def test_saves_the_best_beside_the_checkpoints_that_are_due(self, tools):
        run = tools.train(
            'best',
            train_cfg__val_interval=1,
            default_hooks__checkpoint__interval=4,
            default_hooks__checkpoint__save_best='mIoU',
        )
        assert sorted(path.name for path in run.work_dir.glob('iter_*.pth')) == [
            'iter_4.pth',
            'iter_6.pth',
        ]
        (best,) = run.work_dir.glob('best_mIoU_iter_*.pth')
        known = run.checkpoint()['message_hub']['runtime_info']['best_ckpt']
        assert known.endswith(best.name)

    def test_does_not_depend_on_the_number_of_workers(self, tools, straight):
        run = tools.train('workers', train_dataloader__num_workers=2)
        assert_same_weights(run, straight)
        assert run.scalars == straight.scalars

    def test_one_that_diverges_ends_with_the_step_and_keeps_the_checkpoint_from_before(self, tools):
        options = ['optim_wrapper.optimizer.lr=1e12', 'default_hooks.checkpoint.interval=1']
        options += ['default_hooks.checkpoint.max_keep_ckpts=1']
        run = tools.fork('tools/train.py', '--cfg-options', *options, work_dir='diverged')
        assert run.code == 1
        found = re.search(
            r'FloatingPointError: iteration (\d): (\S+).* not finite, domain day, '
            r'images (\S+/train/\S+), ',
            run.output,
        )
        assert found, run.output[-2000:]
        iteration = int(found[1])
        assert iteration > 1
        assert [path.name for path in run.work_dir.glob('*.pth')] == [f'iter_{iteration - 1}.pth']
        for name, value in run.checkpoint(iteration - 1)['state_dict'].items():
            assert value.isfinite().all(), name

    @pytest.mark.parametrize('num_workers', [0, 1])
    def test_resumed_after_three_iterations_ends_bit_for_bit_as_without_a_stop(
        self, tools, straight, num_workers
    ):
        work_dir = tools.root / f'resumed-{num_workers}'
        work_dir.mkdir()
        stopped = shutil.copy(straight.work_dir / 'iter_3.pth', work_dir)
        (work_dir / 'last_checkpoint').write_text(str(stopped))
        run = tools.train(work_dir.name, '--resume', train_dataloader__num_workers=num_workers)
        assert sorted(run.losses) == [4, 5, 6]
        assert run.losses == {t: straight.losses[t] for t in (4, 5, 6)}
        assert_same_weights(run, straight)
        optimizer, expected = (r.checkpoint()['optimizer']['state'] for r in (run, straight))
        assert optimizer.keys() == expected.keys()
        for index, state in optimizer.items():
            assert torch.equal(state['momentum_buffer'], expected[index]['momentum_buffer'])

    def test_resume_goes_on_with_itself_and_not_with_the_weights_it_once_started_from(
        self, tools, straight
    ):
        options = {'load_from': straight.work_dir / 'iter_6.pth', 'train_cfg__max_iters': 3}
        started = tools.train('pretrained', **options)
        # With --resume from the beginning, as by run_experiments.py, where there is nothing yet.
        run = tools.train('pretrained-2', '--resume', **options)
        assert run.losses == started.losses
        assert sorted(run.losses) == [1, 2, 3]
        assert run.losses[1] != straight.losses[1]

        options['train_cfg__max_iters'] = 6
        tools.train('pretrained-2', '--extend', **options)
        whole = tools.train('pretrained-3', **options)
        weights, expected = (
            torch.load(tools.root / name / 'iter_6.pth', weights_only=False)['state_dict']
            for name in ('pretrained-2', 'pretrained-3')
        )
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
        assert any(
            not torch.equal(weights[name], value)
            for name, value in straight.checkpoint()['state_dict'].items()
        )
        assert whole.losses[1] == started.losses[1]


class TestMixedPrecision:
    def test_bfloat16_on_a_cpu_is_close_to_float32_and_keeps_float32_weights(self, tools, straight):
        run = tools.train('amp', '--amp', 'bfloat16', train_cfg__max_iters=1)
        loss, expected = (r.losses[1]['day.loss_ce'] for r in (run, straight))
        assert loss == pytest.approx(expected, rel=0.05)
        assert loss != expected
        weights = run.checkpoint(1)['state_dict'].values()
        assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}

    def test_float16_on_a_cpu_is_refused(self, tools):
        run = tools.start('tools/train.py', '--amp', 'float16', work_dir='float16')
        assert run.code == 1
        assert run.output.endswith(
            '--amp float16: no GPU found, and float16 needs one; use --amp bfloat16 on a CPU\n'
        )
        assert not run.work_dir.exists()
