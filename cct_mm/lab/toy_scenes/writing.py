"""Write the data set: images, masks, lists and a manifest, whole or not at all."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from cct_mm.datasets.file_lists import format_file_list
from cct_mm.datasets.toy_scenes import DOMAINS
from cct_mm.lab.splits import nested_splits, split_files

from .render import render_scene

GENERATOR_VERSION = 1
"""Version of what is rendered; a folder of another version is refused."""

SPLIT_SIZES = {'train': 212, 'val': 60, 'test': 100}
"""Images of each domain."""
LABELED_SIZE = 12
"""Labeled images of each domain; the other 200 images of train are unlabeled."""


def write_toy_scenes(
    root: str | os.PathLike, seed: int = 0, force: bool = False, demo: bool = False
) -> Path:
    """Write both domains below ``root/ToyScenes``, whole or not at all.

    ``<domain>/{train,val,test}/000.png`` with masks in ``<domain>/{train,val,test}annot/``, lists
    ``train.txt val.txt test.txt n12.txt n12_unlabeled.txt`` and, in the folder of both domains,
    ``toy_scenes.json`` with the generator's version, the seed and a hash of all files.

    Args:
        root: Folder of the data sets, such as ``data``.
        seed: Seed of all random numbers.
        force: Whether a folder that exists with other content is replaced.
        demo: Write the scenes as ``make demo`` shows them, below ``root/ToyScenesDemo``; see
            :func:`render_scene`.

    Returns:
        The folder ``root/ToyScenes`` or ``root/ToyScenesDemo``. If it exists with this version and
        seed, and its files are those of its manifest, it is left as it is.

    Raises:
        FileExistsError: The folder exists but has another version or seed, or was changed.
    """
    target = Path(root) / ('ToyScenesDemo' if demo else 'ToyScenes')
    header = {'generator_version': GENERATOR_VERSION, 'seed': seed}
    if target.exists() and not force:
        _check_present(target, header)
        return target

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{target.name}.', dir=target.parent) as temporary:
        new = Path(temporary) / 'new'
        for domain in DOMAINS:
            _write_domain(new / domain, domain, seed, demo)
        manifest = {**header, 'sha256': _content_hash(new)}
        (new / 'toy_scenes.json').write_text(json.dumps(manifest, indent=2) + '\n')
        if target.exists():
            target.rename(Path(temporary) / 'old')
        new.rename(target)
    return target


def _check_present(target: Path, header: dict) -> None:
    """Refuse a folder that differs from what this generator writes."""
    path = target / 'toy_scenes.json'
    found = json.loads(path.read_text()) if path.is_file() else {}
    problem = ''
    if not found:
        problem = 'has no toy_scenes.json'
    elif {key: found.get(key) for key in header} != header:
        problem = f'is of {found}, expected {header}'
    elif found.get('sha256') != _content_hash(target):
        problem = 'has files that were changed, added or removed since it was written'
    if problem:
        raise FileExistsError(
            f'{target} {problem}; remove the folder, or replace it with '
            f'tools/make_toy_scenes.py {"--demo " if target.name.endswith("Demo") else ""}--force'
        )


def _content_hash(folder: Path) -> str:
    """Return the SHA-256 of the names and bytes of all images, masks and lists."""
    digest = hashlib.sha256()
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob('*.*')}
    for name in sorted(paths):
        if name.endswith(('.png', '.txt')):
            digest.update(name.encode() + b'\0' + hashlib.sha256(paths[name].read_bytes()).digest())
    return digest.hexdigest()


def _write_domain(folder: Path, domain: str, seed: int, demo: bool) -> None:
    num_classes = len(DOMAINS[domain]['classes'])
    for split, size in SPLIT_SIZES.items():
        entries, counts = [], []
        (folder / split).mkdir(parents=True)
        (folder / f'{split}annot').mkdir()
        for index in range(size):
            image, label = render_scene(domain, split, index, seed, demo)
            entry = (f'{split}/{index:03d}.png', f'{split}annot/{index:03d}.png')
            for name, array in zip(entry, (image[..., ::-1], label), strict=True):
                (folder / name).write_bytes(cv2.imencode('.png', array)[1].tobytes())
            entries.append(entry)
            counts.append(np.bincount(label.ravel(), minlength=num_classes))
        (folder / f'{split}.txt').write_text(format_file_list(entries))
        if split == 'train':
            class_counts = np.array(counts)
            splits = nested_splits(entries, class_counts, [LABELED_SIZE], seed)
            files = split_files(entries, splits, {'seed': seed}, class_counts)
            for name, text in files.items():
                (folder / name).write_text(text)
