"""Labels that mean nothing, through ``tools/train.py``."""

import shutil

import numpy as np
import pytest
from PIL import Image

TWO_CLASSES = """
_base_ = {config!r}
classes = ('ground', 'thing')
source = dict(
    type='ListDataset',
    data_root={folder!r},
    metainfo=dict(classes=classes),
    pipeline=[dict(type='LoadCheckedImage'), {loader}, dict(type='PackSegInputs')],
)
unlabeled = dict(
    type='ListDataset',
    data_root={folder!r},
    labeled=False,
    metainfo=dict(classes=classes),
    pipeline=[dict(type='LoadCheckedImage'), dict(type='PackSegInputs')],
)
model = dict(domains=dict(day=dict(classes=classes, foreground=('thing',))))
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            day=dict(
                _delete_=True,
                labeled=dict(**source, ann_file='n12.txt'),
                unlabeled=dict(**unlabeled, ann_file='n12_unlabeled.txt'),
            )
        )
    )
)
validation = dict(labeled=dict(**source, ann_file='val.txt'))
val_dataloader = dict(dataset=dict(domains=dict(day=dict(_delete_=True, **validation))))
test_dataloader = val_dataloader
"""


class TestTwoClassesAs0And255:
    """As many tools write masks; our own label for no label is 255."""

    @pytest.fixture
    def train(self, tools):
        folder = tools.root / 'two'
        if not folder.exists():
            shutil.copytree(tools.root / 'data' / 'ToyScenes' / 'day', folder)
            for path in folder.rglob('*.png'):
                with Image.open(path) as file:
                    labels = np.asarray(file)
                if labels.ndim == 2:
                    Image.fromarray(np.where(labels > 1, 255, 0).astype(np.uint8)).save(path)

        def train(name, loader):
            config = tools.root / f'{name}.py'
            places = dict(config=str(tools.config), folder=str(folder))
            config.write_text(TWO_CLASSES.format(loader=loader, **places))
            return tools.fork('tools/train.py', work_dir=name, config=config)

        return train

    def test_are_refused_before_the_first_iteration(self, train):
        run = train('meaningless', "dict(type='LoadCheckedAnnotations')")
        assert run.code == 1
        assert "of its 2 classes only the class 'ground' occurs in the labels of 12" in run.output
        assert "dict(type='LoadCheckedAnnotations', label_map={255: 1})" in run.output
        assert list(run.work_dir.glob('**/scalars.json')) == []

    def test_are_trained_and_evaluated_by_the_map_that_the_error_names(self, train):
        run = train('mapped', "dict(type='LoadCheckedAnnotations', label_map={255: 1})")
        assert run.code == 0, run.output
        last = run.scalars[-1]
        assert 0 <= last['day/IoU.thing'] <= 100
        assert last['mIoU'] < 100
