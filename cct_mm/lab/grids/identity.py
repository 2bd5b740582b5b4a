"""What a result depends on: config, code and data, each as named parts and a hash over them.

The parts are kept beside the hashes, so that a difference can be named
("code (cct_mm/models/segmentors/cct.py)") and not only noticed.
"""

import hashlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from cct_mm.engine.config_options import merge_options, parse_options

from .grid import GridError, Run

KINDS = ('config', 'code', 'data')
_SHOWN = 4
# Networks below cct_mm/lab that configs train.
_TRAINED = ('lab/gain/true_foreground.py',)


@dataclass(frozen=True)
class Identity:
    """Config, code and data of a run.

    Args:
        seed: Seed of the run.
        config: Every leaf of the resolved config, see :func:`config_parts`.
        code: Hash of every source file, see :func:`code_parts`.
        data: Hash of every list file, see :func:`data_parts`.
    """

    seed: int
    config: dict[str, Any]
    code: dict[str, str]
    data: dict[str, str]

    @property
    def hashes(self) -> dict[str, str]:
        """One hash a kind, and ``run``: over the three and the seed."""
        hashes = {kind: hash_of(getattr(self, kind)) for kind in KINDS}
        return {**hashes, 'run': hash_of([self.seed, hashes])}

    @property
    def parts(self) -> dict[str, dict]:
        """The parts, kind by kind, ready for JSON."""
        return {kind: getattr(self, kind) for kind in KINDS}


def identify(run: Run, root: str | Path) -> Identity:
    """Identity of a run as config, code and data are now.

    Args:
        run: The run.
        root: Repository, which holds ``cct_mm/`` and ``tools/``.
    """
    cfg = resolve_config(run)
    root = Path(root)
    return Identity(run.seed, config_parts(cfg, root), code_parts(root), data_parts(cfg, root))


def resolve_config(run: Run) -> Config:
    """Return the config of a run after its options, the seed included."""
    try:
        # Only the text matters here: custom imports would load every model for each of the configs.
        cfg = Config.fromfile(run.config, import_custom_modules=False)
        merge_options(cfg, parse_options(run.cfg_options))
    except Exception as error:  # a config is a program and fails as it likes
        raise GridError(
            f'{run.config}: the config of {run.name} cannot be read with the options '
            f'{" ".join(run.cfg_options)}, expected one that mmengine loads: correct it '
            f'({type(error).__name__}: {error})'
        ) from error
    return cfg


def config_parts(cfg: Config, root: Path) -> dict[str, Any]:
    """Leaves of the config as ``{'model.neck.channels': 512}``, without work directory and seed.

    Order is kept and counts: heads are built, and so initialized, in the order of their dict. Paths
    in the repository count from its root: another clone has the same runs.
    """
    leaves = dict(_leaves(cfg.to_dict()))
    return {
        key: _from_root(value, root) if isinstance(value, str) else value
        for key, value in leaves.items()
        if key not in ('work_dir', 'randomness.seed')
    }


def code_parts(root: str | Path) -> dict[str, str]:
    """Hash of every ``cct_mm/**/*.py``, ``tools/train.py`` and ``tools/test.py``, by relative path.

    ``cct_mm/lab`` is left out: it starts trainings and reads what they leave, and a change
    to the table must not make hours of training stale; of it only the networks count that configs
    train. Code outside the repository (a config's own ``custom_imports``) isn't covered.
    """
    root = Path(root)
    package = root / 'cct_mm'
    if not package.is_dir():
        # An installed package has its tools in itself.
        package = Path(__file__).parents[2]
    own = (package / 'lab', package / '.mim')
    files = {
        f'cct_mm/{path.relative_to(package).as_posix()}': path
        for path in package.rglob('*.py')
        if not set(own) & set(path.parents) or path.relative_to(package).as_posix() in _TRAINED
    }
    files |= {name: root / name for name in ('tools/train.py', 'tools/test.py')}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(files.items())
        if path.is_file()
    }


def data_parts(cfg: Config, root: Path) -> dict[str, str]:
    """Hash of every list file and image folder that the config names, with the sizes in them.

    A list file is any value under a key ``ann_file``, found as ``ListDataset`` finds it. Its hash
    covers its contents and, of each file that it lists, name and size (``os.stat``). An image
    folder (``data_prefix`` without ``ann_file``) counts with the names and sizes of all its files.
    The checkpoint that training starts from (``load_from``) and files of image-level labels count
    with their contents. No image is read: one replaced by another of exactly the same size goes
    unnoticed.
    """
    parts, content = {}, cfg.to_dict()
    for source in _sources(content):
        if source.list_file:
            parts[source.name] = _list_file_hash(source.list_file, source.folders)
        else:
            parts[source.name] = _folder_hash(source.folders)
    for path in {content.get('load_from'), *_label_files(content)}:
        if path and os.path.isfile(path):
            parts[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return dict(sorted((_from_root(path, root), value) for path, value in parts.items()))


def missing_list_files(cfg: Config) -> list[str]:
    """List files that a dataloader of the config needs and that aren't there."""
    sources = _sources(cfg.to_dict())
    files = {source.list_file for source in sources if source.list_file and source.loaded}
    return sorted(file for file in files if not os.path.isfile(file))


def differences(old: dict[str, str], old_parts: dict[str, dict], new: Identity) -> list[str]:
    """Name what differs between a stored identity and the present one, one entry a kind.

    Args:
        old: Stored hashes.
        old_parts: Stored parts; may be empty, then only the kind is named.
        new: The present identity.

    Returns:
        Such as ``['code (cct_mm/models/psp_neck.py)', 'config (model.k: 1 -> 2)']``; empty where
        nothing differs.
    """
    found = []
    for kind in KINDS:
        if old.get(kind) == new.hashes[kind]:
            continue
        before, now = old_parts.get(kind), new.parts[kind]
        if before is None:
            found.append(kind)
            continue
        changed = [key for key in {**before, **now} if before.get(key, ...) != now.get(key, ...)]
        if kind == 'config':
            shown = [
                f'{key}: {before.get(key, "absent")} -> {now.get(key, "absent")}'
                for key in changed[:_SHOWN]
            ]
        else:
            shown = changed[:_SHOWN]
        if len(changed) > _SHOWN:
            shown.append(f'and {len(changed) - _SHOWN} more')
        found.append(f'{kind} ({", ".join(shown) or "another order"})')
    return found


def _from_root(text: str, root: Path) -> str:
    """Return the path without the repository's own; any other text as it is."""
    return text.removeprefix(f'{root.resolve()}{os.sep}')


def hash_of(value: Any) -> str:
    """Return the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _leaves(value: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, (list, tuple)) and value:
        items = enumerate(value)
    else:
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)  # JSON has no infinity
        # Through JSON, so that a stored leaf and a fresh one compare equal.
        yield key, json.loads(json.dumps(value, default=str))
        return
    for name, inner in items:
        yield from _leaves(inner, f'{key}.{name}' if key else str(name))


@dataclass(frozen=True)
class _Source:
    """A list file with the folders of its files, or image folders without a list."""

    name: str
    list_file: str
    folders: tuple[str, ...]
    loaded: bool


def _sources(node: Any, data_root: str = '', loaded: bool = False) -> Iterator[_Source]:
    if isinstance(node, (list, tuple)):
        for inner in node:
            yield from _sources(inner, data_root, loaded)
    if not isinstance(node, dict):
        return
    data_root = node.get('data_root') or data_root
    prefix = node.get('data_prefix') or {}
    prefixes = {text for text in prefix.values() if isinstance(text, str)} or {''}
    folders = tuple(sorted(os.path.join(data_root, text) for text in prefixes))
    value = node.get('ann_file')
    names = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
    names = [name for name in names if isinstance(name, str) and name]
    for name in names:
        path = os.path.join(data_root, name)
        if not os.path.isfile(path) and os.path.isfile(name):
            path = name
        yield _Source(f'{path} in {" ".join(folders)}' if prefix else path, path, folders, loaded)
    if prefix and not names:
        yield _Source(' '.join(folders), '', folders, loaded)
    for key, inner in node.items():
        yield from _sources(inner, data_root, loaded or str(key).endswith('_dataloader'))


def _label_files(node: Any) -> Iterator[str]:
    """Find the files that ``LoadImageLabels`` reads."""
    if isinstance(node, dict):
        if node.get('type') == 'LoadImageLabels':
            yield node.get('path')
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for inner in node:
            yield from _label_files(inner)


def _list_file_hash(path: str, folders: tuple[str, ...]) -> str:
    if not os.path.isfile(path):
        return 'missing'
    content = Path(path).read_bytes()
    stems = defaultdict(set)
    for line in content.decode('utf-8', errors='replace').splitlines():
        for field in line.split('\t') if '\t' in line else line.split():
            head, tail = os.path.split(field.strip())
            # A missing x.jpg is read from x.png, so the stem is what finds a file.
            stems[head].update((tail, os.path.splitext(tail)[0]))
    digest = hashlib.sha256(content)
    for folder in folders:
        for head, wanted in sorted(stems.items()):
            try:
                files = sorted(os.scandir(os.path.join(folder, head)), key=lambda file: file.name)
            except OSError:
                continue
            for file in files:
                if os.path.splitext(file.name)[0] in wanted and file.is_file():
                    digest.update(f'{head}/{file.name} {file.stat().st_size}\n'.encode())
    return digest.hexdigest()


def _folder_hash(folders: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(path for path in Path(folder).rglob('*') if path.is_file()):
            line = f'{file.relative_to(folder).as_posix()} {file.stat().st_size}\n'
            digest.update(line.encode())
    return digest.hexdigest()
