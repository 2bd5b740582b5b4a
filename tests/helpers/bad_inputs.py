"""Bad and odd inputs, each given to the tool that a user would call.

A :class:`Case` edits a fresh copy of a tiny data set and its configs, and says which words the tool
has to end with, or what the right value is. :meth:`Lab.check` holds the tool to it and to what goes
for every input: no file that was there changes, nothing half-written stays.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from fork_server import ROOT, ForkedTool, ForkServer

from cct_mm.lab.toy_scenes import render_scene

HEIGHT, WIDTH = 48, 64
CLASSES = ('sky', 'ground', 'tree')
LABELED, UNLABELED, VALIDATION = ('a0', 'a1', 'a2', 'a3'), ('u0', 'u1'), ('v0', 'v1')
TOWN = ('t0', 't1')

CONFIG = """
_base_ = [{runtime!r}]
data_root = {data!r}
classes = ('sky', 'ground', 'tree')
palette = [[0, 0, 200], [90, 90, 90], [0, 200, 0]]
flip = dict(type='RandomFlip', prob=0.5)
train_labeled = dict(
    type='ListDataset', data_root=data_root, ann_file='train.txt', labeled=True,
    metainfo=dict(classes=classes, palette=palette),
    pipeline=[
        dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations'), flip,
        dict(type='PackSegInputs'),
    ],
)
train_unlabeled = dict(
    type='ListDataset', data_root=data_root, ann_file='unlabeled.txt', labeled=False,
    metainfo=dict(classes=classes, palette=palette),
    pipeline=[dict(type='LoadCheckedImage'), flip, dict(type='PackSegInputs')],
)
evaluated = dict(
    type='ListDataset', data_root=data_root, ann_file='val.txt', labeled=True, test_mode=True,
    metainfo=dict(classes=classes, palette=palette),
    pipeline=[
        dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations'),
        dict(type='PackSegInputs'),
    ],
)
model = dict(
    type='CCT',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3, size_divisor=8,
        test_cfg=dict(size_divisor=8),
    ),
    backbone=dict(
        type='ResNetV1d', depth=18, stem_channels=4, base_channels=4, num_stages=2,
        strides=(1, 2), dilations=(1, 1), out_indices=(0, 1),
    ),
    decode_head=dict(
        type='FCNHead', in_channels=8, in_index=1, channels=8, num_convs=1, concat_input=False,
        dropout_ratio=0.5,
    ),
    auxiliary=dict(in_channels=8, stride=8, perturbations=[dict(type='F-Drop')]),
    domains=dict(scene=dict(classes=classes, foreground=('tree',))),
    unsupervised_weight=dict(final=1.0, shape='exp', length=0.5),
)
train_dataloader = dict(
    batch_size=3,
    num_workers=0,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=2, unlabeled_per_batch=1),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(scene=dict(labeled=train_labeled, unlabeled=train_unlabeled)),
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset', domains=dict(scene=dict(labeled=evaluated))),
)
test_dataloader = val_dataloader
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=2, by_epoch=False)]
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=-1, save_best=None), logger=dict(interval=1)
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
"""

SECOND_DOMAIN = """
town_labeled = dict(
    type='ListDataset', data_root=data_root, ann_file='town.txt', labeled=True,
    metainfo=dict(classes=('road', 'house'), palette=[[9, 9, 9], [99, 9, 9]]),
    pipeline=train_labeled['pipeline'],
)
town_evaluated = dict(
    type='ListDataset', data_root=data_root, ann_file='town.txt', labeled=True, test_mode=True,
    metainfo=dict(classes=('road', 'house'), palette=[[9, 9, 9], [99, 9, 9]]),
    pipeline=evaluated['pipeline'],
)
model['domains']['town'] = dict(classes=('road', 'house'), foreground=('house',))
train_dataloader['dataset']['domains']['town'] = dict(
    labeled=town_labeled, unlabeled=dict(train_unlabeled, metainfo=town_labeled['metainfo'])
)
val_dataloader['dataset']['domains']['town'] = dict(labeled=town_evaluated)
val_dataloader['batch_size'] = 1
"""

CLASSIFIER = """
plants = ('background', 'leaf', 'stem')
weak = dict(
    type='ListDataset', data_root=data_root, ann_file='unlabeled.txt', labeled=False,
    metainfo=dict(classes=plants, palette=palette),
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadImageLabels', classes=plants, path=data_root + '/labels.json'),
        dict(type='PackSegInputs', meta_keys=('img_path', 'img_shape', 'ori_shape',
                                              'image_labels', 'image_labels_complete')),
    ],
)
model = dict(
    type='ImageClassifier', data_preprocessor=model['data_preprocessor'],
    backbone=model['backbone'], decode_head=dict(type='ClassificationHead', in_channels=8),
    domains=dict(plants=dict(classes=plants)),
)
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(
        type='AlternatingDomainSampler', labeled_per_batch=0, unlabeled_per_batch=0,
        weak_per_batch=2,
    ),
    dataset=dict(type='MultiDomainDataset', domains=dict(plants=dict(weak=weak))),
)
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset', domains=dict(plants=dict(weak=weak))),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ImageLevelMetric')
test_evaluator = val_evaluator
"""

TEMPORARY = re.compile(r'(^\.|tmp|temp|\.part$|\.lock$|~$)', re.IGNORECASE)
"""Names of files that a tool writes before they get their own."""
NOT_REPEATABLE = {'time', 'data_time', 'memory'}
TRAINS = 'Iter(train)'
"""What the log says of each iteration."""


class Run:
    """What a tool left behind: exit code, output, and the folder it worked in."""

    def __init__(self, tool: ForkedTool, work_dir: Path) -> None:
        self.code, self.output, self.work_dir = tool.code, tool.output, work_dir

    @property
    def message(self) -> str:
        """What it ended with: the last lines, without a traceback before them."""
        lines = self.output.rstrip().splitlines()
        for number in range(len(lines) - 1, -1, -1):
            if re.match(r'\s+(File ".*", line \d+|[~^]+\s*$)', lines[number]):
                # The line of code under 'File', where there is one, is no explanation.
                rest = lines[number + 1 :]
                return '\n'.join(rest[1:] if rest and rest[0].startswith('    ') else rest)
        return '\n'.join(lines[-20:])

    @property
    def before_training(self) -> str:
        """What it said before its first iteration."""
        return self.output.partition(TRAINS)[0]

    @property
    def losses(self) -> dict[int, dict[str, float]]:
        """All that was logged in training, by iteration, without the times that it took."""
        return logged(self.work_dir)[0]

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        """All that validation found, by iteration."""
        return logged(self.work_dir)[1]


def logged(work_dir: Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Return what the runs in a work dir logged in training and in validation, by iteration.

    Raises:
        AssertionError: Two of them, one resumed from the other, logged something else.
    """
    losses, metrics = {}, {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            kind = losses if 'iter' in line else metrics
            values = {k: v for k, v in line.items() if k not in NOT_REPEATABLE}
            # NaN, of a class that is nowhere, equals nothing.
            values = {k: 'nan' if v != v else v for k, v in values.items()}
            before = kind.setdefault(line['step'], values)
            differ = {k: (before.get(k), v) for k, v in values.items() if before.get(k) != v}
            assert not differ, f'{path}, step {line["step"]}: {differ}'
    return losses, metrics


@dataclass(frozen=True)
class Case:
    """One bad or odd input.

    With both ``says`` and ``value``, either will do: a refusal, or the right value.

    Args:
        name: What it is.
        cause: Which fault it stands for; another cause is another path through the code.
        make: Edits the lab: its data, its configs.
        tool: What is called: the name of a method of :class:`Lab`, or a function of the lab.
        says: For a refusal: what the last lines must hold, whatever the case of letters; a tuple is
            a choice of words.
        value: For an input that is right: asserts what comes out.
        warns: What one line before the first iteration must hold, whether the tool goes on or not.
        early: Whether the refusal has to come before the first iteration.
        quick: Whether it is in ``make test``, too.
        overwrites: Whether files of the work dir may be written anew: damaged ones, or where the
            user asks for it.
        args: Further arguments of the tool.
    """

    name: str
    cause: str
    make: Callable[['Lab'], None]
    tool: str | Callable[..., Run] = 'train'
    says: Sequence[str | tuple[str, ...]] = ()
    value: Callable[['Lab', Run], None] | None = None
    warns: Sequence[str | tuple[str, ...]] = ()
    early: bool = True
    quick: bool = False
    overwrites: bool = False
    args: Sequence[str] = ()


class Lab:
    """A folder with a tiny data set, configs, and earlier results; it calls the tools.

    Args:
        root: The folder, empty.
        server: Starts the tools.
        shared: Makes what takes a training, once: :class:`Shared`.
    """

    def __init__(self, root: Path, server: ForkServer, shared: 'Shared') -> None:
        self.root, self.server, self.shared = root, server, shared
        self.data, self.work, self.temporary = root / 'data', root / 'work', root / 'scratch'
        shutil.copytree(shared.data, self.data)
        self.temporary.mkdir()
        self.config = root / 'config.py'
        runtime = str(ROOT / 'configs/_base_/default_runtime.py')
        self.config.write_text(CONFIG.format(runtime=runtime, data=str(self.data)))
        self.checkpoint = root / 'trained.pth'
        self.options: list[str] = []
        self.environment: dict[str, str] = {}

    # What cases edit.

    def change(self, old: str, new: str, path: str = 'config.py') -> None:
        """Replace text of a file that has it."""
        text = (self.root / path).read_text()
        assert old in text, f'{path} has no {old!r}'
        (self.root / path).write_text(text.replace(old, new))

    def append(self, text: str, path: str = 'config.py') -> None:
        """Add text to a file."""
        with open(self.root / path, 'a') as file:
            file.write(text)

    def set(self, *options: str) -> None:
        """Override config entries on the command line."""
        self.options += options

    def image(self, name: str = 'a1') -> Path:
        """An image of the data set."""
        return self.data / f'images/{name}.png'

    def mask(self, name: str = 'a1') -> Path:
        """The mask of an image."""
        return self.data / f'masks/{name}.png'

    def pixels(self, name: str = 'a1') -> np.ndarray:
        """An image, RGB."""
        return np.asarray(PIL.Image.open(self.image(name)))

    def labels(self, name: str = 'a1') -> np.ndarray:
        """The labels of an image."""
        return np.asarray(PIL.Image.open(self.mask(name)))

    def replace(self, old: Path, suffix: str, content: bytes | None = None) -> Path:
        """Give a file another suffix, in the lists too, and perhaps another content."""
        new = old.with_suffix(suffix)
        old.rename(new)
        if content is not None:
            new.write_bytes(content)
        for path in self.data.glob('*.txt'):
            short = f'{old.parent.name}/{old.name}', f'{new.parent.name}/{new.name}'
            path.write_text(path.read_text().replace(*short))
        return new

    def trained(self) -> None:
        """Bring the checkpoint of a finished training on the data as they were."""
        shutil.copy(self.shared.trained / 'iter_2.pth', self.checkpoint)

    def trained_classifier(self) -> None:
        """Make the configs those of a classifier, and bring its checkpoint."""
        self.append(CLASSIFIER)
        shutil.copy(self.shared.classifier / 'iter_2.pth', self.checkpoint)

    def stopped(self, *iterations: int, folder: str = 'work') -> Path:
        """Bring the work dir of a training that was stopped, with the checkpoints named."""
        work = self.root / folder
        work.mkdir()
        for iteration in iterations:
            shutil.copy(self.shared.trained / f'iter_{iteration}.pth', work)
        if iterations:
            (work / 'last_checkpoint').write_text(str(work / f'iter_{iterations[-1]}.pth'))
        return work

    def another(self) -> 'Lab':
        """A fresh lab beside this one."""
        return Lab(self.root.with_name('another'), self.server, self.shared)

    # The tools.

    def call(self, tool: str, *arguments: object, options: bool = True) -> Run:
        """Call a tool."""
        arguments += ('--cfg-options', *self.options) if self.options and options else ()
        environment = {
            'TMPDIR': str(self.temporary),
            # Tables are not wrapped.
            'COLUMNS': '400',
            'HOME': str(self.root / 'home'),
            'XDG_CACHE_HOME': str(self.root / 'home/.cache'),
            **self.environment,
        }
        log = self.root.with_suffix('.log')
        if (ROOT / tool).exists():
            done = self.server.run(
                log, ROOT / tool, *arguments, seconds=120, environment=environment
            )
            return Run(done, self.work)
        raise FileNotFoundError(f'{tool} is not there yet')

    def train(self, *arguments: str) -> Run:
        """tools/train.py CONFIG."""
        return self.call('tools/train.py', self.config, '--work-dir', self.work, *arguments)

    def resume(self, *arguments: str) -> Run:
        """tools/train.py CONFIG --resume."""
        return self.train('--resume', *arguments)

    def test(self, *arguments: str) -> Run:
        """tools/test.py CONFIG CHECKPOINT."""
        out = () if '--out' in arguments else ('--out', self.root / 'metrics.json')
        arguments += ('--work-dir', self.work, *out)
        return self.call('tools/test.py', self.config, self.checkpoint, *arguments)

    def check_data(self, *arguments: str) -> Run:
        """tools/check_data.py CONFIG."""
        return self.call('tools/check_data.py', self.config, *arguments)

    def make_splits(self, *arguments: str) -> Run:
        """tools/make_splits.py."""
        defaults = {'--sizes': ('2',), '--num-classes': ('3',), '--out': (self.root / 'splits',)}
        for key, values in defaults.items():
            given = any(argument.startswith(key) for argument in arguments)
            arguments += () if given else (key, *values)
        tool = 'tools/make_splits.py', '--data-root', self.data
        return self.call(*tool, '--balanced', *arguments, options=False)

    def pseudo_labels(self, *arguments: str) -> Run:
        """tools/gen_pseudo_labels.py CONFIG CHECKPOINT."""
        out = () if '--out' in arguments else ('--out', self.root / 'pseudo')
        arguments += ('--no-crf', '--workers', '1', *out)
        tool = 'tools/gen_pseudo_labels.py'
        return self.call(tool, self.config, self.checkpoint, *arguments)

    def pseudo_labels_of_segmentor(self, *arguments: str) -> Run:
        """tools/gen_pseudo_labels.py CONFIG CHECKPOINT --from-segmentor."""
        return self.pseudo_labels('--from-segmentor', '--confidence', '0', *arguments)

    def grid(self, *arguments: str) -> Run:
        """tools/run_experiments.py GRID."""
        grid, work = self.root / 'grid.yaml', self.root / 'grids'
        return self.call('tools/run_experiments.py', grid, '--work-dir', work, *arguments)

    def convert(self, name: str, *arguments: object) -> Run:
        """tools/dataset_converters/NAME.py."""
        return self.call(f'tools/dataset_converters/{name}.py', *arguments, options=False)

    # What goes for every case.

    def check(self, case: Case) -> None:
        """Make the input, call the tool, and hold it to what it should do."""
        case.make(self)
        before = self.files()
        tool = getattr(Lab, case.tool) if isinstance(case.tool, str) else case.tool
        run = tool(self, *case.args)
        output = f'\n--- exit code {run.code}, output ---\n{run.output[-1500:]}'
        self._check_files(before, output, run.code != 0, case.overwrites)
        if case.warns:
            said = run.before_training.splitlines() if TRAINS in run.output else [run.output]
            assert any(all(holds(line, words) for words in case.warns) for line in said), (
                f'not said in one line before training: {case.warns}{output}'
            )
        if case.value and (run.code == 0 or not case.says):
            assert run.code == 0, f'refused, expected the right value{output}'
            try:
                case.value(self, run)
            except AssertionError as error:
                raise AssertionError(f'{error}{output}') from error
        elif case.says:
            assert run.code != 0, f'not refused{output}'
            assert run.code > 0, f'killed by signal {-run.code}{output}'
            # A report is said as a whole.
            said = run.output if case.tool == 'check_data' else run.message
            for words in case.says:
                assert holds(said, words), f'not in the last lines: {words}{output}'
            if case.early:
                assert TRAINS not in run.output, f'said in training, expected before{output}'

    def files(self) -> dict[Path, str]:
        """A fingerprint of every file."""
        found = {}
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder) / name for name in names):
                if path.is_symlink():
                    found[path] = f'link to {os.readlink(path)}'
                elif path.is_file():
                    found[path] = hashlib.blake2b(path.read_bytes()).hexdigest()
        return found

    def _check_files(
        self, before: dict[Path, str], output: str, refused: bool, overwrites: bool
    ) -> None:
        after = self.files()
        # A resumed run that goes on moves its pointer, and mmengine writes the config anew.
        kept = {
            path: digest
            for path, digest in before.items()
            if not (path.parent == self.work and path.suffix == '.py')
            and (refused or path.name != 'last_checkpoint')
            and not (overwrites and path.parent == self.work)
        }
        changed = [path for path, digest in kept.items() if after.get(path) != digest]
        assert not changed, f'overwritten or removed: {changed}{output}'
        new = [
            path
            for path in after
            if path not in before and (self.root / 'home') not in path.parents
        ]
        half = [path for path in new if TEMPORARY.search(path.name)]
        half += [path for path in new if self.temporary in path.parents]
        assert not half, f'left half-written: {half}{output}'
        beside = [path for path in new if self.data in path.parents]
        assert not beside, f'written beside the data: {beside}{output}'


def holds(text: str, words: str | tuple[str, ...]) -> bool:
    """Tell whether one of these words is in a text, whatever the case of letters."""
    words = (words,) if isinstance(words, str) else words
    # A message may be wrapped by the terminal.
    text = ' '.join(text.lower().split())
    return any(word.lower() in text for word in words)


class Shared:
    """What all labs start from: the data set, and trainings on it as they should be.

    Args:
        root: Where it is made.
        server: Trains.
    """

    def __init__(self, root: Path, server: ForkServer) -> None:
        self.root, self.server = root, server
        self.data = root / 'data'
        write_data(self.data)
        self._trained: dict[str, Path] = {}

    @property
    def trained(self) -> Path:
        """Work dir of a finished training, a checkpoint for each of its two iterations."""
        return self._train('segmentor', lambda lab: None)

    @property
    def classifier(self) -> Path:
        """Work dir of a classifier."""
        return self._train('classifier', lambda lab: lab.append(CLASSIFIER))

    def _train(self, name: str, make: Callable[[Lab], None]) -> Path:
        if name not in self._trained:
            run = self.run(name, make)
            assert run.code == 0, run.output
            self._trained[name] = run.work_dir
        return self._trained[name]

    def run(self, name: str, make: Callable[[Lab], None]) -> Run:
        """Train in a lab of its own."""
        lab = Lab(self.root / name, self.server, self)
        make(lab)
        return lab.train()


def write_data(root: Path) -> None:
    """Write ten images with masks of three classes, or two, and their lists."""
    (root / 'images').mkdir(parents=True)
    (root / 'masks').mkdir()
    for number, name in enumerate((*LABELED, *UNLABELED, *VALIDATION, *TOWN)):
        image, labels = render_scene('day', 'train', number)
        image, labels = image[::2, ::2], labels[::2, ::2]
        labels = np.where(labels > 1, 2, labels).astype(np.uint8)
        # Each class in each mask.
        labels[:2], labels[-2:], labels[20:24, 20:24] = 0, 1, 2
        if name in TOWN:
            labels = (labels > 0).astype(np.uint8)
        assert labels.shape == (HEIGHT, WIDTH)
        PIL.Image.fromarray(image).save(root / f'images/{name}.png')
        PIL.Image.fromarray(labels).save(root / f'masks/{name}.png')

    def lines(names, labeled):
        return ''.join(
            f'images/{name}.png masks/{name}.png\n' if labeled else f'images/{name}.png\n'
            for name in names
        )

    (root / 'train.txt').write_text(lines(LABELED, True))
    (root / 'unlabeled.txt').write_text(lines(UNLABELED, False))
    (root / 'town.txt').write_text(lines(TOWN, True))
    (root / 'val.txt').write_text(lines(VALIDATION, True))
    labels = {'u0': ['leaf'], 'u1': ['leaf', 'stem']}
    (root / 'labels.json').write_text(json.dumps(labels))


# Right values.


def trains_as_usual(lab: Lab, run: Run) -> None:
    """The losses are those of the data set as it should be."""
    expected = logged(lab.shared.trained)
    assert logged(run.work_dir)[0] == expected[0], 'other losses'
    assert logged(run.work_dir)[1] == expected[1], 'other metrics'


def trains_like(make: Callable[[Lab], None]) -> Callable[[Lab, Run], None]:
    """Return the check that the losses are those of another lab, trained on ``make``'s input."""

    def check(lab: Lab, run: Run) -> None:
        other = lab.another()
        make(other)
        expected = other.train()
        assert expected.code == 0, expected.output
        assert run.losses == expected.losses, 'other losses'

    return check


def works(lab: Lab, run: Run) -> None:
    """It ends well, with finite losses if it trains."""
    for values in run.losses.values():
        assert all(np.isfinite(v) for v in values.values()), values


def same_weights(path: Path, other: Path) -> None:
    """Assert that two checkpoints hold the same weights and optimizer state, bit for bit."""
    one, two = (torch.load(p, map_location='cpu', weights_only=False) for p in (path, other))
    # The best one has no optimizer.
    keys = {'state_dict', 'optimizer', 'param_schedulers'}
    assert keys & set(one) == keys & set(two)
    for key in sorted(keys & set(one)):
        assert_same(one[key], two[key], key)


def assert_same(one, two, where: str) -> None:
    """Assert that two nested containers are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert list(one) == list(two), where
        for key, value in one.items():
            assert_same(value, two[key], f'{where}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), where
        for number, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f'{where}.{number}')
    else:
        assert one == two, where


def parametrize(group: str, cases: Sequence[Case]):
    """Return the decorator that runs a test for each case, and counts it.

    Args:
        group: What the cases are about, e.g. 'images'.
        cases: Their names are unique.
    """
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted(names)

    def marks(case):
        counted = pytest.mark.counted(f'bad inputs: {group}', cause=case.cause)
        return [counted] if case.quick else [counted, pytest.mark.soak]

    parameters = [pytest.param(case, id=case.name, marks=marks(case)) for case in cases]
    return pytest.mark.parametrize('case', parameters)
