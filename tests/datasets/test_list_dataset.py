"""A dataset of listed files: which it finds in many spellings, and what it says of missing ones."""

import os
import unicodedata

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS

from cct_mm.datasets.file_lists import format_file_list
from cct_mm.datasets.list_dataset import ListDataset


def write_list(folder, text, name='train.txt'):
    path = folder / name
    path.write_text(text, encoding='utf-8')
    return path


@pytest.fixture
def root(tmp_path):
    """A data set of three images, a.jpg, b.png and sub/c.jpg, with masks of two classes."""
    image = np.full((6, 8, 3), 90, np.uint8)
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8) % 2
    for name in ('a.jpg', 'b.png', 'sub/c.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        path = (tmp_path / 'masks' / name).with_suffix('.png')
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask)
    return tmp_path


LINES = [
    ('images/a.jpg', 'masks/a.png'),
    ('images/b.png', 'masks/b.png'),
    ('images/sub/c.jpg', 'masks/sub/c.png'),
]


def build(root, **kwargs):
    # serialize_data runs the garbage collector over all of torch: most of a test's time.
    common = {'dataset_name': 'leaves', 'serialize_data': False}
    metainfo = {'classes': ('background', 'leaf')}
    return ListDataset(data_root=str(root), metainfo=metainfo, **common, **kwargs)


def paths(dataset, key='img_path'):
    root = dataset.data_root
    return [os.path.relpath(dataset.get_data_info(i)[key], root) for i in range(len(dataset))]


class TestSpellings:
    """One list line for images/a.jpg or masks/a.png in many spellings."""

    @pytest.mark.parametrize(
        'line',
        [
            'images/a.jpg masks/a.png',
            '  images/a.jpg    masks/a.png   ',
            'images/a.jpg\tmasks/a.png \t \t',
            '\timages/a.jpg masks/a.png',
            './images/a.jpg ./masks/a.png',
            'images\\a.jpg masks\\a.png\r',
            'images/sub/../a.jpg masks/a.png',
        ],
    )
    def test_are_the_same_files(self, root, line):
        write_list(root, line + '\n')
        dataset = build(root, ann_file='train.txt')
        for key, name in (('img_path', 'images/a.jpg'), ('seg_map_path', 'masks/a.png')):
            assert os.path.samefile(dataset.get_data_info(0)[key], root / name)

    def test_may_be_absolute_outside_of_the_root_or_at_home(self, root, monkeypatch):
        monkeypatch.setenv('HOME', str(root))
        for line in (f'{root}/images/a.jpg', '../images/a.jpg', '~/images/a.jpg'):
            write_list(root, line + '\n')
            dataset = build(
                root, ann_file=str(root / 'train.txt'), data_prefix={'img_path': 'masks'}
            )
            assert os.path.samefile(dataset.get_data_info(0)['img_path'], root / 'images/a.jpg')
        dataset = ListDataset(data_root='~', ann_file='train.txt', serialize_data=False)
        assert os.path.samefile(dataset.get_data_info(0)['img_path'], root / 'images/a.jpg')

    @pytest.mark.parametrize('other', ['./images/a.jpg', 'images//a.jpg', 'images\\a.jpg'])
    def test_of_one_image_on_two_lines_are_refused(self, root, other):
        write_list(root, f'images/a.jpg\n{other}\n')
        with pytest.raises(ValueError, match=r'train\.txt, line 2: .* is already on line 1'):
            build(root, ann_file='train.txt')

    @pytest.mark.parametrize('other', ['{root}/images/a.jpg', 'images/a.png', 'images/a'])
    def test_that_turn_out_to_be_one_file_are_refused(self, root, other):
        write_list(root, f'images/a.jpg\n{other.format(root=root)}\n')
        with pytest.raises(ValueError, match=r'images/a\.jpg and .* are the same file'):
            build(root, ann_file='train.txt')

    def test_in_another_case_are_not_found_but_suggested(self, root):
        write_list(root, 'images/A.JPG masks/a.png\n')
        with pytest.raises(FileNotFoundError, match=r'there is a\.jpg, which differs in upper'):
            build(root, ann_file='train.txt')
        write_list(root, 'images/a.jpg masks/A.png\n')
        with pytest.raises(FileNotFoundError, match=r'there is a\.png, which differs in upper'):
            build(root, ann_file='train.txt')

    def test_with_a_drive_are_told_to_be_absolute(self, root):
        write_list(root, 'C:\\data\\a.jpg\n')
        with pytest.raises(FileNotFoundError, match='make them relative to data_root'):
            build(root, ann_file='train.txt')


class TestUnicodeForms:
    """A name with an accent is one letter, or two as macOS writes it."""

    @pytest.fixture(params=[('NFC', 'NFD'), ('NFD', 'NFC')], ids=' listed, '.join)
    def forms(self, request):
        return [lambda text, f=form: unicodedata.normalize(f, text) for form in request.param]

    def test_of_list_and_disk_may_differ_in_images_masks_and_folders(self, root, forms):
        listed, there = forms
        for folder, suffix in (('images', '.jpg'), ('masks', '.png')):
            (root / there(f'{folder}/Zürich')).mkdir()
            (root / there(f'{folder}/Zürich/é{suffix}')).write_bytes(b'')
        write_list(root, listed('images/Zürich/é.jpg masks/Zürich/é.png\n'))
        info = build(root, ann_file='train.txt').get_data_info(0)
        assert info['img_path'] == str(root / there('images/Zürich/é.jpg'))
        assert info['seg_map_path'] == str(root / there('masks/Zürich/é.png'))

    def test_of_image_and_mask_may_differ_in_folders(self, root, forms):
        image, mask = forms
        (root / image('photos')).mkdir()
        (root / 'photos' / image('é.jpg')).write_bytes(b'')
        (root / 'masks' / mask('é.png')).write_bytes(b'')
        dataset = build(root, data_prefix={'img_path': 'photos', 'seg_map_path': 'masks'})
        assert paths(dataset, 'seg_map_path') == [f'masks/{mask("é.png")}']

    def test_that_are_both_there_are_two_images(self, root, forms):
        names = [f'images/{form("é.jpg")}' for form in forms]
        for name in names:
            (root / name).write_bytes(b'')
        write_list(root, '\n'.join(names))
        assert paths(build(root, ann_file='train.txt')) == names


class TestSuffixes:
    """As in mmseg's data sets: images x_sat.jpg with masks x_mask.png."""

    @pytest.fixture
    def beside(self, tmp_path):
        for name in ('x_sat.jpg', 'x_mask.png', 'Y_SAT.JPG', 'Y_MASK.PNG', 'sub/z_sat.jpg'):
            (tmp_path / 'all' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'all' / name).write_bytes(b'')
        (tmp_path / 'all/sub/z_mask.png').write_bytes(b'')
        return tmp_path

    SETTINGS = dict(img_suffix='_sat.jpg', seg_map_suffix='_mask.png')
    IMAGES = ['all/Y_SAT.JPG', 'all/sub/z_sat.jpg', 'all/x_sat.jpg']
    MASKS = ['all/Y_MASK.PNG', 'all/sub/z_mask.png', 'all/x_mask.png']

    def test_pair_images_and_masks_of_one_folder(self, beside):
        prefix = {'img_path': 'all', 'seg_map_path': 'all'}
        dataset = build(beside, data_prefix=prefix, **self.SETTINGS)
        assert paths(dataset) == self.IMAGES
        assert paths(dataset, 'seg_map_path') == self.MASKS

    @pytest.mark.parametrize('lines', ['Y\nsub/z\nx\n', 'Y_SAT.JPG\nsub/z_sat.jpg\nx_sat.jpg\n'])
    @pytest.mark.parametrize('labeled', [None, True])
    def test_complete_the_names_of_a_list(self, beside, lines, labeled):
        write_list(beside, lines)
        prefix = {'img_path': 'all', 'seg_map_path': 'all'}
        arguments = dict(ann_file='train.txt', labeled=labeled, **self.SETTINGS)
        dataset = build(beside, data_prefix=prefix, **arguments)
        assert paths(dataset) == self.IMAGES
        assert paths(dataset, 'seg_map_path') == self.MASKS

    @pytest.mark.parametrize('key', ['img_suffix', 'seg_map_suffix'])
    def test_of_images_or_of_masks_alone_tell_an_unlabeled_folder_apart(self, beside, key):
        dataset = build(beside, data_prefix={'img_path': 'all'}, **{key: self.SETTINGS[key]})
        assert paths(dataset) == self.IMAGES
        assert all('seg_map_path' not in dataset.get_data_info(i) for i in range(3))

    def test_that_are_not_given_are_asked_for(self, beside):
        with pytest.raises(
            ValueError, match=r"(?i)such as img_suffix='_sat\.jpg' and seg_map_suffix="
        ):
            build(beside, data_prefix={'img_path': 'all'})

    def test_of_a_mask_without_its_image_keep_it_from_being_one(self, beside):
        (beside / 'all/x_sat.jpg').unlink()
        dataset = build(beside, data_prefix={'img_path': 'all'}, seg_map_suffix='_mask.png')
        assert paths(dataset) == self.IMAGES[:2]

    def test_that_are_those_of_images_too_tell_masks_beside_an_image_only(self, root):
        (root / 'images/a.png').write_bytes(b'')
        dataset = build(root, data_prefix={'img_path': 'images'}, seg_map_suffix='.png')
        assert paths(dataset) == ['images/a.jpg', 'images/b.png', 'images/sub/c.jpg']

    def test_name_what_was_looked_for(self, beside):
        write_list(beside, 'x\nnope\n')
        arguments = dict(ann_file='train.txt', data_prefix={'img_path': 'all'}, **self.SETTINGS)
        with pytest.raises(
            FileNotFoundError, match=r'nope not found .* looked for nope \+ _sat\.j'
        ):
            build(beside, **arguments)

    def test_are_not_needed_for_the_names_of_mmsegs_lists(self, root):
        write_list(root, 'a\nsub/c\n')
        dataset = build(
            root,
            ann_file='train.txt',
            data_prefix={'img_path': 'images', 'seg_map_path': 'masks'},
        )
        assert paths(dataset) == ['images/a.jpg', 'images/sub/c.jpg']
        assert paths(dataset, 'seg_map_path') == ['masks/a.png', 'masks/sub/c.png']


class TestListDataset:
    def test_is_registered_in_mmseg(self):
        assert DATASETS.get('ListDataset') is ListDataset

    def test_list_and_folders_give_the_same_samples(self, root):
        write_list(root, format_file_list(LINES))
        listed = build(root, ann_file='train.txt')
        found = build(root, data_prefix={'img_path': 'images', 'seg_map_path': 'masks'})
        assert paths(listed) == paths(found) == [image for image, _ in LINES]
        assert (
            paths(listed, 'seg_map_path')
            == paths(found, 'seg_map_path')
            == [label for _, label in LINES]
        )

    def test_data_info_tells_what_the_checked_loading_needs(self, root):
        info = build(root, data_prefix={'img_path': 'images'}).get_data_info(0)
        assert (info['dataset_name'], info['num_classes'], info['seg_fields']) == ('leaves', 2, [])
        assert info['label_map'] is None

    def test_folder_without_masks_is_unlabeled(self, root):
        dataset = build(root, data_prefix={'img_path': 'images'})
        assert len(dataset) == 3
        assert 'seg_map_path' not in dataset.get_data_info(0)

    @pytest.mark.parametrize(
        'source',
        [
            {'ann_file': 'train.txt'},
            {'data_prefix': {'img_path': 'images', 'seg_map_path': 'masks'}},
        ],
    )
    def test_unlabeled_source_needs_no_masks_on_disk(self, root, source):
        write_list(root, format_file_list(LINES))
        for _, label in LINES:
            (root / label).unlink()
        dataset = build(root, labeled=False, **source)
        assert len(dataset) == 3
        assert all('seg_map_path' not in dataset.get_data_info(i) for i in range(3))

    def test_unlabeled_classes_may_be_unknown(self, root):
        dataset = ListDataset(data_root=str(root), data_prefix={'img_path': 'images'})
        assert dataset.get_data_info(0)['num_classes'] is None
        assert dataset.get_data_info(0)['dataset_name'] == 'ListDataset'

    def test_list_is_looked_for_in_the_data_first_then_in_the_working_directory(
        self, root, tmp_path_factory, monkeypatch
    ):
        here = tmp_path_factory.mktemp('repository')
        monkeypatch.chdir(here)
        write_list(here, 'images/a.jpg\n', 'n1.txt')
        assert len(build(root, ann_file='n1.txt')) == 1
        write_list(root, 'images/a.jpg\nimages/b.png\n', 'n1.txt')
        assert len(build(root, ann_file='n1.txt')) == 2

    def test_image_with_another_suffix_stands_in(self, root):
        (root / 'images/a.jpg').rename(root / 'images/a.PNG')
        write_list(root, 'images/a.jpg masks/a.png\nimages/b.jpg masks/b.png\n')
        assert paths(build(root, ann_file='train.txt')) == ['images/a.PNG', 'images/b.png']

    def test_listed_suffix_wins_where_both_are_there(self, root):
        (root / 'images/a.png').write_bytes(b'')
        write_list(root, 'images/a.jpg masks/a.png\n')
        assert paths(build(root, ann_file='train.txt')) == ['images/a.jpg']

    def test_mask_never_stands_in_for_its_missing_image(self, root):
        (root / 'images/a.png').write_bytes(b'')
        (root / 'images/a.jpg').unlink()
        write_list(root, 'images/a.jpg images/a.png\n')
        with pytest.raises(FileNotFoundError, match=r'image images/a\.jpg not found'):
            build(root, ann_file='train.txt')

    def test_missing_image_and_mask_are_named_with_their_number(self, root):
        write_list(root, format_file_list(LINES))
        (root / 'masks/b.png').unlink()
        with pytest.raises(
            FileNotFoundError,
            match=r'leaves: mask masks/b\.png not found in .* \(1 of 3 masks missing\); '
            r'check data_root .* or set labeled=False',
        ):
            build(root, ann_file='train.txt')
        for image, _ in LINES[:2]:
            (root / image).unlink()
        with pytest.raises(
            FileNotFoundError,
            match=r'leaves: image images/a\.jpg not found in .* \(2 of 3 images missing\)',
        ):
            build(root, ann_file='train.txt')

    def test_absolute_paths_of_a_foreign_machine_are_recognized(self, root):
        write_list(root, '/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\n')
        with pytest.raises(FileNotFoundError, match='make them relative to data_root'):
            build(root, ann_file='train.txt')

    def test_labeled_source_without_masks_is_refused(self, root):
        write_list(root, 'images/a.jpg masks/a.png\nimages/b.png\n')
        with pytest.raises(ValueError, match=r'leaves: .*train\.txt, line 2: .* has no label'):
            build(root, ann_file='train.txt', labeled=True)
        with pytest.raises(ValueError, match='leaves: .* expected data_prefix'):
            build(root, data_prefix={'img_path': 'images'}, labeled=True)

    def test_missing_and_empty_lists_name_the_dataset(self, root):
        with pytest.raises(FileNotFoundError, match=r'leaves: list .*nope\.txt does not exist'):
            build(root, ann_file='nope.txt')
        write_list(root, '')
        with pytest.raises(ValueError, match=r'leaves: .*train\.txt is empty'):
            build(root, ann_file='train.txt')

    def test_an_image_in_place_of_a_list_is_refused(self, root):
        with pytest.raises(ValueError, match=r'leaves: .*a\.jpg, line 1: byte 0 is 0xff'):
            build(root, ann_file='images/a.jpg')
