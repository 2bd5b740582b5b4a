"""Which files are images and which are masks, and which mask belongs to which image, by names."""

import glob
import os
import os.path as osp
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from cct_mm.datasets.checks.mask_names import ENDING, image_and_mask, is_lossy, name_key
from cct_mm.datasets.file_finder import IMAGE_SUFFIXES, suffix_of, walk_folder

Files = dict[str, str]
"""Absolute paths, each with the path below the folder that was asked for."""


@dataclass(frozen=True)
class FoundFiles:
    """The files of a domain, as absolute paths."""

    pairs: list[tuple[str, str]]  # image and mask
    unlabeled: list[str]  # images without a mask
    without_image: list[str]  # masks of no image


def find_files(
    images: Sequence[str], masks: Sequence[str] = (), unlabeled: Sequence[str] = ()
) -> FoundFiles:
    """Find images and masks, and pair them.

    Args:
        images: Folders, which are searched with all that is below them, or patterns such as
            ``'data/*_sat.jpg'``.
        masks: The same for masks. Where there are none, masks are looked for among the images:
            by words for masks in their names or folders, or beside a JPEG of the same name.
        unlabeled: The same for images whose masks, if any, do not count.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If there are no masks, or it is not clear which belongs to which image.
    """
    alone = files_at(unlabeled)
    of_masks = {path: rel for path, rel in files_at(masks).items() if path not in alone}
    others = {
        path: rel
        for path, rel in files_at(images).items()
        if path not in alone and path not in of_masks
    }
    if not masks:
        of_masks, others = _told_apart(others)
    if not of_masks:
        raise ValueError(
            f'no masks among {len(others)} files in {" ".join(images)}, expected names or folders '
            'such as a_mask.png or masks/; give the folder of the masks by --masks'
        )
    image_of = _pair(of_masks, others)
    if not image_of:
        mask, image = next(iter(of_masks)), next(iter(others), None)
        raise ValueError(
            f'none of {len(of_masks)} masks belongs to one of {len(others)} images by its name: '
            f'{mask} and {image or "no image"}, expected names that differ in suffix or in words '
            'such as mask; rename them, or give other folders'
        )
    paired = set(image_of.values())
    rest = [image for image in others if image not in paired]
    _check_rest([*paired, *rest])
    return FoundFiles(
        pairs=sorted((image, mask) for mask, image in image_of.items()),
        unlabeled=sorted([*rest, *alone]),
        without_image=sorted(mask for mask in of_masks if mask not in image_of),
    )


def files_at(places: Sequence[str]) -> Files:
    """Return the files in folders, with all that is below them, and of patterns.

    Raises:
        FileNotFoundError: If there are none.
    """
    found: Files = {}
    for place in places:
        asked = osp.abspath(osp.expanduser(place))
        if osp.isdir(asked):
            there = {osp.join(asked, rel): rel for rel in walk_folder(asked, IMAGE_SUFFIXES)}
        else:
            # The folders before the first sign of a pattern.
            base = osp.dirname(re.split(r'[*?\[]', asked)[0])
            paths = [p for p in glob.glob(asked, recursive=True) if suffix_of(p)]
            there = {path: osp.relpath(path, base) for path in sorted(paths)}
        if not there:
            raise FileNotFoundError(
                f'{place} has no images, expected a folder of them or a pattern in quotes, such as '
                "'data/*.jpg'"
            )
        found |= {path: rel for path, rel in there.items() if path not in found}
    return found


def _told_apart(files: Files) -> tuple[Files, Files]:
    """Return masks and images of folders that hold both."""
    root = osp.commonpath([osp.dirname(path) for path in files]) if files else ''
    files = {path: osp.relpath(path, root) for path in files}
    masks = {p: rel for p, rel in files.items() if name_key(_stem(rel))[0] and not is_lossy(p)}
    if not masks:
        lossy = {_stem(rel) for rel in files.values() if is_lossy(rel)}
        masks = {p: rel for p, rel in files.items() if not is_lossy(p) and _stem(rel) in lossy}
    return masks, {path: rel for path, rel in files.items() if path not in masks}


def _stem(path: str) -> str:
    return unicodedata.normalize('NFC', osp.splitext(path)[0])


def _pair(masks: Files, images: Files) -> dict[str, str]:
    """Return the image of each mask that has one.

    The strictest rule counts by which most masks find one.
    """
    of_masks = {path: _stem(rel) for path, rel in masks.items()}
    of_images = {path: _stem(rel) for path, rel in images.items()}
    known, endings = set(of_images.values()), [_ending(of_masks), _ending(of_images)]
    found = [
        _candidates(of_masks, of_images),
        _candidates(_keys(of_masks, _words), _keys(of_images, _words)),
        _candidates(_keys(of_masks, _name), _keys(of_images, _name)),
        _candidates(_keys(of_masks, lambda stem: _shortened(stem, known)), of_images),
        _candidates(
            _keys(of_masks, lambda stem: stem.removesuffix(endings[0])),
            _keys(of_images, lambda stem: stem.removesuffix(endings[1])),
        ),
    ]
    best = max(found, key=lambda candidates: sum(len(c) == 1 for c in candidates.values()))
    for mask, candidates in best.items():
        if len(candidates) > 1:
            raise ValueError(
                f'mask {mask} may belong to {candidates[0]} or {candidates[1]}, expected one image '
                'of this name; give images that have no masks by --unlabeled'
            )
    mask_of: dict[str, str] = {}
    for mask, candidates in best.items():
        for image in candidates:
            other = mask_of.setdefault(image, mask)
            if other != mask:
                raise ValueError(
                    f'image {image} has two masks, {other} and {mask}, expected one; choose by '
                    '--masks, with a folder or a pattern in quotes'
                )
    return {mask: image for image, mask in mask_of.items()}


def _keys(stems: Mapping[str, str], rule: Callable[[str], Hashable]) -> dict[str, Hashable]:
    return {path: rule(stem) for path, stem in stems.items()}


def _words(stem: str) -> Hashable:
    return name_key(stem)[1:]


def _name(stem: str) -> Hashable:
    return name_key(stem)[2]


def _candidates(
    masks: Mapping[str, Hashable], images: Mapping[str, Hashable]
) -> dict[str, list[str]]:
    """Return the images that have the key of each mask."""
    groups = defaultdict(list)
    for path, key in images.items():
        groups[key].append(path)
    return {mask: groups.get(key, []) for mask, key in masks.items()}


def _shortened(stem: str, known: set[str]) -> str:
    """Return the longest known beginning of a name that ends where a word does, or the name."""
    ends = [match.start() for match in ENDING.finditer(stem)]
    return next((stem[:end] for end in reversed(ends) if stem[:end] in known), stem)


def _ending(stems: Mapping[str, str]) -> str:
    """Return the last words that all names share, such as ``_ortho``; '' for a single name."""
    shared = osp.commonprefix([stem[::-1] for stem in stems.values()])[::-1]
    word = re.search(r'[_\-. ].*', shared)
    return word[0] if word and len(stems) > 1 else ''


def _check_rest(images: Sequence[str]) -> None:
    """Check that no masks are left among the images."""
    root = osp.commonpath([osp.dirname(path) for path in images])
    pair = image_and_mask(sorted(osp.relpath(path, root).replace(os.sep, '/') for path in images))
    if pair:
        raise ValueError(
            f'{pair[0]} and {pair[1]} in {root} look like an image and its mask, expected images '
            "alone; give the masks by --masks, or images by a pattern such as 'data/*.jpg'"
        )
