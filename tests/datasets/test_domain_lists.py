"""The shipped lists and domain configs: disjoint, nested, and each source loads."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import cct_mm.datasets  # noqa: F401

ROOT = Path(__file__).parents[2]
DOMAINS = ROOT / 'configs/_base_/domains'
FOLDERS = sorted(path for path in (DOMAINS / 'splits').iterdir() if path.is_dir())
FULL = ('camvid', 'cityscapes', 'sunrgbd')
SMALL = ('camvid_176x240', 'cityscapes_128x256', 'sunrgbd_176x240')
VOC = ('voc', 'voc_small')
SIZES = {
    'camvid_n20': (20, 347),
    'camvid_n50': (50, 317),
    'camvid_n100': (100, 267),
    'camvid_n20_seed1': (20, 347),
    'camvid_n20_seed2': (20, 347),
    'camvid_n20_other_sequences': (20, 143),
    'camvid_full': (367,),
    'camvid_val': (101,),
    'camvid_test': (233,),
    'cityscapes_n20': (20, 1268),
    'cityscapes_n50': (50, 1238),
    'cityscapes_n100': (100, 1188),
    'cityscapes_full': (1288,),
    'cityscapes_val': (200,),
    'cityscapes_test': (500,),
    'sunrgbd_n20': (20, 675),
    'sunrgbd_n50': (50, 645),
    'sunrgbd_n100': (100, 595),
    'sunrgbd_full': (695,),
    'sunrgbd_val': (100,),
    'sunrgbd_test': (654,),
}
VOC_SIZES = {
    'voc_n100': (100, 655),
    'voc_n100_weak': (100, 655),
    'voc_n100_image_labels': (100, 655),
    'voc_image_labels': (755,),
    'voc_image_labels_val': (100,),
    'voc_val': (100,),
    'voc_test': (463,),
}


@pytest.fixture(autouse=True)
def scope(monkeypatch):
    # As for the tools: a relative CCT_MM_DATA, or none, starts from the repository.
    monkeypatch.chdir(ROOT)
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def images(path):
    """The images of a list, which names none twice."""
    found = [line.split()[0] for line in path.read_text().splitlines()]
    assert len(set(found)) == len(found)
    return set(found)


def lists(folder):
    """Size -> its labeled and its unlabeled images, ascending."""
    sizes = sorted(int(re.findall(r'\d+', p.stem)[0]) for p in folder.glob('n*_unlabeled.txt'))
    return {
        n: (images(folder / f'n{n}.txt'), images(folder / f'n{n}_unlabeled.txt')) for n in sizes
    }


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda path: path.name)
class TestLists:
    def test_labeled_and_unlabeled_images_are_the_training_set(self, folder):
        found = lists(folder)
        assert found
        for size, (labeled, unlabeled) in found.items():
            assert len(labeled) == size
            assert not labeled & unlabeled
        together = [labeled | unlabeled for labeled, unlabeled in found.values()]
        if (folder / 'train.txt').exists():
            together.append(images(folder / 'train.txt'))
        assert all(training == together[0] for training in together)

    def test_smaller_splits_are_part_of_larger_ones(self, folder):
        labeled = [images for images, _ in lists(folder).values()]
        assert all(a < b for a, b in zip(labeled, labeled[1:], strict=False))

    def test_images_for_evaluation_are_not_trained_on(self, folder):
        evaluated = [images(p) for p in map(folder.joinpath, ('val.txt', 'test.txt')) if p.exists()]
        for number, held_out in enumerate(evaluated):
            for labeled, unlabeled in lists(folder).values():
                assert not held_out & (labeled | unlabeled)
            for other in evaluated[:number]:
                assert not held_out & other

    def test_lists_name_files_of_no_particular_machine(self, folder):
        for path in folder.glob('*.txt'):
            assert not any(name.startswith(('/', '.')) or '\\' in name for name in images(path))


def sources(cfg):
    """All variables of a config that are sources of a domain: name -> kind -> dataset."""
    return {
        name: value
        for name, value in cfg.items()
        if isinstance(value, dict) and set(value) <= {'labeled', 'unlabeled', 'weak'}
    }


@pytest.mark.parametrize('name', FULL + SMALL + VOC)
class TestConfigs:
    def test_domain_has_the_classes_of_its_dataset(self, name):
        cfg = Config.fromfile(DOMAINS / f'{name}.py')
        domain = cfg[name.split('_')[0]]
        if 'foreground' in domain:
            assert set(domain.foreground) < set(domain.classes)
        else:
            assert domain.classes[0] == 'background'
        for kinds in sources(cfg).values():
            for source in kinds.values():
                meta = source.get('metainfo') or DATASETS.get(source.type).METAINFO
                assert tuple(domain.classes) == tuple(meta['classes'])

    def test_lists_beside_the_configs_exist(self, name):
        cfg = Config.fromfile(DOMAINS / f'{name}.py')
        for kinds in sources(cfg).values():
            for source in kinds.values():
                path = Path(source.get('ann_file', ''))
                assert path.is_file() or not path.is_relative_to(DOMAINS)

    def test_masks_are_read_for_labeled_and_pseudo_labeled_sources_alone(self, name):
        for kinds in sources(Config.fromfile(DOMAINS / f'{name}.py')).values():
            for kind, source in kinds.items():
                types = [transform.type for transform in source.pipeline]
                masks = kind == 'labeled' or (kind == 'weak' and 'LoadImageLabels' not in types)
                assert ('LoadCheckedAnnotations' in types) is masks
                # mmseg's own datasets have no `labeled`: without a folder there is no mask.
                prefix = source.get('data_prefix', {})
                assert source.get('labeled', 'seg_map_path' in prefix) is masks
                if kind == 'weak' and masks:
                    assert 'pseudo_labels' in prefix.seg_map_path


@pytest.mark.parametrize('names', [(*FULL, 'voc'), (*SMALL, 'voc_small')], ids=['full', 'small'])
def test_domains_are_bases_of_one_config(names, tmp_path):
    bases = [str(DOMAINS / f'{name}.py') for name in names]
    (tmp_path / 'all.py').write_text(f'_base_ = {bases!r}\n')
    cfg = Config.fromfile(tmp_path / 'all.py')
    assert {'camvid', 'cityscapes', 'sunrgbd', 'voc'} <= set(cfg)


@pytest.mark.realdata
@pytest.mark.parametrize('name', SMALL)
def test_sources_build_and_their_first_item_loads(name):
    cfg = Config.fromfile(DOMAINS / f'{name}.py')
    found = sources(cfg)
    root = next(iter(found.values())).labeled.data_root
    if not os.path.isdir(root):
        pytest.skip(f'{root} not there; set CCT_MM_DATA')
    domain = name.split('_')[0]
    height, width = map(int, name.split('_')[1].split('x'))
    # A small version inherits the full one, whose split of 1500 images only that has.
    found.pop(f'{domain}_n1500', None)
    assert set(found) == {key for key in SIZES if key.startswith(domain)}
    for key, kinds in found.items():
        for source in kinds.values():
            source.serialize_data = False  # collects garbage, which takes longer than all the rest
        dataset = DATASETS.build(dict(type='MultiDomainDataset', domains={domain: kinds}))
        assert tuple(len(source.dataset) for source in dataset.sources) == SIZES[key]
        assert dataset.metainfo['classes'] == tuple(cfg[domain].classes)
        start = 0
        for source in dataset.sources:
            sample = dataset[start]
            start += len(source.dataset)
            assert sample['inputs'].shape == (3, height, width)
            assert sample['data_samples'].supervision == source.supervision
            if source.supervision == 'labeled':
                labels = sample['data_samples'].gt_sem_seg.data.unique().tolist()
                assert 1 < len(labels)
                assert set(labels) <= {*range(len(cfg[domain].classes)), 255}


def test_labels_of_cityscapes_out_of_range_are_refused(tmp_path):
    """The number of classes stands in the pipeline, because mmseg's samples do not tell it."""
    source = Config.fromfile(DOMAINS / 'cityscapes_128x256.py').cityscapes_test.labeled
    for kind, suffix, array in (
        ('leftImg8bit', '_leftImg8bit.jpg', np.zeros((4, 4, 3), np.uint8)),
        ('gtFine', '_gtFine_labelTrainIds.png', np.full((4, 4), 19, np.uint8)),
    ):
        (tmp_path / kind / 'val/x').mkdir(parents=True)
        cv2.imwrite(str(tmp_path / kind / f'val/x/x{suffix}'), array)
    dataset = DATASETS.build({**source, 'data_root': str(tmp_path)})
    with pytest.raises(ValueError, match=r'label 19 in .*x_gtFine.*, expected 0-18 or 255'):
        dataset[0]


def build(source):
    return DATASETS.build({**source, 'serialize_data': False})


def write_mask(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), labels)


class TestVOC:
    def test_every_source_of_the_paper_size_loads_from_the_layout(self, tmp_path, monkeypatch):
        """One image of 500 x 375 in each list; masks with all classes and void."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv('CCT_MM_DATA', 'data')
        root = tmp_path / 'data/VOCdevkit/VOC2012'
        labels = np.resize(np.r_[np.arange(21), 255], (375, 500)).astype(np.uint8)
        for folder in ('SegmentationClass', 'SegmentationClassAug'):
            write_mask(root / folder / 'x.png', labels)
        write_mask(tmp_path / 'work_dirs/pseudo_labels/voc/x.png', labels)
        write_mask(root / 'JPEGImages/x.jpg', labels)
        np.save(root / 'cls_labels.npy', {'x': [1, *[0] * 18, 1]}, allow_pickle=True)
        found = sources(Config.fromfile(DOMAINS / 'voc.py'))
        assert len(found) == 9
        for name, kinds in found.items():
            for kind, source in kinds.items():
                path = Path(source.ann_file)
                path = path if path.parts[0] == 'data' else root / path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text('x\n')
                sample = build(source)[0]
                assert ('gt_sem_seg' in sample['data_samples']) is (
                    kind == 'labeled' or name == 'voc_n1464_weak'
                )
                if 'image_labels' in name:
                    assert sample['data_samples'].image_labels == (1, 20)
                crop = 240 if name in ('voc_n500', 'voc_n1000') else 320
                shape = sample['inputs'].shape[1:]
                if source.get('test_mode'):
                    assert shape == (375, 500)
                else:
                    assert max(shape) <= crop

    def test_masks_and_pseudo_labels_of_the_small_version_have_the_labels_of_voc(self, tmp_path):
        (tmp_path / 'list.txt').write_text('x\n')
        values = np.array([[*range(21), 255]] * 4, np.uint8)
        write_mask(tmp_path / 'x.png', values)
        write_mask(tmp_path / 'x.jpg', values)
        folder = dict(img_path=str(tmp_path), seg_map_path=str(tmp_path))
        changed = dict(data_root=None, ann_file=str(tmp_path / 'list.txt'), data_prefix=folder)
        expected = np.full(22, 255)
        # background, cat, chair, cow, dog, horse, person, sheep, sofa
        expected[[0, 8, 9, 10, 12, 13, 15, 17, 18]] = range(9)
        sources_of = sources(Config.fromfile(DOMAINS / 'voc_small.py'))['voc_n100_weak']
        assert set(sources_of) == {'labeled', 'weak'}
        for source in sources_of.values():
            load = [t for t in source.pipeline if t.type == 'LoadCheckedAnnotations']
            sample = build({**source, **changed, 'pipeline': load})[0]
            assert sample['gt_seg_map'][0].tolist() == expected.tolist()

    def test_unlabeled_images_come_from_train_and_the_images_without_labels(self):
        folder = DOMAINS / 'splits/voc'
        held_out = images(folder / 'val.txt')
        assert len(held_out) == 100
        assert len(images(folder / 'train.txt')) + len(held_out) == 455 + 400
        assert len(images(folder / 'test.txt')) == 463

    @pytest.mark.realdata
    def test_sources_of_the_small_version_build_and_load(self, tmp_path):
        cfg = Config.fromfile(DOMAINS / 'voc_small.py')
        found = sources(cfg)
        root = Path(found['voc_val'].labeled.data_root)
        if not root.is_dir():
            pytest.skip(f'{root} not there; set CCT_MM_DATA')
        assert set(found) == set(VOC_SIZES)
        for key, kinds in found.items():
            datasets = [build(source) for source in kinds.values()]
            assert tuple(map(len, datasets)) == VOC_SIZES[key]
            for (kind, source), dataset in zip(kinds.items(), datasets, strict=True):
                assert dataset.metainfo['classes'] == tuple(cfg.voc.classes)
                if key == 'voc_n100_weak' and kind == 'weak':
                    continue  # its pseudo-labels are made by a run
                sample = dataset[0]
                height, width = sample['inputs'].shape[1:]
                if source.get('test_mode'):
                    assert max(height, width) == 240
                else:
                    assert max(height, width) <= 192
                if kind == 'labeled':
                    labels = sample['data_samples'].gt_sem_seg.data
                    assert set(labels.unique().tolist()) <= {*range(9), 255}
                    if source.get('test_mode'):
                        assert max(labels.shape) == 320

    @pytest.mark.realdata
    def test_image_labels_of_the_small_version_are_the_classes_of_its_masks(self):
        found = sources(Config.fromfile(DOMAINS / 'voc_small.py'))
        if not Path(found['voc_val'].labeled.data_root).is_dir():
            pytest.skip('VOC not there; set CCT_MM_DATA')
        masks, labels = build(found['voc_val'].labeled), build(found['voc_image_labels_val'].weak)
        for index in range(0, 100, 10):
            mask, label = masks[index]['data_samples'], labels[index]['data_samples']
            assert mask.img_path == label.img_path
            shown = set(mask.gt_sem_seg.data.unique().tolist()) - {0, 255}
            assert label.image_labels == tuple(sorted(shown))
