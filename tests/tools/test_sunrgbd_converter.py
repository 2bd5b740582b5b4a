"""From the 37 classes of SUN RGB-D, or NYUv2's 13, to the files that SUNRGBDDataset reads."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from cct_mm.datasets.sunrgbd import SUNRGBDDataset

ROOT = Path(__file__).parents[2]
CLASSES = ('void', *SUNRGBDDataset.METAINFO['classes'])


def load_tool():
    path = ROOT / 'tools/dataset_converters/sunrgbd.py'
    spec = importlib.util.spec_from_file_location('sunrgbd_converter', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()
# Image of the source -> its mask, for both kinds: two images of train and one of test.
FILES = {
    'sunrgbd': {
        'SUNRGBD-train_images/img-000001.jpg': 'sunrgbd_train_test_labels/img-005051.png',
        'SUNRGBD-train_images/img-000002.jpg': 'sunrgbd_train_test_labels/img-005052.png',
        'SUNRGBD-test_images/img-000001.jpg': 'sunrgbd_train_test_labels/img-000001.png',
    },
    'nyuv2': {
        'image/train/NYU0003.jpg': 'label13/train/NYU0003.png',
        'image/train/NYU0004.jpg': 'label13/train/NYU0004.png',
        'image/test/NYU0001.jpg': 'label13/test/NYU0001.png',
    },
}


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array)


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def snapshot(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob('*') if p.is_file()}


@pytest.fixture
def source(tmp_path):
    """Images of 19 x 2 pixels; masks with every label, rolled by the image's number in order."""
    rng = np.random.default_rng(0)
    for kind, pairs in FILES.items():
        labels = np.arange(38) % len(tool.MERGED[kind])
        for number, (image, mask) in enumerate(pairs.items()):
            write(tmp_path / kind / image, rng.integers(0, 256, (2, 19, 3)).astype(np.uint8))
            mask_array = np.roll(labels, number).reshape(2, 19).astype(np.uint8)
            write(tmp_path / kind / mask, mask_array)
    return tmp_path


@pytest.fixture
def run(source):
    def run(kind, *extra):
        out = source / 'out'
        tool.main(['--kind', kind, '--source', str(source / kind), '--out', str(out), *extra])
        return out

    return run


class TestMerge:
    def test_is_the_mapping_of_handa_et_al(self):
        assert tool.MERGED['sunrgbd'].tolist() == [
            *(0, 12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6),
            *(11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7),
        ]

    def test_classes_of_the_same_name_keep_it(self):
        assert len(tool.LABELS_37) == 38
        same = set(CLASSES) & set(tool.LABELS_37)
        assert same == set(CLASSES) - {'furniture', 'objects'}
        for name in same:
            assert CLASSES[tool.LABELS_37[name]] == name

    def test_docstring_has_the_same_table(self):
        table = tool.__doc__.split('== ========= ')[1].split('\n', 1)[1]
        merged = {}
        for line in table.splitlines():
            label, _, names = (*line.split(maxsplit=2), '', '')[:3]
            if label.isdecimal():
                row = int(label)
            else:
                names = line
            for name in names.replace(',', ' ').split():
                merged[name] = row
        assert merged == tool.LABELS_37

    @pytest.mark.parametrize(('kind', 'label'), [('sunrgbd', 38), ('nyuv2', 14), ('nyuv2', 255)])
    def test_unknown_label_is_refused(self, kind, label):
        with pytest.raises(
            ValueError, match=f'label {label}, expected 0-{len(tool.MERGED[kind]) - 1}'
        ):
            tool.merge_labels(np.array([[0, label]], np.uint8), kind)


@pytest.mark.parametrize('kind', ['sunrgbd', 'nyuv2'])
class TestConversion:
    def test_result_is_what_the_dataset_reads(self, run, kind):
        out = run(kind)
        for split, size in (('train', 2), ('test', 1)):
            dataset = SUNRGBDDataset(
                data_root=str(out), ann_file=f'{split}.txt', labeled=True, serialize_data=False
            )
            assert len(dataset) == size

    def test_every_image_has_its_own_mask(self, run, source, kind):
        out = run(kind)
        for image, mask in FILES[kind].items():
            split = 'train' if 'train' in image else 'test'
            stem = Path(image).stem
            new = out / f'image/{split}/{stem}.jpg'
            assert new.read_bytes() == (source / kind / image).read_bytes()
            expected = tool.MERGED[kind][read(source / kind / mask)]
            np.testing.assert_array_equal(read(out / f'label13/{split}/{stem}.png'), expected)

    def test_second_run_skips_what_is_done_and_does_the_rest(self, run, kind):
        out = run(kind)
        before = snapshot(out)
        lost = sorted((out / 'label13/train').iterdir())[1]
        lost.unlink()
        run(kind)
        after = snapshot(out)
        assert {p: content for p, (content, _) in after.items()} == {
            p: content for p, (content, _) in before.items()
        }
        kept = sorted((out / 'label13/train').iterdir())[0]
        assert after[kept] == before[kept]

    def test_source_is_not_touched(self, run, source, kind):
        before = snapshot(source / kind)
        run(kind)
        assert snapshot(source / kind) == before


class TestListsOnly:
    def test_writes_lists_for_data_that_stay_where_they_are(self, run, source):
        before = snapshot(source / 'nyuv2')
        out = run('nyuv2', '--lists-only')
        assert snapshot(source / 'nyuv2') == before
        assert sorted(path.name for path in out.iterdir()) == ['test.txt', 'train.txt']
        assert (out / 'train.txt').read_text().splitlines() == [
            'image/train/NYU0003.jpg label13/train/NYU0003.png',
            'image/train/NYU0004.jpg label13/train/NYU0004.png',
        ]
        for split in ('train', 'test'):
            SUNRGBDDataset(
                data_root=str(source / 'nyuv2'), ann_file=str(out / f'{split}.txt'), labeled=True
            )

    def test_labels_are_checked(self, run, source):
        write(source / 'nyuv2/label13/train/NYU0004.png', np.full((2, 19), 14, np.uint8))
        with pytest.raises(ValueError, match=r'NYU0004\.png.* 14, expected 0-13.*--kind nyuv2'):
            run('nyuv2', '--lists-only')
        assert not (source / 'out/train.txt').exists()

    def test_37_classes_are_refused(self, run, capsys):
        with pytest.raises(SystemExit):
            run('sunrgbd', '--lists-only')
        assert 'expected --kind nyuv2' in capsys.readouterr().err


class TestNumbers:
    """NYUv2 as it is published: images and labels have different names, and the same number."""

    @pytest.fixture
    def source(self, source):
        # 9 comes before 10 as a number, not as a name.
        for split, old, number in (('train', 3, 9), ('train', 4, 10), ('test', 1, 1)):
            for path, new in (
                (f'image/{split}/NYU{old:04}.jpg', f'nyu_rgb_{number}.jpg'),
                (f'label13/{split}/NYU{old:04}.png', f'new_nyu_class13_{number:04}.png'),
            ):
                path = source / 'nyuv2' / path
                path.rename(path.with_name(new))
        return source

    def test_make_pairs_in_their_order(self, run, source):
        out = run('nyuv2')
        assert (out / 'train.txt').read_text().splitlines() == [
            'image/train/nyu_rgb_9.jpg label13/train/nyu_rgb_9.png',
            'image/train/nyu_rgb_10.jpg label13/train/nyu_rgb_10.png',
        ]
        for number in (9, 10):
            mask = source / f'nyuv2/label13/train/new_nyu_class13_{number:04}.png'
            np.testing.assert_array_equal(
                read(out / f'label13/train/nyu_rgb_{number}.png'), read(mask)
            )

    def test_make_lists_of_the_files_as_they_are(self, run):
        assert (run('nyuv2', '--lists-only') / 'train.txt').read_text().splitlines() == [
            'image/train/nyu_rgb_9.jpg label13/train/new_nyu_class13_0009.png',
            'image/train/nyu_rgb_10.jpg label13/train/new_nyu_class13_0010.png',
        ]

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            (
                'image/train/depth_9.jpg',
                r'depth_9\.jpg .*rgb_9\.jpg .*number 9, expected',
            ),
            ('label13/train/new_9.png', r'new_9\.png .*_0009\.png .*number 9, expected'),
            ('image/train/cover.jpg', r'cover\.jpg .*number at the end .*expected'),
            ('image/train/nyu_rgb_7.jpg', r'nyu_rgb_7\.png .*1 of 3 .*train'),
        ],
    )
    def test_that_leave_a_doubt_are_refused(self, run, source, name, message):
        write(source / 'nyuv2' / name, np.zeros((2, 19, 3), np.uint8))
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            run('nyuv2')

    def test_are_not_looked_at_where_names_are_the_same(self, run, source):
        write(source / 'nyuv2/image/train/a_9.jpg', np.zeros((2, 19, 3), np.uint8))
        write(source / 'nyuv2/label13/train/a_9.png', np.zeros((2, 19), np.uint8))
        with pytest.raises(FileNotFoundError, match=r'rgb_10\.png .*2 of 3 .*train'):
            run('nyuv2')


class TestErrors:
    def test_missing_mask_is_named_with_the_number(self, run, source):
        (source / 'sunrgbd/sunrgbd_train_test_labels/img-005052.png').unlink()
        with pytest.raises(
            FileNotFoundError,
            match=r'img-005052\.png .*img-000002\.jpg .*1 of 2 .*train',
        ):
            run('sunrgbd')
        assert not (source / 'out').exists()

    def test_missing_folder_is_named(self, source):
        with pytest.raises(
            FileNotFoundError, match=r'SUNRGBD-train_images .*--source .*--kind sunrgbd'
        ):
            tool.main(['--kind', 'sunrgbd', '--source', str(source / 'nyuv2')])

    def test_image_without_a_number_is_named(self, run, source):
        write(source / 'sunrgbd/SUNRGBD-train_images/cover.jpg', np.zeros((2, 19, 3), np.uint8))
        with pytest.raises(ValueError, match=r'cover\.jpg .*train .*number, expected'):
            run('sunrgbd')

    @pytest.mark.parametrize(
        ('array', 'message'),
        [
            (np.zeros((4, 4), np.uint8), r'.*4x4 .*expected 19x2 .*img-000002\.jpg'),
            (np.zeros((2, 19, 3), np.uint8), r'.*3 channels, expected one'),
            (np.full((2, 19), 38, np.uint8), r'.*38, expected 0-37.*--kind sunrgbd'),
        ],
    )
    def test_bad_mask_is_named_and_the_rest_stays(self, run, source, array, message):
        write(source / 'sunrgbd/sunrgbd_train_test_labels/img-005052.png', array)
        with pytest.raises(ValueError, match=rf'img-005052\.png:? {message}'):
            run('sunrgbd')
        out = source / 'out'
        assert (out / 'label13/train/img-000001.png').exists()
        assert not (out / 'image/train/img-000002.jpg').exists()
        assert not (out / 'train.txt').exists()

    @pytest.mark.parametrize('name', ['SUNRGBD-train_images/img-000002.jpg', 'mask'])
    @pytest.mark.parametrize('length', [0, 50])
    def test_cut_file_is_named(self, run, source, name, length):
        name = name.replace('mask', 'sunrgbd_train_test_labels/img-005052.png')
        path = source / 'sunrgbd' / name
        path.write_bytes(path.read_bytes()[:length])
        state = 'is truncated' if length else 'cannot be decoded'
        with pytest.raises(ValueError, match=rf'{path.name} {state} \({length} b'):
            run('sunrgbd')
