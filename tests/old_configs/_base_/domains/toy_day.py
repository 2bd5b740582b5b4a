# The day domain of ToyScenes at 96x128 with random flips: 12 labeled images, 200 unlabeled ones.
data_root = '{{$CCT_MM_DATA:data}}/ToyScenes/day'

toy_day = dict(
    classes=('sky', 'ground', 'tree', 'house', 'car'),
    foreground=('tree', 'house', 'car'),
)

flip = dict(type='RandomFlip', prob=0.5)
labeled = dict(
    type='ToyScenesDataset',
    domain='day',
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
    domain='day',
    data_root=data_root,
    labeled=False,
    pipeline=[dict(type='LoadCheckedImage'), flip, dict(type='PackSegInputs')],
)
evaluated = dict(
    type='ToyScenesDataset',
    domain='day',
    data_root=data_root,
    labeled=True,
    test_mode=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        dict(type='PackSegInputs'),
    ],
)

toy_day_n12 = dict(
    labeled=dict(**labeled, ann_file='n12.txt'),
    unlabeled=dict(**unlabeled, ann_file='n12_unlabeled.txt'),
)
toy_day_val = dict(labeled=dict(**evaluated, ann_file='val.txt'))
toy_day_test = dict(labeled=dict(**evaluated, ann_file='test.txt'))

# Only the domain leaves this file: a config with several domains has several such bases.
del data_root, flip, labeled, unlabeled, evaluated
