"""Lists of images: what editors, other systems and other tools make of them."""

import unicodedata

import pytest
from bad_inputs import Case, parametrize, trains_as_usual, works

SAME_ONE = 'one image in training and validation'


def edit(function, name='train.txt', encoding='utf-8'):
    """Write a list anew, from its text."""

    def make(lab):
        path = lab.data / name
        path.write_bytes(function(path.read_text()).encode(encoding))

    return make


def line(old, new, name='train.txt'):
    return lambda lab: lab.change(old, new, f'data/{name}')


def renamed(new, encoding='utf-8', listed=None):
    """Give image and mask a1 other names, and write them into the list, perhaps otherwise."""

    def make(lab):
        for path in (lab.image(), lab.mask()):
            path.rename(path.with_name(new + path.suffix))
        path = lab.data / 'train.txt'
        entry = f'images/{listed or new}.png\tmasks/{listed or new}.png'
        text = path.read_text().replace('images/a1.png masks/a1.png', entry)
        path.write_bytes(text.encode(encoding))

    return make


def absolute(lab):
    edit(lambda text: text.replace('images/', f'{lab.data}/images/').replace(
        'masks/', f'{lab.data}/masks/'))(lab)  # fmt: skip


def other_data_root(lab):
    lab.change(f'data_root = {str(lab.data)!r}', "data_root = '/nowhere/CamVid'")


def in_both(lab):
    lab.append('images/a1.png masks/a1.png\n', 'data/val.txt')


def copy_in_both(lab):
    for folder in ('images', 'masks'):
        copy = lab.data / folder / 'v9.png'
        copy.write_bytes((lab.data / folder / 'a1.png').read_bytes())
    lab.append('images/v9.png masks/v9.png\n', 'data/val.txt')


def without_suffixes(lab):
    edit(lambda text: text.replace('.png', '').replace('images/', '').replace('masks/', ''))(lab)


def ids(lab):
    """As mmseg's datasets have it: one id a line, folders and suffixes in the config."""
    edit(lambda text: ''.join(f'{line.split()[0][7:-4]}\n' for line in text.splitlines()))(lab)
    lab.change("ann_file='train.txt',", (
        "ann_file='train.txt', img_suffix='.png', seg_map_suffix='.png', "
        "data_prefix=dict(img_path='images', seg_map_path='masks'),"))  # fmt: skip


def list_of(content):
    return lambda lab: (lab.data / 'train.txt').write_bytes(content)


def as_folder(lab):
    (lab.data / 'train.txt').unlink()
    (lab.data / 'train.txt').mkdir()


def unlabeled_folder(lab, folder):
    lab.change("ann_file='unlabeled.txt',", f'data_prefix=dict(img_path={folder!r}),')


def empty_folder(lab):
    (lab.data / 'video').mkdir()
    unlabeled_folder(lab, 'video')


def hidden_files(lab):
    (lab.data / 'video/.ipynb_checkpoints').mkdir(parents=True)
    for name in ('u0', 'u1'):
        lab.image(name).rename(lab.data / f'video/{name}.png')
    (lab.data / 'video/._u0.png').write_bytes(b'\0\5\x16\7 thumbnail')
    (lab.data / 'video/.ipynb_checkpoints/u1-checkpoint.png').write_bytes(b'not an image')
    unlabeled_folder(lab, 'video')


def masks_beside(lab):
    (lab.data / 'beside').mkdir()
    for name in ('u0', 'u1'):
        lab.image(name).rename(lab.data / f'beside/{name}_sat.png')
        lab.mask(name).rename(lab.data / f'beside/{name}_mask.png')
    unlabeled_folder(lab, 'beside')


def suffixes(lab):
    """Images and masks in one folder, told apart by the end of their names, as in mmseg."""
    (lab.data / 'beside').mkdir()
    for name in ('a0', 'a1', 'a2', 'a3'):
        lab.image(name).rename(lab.data / f'beside/{name}_sat.png')
        lab.mask(name).rename(lab.data / f'beside/{name}_mask.png')
    lab.change("ann_file='train.txt',", (
        "img_suffix='_sat.png', seg_map_suffix='_mask.png', "
        "data_prefix=dict(img_path='beside', seg_map_path='beside'),"))  # fmt: skip


def latin_1(lab):
    renamed('fähre', encoding='latin-1')(lab)


def nfd(lab):
    """The file has the composed form of the name, the list the decomposed one, as from a Mac."""
    name = unicodedata.normalize('NFC', 'fähre')
    renamed(name, listed=unicodedata.normalize('NFD', name))(lab)


def nfd_files(lab):
    name = unicodedata.normalize('NFD', 'fähre')
    renamed(name, listed=unicodedata.normalize('NFC', name))(lab)


def no_permission(lab):
    if (lab.data / 'train.txt').stat().st_uid == 0:
        pytest.skip('root reads every file')
    (lab.data / 'train.txt').chmod(0)


def existing_splits(lab):
    run = lab.make_splits()
    assert run.code == 0, run.output
    edit(lambda text: '\n'.join(text.splitlines()[:3]) + '\n')(lab)


MISSING = ('not found', 'missing', 'exist')

CASES = [
    Case('missing', 'missing list', lambda lab: (lab.data / 'train.txt').unlink(),
         says=['train.txt', MISSING], quick=True),
    Case('missing-val', 'missing list', lambda lab: (lab.data / 'val.txt').unlink(),
         says=['val.txt', MISSING]),
    Case('missing-check', 'missing list', lambda lab: (lab.data / 'train.txt').unlink(),
         'check_data', says=['train.txt', MISSING]),
    Case('missing-splits', 'missing list', lambda lab: (lab.data / 'train.txt').unlink(),
         'make_splits', says=['train.txt', MISSING]),
    Case('data-root', 'missing data_root', other_data_root, says=['/nowhere/CamVid', MISSING]),
    Case('empty', 'empty list', list_of(b''), says=['train.txt', 'empty'], quick=True),
    Case('comments-only', 'empty list', list_of(b'# nothing\n\n'), says=['train.txt', 'empty']),
    Case('empty-splits', 'empty list', list_of(b''), 'make_splits', says=['train.txt', 'empty']),
    Case('duplicate', 'image listed twice', edit(lambda text: text + text.splitlines()[1]),
         says=['train.txt', 'a1.png', ('line 2', 'twice', 'already')], quick=True),
    Case('duplicate-other-form', 'image listed twice',
         edit(lambda text: text + 'images/../images/a1.png masks/a1.png\n'),
         says=['a1.png', ('twice', 'already')], value=works),
    Case('duplicate-splits', 'image listed twice', edit(lambda text: text + text.splitlines()[1]),
         'make_splits', says=['a1.png', ('twice', 'already')]),
    Case('commas', 'malformed line', line('images/a1.png masks', 'images/a1.png,masks'),
         says=['train.txt', 'line 2', 'images/a1.png,masks/a1.png'], quick=True),
    Case('three-fields', 'malformed line', line('masks/a1.png', 'masks/a1.png 17'),
         says=['train.txt', 'line 2']),
    Case('quotes', 'malformed line',
         line('images/a1.png masks/a1.png', '"images/a1.png" "masks/a1.png"'),
         says=['train.txt', 'line 2']),
    Case('commas-splits', 'malformed line', line('images/a1.png masks', 'images/a1.png,masks'),
         'make_splits', says=['train.txt', 'line 2']),
    Case('utf-16', 'UTF-16', edit(lambda text: text, encoding='utf-16'), value=trains_as_usual,
         says=['train.txt', ('utf-8', 'encod')]),
    Case('latin-1', 'Latin-1', latin_1, says=['train.txt', ('utf-8', 'encod', 'latin')],
         value=trains_as_usual, quick=True),
    Case('latin-1-splits', 'Latin-1', latin_1, 'make_splits', value=works,
         says=['train.txt', ('utf-8', 'encod', 'latin')]),
    Case('utf-8-name', 'name beyond ASCII', renamed('fähre'), value=trains_as_usual),
    Case('crlf', 'line ends of Windows', edit(lambda text: text.replace('\n', '\r\n')),
         value=trains_as_usual, quick=True),
    Case('cr', 'line ends of old Macs', edit(lambda text: text.replace('\n', '\r')),
         value=trains_as_usual),
    Case('bom', 'byte order mark', edit(lambda text: text, encoding='utf-8-sig'),
         value=trains_as_usual),
    Case('blanks', 'blanks in names', renamed('a 1 (copy)'), value=trains_as_usual),
    Case('blanks-without-tab', 'malformed line',
         lambda lab: (renamed('a 1')(lab), line('\t', ' ')(lab)),
         says=['train.txt', 'line 2', 'tab']),
    Case('trailing-blanks', 'blanks at ends of lines',
         edit(lambda text: text.replace('\n', '  \n')), value=trains_as_usual),
    Case('no-last-newline', 'no last line end', edit(str.rstrip), value=trains_as_usual),
    Case('comments', 'comments and empty lines',
         edit(lambda text: '# my images\n\n' + text.replace('\n', '\n\n')), value=trains_as_usual,
         quick=True),
    Case('decomposed', 'other Unicode form', nfd, value=trains_as_usual, says=['fa', MISSING],
         quick=True),
    Case('composed', 'other Unicode form', nfd_files, value=trains_as_usual, says=['f', MISSING]),
    Case('absolute', 'absolute paths', absolute, value=trains_as_usual),
    Case('absolute-elsewhere', 'absolute paths of another machine',
         edit(lambda text: text.replace('images/', '/home/me/images/')),
         says=['/home/me/images/a0.png', 'absolute']),
    Case('label-missing', 'line without a label', line(' masks/a1.png', ''),
         says=['train.txt', 'line 2', ('label', 'mask')], quick=True),
    Case('label-missing-splits', 'line without a label', line(' masks/a1.png', ''), 'make_splits',
         says=['train.txt', 'line 2', ('label', 'mask')]),
    Case('in-both', SAME_ONE, in_both, warns=['a1.png', 'validation'], quick=True),
    Case('in-both-check', SAME_ONE, in_both, 'check_data', says=['a1.png']),
    Case('copy-in-both', 'copy of an image in training and validation', copy_in_both, 'check_data',
         warns=['v9.png', 'a1.png']),
    Case('in-labeled-and-unlabeled', 'labeled image in the unlabeled list, too',
         lambda lab: lab.append('images/a1.png\n', 'data/unlabeled.txt'), value=works),
    Case('without-suffixes', 'names without suffix', without_suffixes,
         says=['train.txt', 'line 1', ('.png', 'suffix')], value=trains_as_usual),
    Case('ids', 'ids as in mmseg', ids, says=['train.txt', 'line 1', ('.png', 'suffix')],
         value=trains_as_usual),
    Case('backslashes', 'backslashes', edit(lambda text: text.replace('/', '\\')),
         says=['a0.png', ('backslash', MISSING[0], '\\')], value=trains_as_usual),
    Case('upper-case', 'another case of letters', line('images/a1', 'images/A1'),
         says=['A1.png', MISSING], value=trains_as_usual),
    Case('folder', 'folder in place of a list', as_folder, says=['train.txt']),
    Case('binary', 'image in place of a list',
         lambda lab: (lab.data / 'train.txt').write_bytes(lab.image().read_bytes()),
         says=['train.txt'], quick=True),
    Case('nul', 'malformed line', list_of(bytes(400)), says=['train.txt']),
    Case('no-permission', 'unreadable list', no_permission, says=['train.txt', 'permission']),
    Case('images-of-masks', 'masks listed as images', edit(lambda text: text.replace(
            'images/', 'masks/')), says=['a0.png'], value=works),
    # Folders in place of lists.
    Case('missing-folder', 'missing folder', lambda lab: unlabeled_folder(lab, 'video'),
         says=['video', MISSING]),
    Case('empty-folder', 'folder without images', empty_folder,
         says=['video', ('no image', 'empty')], quick=True),
    Case('hidden-files', 'hidden files beside images', hidden_files, value=trains_as_usual),
    Case('masks-beside', 'masks beside unlabeled images', masks_beside,
         says=['mask', ('beside', 'suffix')], value=trains_as_usual, quick=True),
    Case('suffixes', 'suffixes as in mmseg', suffixes, value=trains_as_usual),
    # Sizes of splits.
    Case('size-too-large', 'split larger than the list', lambda lab: None, 'make_splits',
         args=['--sizes', '5'], says=['size 5', '4'], quick=True),
    Case('size-0', 'empty split', lambda lab: None, 'make_splits', args=['--sizes', '0'],
         says=['size 0']),
    Case('size-negative', 'empty split', lambda lab: None, 'make_splits', args=['--sizes=-3'],
         says=['-3']),
    Case('size-twice', 'size given twice', lambda lab: None, 'make_splits',
         args=['--sizes', '2', '2'], says=['size 2', 'twice']),
    Case('size-word', 'size that is no number', lambda lab: None, 'make_splits',
         args=['--sizes', 'ten'], says=['--sizes', 'ten']),
    Case('other-splits-there', 'splits that would change', existing_splits, 'make_splits',
         says=['n2.txt', '--force'], quick=True),
    Case('too-few-classes', 'classes beyond --num-classes', lambda lab: None, 'make_splits',
         args=['--num-classes', '2'], says=['label 2', '--num-classes']),
]  # fmt: skip


@parametrize('lists', CASES)
def test_list(lab, case):
    lab.check(case)
