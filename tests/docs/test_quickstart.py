"""The commands of docs/quickstart.md."""

import shlex

import pytest
from doc_pages import commands
from doc_runs import (
    check_grid,
    check_launcher,
    few_test_images,
    fresh_checkpoint,
    run_in_shell,
    tiny_evaluation,
    tiny_training,
)

COMMANDS = commands('docs/quickstart.md')
TOY = [command for command in COMMANDS if 'toy' in command]
CAMVID = [command for command in COMMANDS if command.startswith('python') and 'camvid' in command]
TRAINING = [command for command in CAMVID if 'tools/train.py' in command]
EVALUATION = [command for command in CAMVID if 'tools/test.py' in command]
GRIDS = [command for command in CAMVID if 'run_experiments' in command]
LAUNCHERS = [command for command in COMMANDS if command.startswith('tools/dist_')]


@pytest.mark.slow
def test_toy_scenes_in_their_order(run_tool, tmp_path):
    write, *trainings, first, last = TOY
    data = tmp_path / 'data'
    run_tool(*shlex.split(write)[1:], '--root', data)
    for command in trainings:
        name = command.split('/')[-1].removesuffix('.py')
        run_tool(*tiny_training(command, tmp_path / name), CCT_MM_DATA=str(data))
    three = 'test_dataloader.dataset.domains.day.labeled.indices=3'
    for command in (first, last):
        _, run, file = shlex.split(command)[3].split('/')
        assert file == 'iter_400.pth'
        checkpoint = tmp_path / run / 'iter_2.pth'
        evaluation = tiny_evaluation(command, checkpoint, tmp_path / 'test', three)
        assert 'mIoU' in run_tool(*evaluation, CCT_MM_DATA=str(data))
    assert '"mIoU"' in (tmp_path / 'test/metrics.json').read_text()


def test_curves_are_shown_by_tensorboard(tmp_path):
    (command,) = [command for command in COMMANDS if command.startswith('tensorboard')]
    run_in_shell(f'{command.replace("work_dirs", str(tmp_path))} --inspect')


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('command', TRAINING)
def test_training_on_camvid(command, run_tool, real_data, tmp_path):
    run_tool(*tiny_training(command, tmp_path), CCT_MM_DATA=str(real_data('CamVid')))
    assert (tmp_path / 'iter_2.pth').is_file()


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('command', EVALUATION)
def test_evaluation_on_camvid(command, run_tool, real_data, tmp_path):
    data = real_data('CamVid')
    checkpoint = fresh_checkpoint(shlex.split(command)[2], tmp_path / 'model.pth')
    few = few_test_images(data, tmp_path)
    run_tool(*tiny_evaluation(command, checkpoint, tmp_path, few), CCT_MM_DATA=str(data))
    assert '"mIoU"' in (tmp_path / 'metrics.json').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('command', LAUNCHERS)
def test_launch_scripts_start_their_tool(command):
    check_launcher(command)


@pytest.mark.slow
@pytest.mark.parametrize('command', GRIDS)
def test_grids_are_read(command, tmp_path):
    check_grid(command, tmp_path)


def test_every_command_is_run():
    tensorboard = 1
    groups = (TOY, TRAINING, EVALUATION, LAUNCHERS, GRIDS)
    assert sum(map(len, groups)) + tensorboard == len(COMMANDS)
