"""MLflow and W&B beside the log, through ``tools/train.py``, without a network."""

import json
import shutil

import pytest

CONFIG = """
_base_ = 'tiny.py'
vis_backends = [dict(type='LocalVisBackend'), {backend}]
visualizer = dict(vis_backends=vis_backends)
train_cfg = dict(val_interval=3)
default_hooks = dict(
    visualization=dict(type='DomainVisualizationHook', draw=True, interval=1)
)
"""
NUMBERS = {'loss', 'day.loss_ce', 'day/mIoU', 'day/IoU.sky', 'mIoU', 'lr'}


def train(tools, name, backend, **variables):
    """Train for six iterations with a backend; not forked, for W&B's folder ends with a fork."""
    config = tools.root / f'{name}.py'
    config.write_text(CONFIG.format(backend=backend))
    run = tools.start('tools/train.py', config=config, work_dir=name, **variables)
    assert run.code == 0, run.output
    return run


def go_on(tools, run, **variables):
    """Go on from the third iteration."""
    (run.work_dir / 'iter_6.pth').unlink()
    shutil.rmtree(next(run.work_dir.glob('*/vis_data')).parent)
    config, name = tools.root / f'{run.work_dir.name}.py', run.work_dir.name
    again = tools.start('tools/train.py', '--resume', config=config, work_dir=name, **variables)
    assert again.code == 0, again.output
    return again


@pytest.mark.slow
def test_mlflow_gets_numbers_of_domains_and_pictures_and_goes_on_in_its_run(tools):
    mlflow = pytest.importorskip('mlflow', reason='mlflow is not installed')
    database = f'sqlite:///{tools.root}/mlflow.db'
    artifacts = tools.root / 'artifacts'
    backend = dict(
        type='MLflowVisBackend',
        exp_name='toy',
        tracking_uri=database,
        artifact_location=str(artifacts),
        tracked_config_keys=['model', 'optim_wrapper', 'train_cfg'],
    )
    run = train(tools, 'mlflow', backend)
    client = mlflow.MlflowClient(database)
    experiment = client.get_experiment_by_name('toy').experiment_id
    (found,) = client.search_runs([experiment])
    assert set(found.data.metrics) >= NUMBERS
    history = client.get_metric_history(found.info.run_id, 'loss')
    assert {m.step: m.value for m in history} == {t: x['loss'] for t, x in run.losses.items()}
    pictures = {path.name for path in artifacts.rglob('*.png')}
    assert pictures == {'val_000_3.png', 'val_000_6.png'}

    go_on(tools, run, MLFLOW_RUN_ID=found.info.run_id)
    (found,) = client.search_runs([experiment])
    steps = [m.step for m in client.get_metric_history(found.info.run_id, 'loss')]
    assert sorted(steps) == [1, 2, 3, 4, 4, 5, 5, 6, 6]


@pytest.mark.slow
def test_wandb_gets_numbers_of_domains_and_pictures(tools):
    pytest.importorskip('wandb', reason='wandb is not installed')
    backend = dict(
        type='WandbVisBackend',
        init_kwargs=dict(project='toy', id='toy-1', resume='allow', allow_val_change=True),
        define_metric_cfg=[dict(name='*', step_metric='iter')],
    )
    run = train(tools, 'wandb', backend, WANDB_MODE='offline')
    (folder,) = run.work_dir.rglob('offline-run-*')
    assert folder.name.endswith('toy-1')
    assert list(folder.rglob('*.png'))
    text = next(folder.glob('*.wandb')).read_bytes()
    assert all(json.dumps(name)[1:-1].encode() in text for name in NUMBERS)
    again = go_on(tools, run, WANDB_MODE='offline')
    (folder,) = again.work_dir.rglob('offline-run-*')
    assert folder.name.endswith('toy-1')
