"""The commands and examples of docs/several_domains.md."""

import shlex
from pathlib import Path

import pytest
from doc_pages import blocks, commands
from doc_runs import few_test_images, fresh_checkpoint, tiny_evaluation, tiny_training
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from cct_mm.engine.config_file import read_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/several_domains.md'


@pytest.mark.slow
@pytest.mark.realdata
def test_commands(run_tool, real_data, tmp_path):
    training, evaluation = commands(PAGE)
    data = real_data('cityscapes', 'CamVid')
    run_tool(*tiny_training(training, tmp_path), CCT_MM_DATA=str(data))
    assert (tmp_path / 'iter_2.pth').is_file()
    checkpoint = fresh_checkpoint(shlex.split(evaluation)[2], tmp_path / 'model.pth')
    few = few_test_images(data, tmp_path)
    run_tool(*tiny_evaluation(evaluation, checkpoint, tmp_path, few), CCT_MM_DATA=str(data))
    metrics = (tmp_path / 'metrics.json').read_text()
    assert 'camvid/mIoU' in metrics and 'cityscapes' not in metrics


@pytest.mark.slow
def test_the_config_of_two_domains_and_how_one_is_called(toy_data, tmp_path, monkeypatch):
    monkeypatch.setenv('CCT_MM_DATA', str(toy_data))
    init_default_scope('mmseg')
    config, calls = blocks(PAGE, 'python')
    path = tmp_path / 'two.py'
    path.write_text(config.replace("'../_base_", f"'{ROOT}/configs/_base_"))
    cfg = read_config(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).eval()
    assert list(model.domains) == ['day', 'night']
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    assert all(list(loader.dataset.domains) == ['day', 'night'] for loader in loaders)

    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    names = dict(model=model, batch=pseudo_collate([dataset[len(dataset) - 1]]))
    exec(compile(calls, PAGE, 'exec'), names)
    (result,) = names['results']
    assert len(result.seg_logits.data) == model.domains['night'].num_classes
    assert model.default_domain == 'night'
