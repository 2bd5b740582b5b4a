"""Find masks among the images of a folder by their names.

Datasets come as ``a_sat.jpg`` with ``a_mask.png``, ``a.jpg`` with ``a.png``, or ``images/a.png``
with ``masks/a.png`` in one folder, and all of these files are images to a computer. A name does not
prove anything, so no file is left out because of it: the folder is refused, with what to set.
"""

import os.path as osp
import re
from collections import Counter
from collections.abc import Sequence

_MASK_WORDS = frozenset(
    'mask masks label labels labelid labelids labeltrainid labeltrainids trainid trainids '
    'instanceids gt gts gtfine gtcoarse groundtruth seg segs segm segmentation segmentations '
    'segmap annot annots annotation annotations ann semantic trimap matte '
    'segmentationclass segmentationobject segmentationclassaug'.split()
)
_IMAGE_WORDS = frozenset(
    'image images img imgs im rgb sat photo picture input original orig jpegimages'.split()
)
_COPIES = frozenset('copy edit edited final new old'.split())
ENDING = re.compile(r'[_\-. ]|(?<=\d)(?=[^\W\d_])')
_TOKEN = re.compile(r'[^\W\d_]+|\d+')
_MASK_ENDINGS = re.compile(r'(?<=.)(annots?|annotations?|masks?|labels?|labelmaps?)$')
_ANY_MASK_WORD = re.compile('mask|label|trainid|instanceid|gt|ground|seg|ann|semantic|trimap|matte')


def check_no_masks(images: Sequence[str]) -> None:
    """Check that no two files of a list look like an image and its mask.

    Numbers tell images apart: ``frame_1.png`` and ``frame_10.png`` are two images, and so are
    ``a.png`` and ``a_2.png`` or ``a_copy.png``.

    Args:
        images: Paths of files taken for images, all in one folder and the folders below it.

    Raises:
        ValueError: If two paths differ in nothing but their suffix (``a.jpg``, ``a.png``); if one
            is named like the other and like a mask, by a word of its name (``a_gt.tif``) or of its
            folder (``masks/a.png``); or if many names are those of others with a word appended.
    """
    pair = image_and_mask(images)
    if pair is None:
        return
    image, mask = pair
    raise ValueError(
        f'{image} and {mask} look like an image and its mask, expected images alone; tell them '
        f'apart by img_suffix and seg_map_suffix{_suffixes(image, mask)}, or by data_prefix where '
        'they have folders of their own; if both are images, name all images in a list (ann_file)'
    )


def image_and_mask(images: Sequence[str]) -> tuple[str, str] | None:
    """Return two files of a list that look like an image and its mask, or None.

    Args:
        images: As for :func:`check_no_masks`.
    """
    # The names of the folders around all of them tell nothing.
    around = osp.commonprefix(images).rpartition('/')[0]
    stems = [osp.splitext(path)[0][len(around) :] for path in images]
    return _by_stem(images, stems) or _by_words(images, stems) or _by_common_ending(images, stems)


def _suffixes(image: str, mask: str) -> str:
    """Say what to set for two files of one folder, where this is clear."""
    image, mask = osp.basename(image), osp.basename(mask)
    common = osp.commonprefix([image, mask])
    # Names are cut between words: for img_1.png and img_1m.png, 1.png and 1m.png are the suffixes.
    end = max(common.rfind(c) for c in '_-. ')
    if common == osp.splitext(image)[0]:
        end = len(common)
    if end <= 0 or image[end:] == mask[end:] or not mask[end:]:
        return ''
    return f', such as img_suffix={image[end:]!r} and seg_map_suffix={mask[end:]!r}'


def _by_stem(images: Sequence[str], stems: Sequence[str]) -> tuple[str, str] | None:
    first: dict[str, str] = {}
    for image, stem in zip(images, stems, strict=True):
        other = first.setdefault(stem, image)
        if other != image:
            return (image, other) if is_lossy(image) else (other, image)
    return None


def is_lossy(path: str) -> bool:
    """Tell whether a file of this name is usually compressed with losses, as no mask is."""
    return path.lower().endswith(('.jpg', '.jpeg', '.webp'))


def _tokens(text: str) -> list[str]:
    """Split a name into words and numbers, in lower case; ``trainannot`` is two words."""
    tokens = []
    for token in _TOKEN.findall(text.lower().replace('leftimg8bit', 'image')):
        ending = _MASK_ENDINGS.search(token)
        tokens += [token[: ending.start()], ending[0]] if ending else [token]
    return tokens


def name_key(stem: str) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Return whether a name has a word for masks, and the other words of folder and of file."""
    words = [_tokens(part) for part in osp.split(stem)]
    plain = [tuple(w for w in p if w not in _MASK_WORDS and w not in _IMAGE_WORDS) for p in words]
    return any(w in _MASK_WORDS for part in words for w in part), *plain


def _by_words(images: Sequence[str], stems: Sequence[str]) -> tuple[str, str] | None:
    if not _ANY_MASK_WORD.search('\n'.join(stems).lower()):
        return None
    keys = [name_key(stem) for stem in stems]
    known: dict[tuple, str] = {}
    for image, (is_mask, folder, name) in zip(images, keys, strict=True):
        if is_mask:
            continue
        # The image of mask x may be x_left or left_x.
        parts = {name[:end] for end in range(1, len(name) + 1)}
        parts |= {name[start:] for start in range(len(name))} | {name}
        for part in parts:
            known.setdefault((folder, part), image)
    for image, (is_mask, *key) in zip(images, keys, strict=True):
        if is_mask and (other := known.get(tuple(key))):
            return other, image
    return None


def _by_common_ending(images: Sequence[str], stems: Sequence[str]) -> tuple[str, str] | None:
    by_stem = dict(zip(stems, images, strict=True))
    pairs: dict[str, tuple[str, str]] = {}
    counts: Counter[str] = Counter()
    for stem, image in by_stem.items():
        for match in ENDING.finditer(stem):
            other = by_stem.get(stem[: match.start()])
            ending = stem[match.start() :]
            words = [w for w in _tokens(ending) if not w.isdecimal() and w not in _COPIES]
            if other is None or not words:
                continue
            # Masks are kept without loss.
            if is_lossy(other) and not is_lossy(image):
                return other, image
            counts[ending] += 1
            pairs.setdefault(ending, (other, image))
    for ending, count in counts.most_common(1):
        # At least half of the files without this ending have a partner with it.
        if count >= 2 and 2 * count >= len(images) - count:
            return pairs[ending]
    return None
