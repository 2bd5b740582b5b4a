"""Label files: read by the dataset they are of, whole or not there, never mixed."""

import errno
import io

import cv2
import numpy as np
import PIL.Image
import pytest
from mmengine.registry import DefaultScope
from mmseg.datasets import CityscapesDataset, PascalVOCDataset

from cct_mm.datasets.camvid import CamVidDataset
from cct_mm.datasets.list_dataset import ListDataset
from cct_mm.datasets.sunrgbd import SUNRGBDDataset
from cct_mm.datasets.transforms import LoadCheckedAnnotations
from cct_mm.weak import writer
from cct_mm.weak.writer import Folder, LabelFiles


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def dataset_of(kind, **kwargs):
    config = dict(data_root='root', data_prefix=dict(img_path='images'), lazy_init=True)
    return kind(pipeline=[], **{**config, **kwargs})


class Sun(ListDataset):
    """As SUN RGB-D: 0 is void, classes start at 1."""

    METAINFO = dict(classes=('bed', 'books'), palette=[[1, 1, 1], [2, 2, 2]])

    def __init__(self, **kwargs):
        super().__init__(reduce_zero_label=True, **kwargs)


NINE = ('background', 'cat', 'dog')
DATASETS = {
    'classes of a list': (
        ListDataset,
        dict(metainfo=dict(classes=NINE, palette=[[0, 0, 0], [9, 0, 0], [0, 9, 0]])),
    ),
    'some of the classes': (
        PascalVOCDataset,
        dict(metainfo=dict(classes=NINE, palette=[[0, 0, 0], [64, 0, 0], [64, 0, 128]])),
    ),
    'zero is void': (Sun, {}),
}


class TestLabelFiles:
    @pytest.mark.parametrize('name', list(DATASETS))
    def test_are_read_as_what_was_written(self, name, tmp_path):
        kind, kwargs = DATASETS[name]
        dataset = dataset_of(kind, **_lists(kind, tmp_path), **kwargs)
        count = len(dataset.metainfo['classes'])
        labels = np.array([[*range(count), 255]], np.uint8)
        file = tmp_path / 'x.png'
        file.write_bytes(LabelFiles(dataset).encode(labels))
        results = dict(
            seg_map_path=str(file),
            label_map=dataset.label_map,
            reduce_zero_label=dataset.reduce_zero_label,
            num_classes=count,
        )
        assert (LoadCheckedAnnotations().transform(results)['gt_seg_map'] == labels).all()

    def test_hold_the_values_and_colors_of_the_datasets_own(self, tmp_path):
        kind, kwargs = DATASETS['some of the classes']
        files = LabelFiles(dataset_of(kind, **_lists(kind, tmp_path), **kwargs))
        with PIL.Image.open(io.BytesIO(files.encode(np.array([[0, 1, 2, 255]], np.uint8)))) as png:
            assert png.mode == 'P'
            assert np.asarray(png).tolist() == [[0, 8, 12, 255]]
            colors = np.asarray(png.convert('RGB'))[0, :3].tolist()
        assert colors == [[0, 0, 0], [64, 0, 0], [64, 0, 128]]

    def test_are_read_by_the_loader_of_the_source(self, tmp_path):
        kind, kwargs = DATASETS['classes of a list']
        dataset = dataset_of(kind, **kwargs)
        loader = LoadCheckedAnnotations(label_map={1: 2, 2: 1})
        dataset.pipeline.transforms = [loader]
        labels = np.array([[0, 1, 2, 255]], np.uint8)
        file = tmp_path / 'x.png'
        file.write_bytes(LabelFiles(dataset).encode(labels))
        results = loader.transform(dict(seg_map_path=str(file), num_classes=3))
        assert (results['gt_seg_map'] == labels).all()

    def test_of_a_loader_for_which_255_is_a_class_are_refused(self):
        kind, kwargs = DATASETS['classes of a list']
        dataset = dataset_of(kind, **kwargs)
        dataset.pipeline.transforms = [LoadCheckedAnnotations(label_map={255: 1})]
        with pytest.raises(ValueError, match='label_map={255: 1}, by which 255 is a class'):
            LabelFiles(dataset)

    @pytest.mark.parametrize('suffix', ['_sat.jpg', ('.png', '_sat.jpg'), '.ome.tif'])
    def test_lie_where_a_list_dataset_of_other_suffixes_looks(self, suffix):
        kind, kwargs = DATASETS['classes of a list']
        config = dict(kwargs, img_suffix=suffix, seg_map_suffix='_mask.png')
        files = LabelFiles(dataset_of(kind, **config))
        end = suffix if isinstance(suffix, str) else suffix[1]
        assert files.name(f'root/images/a/site0{end}') + '.png' == 'a/site0_mask.png'

    def test_lie_where_the_dataset_looks_for_them(self, tmp_path):
        cityscapes = dataset_of(CityscapesDataset, img_suffix='_leftImg8bit.jpg')
        name = LabelFiles(cityscapes).name('root/images/aachen/aachen_1_leftImg8bit.jpg')
        assert name + '.png' == 'aachen/aachen_1_gtFine_labelTrainIds.png'
        kind, kwargs = DATASETS['classes of a list']
        files = LabelFiles(dataset_of(kind, **kwargs))
        assert files.name('root/images/video/7.JPG') == 'video/7'


@pytest.mark.parametrize(
    ('kind', 'image', 'entry'),
    [
        (CamVidDataset, 'train/x.png', 'train/x.png'),
        (SUNRGBDDataset, 'image/train/x.jpg', 'image/train/x.jpg'),
        (CityscapesDataset, 'ulm/x_leftImg8bit.png', 'ulm/x'),
        (PascalVOCDataset, 'x.jpg', 'x'),
    ],
)
def test_dataset_reads_its_pseudo_labels_by_its_own_list(tmp_path, kind, image, entry):
    path = tmp_path / 'images' / image
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.zeros((2, 12, 3), np.uint8))
    (tmp_path / 'list.txt').write_text(entry + '\n')

    def build(**prefix):
        config = dict(ann_file=str(tmp_path / 'list.txt'), serialize_data=False)
        prefix = dict(img_path=str(tmp_path / 'images'), **prefix)
        load = [dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations', num_classes=99)]
        return kind(**config, data_prefix=prefix, pipeline=load)

    dataset = build()
    files, folder = LabelFiles(dataset), Folder(tmp_path / 'out', {})
    labels = np.full((2, 12), 255, np.uint8)
    labels[0, :11] = range(11)
    folder.write(files.name(dataset.get_data_info(0)['img_path']), files.encode(labels))
    assert (build(seg_map_path=str(tmp_path / 'out'))[0]['gt_seg_map'] == labels).all()


def _lists(kind, tmp_path):
    if kind is not PascalVOCDataset:
        return {}
    (tmp_path / 'train.txt').write_text('')
    prefix = dict(img_path=str(tmp_path))
    return dict(data_root=None, data_prefix=prefix, ann_file=str(tmp_path / 'train.txt'))


class TestFolder:
    def test_writes_below_it(self, tmp_path):
        folder = Folder(tmp_path / 'out', {})
        folder.write('video/7', b'abc')
        folder.close()
        assert (tmp_path / 'out/video/7.png').read_bytes() == b'abc'
        assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
            'pseudo_labels.json',
            'video',
        ]

    def test_refuses_files_of_other_settings(self, tmp_path):
        Folder(tmp_path, dict(foreground=0.3))
        with pytest.raises(ValueError, match=r'(?s)foreground: 0\.3, now 0\.4\n.*another --out'):
            Folder(tmp_path, dict(foreground=0.4))
        Folder(tmp_path, dict(foreground=0.3))

    def test_takes_its_own_settings_for_the_same_although_json_knows_no_tuples(self, tmp_path):
        for _ in range(2):
            Folder(tmp_path, dict(options={'scale': (320, 320)}))

    def test_refuses_a_folder_of_somebody_elses_masks(self, tmp_path):
        (tmp_path / 'mask.png').write_bytes(b'precious')
        with pytest.raises(ValueError, match='no pseudo_labels.json, expected .* --out'):
            Folder(tmp_path, {})
        assert [p.name for p in tmp_path.iterdir()] == ['mask.png']

    def test_clears_what_a_killed_process_left_half_written(self, tmp_path):
        folder = Folder(tmp_path, {})
        (folder.unfinished / '17.png').write_bytes(b'half')
        again = Folder(tmp_path, {})
        assert not list(again.unfinished.iterdir())

    def test_clears_what_ranks_left_that_are_no_more_but_nothing_of_its_siblings(self, tmp_path):
        for rank in range(4):
            (Folder(tmp_path, {}, rank, 4).unfinished / '17.png').write_bytes(b'half')
        Folder(tmp_path, {}, 1, 2)
        assert sorted(path.name for path in tmp_path.glob('.*/*')) == ['17.png']
        assert (tmp_path / '.unfinished-0/17.png').is_file()
        Folder(tmp_path, {}).close()
        assert [path.name for path in tmp_path.iterdir()] == ['pseudo_labels.json']

    def test_full_disk_leaves_no_file_and_is_told(self, tmp_path, monkeypatch):
        folder = Folder(tmp_path, {})

        def full(*args):
            raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(writer.os, 'replace', full)
        with pytest.raises(OSError, match=r'x\.png .*No space left') as error:
            folder.write('x', b'abc')
        assert error.value.errno == errno.ENOSPC
        assert not folder.file('x').exists()
        assert not list(folder.unfinished.iterdir())
