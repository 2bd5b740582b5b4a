"""Configs: what does not fit together is said before training, not found after it."""

import PIL.Image
from bad_inputs import (
    CLASSES,
    SECOND_DOMAIN,
    Case,
    Lab,
    parametrize,
    trains_as_usual,
    works,
)

PALETTE = '[[0, 0, 200], [90, 90, 90], [0, 200, 0]]'


def add(text):
    return lambda lab: lab.append(f'\n{text}\n')


def change(old, new):
    return lambda lab: lab.change(old, new)


def options(*values):
    return lambda lab: lab.set(*values)


def two(text=''):
    """Two domains."""
    return lambda lab: lab.append(SECOND_DOMAIN + text + '\n')


def named(name):
    """The domain has another name."""

    def make(lab):
        lab.change('domains=dict(scene=dict(classes', f'domains={{{name!r}: dict(classes')
        lab.change("foreground=('tree',))),", "foreground=('tree',))},")
        lab.change(
            'domains=dict(scene=dict(labeled=train_labeled, unlabeled=train_unlabeled))',
            f'domains={{{name!r}: dict(labeled=train_labeled, unlabeled=train_unlabeled)}}',
        )
        lab.change(
            'domains=dict(scene=dict(labeled=evaluated))',
            f'domains={{{name!r}: dict(labeled=evaluated)}}',
        )

    return make


def repeated_domain(lab):
    lab.append("""
sources = dict(labeled=train_labeled, unlabeled=train_unlabeled)
train_dataloader['dataset']['domains'] = {
    'scene': sources,
    'scene': dict(labeled=train_labeled),
}
""")


def other_sizes(lab):
    """Validation images of different sizes, several in a batch."""
    for path in (lab.image('v1'), lab.mask('v1')):
        picture = PIL.Image.open(path)
        picture.crop((0, 0, 56, 40)).save(path)


def wrapped(kind, keys=''):
    text = (
        f"train_dataloader['dataset']['domains']['scene']['labeled'] = dict(type={kind!r}, {keys})"
    )
    return lambda lab: lab.append(f'\n{text}\n')


def without(name):
    return lambda lab: lab.append(f'\ndel {name}\n')


def concatenated(lab):
    """The four images in two lists."""
    lines = (lab.data / 'train.txt').read_text().splitlines(keepends=True)
    (lab.data / 'first.txt').write_text(''.join(lines[:2]))
    (lab.data / 'second.txt').write_text(''.join(lines[2:]))
    wrapped('ConcatDataset', (
        "datasets=[dict(train_labeled, ann_file='first.txt'), "
        "dict(train_labeled, ann_file='second.txt')]"))(lab)  # fmt: skip


def crop(keys):
    return (
        "train_unlabeled['pipeline'].insert(1, dict(type='RandomCrop', crop_size=(32, 32), "
        f'{keys}))'
    )


def tested(lab: Lab):
    lab.trained()


FIX = ('rename', 'expected', 'choose', 'another name')
UNKNOWN = ('registry', 'unknown', 'no such', 'not in')

CASES = [
    Case('missing', 'missing config', lambda lab: lab.config.unlink(),
         says=['config.py', ('exist', 'found', 'no such')], quick=True),
    Case('empty', 'empty config', lambda lab: lab.config.write_text(''), says=['model']),
    Case('syntax', 'syntax error', add('model = dict(type='), says=['config.py'], quick=True),
    Case('unknown-name', 'undefined name', add('x = not_there'), says=['not_there']),
    Case('missing-base', 'missing _base_', lambda lab: lab.change(
            'default_runtime.py', 'default_runtimes.py'), says=['default_runtimes.py']),
    Case('unknown-key', 'unknown key of a module', add("model['unsupervised_wieght'] = 1.0"),
         says=['unsupervised_wieght'], quick=True),
    Case('unknown-key-of-dataset', 'unknown key of a dataset', add("train_labeled['lables'] = 1"),
         says=['lables']),
    Case('unknown-type', 'unknown type', add("model['type'] = 'CTT'"), says=['CTT', UNKNOWN],
         quick=True),
    Case('unknown-transform', 'unknown type',
         add("evaluated['pipeline'][0]['type'] = 'LoadImage'"), says=['LoadImage', UNKNOWN]),
    Case('unknown-hook', 'unknown type', add("custom_hooks = [dict(type='NoSuchHook')]"),
         says=['NoSuchHook', UNKNOWN]),
    Case('option-typo', 'option that names no entry',
         options('optim_wrapper.optimizer.learning_rate=1'), says=['learning_rate'], quick=True),
    Case('option-typo-top', 'option that names no entry', options('train_cgf.max_iters=1'),
         says=['train_cgf']),
    Case('option-typo-dataloader', 'option that names no entry',
         options('train_dataloader.batchsize=3'), says=['batchsize']),
    Case('option-index', 'option beyond a list',
         options('train_labeled.pipeline.9.prob=0'), says=['9']),
    Case('option-right', 'option', options('randomness.seed=0'), value=trains_as_usual),
    Case('repeated-domain', 'key given twice', repeated_domain, says=['scene', 'line'],
         quick=True),
    # Domains and classes.
    Case('class-count', 'other classes in model and data',
         add("model['domains']['scene']['classes'] = ('sky', 'ground')\n"
             "model['domains']['scene']['foreground'] = ('ground',)"),
         says=['scene', '3', '2', 'classes'], quick=True),
    Case('class-order', 'other order of classes in model and data',
         add("model['domains']['scene']['classes'] = ('ground', 'sky', 'tree')"),
         says=['scene', 'ground', 'classes']),
    Case('class-twice', 'class given twice', lambda lab: lab.change(
            f'classes = {CLASSES!r}', "classes = ('sky', 'tree', 'tree')"),
         says=['tree', ('twice', 'duplicate', 'repeated', 'again')]),
    Case('class-count-palette', 'palette of another length',
         change(PALETTE, '[[0, 0, 200], [90, 90, 90]]'), says=['palette'], value=works),
    Case('no-classes', 'no classes', add("del train_labeled['metainfo']"),
         says=['scene', 'classes', 'metainfo']),
    Case('foreground', 'unknown foreground class',
         add("model['domains']['scene']['foreground'] = ('trees',)"), says=['trees', 'scene'],
         quick=True),
    Case('num-classes-of-head', 'classes counted again in the head',
         add("model['decode_head']['num_classes'] = 21"), says=['num_classes'], value=works),
    Case('no-domains', 'no domain', add("model['domains'] = dict()"), says=['domain']),
    Case('dot-in-domain', 'name that torch refuses', named('a.b'), says=['a.b', FIX], value=works,
         quick=True),
    Case('keys-as-domain', 'name that torch refuses', named('keys'), says=['keys', FIX],
         value=works),
    Case('type-as-domain', 'name that torch refuses', named('type'), says=['type', FIX],
         value=works),
    Case('empty-domain-name', 'name that torch refuses', named(''), says=['domain'], value=works),
    Case('slash-in-domain', 'name that is no name of a file', named('a/b'), says=['a/b'],
         value=works),
    Case('data-of-unknown-domain', 'other domains in model and data',
         add("train_dataloader['dataset']['domains']['town'] = dict(labeled=train_labeled)"),
         says=['town']),
    Case('domain-without-data', 'domain that nothing trains',
         add("model['domains']['town'] = dict(classes=('a', 'b'), foreground=('b',))"),
         says=['town', 'train'], quick=True),
    Case('validation-of-unknown-domain', 'other domains in model and data',
         add("val_dataloader['dataset']['domains'] = dict(town=dict(labeled=evaluated))"),
         says=['town', 'model.domains']),
    Case('no-multi-domain-dataset', 'dataset that knows no domains',
         add("train_dataloader['dataset'] = train_labeled"), says=['MultiDomainDataset']),
    Case('unknown-supervision', 'unknown kind of source',
         add("train_dataloader['dataset']['domains']['scene']['labelled'] = train_labeled"),
         says=['labelled', 'scene']),
    # Sampler and batches.
    Case('batch-size', 'batch size that is not the sum', add("train_dataloader['batch_size'] = 4"),
         says=['batch_size', '4', '3'], quick=True),
    Case('order', 'unknown domain in the order',
         add("train_dataloader['sampler']['order'] = ['scene', 'town']"), says=['town', 'order']),
    Case('negative-count', 'negative count',
         add("train_dataloader['sampler']['labeled_per_batch'] = -2"),
         says=['labeled_per_batch', '-2']),
    Case('no-labeled', 'no labeled images',
         add("train_dataloader['sampler'].update(labeled_per_batch=0, unlabeled_per_batch=3)"),
         says=['labeled_per_batch', 'scene']),
    Case('fraction', 'count that is no whole number',
         add("train_dataloader['sampler']['labeled_per_batch'] = 2.0"),
         says=['labeled_per_batch', '2.0']),
    Case('no-unlabeled-source', 'count of a source that is not there',
         add("del train_dataloader['dataset']['domains']['scene']['unlabeled']"),
         says=['unlabeled', 'scene'], quick=True),
    Case('other-sampler', 'sampler without draws',
         add("train_dataloader['sampler'] = dict(type='InfiniteSampler')"),
         says=['InfiniteSampler', 'AlternatingDomainSampler']),
    Case('one-value', 'batch norm of one value',
         add("model['neck'] = dict(type='HeadAsNeck', head=dict(type='PSPHead', in_channels=8, "
             "channels=8, in_index=1, norm_cfg=dict(type='BN')))\n"
             "model['decode_head']['in_index'] = 2"),
         says=['unlabeled_per_batch', '1, 8, 1, 1'], early=False),
    Case('batch-of-more', 'batch larger than the data',
         add("train_dataloader.update(batch_size=9)\n"
             "train_dataloader['sampler']['labeled_per_batch'] = 8"), value=works),
    # Pipelines.
    Case('unlabeled-annotations', 'labels of unlabeled images',
         add("train_unlabeled['pipeline'].insert(1, dict(type='LoadCheckedAnnotations'))"),
         says=['unlabeled', 'LoadCheckedAnnotations'], quick=True),
    Case('labeled-without-annotations', 'labeled images without masks',
         add("del train_labeled['pipeline'][1]"), says=['labeled', 'scene']),
    Case('unlabeled-crop-ratio', 'cat_max_ratio without masks', add(crop('cat_max_ratio=0.75')),
         says=['cat_max_ratio', 'unlabeled'], value=works, quick=True),
    Case('unlabeled-pad', 'filling in unlabeled images',
         add("train_unlabeled['pipeline'].insert(1, dict(type='Pad', size=(64, 96)))"),
         says=['unlabeled', '96x64', '48x64']),
    Case('unlabeled-rotate', 'filling in unlabeled images',
         add("train_unlabeled['pipeline'].insert(1, dict(type='RandomRotate', prob=1.0, "
             "degree=40))"), says=['unlabeled', 'RandomRotate'], value=works),
    Case('crop-larger', 'crop larger than the image',
         add("train_labeled['pipeline'].insert(2, dict(type='RandomCrop', crop_size=(96, 96)))"),
         value=works),
    Case('no-packing', 'pipeline without its end', add("del train_labeled['pipeline'][-1]"),
         says=['PackSegInputs']),
    Case('no-loading', 'pipeline without its start', add("del train_labeled['pipeline'][0]"),
         says=['LoadCheckedImage']),
    # Validation.
    Case('iou-of-two-domains', 'IoUMetric on two domains',
         two("val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])"),
         says=['IoUMetric', 'DomainIoUMetric'], quick=True),
    Case('iou-of-one-domain', 'IoUMetric on one domain',
         add("val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])"),
         value=works),
    Case('two-domains', 'two domains', two(), value=works),
    Case('two-domains-in-a-batch', 'several domains in a batch',
         two("val_dataloader['batch_size'] = 2"), says=['batch_size', '1']),
    Case('sizes-in-a-batch', 'several sizes in a batch', other_sizes,
         says=['batch_size', ('size', 'sizes')], value=works, quick=True),
    Case('val-without-data', 'validation without data', add('val_dataloader = None'),
         says=['val_dataloader']),
    Case('no-validation', 'no validation',
         add('val_dataloader = val_cfg = val_evaluator = None'), value=works),
    Case('test-unknown-domain', 'unknown domain', tested, 'test', args=['--domain', 'town'],
         says=['--domain', 'town', 'scene']),
    # Optimization.
    Case('max-iters-0', 'no iteration', options('train_cfg.max_iters=0'), says=['max_iters'],
         quick=True),
    Case('max-iters-negative', 'no iteration', options('train_cfg.max_iters=-5'),
         says=['max_iters', '-5']),
    Case('max-iters-fraction', 'length that is no whole number',
         options('train_cfg.max_iters=2.5'), says=['max_iters', '2.5']),
    Case('lr-negative', 'negative learning rate', options('optim_wrapper.optimizer.lr=-0.1'),
         says=[('lr', 'learning rate'), '-0.1']),
    Case('lr-word', 'learning rate that is no number', options('optim_wrapper.optimizer.lr=high'),
         says=['lr', 'high']),
    Case('lr-huge', 'divergence', options('optim_wrapper.optimizer.lr=1e38'),
         says=[('not finite', 'nan or inf')], early=False),
    Case('epochs', 'loop over epochs',
         add("train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)"),
         says=['EpochBasedTrainLoop', 'IterBasedTrainLoop'], quick=True),
    Case('optimizer', 'unknown optimizer', options('optim_wrapper.optimizer.type=Adan'),
         says=['Adan']),
    Case('schedule-end', 'schedule of another length', options('param_scheduler.0.end=1'),
         warns=[('param_scheduler', 'schedule'), 'end', '1', '2']),
    # Model.
    Case('z-index', 'map that the head does not read',
         add("model['domains']['scene']['z_index'] = 5"), says=['z_index', '5']),
    Case('in-channels', 'wrong in_channels', add("model['auxiliary']['in_channels'] = 512"),
         says=['512', '8', 'in_channels'], quick=True),
    Case('in-index', 'map that the backbone does not have',
         add("model['decode_head']['in_index'] = 3"), says=['in_index', '3']),
    Case('head-in-channels', 'wrong in_channels', add("model['decode_head']['in_channels'] = 64"),
         says=['64', '8']),
    Case('perturbation', 'unknown perturbation',
         add("model['auxiliary']['perturbations'] = [dict(type='F-Nois')]"), says=['F-Nois'],
         quick=True),
    Case('perturbation-value', 'value out of range', add(
            "model['auxiliary']['perturbations'] = [dict(type='DropOut', p=1.5)]"),
         says=['1.5', 'DropOut']),
    Case('stride', 'stride of another encoder', add("model['auxiliary']['stride'] = 4"),
         says=['stride', '4', '8']),
    Case('ramp-length', 'ramp beyond training',
         options('model.unsupervised_weight.length=4000'), says=['length', '4000', '[0, 1]']),
    Case('ramp-shape', 'unknown ramp', options('model.unsupervised_weight.shape=sigmoid'),
         says=['sigmoid', 'exp']),
    Case('norm', 'unknown norm', options('model.norm=batch'), says=["norm", 'batch', 'frozen'],
         quick=True),
    Case('pretrained-missing', 'missing pretrained weights', add(
            "model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='no/r18.pth')"),
         says=['no/r18.pth']),
    Case('amp-float16', 'float16 on a CPU', lambda lab: None, args=['--amp', 'float16'],
         says=['float16', 'bfloat16'], quick=True),
    Case('device', 'argument of the tool', lambda lab: None, args=['--gpus', '2'],
         says=['--gpus']),
    # Wrappers of mmengine, as sources.
    Case('concat', 'ConcatDataset as a source', concatenated, value=trains_as_usual, quick=True),
    Case('repeat', 'RepeatDataset as a source',
         wrapped('RepeatDataset', 'times=2, dataset=train_labeled'), value=works),
    Case('balanced', 'ClassBalancedDataset as a source',
         wrapped('ClassBalancedDataset', 'oversample_thr=0.1, dataset=train_labeled'),
         says=['ClassBalancedDataset'], value=works),
    Case('concat-other-classes', 'sources of other classes', wrapped('ConcatDataset', (
            "datasets=[train_labeled, dict(train_labeled, metainfo=dict(classes=('a', 'b', 'c'), "
            'palette=palette))]')), says=['classes', 'scene']),
    Case('unlabeled-other-classes', 'sources of other classes', add(
            "train_unlabeled['metainfo'] = dict(classes=('a', 'b', 'c'), palette=palette)"),
         says=['classes', 'scene', 'unlabeled']),
]  # fmt: skip


@parametrize('configs', CASES)
def test_config(lab, case):
    lab.check(case)
