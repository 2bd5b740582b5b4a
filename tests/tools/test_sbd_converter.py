"""From a tiny tree of SBD and VOC to joined masks and lists."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets import PascalVOCDataset
from PIL import Image
from scipy.io import savemat

from cct_mm.visualization import indexed_png

PATH = Path(__file__).parents[2] / 'tools/dataset_converters/sbd.py'


def load_tool():
    spec = importlib.util.spec_from_file_location('sbd_converter', PATH)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()
TRAIN, VAL = ['2007_000032', '2007_000001'], ['2007_000002']
SBD = ['2007_000032', '2007_000002', '2008_000007', '2008_000003']
REST = ['2008_000003', '2008_000007']
TRAINAUG = ['2007_000001', '2007_000032', '2008_000003', '2008_000007']


def write_mat(path, labels, name='GTcls'):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: {'Boundaries': np.zeros(2), 'Segmentation': labels}}, do_compression=True)


def sbd_labels(name):
    """Every class, rolled by the image's number: differs from image to image and from VOC."""
    return np.roll(np.arange(21, dtype=np.uint8), int(name[-1])).reshape(3, 7)


def voc_labels(name):
    labels = sbd_labels(name)[::-1].copy()
    labels[0, 0] = 255
    return labels


def read(path):
    with Image.open(path) as mask:
        assert mask.mode == 'P'
        return np.asarray(mask), mask.convert('RGB')


def snapshot(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob('*') if p.is_file()}


@pytest.fixture
def data(tmp_path):
    """Images of 7 x 3 pixels; one of train is not in SBD, two of SBD have no mask of VOC."""
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (tmp_path / 'voc' / folder).mkdir(parents=True)
    for name in {*TRAIN, *VAL, *SBD}:
        Image.new('RGB', (7, 3)).save(tmp_path / f'voc/JPEGImages/{name}.jpg')
    for name in TRAIN + VAL:
        path = tmp_path / f'voc/SegmentationClass/{name}.png'
        path.write_bytes(indexed_png(voc_labels(name), tool.PALETTE))
    for split, ids in (('train', TRAIN), ('val', VAL)):
        path = tmp_path / f'voc/ImageSets/Segmentation/{split}.txt'
        path.write_text('\n'.join(ids) + '\n')
    for name in SBD:
        write_mat(tmp_path / f'sbd/cls/{name}.mat', sbd_labels(name))
    return tmp_path


@pytest.fixture
def run(data):
    def run(*extra):
        arguments = ['--sbd', str(data / 'sbd'), '--voc', str(data / 'voc'), '--processes', '1']
        tool.main([*arguments, '--out', str(data / 'out'), *extra])
        return data / 'out'

    return run


class TestMasks:
    def test_of_voc_are_kept_and_those_of_sbd_added(self, run, data):
        masks = run() / 'SegmentationClassAug'
        assert {path.stem for path in masks.iterdir()} == {*TRAIN, *VAL, *SBD}
        for name in TRAIN + VAL:
            source = data / f'voc/SegmentationClass/{name}.png'
            assert (masks / f'{name}.png').read_bytes() == source.read_bytes()
        for name in REST:
            np.testing.assert_array_equal(read(masks / f'{name}.png')[0], sbd_labels(name))

    def test_have_the_colors_of_voc(self, run):
        labels, colors = read(run() / 'SegmentationClassAug/2008_000003.png')
        expected = np.array(PascalVOCDataset.METAINFO['palette'])[labels]
        np.testing.assert_array_equal(np.asarray(colors), expected)

    def test_are_what_the_dataset_reads(self, run, data):
        dataset = PascalVOCDataset(
            ann_file=str(run() / 'ImageSets/Segmentation/trainaug.txt'),
            data_prefix=dict(
                img_path=str(data / 'voc/JPEGImages'),
                seg_map_path=str(data / 'out/SegmentationClassAug'),
            ),
        )
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert [Path(info['seg_map_path']).stem for info in infos] == TRAINAUG
        assert all(Path(info['seg_map_path']).is_file() for info in infos)


class TestLists:
    def test_leave_out_val(self, run):
        lists = run() / 'ImageSets/Segmentation'
        assert (lists / 'trainaug.txt').read_text().split() == TRAINAUG
        assert (lists / 'trainaug_rest.txt').read_text().split() == REST

    def test_another_number_than_the_official_one_is_told(self, run, capsys):
        run()
        found = capsys.readouterr()
        assert 'trainaug_rest.txt: 2 images' in found.out
        assert 'trainaug.txt has 4 images, not the 10582' in found.err


class TestRuns:
    def test_second_run_skips_what_is_done_and_does_the_rest(self, run):
        out = run()
        before = snapshot(out / 'SegmentationClassAug')
        lost = out / 'SegmentationClassAug/2008_000007.png'
        lost.unlink()
        run()
        after = snapshot(out / 'SegmentationClassAug')
        assert after[lost][0] == before[lost][0]
        assert {p: v for p, v in after.items() if p != lost} == {
            p: v for p, v in before.items() if p != lost
        }

    def test_sources_are_not_touched(self, run, data):
        before = snapshot(data / 'voc') | snapshot(data / 'sbd')
        run()
        assert snapshot(data / 'voc') | snapshot(data / 'sbd') == before

    def test_several_processes_write_into_the_folder_of_voc_the_same_files(self, run, data):
        out = run()
        command = [sys.executable, PATH, '--sbd', data / 'sbd', '--voc', data / 'voc']
        subprocess.run([*command, '--processes', '2'], check=True, capture_output=True)
        for path in out.rglob('*.*'):
            assert (data / 'voc' / path.relative_to(out)).read_bytes() == path.read_bytes()


class TestErrors:
    @pytest.mark.parametrize(
        ('lost', 'message'),
        [
            ('voc/ImageSets/Segmentation/val.txt', r'val\.txt .*--voc'),
            ('voc/SegmentationClass/2007_000001.png', r'mask .*000001\.png .*1 of 5 masks'),
            ('voc/JPEGImages/2008_000003.jpg', r'image .*000003\.jpg .*1 of 5 images'),
        ],
    )
    def test_missing_file_is_named_before_anything_is_written(self, run, data, lost, message):
        (data / lost).unlink()
        with pytest.raises(FileNotFoundError, match=message):
            run()
        assert not (data / 'out').exists()

    def test_other_folder_of_sbd_is_refused(self, run, data):
        with pytest.raises(FileNotFoundError, match=r'cls .*--sbd .*benchmark_RELEASE'):
            run('--sbd', str(data))
        (data / 'cls').mkdir()
        with pytest.raises(ValueError, match=r'cls .*\.mat .*expected'):
            run('--sbd', str(data))

    @pytest.mark.parametrize(
        ('labels', 'name', 'message'),
        [
            (np.zeros((3, 6), np.uint8), 'GTcls', r'000007\.mat .*6x3 .*expected 7x3 .*\.jpg'),
            (np.full((3, 7), 21, np.uint8), 'GTcls', r'label 21 in .*000007\.mat, expected 0-20'),
            (np.zeros((3, 7), np.uint8), 'GTinst', r'000007\.mat .*GTcls\.Segmentation'),
        ],
    )
    def test_bad_labels_are_named_and_the_rest_stays(self, run, data, labels, name, message):
        write_mat(data / 'sbd/cls/2008_000007.mat', labels, name)
        with pytest.raises(ValueError, match=message):
            run()
        assert (data / 'out/SegmentationClassAug/2008_000003.png').exists()
        assert not (data / 'out/SegmentationClassAug/2008_000007.png').exists()
        assert not (data / 'out/ImageSets').exists()

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('sbd/cls/2008_000007.mat', r'000007\.mat cannot be read \('),
            ('voc/SegmentationClass/2007_000001.png', r'000001\.png is truncated'),
            ('voc/JPEGImages/2008_000007.jpg', r'000007\.jpg is truncated \(20 bytes\)'),
        ],
    )
    def test_cut_file_is_named(self, run, data, name, message):
        path = data / name
        length = path.stat().st_size
        path.write_bytes(path.read_bytes()[: 20 if name.endswith('jpg') else length - 30])
        with pytest.raises(ValueError, match=message):
            run()

    def test_colored_mask_is_refused(self, run, data):
        Image.new('RGB', (7, 3)).save(data / 'voc/SegmentationClass/2007_000001.png')
        with pytest.raises(ValueError, match=r'000001\.png .*3 channels, expected .*unpack VOC'):
            run()
