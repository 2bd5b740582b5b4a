import pytest
from mmengine.config import Config

from cct_mm.engine.processes.launch import (
    LOADER_TIMEOUT,
    TIMEOUT,
    leave_processes,
    prepare_processes,
    restarted,
)


@pytest.fixture(autouse=True)
def hook_of_before(monkeypatch):
    """prepare_processes sets the hook for uncaught errors: of this process, too."""
    import sys

    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)


def config(**others):
    return Config(dict(model=dict(domains=dict(day=dict())), launcher='none', **others))


def test_loaders_with_workers_get_a_time_limit_unless_they_have_one():
    cfg = config(
        train_dataloader=dict(num_workers=2),
        val_dataloader=dict(num_workers=2, timeout=0),
        test_dataloader=dict(num_workers=0),
    )
    prepare_processes(cfg)
    assert cfg.train_dataloader.timeout == LOADER_TIMEOUT < TIMEOUT
    assert cfg.val_dataloader.timeout == 0
    # PyTorch refuses one where there are no workers.
    assert 'timeout' not in cfg.test_dataloader


@pytest.mark.parametrize('env_cfg', [None, dict(cudnn_benchmark=True), dict(dist_cfg=dict())])
def test_processes_get_a_time_limit_where_mmengine_looks(env_cfg, monkeypatch):
    cfg = config(**({} if env_cfg is None else dict(env_cfg=env_cfg)))
    cfg.launcher = 'mpi'
    monkeypatch.setattr('cct_mm.engine.processes.launch._die_with_launcher', lambda: None)
    prepare_processes(cfg)
    assert cfg.env_cfg.dist_cfg.timeout == TIMEOUT


@pytest.mark.parametrize('timeout', [0, -1, '10 min'])
def test_a_time_limit_that_is_none_is_refused(timeout):
    cfg = config(env_cfg=dict(dist_cfg=dict(timeout=timeout)))
    cfg.launcher = 'pytorch'
    with pytest.raises(SystemExit, match=r'env_cfg\.dist_cfg\.timeout is .*, expected seconds'):
        prepare_processes(cfg)


@pytest.mark.parametrize('launcher', ['TORCHELASTIC', 'SLURM'])
def test_a_restart_is_known_by_its_launcher(launcher, monkeypatch):
    for name in ('TORCHELASTIC', 'SLURM'):
        monkeypatch.delenv(f'{name}_RESTART_COUNT', raising=False)
    assert not restarted()
    monkeypatch.setenv(f'{launcher}_RESTART_COUNT', '0')
    assert not restarted()
    monkeypatch.setenv(f'{launcher}_RESTART_COUNT', '2')
    assert restarted()


def test_the_last_step_of_two_processes_ends_them_before_the_interpreter_is_torn_down(
    on_two_processes,
):
    errors = on_two_processes(
        """
        import atexit
        from cct_mm.engine.processes.launch import leave_processes

        class Last:
            def __del__(self):
                print('torn down', file=sys.stderr)

        last = Last()
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
        model(torch.ones(1, 2)).sum().backward()
        atexit.register(print, 'handlers have run', file=sys.stderr)
        leave_processes()
        raise AssertionError('still there')
        """
    )
    for error in errors:
        assert 'handlers have run' in error and 'torn down' not in error


def test_one_process_goes_on_after_its_last_step():
    leave_processes()
