"""Grid files: which method is trained at which point of the axes with which seeds.

A grid is a YAML file::

    name: camvid_cpu
    methods:                      # name -> config, or {config:, cfg_options:}
      supervised: configs/baselines/supervised_camvid-n{n}.py
      cct: {config: 'configs/cct/cct_camvid-n{n}.py', cfg_options: {model.k: 2}}
    baseline: supervised          # the method that the others are compared with, if any
    axes: {n: [20, 100]}          # placeholders of config paths and of option values
    seeds: [0, 1, 2]
    split: test                   # test (default) or val, evaluated with the last checkpoint;
                                  # test+tta or val+tta average over scales and flips
    cfg_options: {}               # applied to every run, before those of the method
    threads: 1                    # per run

Paths are relative to the current directory, as they are for ``tools/train.py``. Options mean what
they mean after ``--cfg-options``. A method is run once for each point of the axes that it names: a
baseline without ``{weight}`` is not trained again for every weight.
"""

import difflib
import itertools
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cct_mm.engine.config_options import DICTS, parse_options

SPLITS = ('test', 'val', 'test+tta', 'val+tta')
_REQUIRED = ('name', 'methods', 'seeds')
_OPTIONAL = {'baseline': None, 'axes': {}, 'split': 'test', 'cfg_options': {}, 'threads': 1}
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+-]*')
_NAME_RULE = 'letters, digits and ._+- only, because it names a folder'


class GridError(ValueError):
    """Something in a grid, or in what it finds on disk, keeps it from being run."""


@dataclass(frozen=True)
class Run:
    """One training: a method at a point of its axes with a seed.

    Args:
        method: Name of the method.
        config: Path of its config file, placeholders filled in.
        axes: Value of each axis that the method names.
        seed: Seed of the training.
        options: Options as they are written after ``--cfg-options``, without the seed.
    """

    method: str
    config: str
    axes: dict[str, Any]
    seed: int
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Folder of the run: ``<method>_<axis>=<value>_seed<seed>``."""
        point = [f'{axis}={value}' for axis, value in self.axes.items()]
        return '_'.join([self.method, *point, f'seed{self.seed}'])

    @property
    def cfg_options(self) -> tuple[str, ...]:
        """All options of the training, the seed first."""
        return (f'randomness.seed={self.seed}', *self.options)


@dataclass(frozen=True)
class Grid:
    """A checked grid file.

    Args:
        path: The file it was read from.
        name: Folder of its results below the work directory.
        baseline: The method that the others are compared with, or None.
        axes: Values of each axis.
        split: One of :data:`SPLITS`.
        threads: CPU threads of a run.
        runs: All runs, seed by seed, so that an interrupted grid has pairs to compare.
    """

    path: str
    name: str
    baseline: str | None
    axes: dict[str, list]
    split: str
    threads: int
    runs: tuple[Run, ...] = field(repr=False)


def load_grid(path: str | Path) -> Grid:
    """Read and check a grid file.

    Args:
        path: The YAML file.

    Raises:
        GridError: Something in the file is wrong; one sentence with the file, the key, the value,
            what was expected and the fix.
    """
    return _GridFile(path).grid()


class _GridFile:
    """A grid file while it is checked."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.content = self._read()

    def require(self, ok: bool, key: str, found: Any, expected: str, fix: str) -> None:
        if not ok:
            raise GridError(f'{self.path}: {key} is {found!r}, expected {expected}; {fix}')

    def grid(self) -> Grid:
        self._check_keys('the file', self.content, (*_REQUIRED, *_OPTIONAL))
        for key in _REQUIRED:
            self.require(key in self.content, key, None, 'a value', f'add a line "{key}: ..."')
        content = {**_OPTIONAL, **self.content}
        self._check_plain_values(content)
        self._check_axes(content['axes'])

        runs: list[Run] = []
        used: set[str] = set()
        for method, spec in content['methods'].items():
            template, options = self._method(method, spec, content['cfg_options'])
            names = self._placeholders(f'methods.{method}', template, options, content['axes'])
            axes = {axis: content['axes'][axis] for axis in content['axes'] if axis in names}
            runs += self._runs(method, template, options, axes, content['seeds'])
            used |= names
        for axis in content['axes']:
            fix = f'put {{{axis}}} into a config path or an option, or remove the axis'
            self.require(axis in used, 'axes', axis, 'an axis that some method names', fix)

        runs.sort(key=lambda run: content['seeds'].index(run.seed))
        kept = {key: content[key] for key in ('name', 'baseline', 'axes', 'split', 'threads')}
        return Grid(path=self.path, runs=tuple(runs), **kept)

    def _read(self) -> dict:
        try:
            text = Path(self.path).read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError) as error:
            raise GridError(
                f'{self.path}: the grid file cannot be read ({error}), expected a YAML file such '
                f'as configs/experiments/toy.yaml; correct the path'
            ) from None
        try:
            content = yaml.load(text, Loader=_UniqueKeyLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, 'problem_mark', None)
            where = f'line {mark.line + 1}, {error.problem}' if mark else str(error).split('\n')[0]
            raise GridError(f'{self.path}: not YAML, expected a mapping; correct {where}') from None
        fix = 'see configs/experiments/toy.yaml'
        self.require(isinstance(content, dict), 'the content', content, 'a mapping', fix)
        return content

    def _check_keys(self, where: str, mapping: dict, known: Sequence[str]) -> None:
        for key, value in mapping.items():
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                fix = f'did you mean {close[0]}?' if close else 'remove it'
                raise GridError(
                    f'{self.path}: unknown key {key!r} with value {value!r} in {where}, expected '
                    f'one of {", ".join(known)}; {fix}'
                )

    def _check_plain_values(self, content: dict) -> None:
        name, methods, baseline = content['name'], content['methods'], content['baseline']
        seeds, split, threads = content['seeds'], content['split'], content['threads']
        self.require(_is_name(name), 'name', name, _NAME_RULE, 'rename the grid')
        self._check_mapping('methods', methods, '{supervised: configs/baselines/x.py}')
        self.require(len(methods) > 0, 'methods', methods, 'at least one method', 'add one')
        known = f'one of the methods {", ".join(map(str, methods))}'
        named = baseline is None or baseline in list(methods)
        self.require(named, 'baseline', baseline, known, 'name one of them')
        integers = isinstance(seeds, list) and all(type(one) is int and one >= 0 for one in seeds)
        fix = 'write "seeds: [0, 1, 2]"'
        self.require(integers and len(seeds) > 0, 'seeds', seeds, 'a list of integers from 0', fix)
        fix = 'remove the repeated one, which would be the same run twice'
        self.require(len(set(seeds)) == len(seeds), 'seeds', seeds, 'each seed once', fix)
        self.require(split in SPLITS, 'split', split, ', '.join(SPLITS), 'choose one of them')
        positive = type(threads) is int and threads > 0
        self.require(positive, 'threads', threads, 'an integer from 1', 'write "threads: 1"')
        self._check_mapping('cfg_options', content['cfg_options'], '{train_cfg.max_iters: 100}')

    def _check_mapping(self, key: str, value: Any, example: str) -> None:
        fix = f'write "{key.rpartition(".")[2]}: {example}"'
        self.require(isinstance(value, dict), key, value, 'a mapping', fix)

    def _check_axes(self, axes: Any) -> None:
        self._check_mapping('axes', axes, '{n: [20]}')
        for axis, values in axes.items():
            identifier = isinstance(axis, str) and axis.isidentifier()
            self.require(identifier, 'axes', axis, 'a name such as n, for {n}', 'rename the axis')
            key, fix = f'axes.{axis}', f'write "{axis}: [{values}]"'
            filled = isinstance(values, list) and len(values) > 0
            self.require(filled, key, values, 'a list of values', fix)
            for value in values:
                valid = isinstance(value, (str, int, float)) and _is_name(str(value))
                fix = 'put what the value stands for into the configs'
                self.require(valid, key, value, _NAME_RULE, fix)
            distinct = len(set(map(str, values))) == len(values)
            self.require(distinct, key, values, 'each value once', 'remove the repeated one')

    def _method(self, method: Any, spec: Any, common: dict) -> tuple[str, dict[str, Any]]:
        """Config path and options of a method, both with placeholders."""
        self.require(_is_name(method), 'methods', method, _NAME_RULE, 'rename the method')
        key = f'methods.{method}'
        if isinstance(spec, str):
            spec = {'config': spec}
        self._check_mapping(key, spec, '{config: configs/x.py}')
        self._check_keys(key, spec, ('config', 'cfg_options'))
        template, own = spec.get('config'), spec.get('cfg_options', {})
        is_path = isinstance(template, str)
        fix = 'write "config: configs/x.py"'
        self.require(is_path, f'{key}.config', template, 'the path of a config file', fix)
        self._check_mapping(f'{key}.cfg_options', own, '{model.k: 1}')
        options = {**_flatten(common), **_flatten(own)}
        for option in options:
            free = option not in ('randomness.seed', 'work_dir')
            fix = 'use seeds: for the seed and --work-dir for the folder'
            self.require(free, f'{key}.cfg_options', option, 'options that are free to set', fix)
        return template, options

    def _placeholders(self, key: str, template: str, options: dict, axes: dict) -> set[str]:
        names: set[str] = set()
        for text in (template, *options.values()):
            if not isinstance(text, str):
                continue
            try:
                parsed = list(string.Formatter().parse(text))
            except ValueError:
                self.require(False, key, text, 'balanced braces', 'write {{ for a plain brace')
            found = {name for _, name, _, _ in parsed if name is not None}
            for name in sorted(found - set(axes)):
                known = f'placeholders of the axes ({", ".join(axes) or "there are none"})'
                fix = f'add "{name}: [...]" under axes or remove {{{name}}}'
                self.require(False, key, text, known, fix)
            names |= found
        return names

    def _runs(
        self, method: str, template: str, options: dict, axes: dict[str, list], seeds: list[int]
    ) -> list[Run]:
        runs = []
        for values in itertools.product(*axes.values()):
            point = dict(zip(axes, values, strict=True))
            config = template.format(**point)
            known = f'a config file below the current directory {Path.cwd()}'
            fix = 'correct the path or run from the root of the repository'
            self.require(Path(config).is_file(), f'methods.{method}.config', config, known, fix)
            written = []
            for option, value in options.items():
                value = value.format(**point) if isinstance(value, str) else value
                written.append(self._write_option(f'methods.{method}', option, value))
            runs += [Run(method, config, point, seed, tuple(written)) for seed in seeds]
        return runs

    def _write_option(self, key: str, option: str, value: Any) -> str:
        """``option=value`` as after ``--cfg-options``, where not every value can be written."""
        text = f'{option}={_write(value)}'
        try:
            parsed = parse_options([text])[option]
            carried = not isinstance(value, dict) and _survives(value, parsed)
        except ValueError:  # brackets that do not match
            carried = False
        known = f'a value that "--cfg-options {text}" carries'
        self.require(carried, f'{key}: {option}', value, known, 'set it in a config file instead')
        return text


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses repeated keys, of which YAML silently keeps the last: a method would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                problem = f'the key {key!r}, which stands twice'
                raise yaml.constructor.ConstructorError(None, None, problem, mark)
        return super().construct_mapping(node, deep)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _flatten(options: dict, prefix: str = '') -> dict[str, Any]:
    flat = {}
    for key, value in options.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def _write(value: Any) -> str:
    return f'[{",".join(map(_write, value))}]' if isinstance(value, list) else str(value)


def _survives(value: Any, parsed: Any) -> bool:
    if isinstance(value, list):
        same_length = isinstance(parsed, list) and len(value) == len(parsed)
        return same_length and all(map(_survives, value, parsed))
    if not isinstance(value, str):
        return value == parsed
    # YAML takes 1e-3 and dict(a=1) for text, and the command line for what they are meant to be.
    meant = isinstance(parsed, (int, float)) or DICTS.match(value)
    return value == parsed or bool(meant)
