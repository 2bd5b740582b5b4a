"""Image-level labels: three formats, lookup by path, and counting in masks."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from mmengine.registry import DefaultScope
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from cct_mm.datasets.image_label_files import read_image_labels
from cct_mm.datasets.transforms import LoadCheckedAnnotations, LoadImageLabels

CLASSES = ('background', 'cat', 'traffic light', 'dog')
DATA = Path(os.environ.get('CCT_MM_DATA', Path(__file__).parents[3] / 'data'))
VOC = DATA / 'VOCdevkit/VOC2012'


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if name.endswith('.npy'):
            np.save(path, content, allow_pickle=True)
        elif name.endswith('.json'):
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        else:
            path.write_text(content)
        return path

    return write


class TestFormats:
    """The same labels, written in each way."""

    @pytest.mark.parametrize(
        ('name', 'content'),
        [
            ('x.csv', 'a/1.jpg,dog;cat\n2,traffic light\n3,\n'),
            ('x.csv', 'image,label\na/1.jpg,dog\n\n2,background;2\na/1.jpg,1\n3,0\n'),
            ('x.csv', '\ufefffile,CLASSES\r\n"a/1.jpg","cat; dog"\r\n2,traffic light\r\n3,\r\n'),
            ('x.json', {'a/1.jpg': ['cat', 'dog'], '2': [2], '3': []}),
            ('x.json', {'a/1': [3, 'background', 1, 'cat'], '2.png': ['traffic light'], '3': [0]}),
            ('x.npy', {'a/1.jpg': [1, 0, 1], 2: np.array([0.0, 1.0, 0.0]), '3': [False] * 3}),
        ],
    )
    def test_agree(self, write, name, content):
        labels = read_image_labels(write(name, content), CLASSES)
        assert dict(labels.labels) == {'a/1': (1, 3), '2': (2,), '3': ()}

    def test_first_row_with_a_class_called_label_is_no_header(self, write):
        labels = read_image_labels(write('x.csv', 'a,label\n'), ('background', 'label'))
        assert labels['a.jpg'] == (1,)

    def test_vectors_have_an_entry_for_every_class_without_background(self, write):
        labels = read_image_labels(write('x.npy', {'a': [1, 0, 1]}), ('road', 'sky', 'car'))
        assert labels['a.jpg'] == (0, 2)


class TestClassesOfTheFile:
    FILE = ('cat', 'bird', 'dog')

    @pytest.mark.parametrize('file_classes', [FILE, ('background', *FILE)])
    def test_others_than_the_domains_are_dropped_from_vectors(self, write, file_classes):
        path = write('x.npy', {'a': [1, 1, 0], 'b': [0, 1, 0], 'c': [1, 0, 1]})
        labels = read_image_labels(path, ('background', 'dog', 'cat'), file_classes)
        assert [labels[name] for name in 'abc'] == [(2,), (), (1, 2)]

    def test_others_than_the_domains_are_dropped_by_name_and_index(self, write):
        path = write('x.json', {'a': ['bird', 'dog'], 'b': [0, 1]})
        labels = read_image_labels(path, ('background', 'dog', 'cat'), self.FILE)
        assert (labels['a'], labels['b']) == ((1,), (2,))

    def test_has_to_hold_those_of_the_domain(self, write):
        with pytest.raises(ValueError, match=r'classes traffic light are not in file_classes'):
            read_image_labels(write('x.json', {'a': ['dog']}), CLASSES, self.FILE)


class TestLookup:
    def test_longest_end_of_the_path_counts(self, write):
        labels = read_image_labels(
            write('x.json', {'x': ['cat'], 'b/x': ['dog'], '/r/a/b/x.png': [2]}), CLASSES
        )
        assert labels['/r/a/b/x.jpg'] == (2,)
        assert labels['/q/b/x.jpg'] == labels['b/x.JPEG'] == (3,)
        assert labels['/q/cb/x.jpg'] == labels['x.jpg'] == labels[Path('x')] == (1,)

    def test_dots_in_names_are_kept(self, write):
        labels = read_image_labels(write('x.csv', 'v1.2,cat\nv1.3.jpg,dog\n'), CLASSES)
        assert (labels['d/v1.2.jpg'], labels['d/v1.3.png']) == ((1,), (3,))

    def test_integers_are_ids_of_voc(self, write):
        path = write('x.npy', {np.int32(2007000032): [0, 0, 1], 7: [1, 0, 0]})
        labels = read_image_labels(path, CLASSES)
        assert labels['/d/JPEGImages/2007_000032.jpg'] == (3,)
        assert labels['7.png'] == (1,)

    def test_unknown_image_is_named_with_the_file(self, write):
        labels = read_image_labels(write('x.csv', 'a/1.jpg,dog\n'), CLASSES)
        with pytest.raises(KeyError, match=r'x\.csv: no image-level labels of /d/b/1\.jpg.*a/1'):
            labels['/d/b/1.jpg']
        assert '/d/b/1.jpg' not in labels
        assert len(labels) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ('name', 'content', 'message'),
        [
            ('x.csv', 'a,cat;wolf\n', r"x\.csv, image a: unknown label 'wolf', .* 1 cat, 2 tr"),
            ('x.csv', 'a,4\n', r"image a: unknown label '4', expected .*3 dog"),
            ('x.csv', 'a,cat,dog\n', r'line 1: found 3 fields .*expected "image,label" with ";"'),
            ('x.csv', 'a,cat\n\nb\n', r'line 3: found 1 fields'),
            ('x.csv', 'image,label\n', r'x\.csv is empty'),
            ('x.json', {'a': [True]}, r'unknown label True'),
            ('x.json', {'a': [1.5]}, r'unknown label 1\.5'),
            ('x.json', {'a': [-1]}, r'unknown label -1'),
            ('x.json', {'a': 'cat'}, r"image a: found 'cat', expected a list of labels"),
            ('x.json', ['a'], r'x\.json holds a list, expected'),
            ('x.json', '{', r'x\.json is no JSON'),
            ('x.npy', {'a': [1, 0]}, r'image a: a vector of shape \(2,\), expected \(3,\), .*cat'),
            ('x.npy', {'a': [1, 0.5, 0]}, r'image a: values .*0\.5.*expected 0 and 1'),
            ('x.npy', np.zeros((2, 3)), r'x\.npy holds a ndarray, expected a dictionary'),
            ('x.txt', 'a,cat\n', r"end with '\.txt', expected \.csv, \.json, \.npy"),
        ],
    )
    def test_name_the_file_and_what_was_expected(self, write, name, content, message):
        with pytest.raises(ValueError, match=message):
            read_image_labels(write(name, content), CLASSES)

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'x\.csv does not exist'):
            LoadImageLabels(CLASSES, path=tmp_path / 'x.csv')

    def test_cut_npy(self, write):
        path = write('x.npy', {'a': [1, 0, 1]})
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ValueError, match=r'x\.npy cannot be unpickled'):
            read_image_labels(path, CLASSES)


class TestCodeInNpy:
    class Code:
        def __init__(self, function, *arguments):
            self.call = function, arguments

        def __reduce__(self):
            return self.call

    @pytest.mark.parametrize('place', ['value', 'whole'])
    def test_is_refused_and_does_not_run(self, write, tmp_path, place):
        code = self.Code(os.mkdir, str(tmp_path / 'code-has-run'))
        content = {'a': code} if place == 'value' else np.array(code, dtype=object)
        path = write('x.npy', content)
        with pytest.raises(ValueError, match=r'x\.npy holds \w+\.mkdir, expected a dictionary of'):
            read_image_labels(path, CLASSES)
        assert not (tmp_path / 'code-has-run').exists()

    @pytest.mark.parametrize('call', [(eval, '1'), (getattr, 'a', 'upper'), (np.load, 'x')])
    def test_of_other_kinds_is_refused(self, write, call):
        with pytest.raises(ValueError, match='was not read'):
            read_image_labels(write('x.npy', {'a': self.Code(*call)}), CLASSES)

    @pytest.mark.parametrize('protocol', [2, 3, 4, 5])
    def test_files_of_other_versions_are_read(self, tmp_path, protocol):
        content = np.array({'a': np.array([1.0, 0, 1], np.float32), np.int64(7): [0, 1, 0]})
        pickled = pickle.dumps(content, protocol=protocol)
        for module in (b'numpy._core', b'numpy.core'):
            # The text of a name carries its length in protocols from 4 on.
            text = pickled
            if protocol < 4:
                text = pickled.replace(b'numpy._core', module).replace(b'numpy.core', module)
            with open(tmp_path / 'x.npy', 'wb') as file:
                header = {'descr': '|O', 'fortran_order': False, 'shape': ()}
                np.lib.format.write_array_header_1_0(file, header)
                file.write(text)
            labels = read_image_labels(tmp_path / 'x.npy', CLASSES)
            assert dict(labels.labels) == {'a': (1, 3), '7': (2,)}


class TestTransform:
    def test_takes_labels_of_the_file(self, write):
        path = write('x.csv', 'a/1,dog\n')
        transform = TRANSFORMS.build(
            dict(type='LoadImageLabels', classes=list(CLASSES), path=str(path))
        )
        # Read once: the file may be gone later.
        path.unlink()
        assert transform(dict(img_path='/d/a/1.jpg'))['image_labels'] == (3,)

    def test_are_the_classes_of_the_mask(self):
        mask = np.array([[0, 0, 0, 1], [255, 3, 3, 3]], np.uint8)
        assert LoadImageLabels(CLASSES)(dict(gt_seg_map=mask))['image_labels'] == (1, 3)

    def test_of_a_mask_with_a_class_that_the_domain_leaves_out_are_not_complete(self, tmp_path):
        def complete(*labels):
            PIL.Image.fromarray(np.array([labels], np.uint8)).save(tmp_path / 'm.png')
            sample = dict(seg_map_path=str(tmp_path / 'm.png'), num_classes=4, label_map=label_map)
            sample['void_labels'] = (4,)
            sample = LoadImageLabels(CLASSES)(LoadCheckedAnnotations()(sample))
            assert sample['image_labels'] == (1,)
            return sample['image_labels_complete']

        label_map = {0: 0, 1: 1, 2: 255, 3: 2, 4: 255}
        assert complete(0, 1, 255)
        assert not complete(0, 1, 2)
        # Void is the border between objects, not one of another class.
        assert complete(0, 1, 4)
        assert not complete(0, 1, 2, 4)

    def test_label_that_is_no_class_is_refused(self):
        with pytest.raises(ValueError, match=r'label 4 in the mask of a\.jpg, expected 0-3 or 255'):
            LoadImageLabels(CLASSES)(dict(img_path='a.jpg', gt_seg_map=np.array([[0, 4]])))

    def test_mask_is_needed_without_a_file(self):
        with pytest.raises(ValueError, match=r'a\.jpg comes without a mask, expected LoadChecked'):
            LoadImageLabels(CLASSES)(dict(img_path='a.jpg'))

    def test_classes_of_a_file_without_a_file_are_refused(self):
        with pytest.raises(ValueError, match='file_classes is given without a path'):
            LoadImageLabels(CLASSES, file_classes=('cat',))

    def test_labels_come_through_packing_with_their_meta_key(self):
        sample = dict(img=np.zeros((2, 2, 3), np.uint8), image_labels=(1, 3))
        pack = PackSegInputs(meta_keys=('image_labels',))
        assert pack(sample)['data_samples'].image_labels == (1, 3)


@pytest.mark.realdata
@pytest.mark.skipif(not VOC.is_dir(), reason=f'VOC is not in {DATA}; set CCT_MM_DATA')
def test_file_of_voc_has_the_labels_of_the_masks():
    from mmseg.datasets import PascalVOCDataset
    from PIL import Image

    classes = PascalVOCDataset.METAINFO['classes']
    labels = read_image_labels(VOC / 'cls_labels.npy', classes)
    from_mask = LoadImageLabels(classes)
    ids = (VOC / 'ImageSets/Segmentation/train.txt').read_text().split()[::20]
    for name in ids:
        with Image.open(VOC / f'SegmentationClass/{name}.png') as mask:
            sample = dict(gt_seg_map=np.asarray(mask))
        assert labels[VOC / f'JPEGImages/{name}.jpg'] == from_mask(sample)['image_labels']
