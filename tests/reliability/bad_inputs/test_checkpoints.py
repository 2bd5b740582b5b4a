"""Checkpoints: damaged, of something else, in a work dir that was copied, or of other settings."""

import shutil

import torch
from bad_inputs import Case, Lab, Run, logged, parametrize, same_weights, works
from damaged_files import HTML, LFS_POINTER, Payload, cut, flip_bit

DAMAGED = (
    'damaged', 'truncated', 'cut off', 'corrupt', 'whole', 'not a checkpoint', 'no checkpoint',
    'other bytes', 'cannot be read', 'overwritten',
)  # fmt: skip


def content(data):
    """The checkpoint has other bytes."""

    def make(lab):
        lab.checkpoint.write_bytes(data(lab) if callable(data) else data)

    return make


def edited(function):
    """The checkpoint of the finished training, with a change."""

    def make(lab):
        lab.trained()
        checkpoint = torch.load(lab.checkpoint, map_location='cpu', weights_only=False)
        torch.save(function(checkpoint), lab.checkpoint)

    return make


def truncated(lab):
    lab.trained()
    cut(lab.checkpoint)


def bit_flipped(lab):
    lab.trained()
    flip_bit(lab.checkpoint)


def whole_model(lab):
    torch.save(torch.nn.Linear(2, 2), lab.checkpoint)


def malicious(lab):
    torch.save({'state_dict': {}, 'run': Payload(f'touch {lab.root}/ran')}, lab.checkpoint)


def unharmed(tool):
    """The tool, with a look at what the checkpoint would have done."""

    def call(lab: Lab, *arguments: str) -> Run:
        run = getattr(lab, tool)(*arguments)
        assert not (lab.root / 'ran').exists(), 'the checkpoint ran its code'
        return run

    return call


def malicious_to_resume(lab):
    work = lab.stopped(1)
    torch.save({'state_dict': {}, 'run': Payload(f'touch {lab.root}/ran')}, work / 'iter_1.pth')


def malicious_to_load(lab):
    malicious(lab)
    lab.set(f'load_from={lab.checkpoint}')


def of_other_classes(lab):
    lab.trained()
    lab.change("classes = ('sky', 'ground', 'tree')", "classes = ('tree', 'ground', 'sky')")


def of_other_domain(lab):
    lab.trained()
    for old, new in (('domains=dict(scene=', 'domains=dict(street='),):
        lab.change(old, new)


def of_other_backbone(lab):
    lab.trained()
    lab.change('base_channels=4', 'base_channels=8')
    lab.change('in_channels=8, in_index', 'in_channels=16, in_index')
    lab.change('auxiliary=dict(in_channels=8', 'auxiliary=dict(in_channels=16')


def of_other_depth(lab):
    lab.trained()
    lab.change('depth=18', 'depth=34')


def bare(checkpoint):
    return checkpoint['state_dict']


def of_ddp(checkpoint):
    state = {f'module.{key}': value for key, value in checkpoint['state_dict'].items()}
    return dict(checkpoint, state_dict=state)


def of_nan(checkpoint):
    state = checkpoint['state_dict']
    key = next(key for key, value in state.items() if value.is_floating_point())
    return dict(checkpoint, state_dict={**state, key: torch.full_like(state[key], float('nan'))})


def evaluates_as_usual(lab, run):
    other = lab.another()
    other.trained()
    expected = other.test()
    assert expected.code == 0, expected.output
    found, wanted = ((one.root / 'metrics.json').read_text() for one in (lab, other))
    assert found == wanted


# Work dirs of trainings that were stopped.


def ends_as_usual(lab, run):
    """The run went on and ended like one that was never stopped."""
    same_weights(lab.work / 'iter_2.pth', lab.shared.trained / 'iter_2.pth')
    expected = logged(lab.shared.trained)
    for found, wanted in zip(logged(lab.work), expected, strict=True):
        assert found, 'nothing logged'
        assert all(wanted[i] == values for i, values in found.items())


def goes_on(lab, run):
    """Likewise, from its first iteration on, not anew."""
    ends_as_usual(lab, run)
    assert sorted(run.losses) == [2]


def starts_anew(lab, run):
    ends_as_usual(lab, run)
    assert sorted(run.losses) == [1, 2]


def nothing_to_do(lab, run):
    same_weights(lab.work / 'iter_2.pth', lab.shared.trained / 'iter_2.pth')
    assert not run.losses


def copied(lab):
    """A copy, whose pointer names a file of the original, which has trained on since."""
    original = lab.stopped(1, 2, folder='original')
    work = lab.stopped(1)
    (work / 'last_checkpoint').write_text(str(original / 'iter_2.pth'))


def renamed(lab):
    lab.stopped(1, folder='before').rename(lab.work)


def pointer_to(text):
    def make(lab):
        work = lab.stopped(1)
        (work / 'last_checkpoint').write_text(text.format(work=work))

    return make


def without_pointer(lab):
    (lab.stopped(1) / 'last_checkpoint').unlink()


def only_unfinished(lab):
    """What a kill leaves while the first checkpoint is written, by whatever name."""
    work = lab.stopped(1)
    for name in ('.iter_1.pth.unfinished', 'iter_1.pth.tmp'):
        shutil.copy(work / 'iter_1.pth', work / name)
        cut(work / name)
    (work / 'iter_1.pth').unlink()
    (work / 'last_checkpoint').unlink()


def damaged_newest(damage):
    def make(lab):
        work = lab.stopped(1, 2)
        damage(work / 'iter_2.pth')

    return make


def all_damaged(lab):
    work = lab.stopped(1, 2)
    for path in work.glob('*.pth'):
        cut(path)


def resumed(*options, change=()):
    def make(lab):
        lab.stopped(1)
        lab.set(*options)
        if change:
            lab.change(*change)

    return make


def finished_extended(lab):
    lab.stopped(1, 2)
    lab.set('train_cfg.max_iters=4', 'param_scheduler.0.end=4')


def falls_back(lab, run):
    """A warning names the damaged one, and the run goes on from the one before."""
    assert 'iter_2.pth' in run.before_training
    same_weights(lab.work / 'iter_2.pth', lab.shared.trained / 'iter_2.pth')


EXTENDING = ['load_from', '--extend', '2', '4']

CASES = [
    Case('missing', 'missing checkpoint', lambda lab: None, 'test', says=['trained.pth', 'exist'],
         quick=True),
    Case('missing-load-from', 'missing checkpoint', lambda lab: lab.set('load_from=no/such.pth'),
         says=['no/such.pth']),
    Case('missing-pseudo', 'missing checkpoint', lambda lab: None, 'pseudo_labels_of_segmentor',
         says=['trained.pth', 'exist']),
    Case('empty', 'empty file', content(b''), 'test', says=['trained.pth', ('empty', *DAMAGED)],
         quick=True),
    Case('truncated', 'truncated checkpoint', truncated, 'test', says=['trained.pth', DAMAGED],
         quick=True),
    Case('truncated-load-from', 'truncated checkpoint', lambda lab: (
            truncated(lab), lab.set(f'load_from={lab.checkpoint}')), says=['trained.pth', DAMAGED]),
    Case('truncated-pseudo', 'truncated checkpoint', truncated, 'pseudo_labels_of_segmentor',
         says=['trained.pth', DAMAGED]),
    Case('bit', 'flipped bit', bit_flipped, 'test', says=['trained.pth', DAMAGED], quick=True),
    Case('html', 'web page named .pth', content(HTML), 'test', says=['trained.pth']),
    Case('lfs', 'pointer of Git LFS', content(LFS_POINTER), 'test', says=['trained.pth']),
    Case('folder', 'folder in place of a checkpoint', lambda lab: lab.checkpoint.mkdir(), 'test',
         says=['trained.pth']),
    Case('config', 'config in place of a checkpoint',
         content(lambda lab: lab.config.read_bytes()), 'test', says=['trained.pth']),
    Case('malicious', 'checkpoint that runs code', malicious, unharmed('test'),
         says=['trained.pth', ('trust', 'weights_only', 'code')], quick=True),
    Case('malicious-load-from', 'checkpoint that runs code', malicious_to_load,
         unharmed('train'), says=['trained.pth', ('trust', 'weights_only', 'code')]),
    Case('malicious-resume', 'checkpoint that runs code', malicious_to_resume,
         unharmed('resume'), says=['iter_1.pth', ('trust', 'weights_only', 'code')]),
    Case('malicious-pseudo', 'checkpoint that runs code', malicious,
         unharmed('pseudo_labels_of_segmentor'),
         says=['trained.pth', ('trust', 'weights_only', 'code')]),
    Case('whole-model', 'pickled module', whole_model, 'test', says=['trained.pth']),
    Case('no-weights', 'no weights', lambda lab: torch.save({'epoch': 3}, lab.checkpoint), 'test',
         says=[('trained.pth', 'checkpoint')]),
    Case('other-classes', 'checkpoint of other classes', of_other_classes, 'test',
         says=['scene', 'tree', 'order'], quick=True),
    Case('other-domain', 'checkpoint of another domain', of_other_domain, 'test',
         says=['street']),
    Case('other-backbone', 'checkpoint of another encoder', of_other_backbone, 'test',
         says=['backbone'], quick=True),
    Case('other-depth', 'checkpoint of another encoder', of_other_depth, 'test',
         says=['backbone']),
    Case('nan', 'weights that are no numbers', edited(of_nan), 'test',
         says=['trained.pth'], warns=[('nan', 'not finite')]),
    Case('bare', 'bare state dict', edited(bare), 'test', value=evaluates_as_usual, quick=True),
    Case('ddp', 'names of DDP', edited(of_ddp), 'test', value=evaluates_as_usual),
    Case('old-format', 'format before PyTorch 1.6', lambda lab: (
            lab.trained(), torch.save(
                bare(torch.load(lab.checkpoint, weights_only=False)), lab.checkpoint,
                _use_new_zipfile_serialization=False)), 'test', value=evaluates_as_usual,
         says=['trained.pth']),
    # Resuming.
    Case('resume', 'stopped run', resumed(), 'resume', value=goes_on, quick=True),
    Case('resume-nothing', 'work dir without a checkpoint', lambda lab: None, 'resume',
         value=starts_anew, overwrites=True),
    Case('resume-finished', 'finished run', lambda lab: lab.stopped(1, 2), 'resume',
         value=nothing_to_do, quick=True),
    Case('resume-copied', 'copied work dir', copied, 'resume', value=goes_on, quick=True),
    Case('resume-renamed', 'renamed work dir', renamed, 'resume', value=goes_on),
    Case('resume-without-pointer', 'no last_checkpoint', without_pointer, 'resume', value=goes_on),
    Case('resume-stale', 'stale last_checkpoint', pointer_to('{work}/iter_7.pth'), 'resume',
         value=goes_on),
    Case('resume-empty-pointer', 'empty last_checkpoint', pointer_to(''), 'resume', value=goes_on),
    Case('resume-pointer-line', 'last_checkpoint with a line end',
         pointer_to('{work}/iter_1.pth\n'), 'resume', value=goes_on),
    Case('resume-unfinished', 'only unfinished files', only_unfinished, 'resume',
         value=starts_anew, overwrites=True),
    Case('resume-truncated', 'damaged newest checkpoint', damaged_newest(cut), 'resume',
         value=falls_back, overwrites=True, quick=True),
    Case('resume-bit', 'flipped bit', damaged_newest(flip_bit), 'resume',
         value=falls_back,
         overwrites=True),
    Case('resume-empty', 'damaged newest checkpoint',
         damaged_newest(lambda path: path.write_bytes(b'')), 'resume', value=falls_back,
         overwrites=True),
    Case('resume-all-damaged', 'no whole checkpoint', all_damaged, 'resume',
         says=['iter_2.pth', DAMAGED]),
    Case('resume-longer', 'another max_iters',
         resumed('train_cfg.max_iters=4', 'param_scheduler.0.end=4'), 'resume', says=EXTENDING,
         quick=True),
    Case('resume-finished-longer', 'finished run that is extended', finished_extended, 'resume',
         says=EXTENDING, quick=True),
    Case('resume-shorter', 'another max_iters', resumed('train_cfg.max_iters=1'), 'resume',
         says=['max_iters', '1', '2']),
    Case('extend-nothing', 'nothing to extend', lambda lab: None, 'train', args=['--extend'],
         says=['--extend', 'checkpoint']),
    Case('resume-lr', 'another learning rate', resumed('optim_wrapper.optimizer.lr=0.5'), 'resume',
         warns=['optim_wrapper.optimizer.lr', '0.5', '0.01'], quick=True),
    Case('resume-seed', 'another seed', resumed('randomness.seed=5'), 'resume',
         warns=['seed', '5', '0']),
    Case('resume-batch', 'another batch size', resumed(
            'train_dataloader.batch_size=4', 'train_dataloader.sampler.labeled_per_batch=3'),
         'resume', warns=['batch_size', '4', '3']),
    Case('resume-schedule', 'another schedule', resumed('param_scheduler.0.power=2.0'), 'resume',
         warns=['param_scheduler', '2.0', '0.9']),
    Case('resume-weight', 'another loss weight', resumed('model.unsupervised_weight.final=9.0'),
         'resume', warns=['unsupervised_weight', '9.0', '1.0']),
    Case('resume-optimizer', 'another optimizer', resumed(change=(
            "optimizer=dict(type='SGD', lr=0.01, momentum=0.9)",
            "optimizer=dict(type='AdamW', lr=0.01)")), 'resume', says=['AdamW', 'SGD']),
    Case('resume-classes', 'another label space', resumed(change=(
            "classes = ('sky', 'ground', 'tree')", "classes = ('tree', 'ground', 'sky')")),
         'resume', says=['scene', 'tree']),
    Case('resume-log-interval', 'change that does not matter',
         resumed('default_hooks.logger.interval=2'), 'resume', value=works),
    Case('load-from-work-dir', 'work dir in place of a checkpoint', lambda lab: (
            lab.stopped(1, folder='before'), lab.set(f'load_from={lab.root}/before')),
         says=['before'], value=works),
    Case('load-from-right', 'weights to start from', lambda lab: (
            lab.trained(), lab.set(f'load_from={lab.checkpoint}')), value=works),
]  # fmt: skip


@parametrize('checkpoints', CASES)
def test_checkpoint(lab, case):
    lab.check(case)
