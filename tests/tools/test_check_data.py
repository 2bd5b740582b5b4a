"""tools/check_data.py on folders made by hand: it names all that is wrong, and ends accordingly."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]

CONFIG = """
def source(folder, labeled=True, **options):
    load = [dict(type='LoadCheckedImage')]
    load += [dict(type='LoadCheckedAnnotations')] if labeled else []
    prefix = dict(img_path='images') | (dict(seg_map_path='masks') if labeled else {{}})
    return dict(
        type='ListDataset',
        data_root={root!r} + folder,
        data_prefix=prefix,
        img_suffix=('.png', '.bmp'),
        metainfo=dict(classes=('background', 'leaf')),
        pipeline=[*load, dict(type='PackSegInputs')],
        **options,
    )

def loader(batch_size=1, **sources):
    domains = dict(plant=sources)
    return dict(
        batch_size=batch_size, dataset=dict(type='MultiDomainDataset', domains=domains)
    )

{loaders}
del source, loader
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CCT_MM_CACHE', str(tmp_path / 'cache'))


@pytest.fixture(scope='module')
def main():
    return runpy.run_path(str(ROOT / 'tools/check_data.py'))['main']


class Data:
    """Folders of images and masks, and what the tool says of them."""

    def __init__(self, root, main, capsys):
        self.root, self.main, self.capsys = root, main, capsys
        self.random = np.random.default_rng(0)

    def write(self, folder, number=3, labels=(0, 1)):
        for i in range(number):
            self.write_image(f'{folder}/images/{i}.png')
            mask = np.resize(np.array(labels, np.uint8), (6, 8))
            self.save(f'{folder}/masks/{i}.png', mask)

    def write_image(self, name, size=(6, 8)):
        self.save(name, self.random.integers(0, 256, (*size, 3), dtype=np.uint8))

    def save(self, name, array):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)

    def check(self, loaders, *arguments):
        """Exit code, what is in the JSON file, and the output."""
        config, out = self.root / 'config.py', self.root / 'report.json'
        config.write_text(CONFIG.format(root=f'{self.root}/', loaders=loaders))
        code = self.main([str(config), '--json', str(out), *arguments])
        report = json.loads(out.read_text()) if out.exists() else None
        return code, report, self.capsys.readouterr()


@pytest.fixture
def data(tmp_path, main, capsys):
    data = Data(tmp_path, main, capsys)
    data.write('train')
    data.write('val', 2)
    return data


BOTH = """
train_dataloader = loader(labeled=source('train'))
val_dataloader = loader(labeled=source('val'))
"""


def kinds(findings):
    return [(finding['where'], finding['kind']) for finding in findings]


class TestGoodData:
    def test_end_with_0_and_are_described(self, data):
        code, report, shown = data.check(BOTH)
        assert (code, report['ok'], report['problems'], report['notes']) == (0, True, [], [])
        training, validation = report['sources']
        assert training == {
            'split': 'train',
            'domain': 'plant',
            'supervision': 'labeled',
            'dataset': 'ListDataset',
            'images': 3,
            'unreadable': 0,
            'sizes': [{'width': 8, 'height': 6, 'images': 3}],
            'types': {'PNG 3x8 bit': 3},
            'orientations': {'1': 3},
            'labels': {
                'masks': 3,
                'pixels': {'background': 72, 'leaf': 72},
                'images': {'background': 3, 'leaf': 3},
                'ignored_pixels': 0,
                'values': {'0': 72, '1': 72},
                'empty_masks': [],
                'absent': [],
            },
        }
        assert (validation['split'], validation['images']) == ('val', 2)
        assert '8x6' in shown.out
        assert '50.00%' in shown.out
        assert 'No problems were found.' in shown.out

    def test_with_an_augmentation_that_training_refuses_are_not(self, data):
        code, report, _ = data.check(
            BOTH.replace("source('train')", "source('train'), unlabeled=source('train', False)")
            + "train_dataloader['dataset']['augmentation'] = dict(\n"
            "    crop=dict(type='RandomCrop', crop_size=(4, 4), cat_max_ratio=0.75)\n)\n"
        )
        assert code == 1
        assert 'RandomCrop with cat_max_ratio=0.75' in report['problems'][0]['message']

    def test_are_the_images_whose_features_a_cached_training_reads(self, data):
        cached = dict(type='CachedFeaturesDataset', cache='none', versions=dict(labeled=2))
        loaders = f"{BOTH}\ntrain_dataloader['dataset'].update({cached})"
        code, report, _ = data.check(loaders)
        assert (code, report['ok']) == (0, True)
        assert [source['images'] for source in report['sources']] == [3, 2]

    def test_are_the_same_from_the_cache_and_from_several_processes(self, data):
        data.write('train', 70)
        first = data.check(BOTH, '--workers', '1')[1]
        assert data.check(BOTH)[1] == first
        shutil.rmtree(data.root / 'cache')
        assert data.check(BOTH, '--workers', '2')[1] == first

    def test_masks_of_unlabeled_images_are_never_opened(self, data):
        data.write('more')
        for mask in (data.root / 'more' / 'masks').iterdir():
            mask.write_bytes(b'not to be read')
        unlabeled = "unlabeled=source('more', labeled=False)"
        loaders = f"train_dataloader = loader(labeled=source('train'), {unlabeled})"
        code, report, _ = data.check(loaders)
        assert code == 0
        assert 'labels' not in report['sources'][1]


class TestProblems:
    def test_of_all_files_are_named_each(self, data):
        data.write('train', 6)
        folder = data.root / 'train'
        (folder / 'images' / '0.png').write_bytes(b'rubbish')
        (folder / 'masks' / '1.png').write_bytes((folder / 'masks' / '2.png').read_bytes()[:40])
        data.save('train/masks/2.png', np.zeros((3, 3), np.uint8))
        data.save('train/masks/3.png', np.full((6, 8), 9, np.uint8))
        (folder / 'masks' / '4.png').unlink()
        listed = '\n'.join(f'images/{i}.png masks/{i}.png' for i in (*range(6), 17))
        (folder / 'list.txt').write_text(listed)
        loaders = (
            "train_dataloader = loader(labeled=source('train', ann_file='list.txt'))\n"
            "train_dataloader['dataset']['domains']['plant']['labeled']['data_prefix'] = {}\n"
        )
        code, report, shown = data.check(loaders)
        assert code == 1
        assert not report['ok']
        found = {Path(p['file']).relative_to(folder).as_posix(): p for p in report['problems']}
        assert {name: finding['kind'] for name, finding in found.items()} == {
            'images/0.png': 'image',
            'masks/1.png': 'mask',
            'masks/2.png': 'mask',
            'masks/3.png': 'mask',
            'masks/4.png': 'mask',
            'images/17.png': 'image',
            'masks/17.png': 'mask',
        }
        assert 'cannot be decoded' in found['images/0.png']['message']
        assert 'truncated' in found['masks/1.png']['message']
        assert 'has 3x3 pixels, expected 8x6' in found['masks/2.png']['message']
        assert 'label 9 in' in found['masks/3.png']['message']
        assert 'does not exist' in found['masks/4.png']['message']
        assert report['sources'][0]['unreadable'] == 6
        assert str(folder / 'masks' / '3.png') in shown.out

    def test_of_a_source_hide_no_others(self, data):
        data.save('val/masks/1.png', np.full((6, 8), 9, np.uint8))
        loaders = BOTH.replace("source('train')", "source('nowhere')")
        code, report, _ = data.check(loaders)
        assert code == 1
        assert kinds(report['problems']) == [
            ('train_dataloader: plant, labeled source', 'source'),
            ('val_dataloader: plant, labeled source', 'mask'),
        ]

    def test_are_read_again_when_they_are_mended(self, data):
        mask = data.root / 'train' / 'masks' / '1.png'
        whole = mask.read_bytes()
        mask.write_bytes(whole[:40])
        assert data.check(BOTH)[0] == 1
        mask.write_bytes(whole)
        assert data.check(BOTH)[0] == 0

    def test_of_labels_are_those_of_training(self, data):
        data.write('train', labels=(0, 255))
        code, report, _ = data.check(BOTH)
        assert code == 1
        (problem,) = report['problems']
        assert problem['kind'] == 'labels'
        assert "only the class 'background' occurs" in problem['message']

    def test_of_images_that_viewers_turn(self, data):
        exif = Image.Exif()
        exif[274] = 3
        path = data.root / 'train' / 'images' / '1.png'
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif)
        code, report, _ = data.check(BOTH)
        assert code == 1
        assert 'EXIF orientation 3' in report['problems'][0]['message']

    def test_of_sizes_that_make_no_batch(self, data):
        data.write_image('val/images/1.png', (12, 8))
        data.save('val/masks/1.png', np.zeros((12, 8), np.uint8))
        code, report, _ = data.check(BOTH.replace("source('val')", "source('val'), batch_size=2"))
        assert code == 1
        assert kinds(report['problems']) == [('val_dataloader', 'batch')]


def test_source_that_loads_no_labels_is_a_problem(data):
    no_labels = "val_dataloader['dataset']['domains']['plant']['labeled']['pipeline'].pop(1)"
    code, report, _ = data.check(BOTH + no_labels)
    (problem,) = report['problems']
    assert (code, problem['where']) == (1, 'val_dataloader: plant, labeled source')
    assert problem['message'].startswith('its pipeline loads no label maps, expected dict(type=')


def test_loaders_without_checks_are_a_note(data):
    others = BOTH.replace('train_d', "LOAD = [dict(type='LoadImageFromFile')]\ntrain_d", 1)
    plain = "train_dataloader['dataset']['domains']['plant']['labeled']['pipeline'][0] = LOAD[0]"
    code, report, _ = data.check(others + plain)
    assert code == 0
    assert [note['kind'] for note in report['notes']] == ['loading']


class TestCopies:
    def test_in_training_and_validation_are_found_by_their_pixels(self, data):
        with Image.open(data.root / 'train' / 'images' / '2.png') as image:
            image.save(data.root / 'val' / 'images' / '1.bmp')
        (data.root / 'val' / 'images' / '1.png').unlink()
        code, report, _ = data.check(BOTH)
        assert code == 1
        (problem,) = report['problems']
        assert problem['kind'] == 'in training, too'
        assert problem['file'] == str(data.root / 'val' / 'images' / '1.bmp')
        assert f'has the pixels of {data.root}/train/images/2.png' in problem['message']

    def test_of_the_same_file_are_found(self, data):
        code, report, _ = data.check(BOTH.replace("source('val')", "source('train')"))
        assert code == 1
        assert len(report['problems']) == 3
        assert 'is in train_dataloader' in report['problems'][0]['message']

    def test_within_training_are_notes(self, data):
        shutil.copy(data.root / 'train' / 'images' / '2.png', data.root / 'train/images/0.png')
        unlabeled = "labeled=source('train'), unlabeled=source('train', labeled=False)"
        code, report, _ = data.check(BOTH.replace("labeled=source('train')", unlabeled))
        assert code == 0
        assert {finding['kind'] for finding in report['notes']} == {'twice'}

    def test_of_one_color_are_no_copies(self, data):
        for name in ('train/images/0.png', 'val/images/0.png'):
            data.save(name, np.zeros((6, 8, 3), np.uint8))
        code, report, _ = data.check(BOTH)
        assert code == 0
        assert [finding['kind'] for finding in report['notes']] == ['constant image'] * 2


class TestNotes:
    def test_are_classes_that_do_not_occur_and_empty_masks(self, data):
        data.save('train/masks/0.png', np.full((6, 8), 255, np.uint8))
        data.write('val', 2, labels=(1,))
        code, report, shown = data.check(BOTH)
        assert code == 0
        assert ('train_dataloader: plant, labeled source', 'empty mask') in kinds(report['notes'])
        assert ('val_dataloader: plant, labeled source', 'labels') in kinds(report['notes'])
        assert 'absent' in shown.out


class TestWrongUse:
    def test_of_a_config_that_cannot_be_read_ends_with_2(self, main, tmp_path, capsys):
        assert main([str(tmp_path / 'none.py')]) == 2
        assert 'none.py' in capsys.readouterr().err
        (tmp_path / 'broken.py').write_text('1 / 0')
        assert main([str(tmp_path / 'broken.py')]) == 2
        assert 'ZeroDivisionError' in capsys.readouterr().err

    @pytest.mark.parametrize(
        'loaders', ['', "train_dataloader = dict(dataset=dict(type='ListDataset'))"]
    )
    def test_of_a_config_without_domains_ends_with_2(self, data, loaders):
        code, report, shown = data.check(loaders)
        assert (code, report) == (2, None)
        assert 'check_data: ' in shown.err

    @pytest.mark.parametrize('arguments', [['--workers', '0'], ['--json', '/nowhere/a.json']])
    def test_of_arguments_ends_with_2(self, main, arguments):
        with pytest.raises(SystemExit) as end:
            main(['config.py', *arguments])
        assert end.value.code == 2

    def test_exit_code_is_that_of_the_process(self, tmp_path):
        command = [sys.executable, str(ROOT / 'tools/check_data.py'), str(tmp_path / 'none.py')]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2
