# The night domain of ToyScenes, as toy_day.py.
# Without this line mmengine takes a file that imports for one of its other kind of config.
_base_ = []
from cct_mm.datasets.toy_scenes import DOMAINS, FOREGROUND

data_root = '{{$CCT_MM_DATA:data}}/ToyScenes/night'

toy_night = dict(classes=DOMAINS['night']['classes'], foreground=FOREGROUND['night'])

flip = dict(type='RandomFlip', prob=0.5)
labeled = dict(
    type='ToyScenesDataset',
    domain='night',
    data_root=data_root,
    labeled=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        flip,
        dict(type='PackSegInputs'),
    ],
)
unlabeled = dict(
    type='ToyScenesDataset',
    domain='night',
    data_root=data_root,
    labeled=False,
    pipeline=[dict(type='LoadCheckedImage'), flip, dict(type='PackSegInputs')],
)
evaluated = dict(
    type='ToyScenesDataset',
    domain='night',
    data_root=data_root,
    labeled=True,
    test_mode=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        dict(type='PackSegInputs'),
    ],
)

toy_night_n12 = dict(
    labeled=dict(**labeled, ann_file='n12.txt'),
    unlabeled=dict(**unlabeled, ann_file='n12_unlabeled.txt'),
)
toy_night_val = dict(labeled=dict(**evaluated, ann_file='val.txt'))
toy_night_test = dict(labeled=dict(**evaluated, ann_file='test.txt'))

# Only the domain leaves this file: a config with several domains has several such bases.
del DOMAINS, FOREGROUND, data_root, flip, labeled, unlabeled, evaluated
