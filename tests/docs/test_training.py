"""Every command and every config on docs/training.md, with a tiny network and a few iterations."""

import os
import re
import shlex

import pytest
from doc_pages import ROOT, blocks, commands
from fork_server import ForkServer
from mmengine.config import Config
from tiny_network import tiny_toy_config

from cct_mm.datasets.reading import read_image
from cct_mm.lab.toy_scenes import writing

PAGE = 'docs/training.md'
NEEDS = {'wandb': 'wandb', 'mlflow': 'mlflow'}
# The lengths of the page, and those of its test.
SHORT = {'max_iters=600': 'max_iters=8', 'max_iters=800': 'max_iters=12'}


def config_files():
    """Return the configs on the page by their paths, which are in their first lines."""
    found = {}
    for code in blocks(PAGE, 'python'):
        first, _, _ = code.partition('\n')
        found[first.removeprefix('# ')] = code
    return found


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    """A folder with the page's configs, from which its commands are run."""
    desk = tmp_path_factory.mktemp('desk')
    (desk / 'tools').symlink_to(ROOT / 'tools')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, 'SPLIT_SIZES', {'train': 16, 'val': 3, 'test': 3})
        writing.write_toy_scenes(desk / 'data')
        patch.setenv('CCT_MM_DATA', str(desk / 'data'))
        files = config_files()
        files['configs/cct/cct_toy.py'] = tiny_toy_config(iterations=6, interval=2)
        for name, code in files.items():
            path = desk / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code.replace('val_interval=50', 'val_interval=1'))
        yield desk


@pytest.fixture(scope='module')
def server(desk):
    with ForkServer() as server:
        yield server


@pytest.mark.parametrize('command', commands(PAGE))
def test_commands_train(desk, server, command):
    for long, short in SHORT.items():
        command = command.replace(long, short)
    variables, words = {}, shlex.split(command)
    while '=' in words[0]:
        name, _, value = words.pop(0).partition('=')
        variables[name] = value
    folder = desk / words[words.index('--work-dir') + 1]
    if folder.name in NEEDS:
        pytest.importorskip(NEEDS[folder.name], reason=f'{folder.name} is not installed')
    run = server.run(desk / 'log', *words[1:], directory=desk, environment=variables)
    assert run.code == 0, run.output
    length = re.search(r'max_iters=(\d+)', command)
    assert (folder / f'iter_{length[1] if length else 6}.pth').exists()
    assert ('finished' in run.output.splitlines()[-1]) == ('--resume' in command)
    (desk / 'log').unlink()


@pytest.mark.parametrize('name', config_files())
def test_configs_are_whole(desk, name):
    config = Config.fromfile(desk / name)
    if 'early' in name:
        hooks = [hook.type for hook in config.custom_hooks]
        assert 'TrainingProgressHook' in hooks
        assert hooks[-1] == 'EarlyStoppingHook'
    elif 'infrared' in name:
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            for source in loader.dataset.domains.day.values():
                assert source.pipeline[0].channels == config.model.backbone.in_channels == 1
        # What would be trained on is refused, because it has colors.
        image = next((desk / 'data').rglob('train/*.png'))
        with pytest.raises(ValueError, match=r'has 3 channels, expected 1 \(gray\)'):
            read_image(image, channels=1)
    else:
        assert len(config.visualizer.vis_backends) == 2


def test_links_lead_somewhere():
    for target in re.findall(r'\]\(([\w./-]+)\)', (ROOT / PAGE).read_text(encoding='utf-8')):
        assert os.path.exists(ROOT / 'docs' / target), target
