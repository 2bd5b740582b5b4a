"""Files of image-level labels, and the pseudo-labels that are made from them."""

import json
import shutil

import numpy as np
from bad_inputs import CLASSIFIER, Case, parametrize, works
from damaged_files import HTML, LFS_POINTER, Payload, cut

GOOD = {'u0': ['leaf'], 'u1': ['leaf', 'stem']}


def labels(content, name='labels.json'):
    """Train a classifier with another file of labels."""

    def make(lab):
        lab.append(CLASSIFIER.replace('labels.json', name))
        if content is not None:
            data = content(lab) if callable(content) else content
            if isinstance(data, dict):
                data = json.dumps(data).encode()
            (lab.data / name).write_bytes(data)

    return make


def array(values, name='labels.npy'):
    def make(lab):
        lab.append(CLASSIFIER.replace('labels.json', name))
        np.save(lab.data / name, values(lab) if callable(values) else values, allow_pickle=True)

    return make


def runs_code(lab):
    array(lambda lab: {'u0': np.array([1, 0]), 'u1': Payload(f'touch {lab.root}/ran')})(lab)


def code_did_not_run(lab, run):
    assert not (lab.root / 'ran').exists(), 'the pickle ran its code'


def refuses_code(lab):
    """The tool, with a look at what the pickle would have done."""
    run = lab.train()
    code_did_not_run(lab, run)
    return run


def truncated_npy(lab):
    array({'u0': np.array([1, 0]), 'u1': np.array([1, 1])})(lab)
    cut(lab.data / 'labels.npy')


def other_classes(lab):
    labels(GOOD)(lab)
    lab.change('classes=plants, path', "classes=('leaf', 'stem'), path")


def both(lab):
    """Pseudo-labels of one classifier, then another checkpoint into the same folder."""
    lab.trained_classifier()
    run = lab.pseudo_labels('--scales', '1')
    assert run.code == 0, run.output


def another_checkpoint(lab):
    both(lab)
    shutil.copy(lab.shared.classifier / 'iter_1.pth', lab.checkpoint)


def stray_files(lab):
    """A folder for pseudo-labels that holds somebody's files."""
    lab.trained_classifier()
    (lab.root / 'pseudo').mkdir()
    shutil.copytree(lab.data / 'masks', lab.root / 'pseudo/images')


def a_file_there(lab):
    lab.trained_classifier()
    (lab.root / 'pseudo').write_text('notes')


def weak_source_without(lab):
    """Train on pseudo-labels that have not been made for every image."""
    (lab.root / 'pseudo').mkdir()
    shutil.copy(lab.mask('u0'), lab.root / 'pseudo/u0.png')
    lab.append(f"""
weak = dict(
    type='ListDataset', data_root=data_root, labeled=True,
    data_prefix=dict(img_path='images', seg_map_path={str(lab.root / 'pseudo')!r}),
    metainfo=dict(classes=classes, palette=palette), pipeline=train_labeled['pipeline'],
)
train_dataloader['dataset']['domains']['scene']['weak'] = weak
train_dataloader['sampler']['weak_per_batch'] = 1
train_dataloader['batch_size'] = 4
""")


def mixed_up(lab):
    """A segmentor's checkpoint where a classifier's is expected."""
    lab.trained_classifier()
    lab.trained()
    shutil.copy(lab.shared.trained / 'iter_2.pth', lab.checkpoint)


CASES = [
    Case('unknown-class', 'unknown class', labels({**GOOD, 'u0': ['leef']}),
         says=['labels.json', 'u0', 'leef'], quick=True),
    Case('unknown-class-csv', 'unknown class', labels(b'u0.png,leaf\nu1.png,root\n', 'x.csv'),
         says=['x.csv', 'u1', 'root']),
    Case('index-out-of-range', 'unknown class', labels({**GOOD, 'u0': [7]}),
         says=['labels.json', 'u0', '7']),
    Case('missing-image', 'image without labels', labels({'u0': ['leaf']}),
         says=['labels.json', 'u1'], quick=True),
    Case('missing-file', 'missing file', lambda lab: (
            labels(None)(lab), (lab.data / 'labels.json').unlink()),
         says=['labels.json', ('exist', 'found')]),
    Case('empty-csv', 'file without labels', labels(b'', 'x.csv'), says=['x.csv', 'empty']),
    Case('header-only', 'file without labels', labels(b'image,label\n', 'x.csv'),
         says=['x.csv', 'empty']),
    Case('csv-fields', 'malformed CSV', labels(b'u0.png,leaf\nu1.png,leaf,stem\n', 'x.csv'),
         says=['x.csv', 'line 2', 'leaf'], quick=True),
    Case('csv-semicolons', 'malformed CSV', labels(b'u0.png;leaf\nu1.png;leaf\n', 'x.csv'),
         says=['x.csv', 'line 1']),
    Case('csv-latin-1', 'CSV in Latin-1', labels('fähre.png,leaf\n'.encode('latin-1'), 'x.csv'),
         says=['x.csv', ('utf-8', 'encod', 'latin', 'u0')]),
    Case('csv-utf-16', 'CSV in UTF-16',
         labels('u0.png,leaf\nu1.png,leaf;stem\n'.encode('utf-16'), 'x.csv'),
         says=['x.csv', ('utf-8', 'encod', 'utf-16')], value=works),
    Case('csv-bom', 'CSV of a spreadsheet',
         labels('image,label\r\nu0.png,leaf\r\nu1.png,leaf;stem\r\n'.encode('utf-8-sig'), 'x.csv'),
         value=works),
    Case('csv-twice', 'rows that add up',
         labels(b'u0.png,leaf\nu1.png,leaf\nu1.png,stem\n', 'x.csv'), value=works),
    Case('json-cut', 'malformed JSON', labels(b'{"u0": ["leaf"], "u1"'),
         says=['labels.json', 'json'], quick=True),
    Case('json-list', 'JSON of another form', labels(b'[["u0", "leaf"]]'),
         says=['labels.json', 'list']),
    Case('json-word', 'JSON of another form', labels({**GOOD, 'u0': 'leaf'}),
         says=['labels.json', 'u0', 'list']),
    Case('json-html', 'web page named .json', labels(HTML), says=['labels.json', 'json']),
    Case('npy-pickle', 'pickle that runs code', runs_code, refuses_code,
         says=['labels.npy', ('pickle', 'trust', 'code', 'os.system', 'posix.system')],
         quick=True),
    Case('npy-cut', 'truncated array', truncated_npy, says=['labels.npy']),
    Case('npy-lfs', 'pointer of Git LFS', labels(LFS_POINTER, 'labels.npy'), says=['labels.npy']),
    Case('npy-length', 'vector of another length',
         array({'u0': np.array([1, 0, 0]), 'u1': np.array([1, 1, 0])}),
         says=['labels.npy', 'u0', '3', 'leaf']),
    Case('npy-scores', 'scores in place of labels',
         array({'u0': np.array([0.7, 0.1]), 'u1': np.array([0.5, 0.9])}),
         says=['labels.npy', 'u0', '0.7']),
    Case('npy-array', 'array of another form', array(np.ones((2, 2))),
         says=['labels.npy', 'ndarray']),
    Case('npy-right', 'vectors', array({'u0': np.array([1, 0]), 'u1': np.array([1, 1])}),
         value=works),
    Case('txt', 'unknown format', labels(b'u0 leaf\n', 'x.txt'),
         says=['x.txt', '.csv', '.json']),
    Case('other-classes', 'classes of another data set', other_classes,
         says=['leaf', 'background']),
    # Pseudo-labels.
    Case('pseudo-other-settings', 'pseudo-labels of other settings', both, 'pseudo_labels',
         args=['--scales', '1', '--theta-fg', '0.4'], says=['other settings', '0.4'], quick=True),
    Case('pseudo-other-checkpoint', 'pseudo-labels of another checkpoint', another_checkpoint,
         'pseudo_labels', args=['--scales', '1'], says=['checkpoint']),
    Case('pseudo-again', 'pseudo-labels that are there', both, 'pseudo_labels',
         args=['--scales', '1'], value=works, quick=True),
    Case('pseudo-stray', "somebody's files in the folder", stray_files, 'pseudo_labels',
         args=['--scales', '1'], says=['pseudo']),
    Case('pseudo-file', 'file in place of the folder', a_file_there, 'pseudo_labels',
         says=['pseudo', ('directory', 'folder', 'file')]),
    Case('pseudo-threshold', 'thresholds in the wrong order',
         lambda lab: lab.trained_classifier(), 'pseudo_labels',
         args=['--theta-bg', '0.6', '--theta-fg', '0.3'], says=['0.6', '0.3']),
    Case('pseudo-scale', 'scale 0', lambda lab: lab.trained_classifier(), 'pseudo_labels',
         args=['--scales', '0'], says=['scales', '0.0']),
    Case('pseudo-domain', 'unknown domain', lambda lab: lab.trained_classifier(), 'pseudo_labels',
         args=['--domain', 'leaves'], says=['--domain', 'leaves', 'plants']),
    Case('pseudo-no-image-labels', 'source without image-level labels', lambda lab: lab.trained(),
         'pseudo_labels', says=['image-level labels']),
    Case('pseudo-mixed-up', 'checkpoint of another network', mixed_up, 'pseudo_labels',
         says=['trained.pth']),
    Case('pseudo-missing-mask', 'image without pseudo-label', weak_source_without,
         says=['a0', ('label', 'mask', 'found')]),
]  # fmt: skip


@parametrize('image-level labels', CASES)
def test_image_labels(lab, case):
    lab.check(case)
