"""Where tools write: places that are taken, read-only or full; and other tools' own inputs."""

import os
import shutil
import subprocess

import pytest
from bad_inputs import Case, Lab, Run, parametrize, same_weights, works


def mount(lab, folder, *options):
    """Mount a file system of memory for as long as the test lasts."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(['mount', '-t', 'tmpfs', *options, 'tmpfs', folder], capture_output=True)
    if done.returncode:
        pytest.skip(f'mounting is not permitted here: {done.stderr.decode().strip()}')
    lab.mounted.append(folder)


def read_only(lab, folder):
    """Whatever is in a folder, on a file system that takes no more."""
    done = subprocess.run(['mount', '--bind', folder, folder], capture_output=True)
    if done.returncode:
        pytest.skip(f'mounting is not permitted here: {done.stderr.decode().strip()}')
    lab.mounted.append(folder)
    subprocess.run(['mount', '-o', 'remount,ro,bind', folder], check=True)


def file_in_place(name):
    return lambda lab: (lab.root / name).write_text('notes')


def read_only_work_dir(lab):
    lab.stopped(1)
    read_only(lab, lab.work)


def read_only_empty(lab):
    lab.work.mkdir()
    read_only(lab, lab.work)


def read_only_data(lab):
    read_only(lab, lab.data)


def full_disk(lab):
    """A disk with room for one checkpoint more, at most half of the second."""
    size = (lab.shared.trained / 'iter_1.pth').stat().st_size
    mount(lab, lab.work, '-o', f'size={(5 * size // 2 + 300000) // 4096 * 4}k')
    shutil.copy(lab.shared.trained / 'iter_1.pth', lab.work)
    (lab.work / 'last_checkpoint').write_text(str(lab.work / 'iter_1.pth'))
    filler = lab.work / 'others.bin'
    free = os.statvfs(lab.work)
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - size // 2 - 60000)))


def resumes_when_there_is_room(lab: Lab) -> Run:
    """The tool on the full disk; then what it left goes on."""
    full = lab.resume()
    assert sorted(path.name for path in lab.work.glob('*.pth')) == ['iter_1.pth'], full.output
    (lab.work / 'others.bin').unlink()
    run = lab.resume()
    assert run.code == 0, run.output
    same_weights(lab.work / 'iter_2.pth', lab.shared.trained / 'iter_2.pth')
    (lab.work / 'others.bin').write_bytes(b'')
    return full


def full_temporary(lab):
    mount(lab, lab.temporary, '-o', 'size=4k')
    (lab.temporary / 'full').write_bytes(bytes(4096))


def no_temporary(lab):
    lab.environment['TMPDIR'] = str(lab.root / 'gone')


def metrics_there(lab):
    lab.trained()
    (lab.root / 'out').mkdir()


def grid(text):
    def make(lab):
        path = lab.root / 'grid.yaml'
        path.write_text(text.format(config=lab.config, root=lab.root))

    return make


def grid_of_results(lab):
    """Results of a grid, made with another config."""
    grid(GRID)(lab)
    run = lab.grid()
    assert run.code == 0, run.output
    lab.change('lr=0.01', 'lr=0.02')


def camvid(changes=None):
    """Folders as the original CamVid has them, with two images."""

    def make(lab):
        names = {'images': 'raw', 'labels': 'colours', 'lists': 'lists'}
        for name in names.values():
            (lab.root / name).mkdir()
        for name in ('a0', 'a1'):
            shutil.copy(lab.image(name), lab.root / f'raw/{name}.png')
            shutil.copy(lab.image(name), lab.root / f'colours/{name}_L.png')
        for split in ('train', 'val', 'test'):
            (lab.root / f'lists/{split}.txt').write_text('x/a0.png y/a0.png\n')
        for name, content in (changes or {}).items():
            path = lab.root / name
            if path.is_dir():
                shutil.rmtree(path)
            elif content is None:
                path.unlink()
            else:
                path.write_bytes(content)

    return make


def convert_camvid(lab, *arguments):
    folders = {'--images': 'raw', '--labels': 'colours', '--splits-from': 'lists', '--out': 'out'}
    flat = [str(part) for key, name in folders.items() for part in (key, lab.root / name)]
    return lab.convert('camvid', *flat, *arguments)


GRID = """
name: tiny
methods: {{one: {config}}}
baseline: one
seeds: [0]
threads: 1
"""
TAKEN = ('directory', 'folder', 'a file')

CASES = [
    Case('file', 'file in place of the work dir', file_in_place('work'), says=['work', TAKEN],
         quick=True),
    Case('file-above', 'file in place of a folder above', file_in_place('some'),
         lambda lab: lab.call('tools/train.py', lab.config, '--work-dir', lab.root / 'some/run'),
         says=['some', TAKEN]),
    Case('read-only', 'read-only work dir', read_only_empty, says=['work', 'read-only'],
         quick=True),
    Case('read-only-resume', 'read-only work dir', read_only_work_dir, 'resume',
         says=['work', 'read-only']),
    Case('read-only-data', 'read-only data', read_only_data, value=works),
    Case('full-disk', 'full disk', full_disk, resumes_when_there_is_room,
         says=['iter_2.pth', ('no space', 'room', 'disk')], early=False, quick=True,
         # The case itself makes room, and goes on.
         overwrites=True),
    Case('full-tmpdir', 'no room for temporary files', full_temporary, value=works),
    Case('no-tmpdir', 'missing TMPDIR', no_temporary, value=works),
    Case('blanks', 'blanks and accents in names', lambda lab: None,
         lambda lab: lab.call('tools/train.py', lab.config, '--work-dir', lab.root / 'mà folder'),
         value=lambda lab, run: same_weights(
             lab.root / 'mà folder/iter_2.pth', lab.shared.trained / 'iter_2.pth'), quick=True),
    Case('nested', 'folders that are not there yet', lambda lab: None,
         lambda lab: lab.call('tools/train.py', lab.config, '--work-dir', lab.root / 'x/y/z'),
         value=lambda lab, run: same_weights(
             lab.root / 'x/y/z/iter_2.pth', lab.shared.trained / 'iter_2.pth')),
    Case('new-run-in-old', 'results of a run before', lambda lab: lab.stopped(1, 2), 'train',
         warns=['iter_1.pth'], value=works, overwrites=True),
    Case('metrics-folder', 'folder in place of --out', metrics_there,
         lambda lab: lab.test('--out', str(lab.root / 'out')), says=['out', TAKEN]),
    Case('metrics-nested', 'folders that are not there yet', lambda lab: lab.trained(),
         lambda lab: lab.test('--out', str(lab.root / 'x/y.json')),
         value=lambda lab, run: (lab.root / 'x/y.json').read_text()),
    Case('metrics-below-file', 'file in place of a folder above', lambda lab: (
            lab.trained(), file_in_place('some')(lab)),
         lambda lab: lab.test('--out', str(lab.root / 'some/y.json')), says=['some', TAKEN]),
    Case('splits-file', 'file in place of --out', file_in_place('splits'), 'make_splits',
         says=['splits', TAKEN]),
    # Grids.
    Case('grid-missing', 'missing grid', lambda lab: None, 'grid', says=['grid.yaml'], quick=True),
    Case('grid-yaml', 'malformed YAML', grid('name: [tiny\nmethods: x'), 'grid',
         says=['grid.yaml']),
    Case('grid-key', 'unknown key of a grid', grid(GRID + 'sedes: [0]\n'), 'grid', says=['sedes']),
    Case('grid-config', 'missing config of a grid',
         grid(GRID.replace('{config}', '{root}/no.py')), 'grid', says=['no.py']),
    Case('grid-seeds', 'seeds that are no list', grid(GRID.replace('[0]', 'many')), 'grid',
         says=['seeds', 'many']),
    Case('grid-baseline', 'unknown baseline', grid(GRID.replace('baseline: one', 'baseline: two')),
         'grid', says=['baseline', 'two']),
    Case('grid-jobs', 'argument of the tool', grid(GRID), 'grid', args=['--jobs', '0'],
         says=['--jobs', '0']),
    Case('grid-table-only', 'table of nothing', grid(GRID), 'grid', args=['--table-only'],
         says=['no finished run']),
    Case('grid-other-config', 'results of another config', grid_of_results, 'grid',
         says=['--keep', '--rerun']),
    # Converters.
    Case('camvid-images', 'missing folder of a converter', camvid({'raw': None}), convert_camvid,
         says=['raw']),
    Case('camvid-list', 'missing list of a converter', camvid({'lists/train.txt': None}),
         convert_camvid, says=['train.txt']),
    Case('camvid-mask', 'missing mask of a converter', camvid({'colours/a0_L.png': None}),
         convert_camvid, says=['a0']),
    Case('camvid-damaged', 'damaged mask of a converter', camvid({'colours/a0_L.png': b'nothing'}),
         convert_camvid, says=['a0']),
    Case('camvid-colours', 'unknown colours', camvid(), convert_camvid,
         says=['color'], value=works),
    Case('sunrgbd-missing', 'missing folder of a converter', lambda lab: None,
         lambda lab: lab.convert('sunrgbd', '--kind', 'sunrgbd', '--source', lab.root / 'nowhere',
                                 '--out', lab.root / 'out'), says=['nowhere']),
    Case('sbd-missing', 'missing folder of a converter', lambda lab: None,
         lambda lab: lab.convert('sbd', '--sbd', lab.root / 'nowhere', '--voc', lab.root,
                                 '--out', lab.root / 'out'),
         says=[('nowhere', 'exist', 'not found')]),
]  # fmt: skip


@pytest.fixture
def lab(lab):
    lab.mounted = []
    yield lab
    for folder in reversed(lab.mounted):
        subprocess.run(['umount', folder], check=True)


@parametrize('work dirs and tools', CASES)
def test_work_dir(lab, case):
    lab.check(case)
