"""From the 32 colors of CamVid to the 11 classes that CamVidDataset reads."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from cct_mm.datasets.camvid import CamVidDataset

ROOT = Path(__file__).parents[2]


def load_tool():
    path = ROOT / 'tools/dataset_converters/camvid.py'
    spec = importlib.util.spec_from_file_location('camvid_converter', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()
NAMES = {'train': ['0001TP_a', '0001TP_b'], 'val': ['0016E5_c'], 'test': ['Seq05VD_d']}
RGB = {name: rgb for name, (_, rgb) in tool.COLORS.items()}


def write_mask(path, rgb):
    cv2.imwrite(str(path), np.asarray(rgb, np.uint8)[..., ::-1])


@pytest.fixture
def original(tmp_path):
    """Four images of 16 x 8 pixels; each mask shows all 32 colors, four pixels each."""
    for folder in ('raw', 'labels', 'lists'):
        (tmp_path / folder).mkdir()
    mask = np.array(list(RGB.values()), np.uint8).reshape(4, 8, 3).repeat(2, 0).repeat(2, 1)
    image = np.random.default_rng(0).integers(0, 255, (8, 16, 3)).astype(np.uint8)
    for split, names in NAMES.items():
        for name in names:
            cv2.imwrite(str(tmp_path / f'raw/{name}.png'), image)
            write_mask(tmp_path / f'labels/{name}_L.png', mask)
        lines = [
            f'/SegNet/CamVid/{split}/{n}.png /SegNet/CamVid/{split}annot/{n}.png' for n in names
        ]
        (tmp_path / f'lists/{split}.txt').write_text('\n'.join(lines) + '\n')
    return tmp_path


@pytest.fixture
def run(original):
    def run(*extra, size=('8', '4')):
        folders = {
            '--images': 'raw',
            '--labels': 'labels',
            '--splits-from': 'lists',
            '--out': 'out',
        }
        argv = [word for flag, name in folders.items() for word in (flag, str(original / name))]
        tool.main([*argv, '--size', *size, *extra])
        return original / 'out'

    return run


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


class TestMerge:
    def test_all_32_colors_are_different_and_every_class_is_reached(self):
        assert len(set(RGB.values())) == 32
        assert {label for label, _ in tool.COLORS.values()} == set(range(12))

    def test_classes_of_the_same_name_keep_it(self):
        classes = CamVidDataset.METAINFO['classes']
        for original in ('Sky', 'Building', 'Road', 'Tree', 'SignSymbol', 'Fence', 'Car'):
            assert classes[tool.COLORS[original][0]] == original.lower()
        assert classes[tool.COLORS['Column_Pole'][0]] == 'pole'
        assert classes[tool.COLORS['Sidewalk'][0]] == 'pavement'
        assert classes[tool.COLORS['Child'][0]] == 'pedestrian'
        assert classes[tool.COLORS['MotorcycleScooter'][0]] == 'bicyclist'

    def test_unknown_colors_are_counted_and_void(self):
        mask = np.array([[RGB['Car'], (1, 2, 3), (1, 2, 3), (255, 255, 255)]], np.uint8)
        labels, unknown = tool.merge_labels(mask)
        assert labels.tolist() == [[8, 11, 11, 11]]
        assert unknown == {(1, 2, 3): 2, (255, 255, 255): 1}


class TestConversion:
    def test_result_is_what_the_dataset_reads(self, run):
        out = run()
        for split, names in NAMES.items():
            list_file = str(out / f'{split}.txt')
            dataset = CamVidDataset(
                data_root=str(out), ann_file=list_file, labeled=True, serialize_data=False
            )
            assert len(dataset) == len(names)
        labels = read(out / 'trainannot/0001TP_a.png')
        expected = np.array([label for label, _ in tool.COLORS.values()]).reshape(4, 8)
        np.testing.assert_array_equal(labels, expected)
        assert read(out / 'train/0001TP_a.png').shape == (4, 8, 3)

    def test_full_size_is_exact(self, run, original):
        out = run(size=('16', '8'))
        image = read(original / 'raw/0016E5_c.png')
        np.testing.assert_array_equal(read(out / 'val/0016E5_c.png'), image)

    def test_lists_may_hold_bare_names(self, run, original):
        for split, names in NAMES.items():
            (original / f'lists/{split}.txt').write_text('\n'.join(names))
        assert (run() / 'train.txt').read_text().splitlines() == [
            f'train/{name}.png trainannot/{name}.png' for name in NAMES['train']
        ]

    def test_second_run_skips_what_is_done_and_does_the_rest(self, run):
        out = run()
        kept, lost = out / 'trainannot/0001TP_a.png', out / 'trainannot/0001TP_b.png'
        before, content = kept.stat().st_mtime_ns, lost.read_bytes()
        lost.unlink()
        run()
        assert kept.stat().st_mtime_ns == before
        assert lost.read_bytes() == content

    def test_files_of_another_size_are_not_taken_for_done(self, run):
        run()
        assert read(run(size=('16', '8')) / 'trainannot/0001TP_a.png').shape == (8, 16)


class TestErrors:
    def test_unknown_colors_are_named_and_the_list_is_not_written(self, run, original):
        mask = np.full((8, 16, 3), 128, np.uint8)
        mask[0, :3] = (1, 2, 3)
        write_mask(original / 'labels/0001TP_b_L.png', mask)
        with pytest.raises(
            ValueError,
            match=r'\(1, 2, 3\) .*0001TP_b_L\.png .*3 pixels.*expected .*32 .*--unknown-as-void',
        ):
            run()
        out = original / 'out'
        assert not (out / 'train.txt').exists()
        assert not (out / 'trainannot/0001TP_b.png').exists()
        assert (out / 'val.txt').exists()

    def test_unknown_colors_become_void_on_demand(self, run, original, capsys):
        write_mask(original / 'labels/0001TP_b_L.png', np.full((8, 16, 3), (1, 2, 3)))
        out = run('--unknown-as-void')
        assert (read(out / 'trainannot/0001TP_b.png') == 11).all()
        assert len((out / 'train.txt').read_text().splitlines()) == 2
        assert 'color (1, 2, 3) in 0001TP_b_L.png (128 pixels)' in capsys.readouterr().out

    def test_missing_files_are_named_with_their_number(self, run, original):
        (original / 'labels/0001TP_b_L.png').unlink()
        with pytest.raises(FileNotFoundError, match=r'0001TP_b_L\.png .*1 of 2 .*train'):
            run()
        (original / 'lists/train.txt').unlink()
        with pytest.raises(FileNotFoundError, match=r'train\.txt .*--splits-from'):
            run()

    def test_broken_and_mismatched_files_are_named(self, run, original):
        write_mask(original / 'labels/0001TP_a_L.png', np.zeros((4, 4, 3)))
        with pytest.raises(ValueError, match=r'0001TP_a_L\.png .*4x4 .*expected 16x8'):
            run()
        (original / 'raw/0001TP_a.png').write_bytes(b'rubbish')
        with pytest.raises(ValueError, match=r'0001TP_a\.png cannot be decoded'):
            run()

    @pytest.mark.parametrize(('text', 'message'), [('', 'is empty'), ('a\na\n', 'names a twice')])
    def test_bad_lists_are_named(self, run, original, text, message):
        (original / 'lists/train.txt').write_text(text)
        with pytest.raises(ValueError, match=rf'train\.txt {message}'):
            run()
