"""The commands of docs/cached.md, on few images and for two iterations."""

import shlex
from pathlib import Path

import pytest
from doc_pages import ROOT, blocks, commands
from doc_runs import few_test_images, fresh_checkpoint, tiny_evaluation, tiny_training
from mmengine.config import Config

from cct_mm.engine.config_options import parse_options

PAGE = 'docs/cached.md'
SOURCES = 'train_dataloader.dataset.domains.camvid'
FEW = [
    *(f'{SOURCES}.{kind}.indices={count}' for kind, count in (('labeled', 4), ('unlabeled', 4))),
    *(f'train_dataloader.dataset.versions.{kind}=1' for kind in ('labeled', 'unlabeled')),
]


@pytest.mark.slow
@pytest.mark.realdata
def test_commands(run_tool, real_data, tmp_path):
    data = real_data('CamVid')
    start = fresh_checkpoint('configs/cached/cct_efficientnet-lite0_camvid-n50.py', tmp_path / 'x')
    for command in commands(PAGE):
        _, tool, config, *words = shlex.split(command)
        # Each folder of features is of this test, and each start the same.
        options = words[words.index('--cfg-options') + 1 :] if '--cfg-options' in words else []
        own = []
        if 'configs/cached/' in config:
            cache = parse_options(options).get('train_dataloader.dataset.cache', 'of the config')
            own = [*FEW, f'train_dataloader.dataset.cache={tmp_path / Path(cache).name}']
            own += [f'load_from={start}', 'model.backbone.init_cfg=None']
        if 'cache_features' in tool:
            argv = [tool, config, '--cfg-options', *options, *own]
        elif 'train' in tool:
            argv = [*tiny_training(command, tmp_path / 'run'), *own]
        else:
            few = few_test_images(data, tmp_path)
            argv = tiny_evaluation(command, tmp_path / 'run/iter_2.pth', tmp_path / 'test', few)
        output = run_tool(*argv, CCT_MM_DATA=str(data))
        if 'cache_features' in tool:
            assert '8 features made' in output


def test_the_config_of_yours_has_what_the_configs_have():
    (code,) = blocks(PAGE, 'python')
    mine = Config.fromstring(code, '.py').to_dict()
    theirs = Config.fromfile(ROOT / 'configs/cached/supervised_efficientnet-lite0_camvid-n50.py')
    dataset = mine['train_dataloader']['dataset']
    assert mine['model']['frozen_backbone'] is theirs.model.frozen_backbone is True
    kept = {key: theirs.train_dataloader.dataset[key] for key in ('type', 'versions')}
    assert dataset == {**kept, 'cache': dataset['cache']}
