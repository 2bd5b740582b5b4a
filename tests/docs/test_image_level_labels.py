"""The commands of docs/image_level_labels.md in their order, and its example."""

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from doc_pages import blocks, commands
from doc_runs import TINY
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope

import cct_mm  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/image_level_labels.md'


@pytest.mark.slow
@pytest.mark.realdata
def test_commands_in_their_order(run_tool, real_data, tmp_path):
    data = real_data('VOCdevkit')
    root = data / 'VOCdevkit/VOC2012'
    lists = ROOT / 'configs/_base_/domains/splits/voc'
    few = tmp_path / 'few.txt'
    # Spread over the list: the first ones show none of the domain's classes.
    few.write_text('\n'.join((lists / 'n100_unlabeled.txt').read_text().split()[::125]))
    train, val = 'train_dataloader.dataset.domains.voc', 'val_dataloader.dataset.domains.voc'
    classifier, labels = tmp_path / 'classifier', tmp_path / 'labels'
    images = [f'{train}.weak.ann_file={few}']
    tools = []
    for command in commands(PAGE):
        _, tool, config, *options = shlex.split(command)
        tools.append(tool)
        if tool == 'tools/train.py':
            weak, named = 'cct-weak' in config, 'named' in config
            kind, work_dir = 'labeled', tmp_path / ('named' if named else 'cct')
            if not (weak or named):
                kind, work_dir = 'weak', classifier
            listed = (
                [image.replace('.weak.', '.unlabeled.') for image in images] if named else images
            )
            changes = [*TINY, *listed, f'{val}.{kind}.indices=3', 'param_scheduler.0.end=2']
            if weak:
                changes += [f'{train}.weak.data_prefix.seg_map_path={labels}']
                changes += [f'load_from={classifier}/iter_2.pth']
            options = ['--work-dir', str(work_dir), '--cfg-options', *changes]
        else:
            options[0] = f'{classifier}/iter_2.pth'
            options[options.index('--out') + 1] = str(labels)
            if '--masks' in options:
                options[options.index('--out') + 1] = str(tmp_path / 'report')
                options[options.index('--masks') + 1] = str(root / 'SegmentationClass')
            options += ['--no-crf', '--cfg-options', *images]
        run_tool(tool, config, *options, CCT_MM_DATA=str(data))
    assert tools == [
        'tools/train.py',
        'tools/gen_pseudo_labels.py',
        'tools/train.py',
        'tools/report_pseudo_labels.py',
        'tools/train.py',
    ]
    assert (tmp_path / 'named/iter_2.pth').is_file()
    assert len(list(labels.glob('2*.png'))) == 6
    assert (labels / 'preview.jpg').is_file()
    assert (tmp_path / 'report/report.md').is_file()
    assert (tmp_path / 'cct/iter_2.pth').is_file()


def test_labels_from_a_csv(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmseg')
    cv2.imwrite('x.jpg', np.zeros((8, 8, 3), np.uint8))
    (line,) = {'x.jpg,cat;dog'} & set(Path(ROOT / PAGE).read_text().split('`'))
    Path('animals.csv').write_text(line + '\n')
    names = {}
    (code,) = blocks(PAGE, 'python')
    exec(compile(code, PAGE, 'exec'), names)
    packed = Compose(names['pipeline'])(dict(img_path='x.jpg'))
    assert packed['data_samples'].image_labels == (1, 2)
    assert packed['data_samples'].image_labels_complete is True
