"""The command that writes splits: what it writes, and what it refuses."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cct_mm.datasets.file_lists import read_file_list
from cct_mm.lab.split_files import count_classes

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get('CCT_MM_DATA', ROOT / 'data')) / 'CamVid'


def load_tool():
    spec = importlib.util.spec_from_file_location('make_splits', ROOT / 'tools/make_splits.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()


@pytest.fixture
def data_root(tmp_path):
    """30 images of 3 classes; class 2 is in three of them; 9 is void."""
    root = tmp_path / 'data'
    (root / 'masks').mkdir(parents=True)
    lines = []
    for i in range(30):
        mask = np.full((8, 8), i % 2, np.uint8)
        mask[0] = 9
        if i in (4, 11, 25):
            mask[5:] = 2
        Image.fromarray(mask).save(root / f'masks/{i:02d}.png')
        lines.append(f'images/{i:02d}.jpg masks/{i:02d}.png\n')
    (root / 'train.txt').write_text(''.join(lines))
    return root


@pytest.fixture
def run(data_root, tmp_path):
    def run(*extra, sizes=('4', '10'), classes=('--num-classes', '3', '--ignore', '9', '255')):
        out = tmp_path / 'out'
        tool.main(
            ['--data-root', str(data_root), '--sizes', *sizes, *classes, '--out', str(out), *extra]
        )
        return out

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_writes_lists_and_manifest(run):
    out = run('--balanced')
    assert set(contents(out)) == {
        'n4.txt',
        'n4_unlabeled.txt',
        'n10.txt',
        'n10_unlabeled.txt',
        'manifest.json',
    }
    labeled = read_file_list(out / 'n4.txt', labeled=True)
    assert labeled == read_file_list(out / 'n10.txt')[:4]
    assert len(read_file_list(out / 'n10_unlabeled.txt')) == 20
    manifest = json.loads((out / 'manifest.json').read_text())
    assert (manifest['seed'], manifest['balanced'], manifest['list']) == (0, True, 'train.txt')
    assert manifest['splits']['all']['images_with_class'] == [15, 15, 3]
    assert min(manifest['splits']['n4']['images_with_class']) > 0


def test_manifest_holds_no_path_of_this_machine(run, tmp_path):
    assert str(tmp_path) not in (run('--balanced') / 'manifest.json').read_text()


def test_ignored_label_may_be_a_class_index(run):
    out = run(classes=('--num-classes', '10', '--ignore', '0', '9', '255'))
    counts = json.loads((out / 'manifest.json').read_text())['splits']['all']['images_with_class']
    assert counts == [0, 15, 3, 0, 0, 0, 0, 0, 0, 0]


def test_random_splits_read_no_masks(run, data_root):
    for mask in (data_root / 'masks').iterdir():
        mask.unlink()
    out = run(classes=())
    assert 'pixel_share' not in (out / 'manifest.json').read_text()


def test_order_of_the_list_does_not_matter(run, data_root):
    first = contents(run('--balanced'))
    lines = (data_root / 'train.txt').read_text().splitlines(keepends=True)
    (data_root / 'train.txt').write_text(''.join(reversed(lines)))
    assert contents(run('--balanced')) == first


def test_second_run_changes_nothing_and_says_so(run, capsys):
    out = run()
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    run()
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times
    assert capsys.readouterr().out.count('unchanged') == 5


def test_other_content_is_not_overwritten_without_force(run):
    out = run()
    before = contents(out)
    with pytest.raises(FileExistsError, match=r'n4\.txt.* would change.*--force'):
        run('--seed', '1')
    assert contents(out) == before
    run('--seed', '1', '--force')
    assert contents(out) != before


def test_refusal_writes_not_even_the_new_files(run):
    out = run(sizes=('4',))
    before = contents(out)
    with pytest.raises(FileExistsError):
        run(sizes=('4', '10'))
    assert contents(out) == before


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        (('31',), 'size 31 of a split exceeds the 30 images'),
        (('0',), 'size 0 of a split is not positive'),
        (('4', '4'), 'size 4 is given twice'),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_written(run, sizes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(sizes=sizes)
    assert not (tmp_path / 'out').exists()


def test_unexpected_label_and_missing_mask_are_named(run, data_root):
    with pytest.raises(ValueError, match=r'label 9 in masks/00\.png, expected 0-2 .* \[255\]'):
        run(classes=('--num-classes', '3'))
    (data_root / 'masks/07.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'mask masks/07\.png not found'):
        run()


@pytest.mark.parametrize('kind', ['1 bit', '4 bits', '16 bits', 'float'])
def test_the_type_of_a_mask_changes_no_share(data_root, kind):
    mask = np.zeros((64, 96), np.uint8)
    mask[10:40, 20:45] = 1
    path = data_root / 'masks/00.png'
    if kind == '1 bit':
        Image.fromarray(mask.astype(bool)).save(path)
    elif kind == '4 bits':
        image = Image.fromarray(mask).convert('P')
        image.save(path, bits=4)
    else:
        array = mask.astype(np.uint16 if kind == '16 bits' else np.float32)
        path = data_root / 'masks/00.tif'
        Image.fromarray(array).save(path)
    entries = [('images/00.jpg', f'masks/{path.name}')]
    counts = count_classes(data_root, entries, 2, [255])
    assert counts.tolist() == [[6144 - 750, 750]]


def test_mask_without_labels_is_named_and_nothing_written(run, data_root, tmp_path):
    Image.new('RGB', (8, 8)).save(data_root / 'masks/07.png')
    with pytest.raises(ValueError, match=r'07\.png has 3 channels, expected one'):
        run()
    assert not (tmp_path / 'out').exists()


def test_balance_needs_the_number_of_classes(run, capsys):
    with pytest.raises(SystemExit):
        run('--balanced', classes=())
    assert 'give --num-classes' in capsys.readouterr().err


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason=f'CamVid is not in {DATA.parent}; set CCT_MM_DATA')
@pytest.mark.parametrize('folder', ['.', 'seed1', 'seed2', 'other_sequences'])
def test_shipped_camvid_splits_are_what_their_command_makes(tmp_path, folder):
    root = tmp_path / 'CamVid'
    root.mkdir()
    for path in DATA.iterdir():
        (root / path.name).symlink_to(path)
    lines = (DATA / 'train.txt').read_text().splitlines(keepends=True)
    # Sequence 0016E5 is that of the validation images.
    (root / 'other_sequences.txt').write_text(''.join(x for x in lines if '/0016E5' not in x))

    shipped = ROOT / 'configs/_base_/domains/splits/camvid' / folder
    command = json.loads((shipped / 'manifest.json').read_text())['command'].split()[2:]
    paths = {'DATA_ROOT': str(root), 'OUT': str(tmp_path / 'out')}
    tool.main([paths.get(word, word) for word in command])
    assert contents(tmp_path / 'out') == contents(shipped)


@pytest.mark.parametrize('form', ['backslashes', 'decomposed'])
def test_masks_are_found_as_in_training(run, data_root, form):
    def splits():
        return json.loads(contents(run('--balanced', '--force'))['manifest.json'])['splits']

    expected = splits()
    path = data_root / 'train.txt'
    if form == 'backslashes':
        path.write_text(path.read_text().replace('/', '\\'))
    else:
        (data_root / 'masks/00.png').rename(data_root / 'masks' / 'e\u0301.png')
        path.write_text(path.read_text().replace('masks/00.png', 'masks/\u00e9.png'))
    assert splits() == expected
