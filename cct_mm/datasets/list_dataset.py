"""Datasets that are lists of files or plain image folders."""

import os
import os.path as osp
import re
from collections.abc import Sequence

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from cct_mm.labels import IGNORE_INDEX

from .file_finder import IMAGE_SUFFIXES, FileFinder, list_image_folder, suffix_of, without_suffix
from .file_lists import Entry, read_file_list


@DATASETS.register_module()
class ListDataset(BaseSegDataset):
    """A segmentation dataset read from a list of files or from an image folder.

    With ``ann_file`` the samples are the lines of a list, see :mod:`cct_mm.datasets.file_lists`;
    its paths are relative to ``data_prefix``, or to ``data_root`` where that is not given. Without
    ``ann_file`` they are the images below ``data_prefix['img_path']``. Their masks have the same
    relative path and stem below ``data_prefix['seg_map_path']``; without that there are no masks.
    The same holds for a list of images alone, whose lines may also be bare names, as in mmseg's
    lists: an image is then name + ``img_suffix``.

    Every file is looked up once, when the dataset is built, so that what is wrong is found before
    the first iteration. An image that is missing but exists with another usual suffix (``.png``
    for ``.jpg``), or with its name in another Unicode form, is taken instead. A folder that holds
    masks among its images is refused, unless ``img_suffix`` and ``seg_map_suffix`` separate them.

    A subclass for a dataset adds ``METAINFO`` and, where needed, ``DATASET_NAME``, ``VOID_LABELS``,
    ``LABEL_HINT`` and ``SOURCE_HINT``.

    Args:
        ann_file: The list: absolute, relative to ``data_root``, or, where it is not found there,
            to the working directory (lists of splits lie beside the configs, not the data).
        data_prefix: ``img_path`` and ``seg_map_path``, both optional, relative to ``data_root``.
        labeled: True demands a mask for every image. False never looks at masks, even where the
            list names them: an unlabeled source. None: labeled if the list or the folders are.
        img_suffix: Suffixes of images such as ``'.jpg'`` or ``'_sat.jpg'``, in the order in which
            they stand in for one another. By default the usual ones.
        seg_map_suffix: What the name of a mask has in place of its image's suffix, such as
            ``'_mask.png'``; where it is given, files of a folder that end so are not taken for
            images. Default: ``'.png'``.
        dataset_name: What errors call this dataset. Default: the class's ``DATASET_NAME``.
        check_files: False keeps missing files, for a tool that reports each of them.
        **kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: If the list, the folder, an image or a mask is missing.
        ValueError: If the list is empty or malformed, or a labeled source has an image without
            mask.

    Example:
        >>> dataset = dict(
        ...     type='ListDataset', data_root='data/mine', ann_file='train.txt',
        ...     metainfo=dict(classes=('background', 'leaf')), pipeline=[])
        >>> unlabeled = dict(
        ...     type='ListDataset', data_root='data/mine', data_prefix=dict(img_path='video'))
    """

    DATASET_NAME: str = ''
    """What errors call the dataset; the class's name where empty."""
    VOID_LABELS: tuple[int, ...] = ()
    """Labels of the files, besides 255, that belong to no class and are read as 255."""
    LABEL_HINT: str = ''
    """What to do about a label out of range; ends the error message."""
    SOURCE_HINT: str = ''
    """Where the data come from; ends the error about files that are missing."""

    def __init__(
        self,
        ann_file: str = '',
        data_prefix: dict[str, str] | None = None,
        labeled: bool | None = None,
        img_suffix: str | Sequence[str] = IMAGE_SUFFIXES,
        seg_map_suffix: str | None = None,
        dataset_name: str | None = None,
        check_files: bool = True,
        **kwargs,
    ) -> None:
        self.labeled = labeled
        self.check_files = check_files
        self.dataset_name = dataset_name or self.DATASET_NAME or type(self).__name__
        self._mask_suffix = seg_map_suffix
        if kwargs.get('data_root') is not None:
            kwargs['data_root'] = osp.expanduser(kwargs['data_root'])
        super().__init__(
            ann_file=osp.expanduser(ann_file),
            data_prefix={key: osp.expanduser(path) for key, path in (data_prefix or {}).items()},
            img_suffix=(img_suffix,) if isinstance(img_suffix, str) else tuple(img_suffix),
            seg_map_suffix='.png' if seg_map_suffix is None else seg_map_suffix,
            **kwargs,
        )

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Map labels of the files to class indices, and void labels to 255.

        Args:
            new_classes: The classes in use, a subset of ``METAINFO['classes']`` in any order.

        Returns:
            For each label of the files that changes, its new value; None where none does.
        """
        label_map = super().get_label_map(new_classes) or {}
        return {**label_map, **dict.fromkeys(cls.VOID_LABELS, IGNORE_INDEX)} or None

    def _join_prefix(self) -> None:
        as_given = self.ann_file
        super()._join_prefix()
        if as_given and not osp.isfile(self.ann_file) and osp.isfile(as_given):
            self.ann_file = as_given

    def load_data_list(self) -> list[dict]:
        """Read the list or the folder and look every file up.

        Returns:
            A data info for each sample: mmseg's own keys and, for the checked loading,
            ``void_labels``, ``dataset_name``, ``label_hint`` and ``num_classes`` (None without
            classes).
        """
        try:
            entries = self._read_entries()
        except (FileNotFoundError, ValueError) as error:
            hint = self._source_hint() if isinstance(error, FileNotFoundError) else ''
            raise type(error)(f'{self.dataset_name}: {error}{hint}') from None
        classes = self._metainfo.get('classes')
        common = {
            'label_map': self.label_map,
            'void_labels': self.VOID_LABELS,
            'reduce_zero_label': self.reduce_zero_label,
            'num_classes': None if classes is None else len(classes),
            'dataset_name': self.dataset_name,
            'label_hint': self.LABEL_HINT,
        }
        data_list = []
        for image, label in self._resolve(entries):
            mask = {} if label is None else {'seg_map_path': label}
            data_list.append({'img_path': image, 'seg_fields': [], **common, **mask})
        return data_list

    def _read_entries(self) -> list[Entry]:
        has_masks = self.labeled is not False and 'seg_map_path' in self.data_prefix
        if self.ann_file:
            # A list of images alone and a folder of labels, such as pseudo-labels: a label has the
            # place in its folder that the image has in its own.
            beside = has_masks and bool(self.data_prefix['seg_map_path'])
            labeled = None if beside else self.labeled
            entries = read_file_list(self.ann_file, labeled, names=True)
            return self._with_masks(entries) if beside and entries[0][1] is None else entries
        images = list_image_folder(self._prefix('img_path'), self.img_suffix, self._mask_suffix)
        if self.labeled and not has_masks:
            raise ValueError(
                f'image folder {self._prefix("img_path")} has no masks, expected '
                f'data_prefix["seg_map_path"] for a labeled source'
            )
        entries = [(image, None) for image in images]
        return self._with_masks(entries) if has_masks else entries

    def _with_masks(self, entries: list[Entry]) -> list[Entry]:
        return [
            (image, self._stem(image.replace('\\', '/')) + self.seg_map_suffix)
            for image, _ in entries
        ]

    def _stem(self, image: str) -> str:
        """Return what an image and its mask have in common: all of a bare name."""
        if not suffix_of(image, (*self.img_suffix, *IMAGE_SUFFIXES)):
            return image
        return without_suffix(image, self.img_suffix)

    def _prefix(self, key: str) -> str:
        return self.data_prefix.get(key) or self.data_root or ''

    def _path(self, key: str, name: str) -> str:
        return osp.join(self._prefix(key), osp.expanduser(name))

    def _resolve(self, entries: list[Entry]) -> list[Entry]:
        """Return the full paths of all entries, every file of which exists."""
        finder = FileFinder()
        missing: dict[str, list[tuple[str, str]]] = {'image': [], 'mask': []}
        resolved: dict[str, tuple[str, Entry]] = {}
        for image, label in entries:
            asked = self._path('img_path', image)
            label_asked = None if label is None else self._path('seg_map_path', label)
            image_path = finder.find_image(asked, label_asked, self.img_suffix)
            label_path = None if label is None else self._find_mask(finder, label_asked)
            if not self.check_files:
                image_path, label_path = image_path or asked, label_path or label_asked
            if image_path is None:
                missing['image'].append((image, asked))
            elif label is not None and label_path is None:
                missing['mask'].append((label, label_asked))
            else:
                same = osp.normpath(image_path)
                if same in resolved:
                    raise ValueError(
                        f'{self.dataset_name}: {self.ann_file}: {resolved[same][0]} and {image} '
                        f'are the same file, {image_path}; a list names every image once, remove '
                        'one of the two'
                    )
                resolved[same] = image, (image_path, label_path)
        for kind, key in (('image', 'img_path'), ('mask', 'seg_map_path')):
            if missing[kind]:
                hint = finder.hint(missing[kind][0][1])
                names = [name for name, _ in missing[kind]]
                self._raise_missing(kind, names, len(entries), self._prefix(key), hint)
        return [entry for _, entry in resolved.values()]

    def _find_mask(self, finder: FileFinder, path: str) -> str | None:
        found = finder.find(path)
        if found is None and path.endswith(self.seg_map_suffix):
            # The mask of IMG.JPG may be IMG.PNG.
            stem = path[: len(path) - len(self.seg_map_suffix)]
            found = finder.find(stem + self.seg_map_suffix.upper())
        return found

    def _raise_missing(
        self, kind: str, paths: list[str], total: int, folder: str, hint: str
    ) -> None:
        source = self.ann_file or self._prefix('img_path')
        fix = f'check data_root (now {self.data_root}) and the names in {source}'
        if osp.isabs(paths[0]) or re.match(r'[A-Za-z]:[\\/]', paths[0]):
            fix = f'{source} holds absolute paths, make them relative to data_root'
        elif ' ' in paths[0]:
            fix += '; in a line with a tab, all that stands before the tab is one path'
        elif kind == 'mask':
            fix += ', or set labeled=False if these images have no masks'
        elif not suffix_of(paths[0], (*self.img_suffix, *IMAGE_SUFFIXES)):
            fix = f'looked for {paths[0]} + {" or ".join(self.img_suffix)} (img_suffix); {fix}'
        raise FileNotFoundError(
            f'{self.dataset_name}: {kind} {paths[0]} not found in {folder or os.getcwd()} '
            f'({len(paths)} of {total} {kind}s missing){hint}; {fix}{self._source_hint()}'
        )

    def _source_hint(self) -> str:
        return f'; {self.SOURCE_HINT}' if self.SOURCE_HINT else ''
