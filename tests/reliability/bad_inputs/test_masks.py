"""Masks that are missing, damaged, or hold something other than the labels of their image."""

import json
from functools import partial

import numpy as np
import PIL.Image
from bad_inputs import Case, parametrize, trains_as_usual, trains_like, works
from damaged_files import (
    HTML,
    LFS_POINTER,
    cut,
    encoded,
    encoded_by_cv2,
    turned,
    with_wrong_checksum,
)

ALL = ('a0', 'a1', 'a2', 'a3', 'v0', 'v1')
NO_IMAGE = ('no image', 'not an image', 'decode', 'identify', 'truncated', 'html', 'lfs')
TWO_CLASSES = """
for source in (train_labeled, train_unlabeled, evaluated):
    source['metainfo'] = dict(classes=('other', 'road'), palette=[[0, 0, 0], [9, 9, 9]])
del source
model['domains']['scene'] = dict(classes=('other', 'road'), foreground=('road',))
"""


def write(lab, labels, name='a1'):
    PIL.Image.fromarray(labels).save(lab.mask(name))


def map_all(lab, values, names=ALL):
    """Give every mask other labels: one for each class."""
    for name in names:
        write(lab, np.asarray(values, np.uint8)[lab.labels(name)], name)


def as_file(suffix, encode, name='a1'):
    def make(lab):
        lab.replace(lab.mask(name), suffix, encode(lab.labels(name)))

    return make


def in_place(content, name='a1'):
    def make(lab):
        lab.mask(name).write_bytes(content(lab) if callable(content) else content)

    return make


def pixel(value, dtype, suffix='.png'):
    """Set one pixel of a mask of another type."""

    def encode(labels):
        labels = labels.astype(dtype)
        labels[5, 7] = value
        return encoded_by_cv2(labels, suffix) if suffix == '.tiff' else encoded(labels, 'PNG')

    return as_file(suffix, encode)


def negative_tiff(labels):
    labels = labels.astype(np.int32)
    labels[5, 7] = -1
    return encoded(PIL.Image.fromarray(labels), 'TIFF')


def palette(labels):
    image = PIL.Image.fromarray(labels, 'P')
    image.putpalette([7, 7, 7, 90, 90, 90, 200, 0, 0] + [0] * 759)
    return encoded(image, 'PNG')


def rgb(labels):
    colours = np.array([[0, 0, 200], [90, 90, 90], [0, 200, 0]], np.uint8)
    return encoded(colours[labels], 'PNG')


def grey_alpha(labels):
    image = PIL.Image.fromarray(labels)
    return encoded(PIL.Image.merge('LA', [image, PIL.Image.new('L', image.size, 255)]), 'PNG')


def one_bit(lab):
    image = PIL.Image.fromarray((lab.labels() == 1).astype(np.uint8) * 255).convert('1')
    lab.mask().write_bytes(encoded(image, 'PNG'))


def one_bit_as_8(lab):
    write(lab, (lab.labels() == 1).astype(np.uint8))


def two_classes(lab, values):
    lab.append(TWO_CLASSES)
    map_all(lab, values)


def void_images(lab, names):
    for name in names:
        write(lab, np.full_like(lab.labels(name), 255), name)


def without_tree_in(lab, names):
    for name in names:
        labels = lab.labels(name).copy()
        labels[labels == 2] = 255
        write(lab, labels, name)


def reduced_zero(lab, values):
    two_classes(lab, values)
    lab.change("ann_file='train.txt',", "ann_file='train.txt', reduce_zero_label=True,")
    lab.change("ann_file='val.txt',", "ann_file='val.txt', reduce_zero_label=True,")


def one_class(lab):
    two_classes(lab, [0, 0, 0])


def config_of_one_class(lab):
    two_classes(lab, [0, 0, 0])
    lab.change("('other', 'road')", "('other',)")
    lab.change('[[0, 0, 0], [9, 9, 9]]', '[[0, 0, 0]]')
    lab.change("foreground=('road',)", "foreground=('other',)")


def swapped(lab):
    lab.change('images/a1.png masks/a1.png', 'masks/a1.png images/a1.png', 'data/train.txt')


def of_larger_image(lab):
    write(lab, np.repeat(np.repeat(lab.labels(), 2, 0), 2, 1))


def transposed(lab):
    write(lab, np.ascontiguousarray(lab.labels().T))


def damaged_where_nothing_reads(lab):
    lab.mask('u0').write_bytes(HTML)
    lab.mask('u1').unlink()
    (lab.data / 'unlabeled.txt').write_text(
        'images/u0.png masks/u0.png\nimages/u1.png masks/u1.png\n'
    )


def void_label(lab):
    lab.change('labeled=True', 'labeled=True, ignore_index=255')
    write(lab, np.where(lab.labels() == 2, 255, lab.labels()).astype(np.uint8))


def share_of_ground(lab, run):
    """The manifest's share of class 1 is that of the pixels."""
    manifest = json.loads((lab.root / 'splits/manifest.json').read_text())
    masks = [lab.labels(f'a{i}').astype(int) for i in range(4)]
    expected = np.mean([mask == 1 for mask in masks])
    assert abs(manifest['splits']['all']['pixel_share'][1] - expected) < 1e-4, manifest['splits']


def two_class_splits(lab):
    for name in ('a0', 'a1', 'a2', 'a3'):
        image = PIL.Image.fromarray((lab.labels(name) == 1).astype(np.uint8) * 255).convert('1')
        lab.mask(name).write_bytes(encoded(image, 'PNG'))


SIZES = ['48', '64']
ABSENT = ('no labeled pixel', 'no pixel', 'absent', 'never', 'without', 'occurs in no', 'nowhere')
ABSENT_ROAD, ABSENT_TREE = ['road', ABSENT], ['tree', ABSENT]

CASES = [
    Case('missing', 'missing mask', lambda lab: lab.mask().unlink(),
         says=['a1.png', ('not found', 'missing', 'exist')], quick=True),
    Case('missing-val', 'missing mask', lambda lab: lab.mask('v0').unlink(),
         says=['v0.png', ('not found', 'missing', 'exist')]),
    Case('missing-splits', 'missing mask', lambda lab: lab.mask().unlink(), 'make_splits',
         says=['a1.png', ('not found', 'missing', 'exist')], quick=True),
    Case('missing-check', 'missing mask', lambda lab: lab.mask().unlink(), 'check_data',
         says=['a1.png']),
    Case('empty', 'empty file', in_place(b''), says=['a1.png'], early=False),
    Case('html', 'web page named .png', in_place(HTML), says=['a1.png', NO_IMAGE], early=False),
    Case('lfs-pointer', 'pointer of Git LFS', in_place(LFS_POINTER), says=['a1.png', NO_IMAGE],
         early=False),
    Case('truncated', 'truncated PNG', lambda lab: cut(lab.mask()), says=['a1.png'], early=False),
    Case('truncated-splits', 'truncated PNG', lambda lab: cut(lab.mask()), 'make_splits',
         says=['a1.png']),
    Case('checksum', 'PNG with a wrong checksum',
         in_place(lambda lab: with_wrong_checksum(lab.mask().read_bytes())), says=['a1.png'],
         early=False),
    Case('larger', 'mask of another size', of_larger_image, says=['a1.png', '96', '128'],
         early=False),
    Case('transposed', 'mask of another size', transposed, says=['a1.png', *SIZES], early=False,
         quick=True),
    Case('transposed-check', 'mask of another size', transposed, 'check_data',
         says=['a1.png', *SIZES]),
    Case('rgb', 'mask of colours', as_file('.png', rgb), says=['a1.png', ('channels', 'color')],
         early=False, quick=True),
    Case('rgb-splits', 'mask of colours', as_file('.png', rgb), 'make_splits',
         says=['a1.png', ('channels', 'color')]),
    Case('grey-alpha', 'mask with alpha', as_file('.png', grey_alpha), says=['a1.png', 'channels'],
         value=trains_as_usual, early=False),
    Case('jpeg', 'mask compressed with losses',
         as_file('.jpg', partial(encoded, kind='JPEG', quality=60)),
         says=['a1.jpg', ('jpeg', 'losses', 'label')], early=False, quick=True),
    Case('jpeg-named-png', 'mask compressed with losses',
         in_place(lambda lab: encoded(lab.labels(), 'JPEG', quality=60)),
         says=['a1.png', ('jpeg', 'losses', 'label')], early=False),
    Case('jpeg-splits', 'mask compressed with losses',
         as_file('.jpg', partial(encoded, kind='JPEG', quality=60)), 'make_splits',
         says=['a1.jpg', ('jpeg', 'losses', 'label')]),
    Case('nan', 'NaN in a float mask', pixel(np.nan, np.float32, '.tiff'), says=['a1.tiff', 'nan'],
         early=False, quick=True),
    Case('half', 'fraction in a float mask', pixel(0.5, np.float32, '.tiff'),
         says=['a1.tiff', '0.5'], early=False),
    Case('half-splits', 'fraction in a float mask', pixel(0.5, np.float32, '.tiff'), 'make_splits',
         says=['a1.tiff', '0.5']),
    Case('half-check', 'fraction in a float mask', pixel(0.5, np.float32, '.tiff'), 'check_data',
         says=['a1.tiff', '0.5']),
    Case('infinity', 'infinity in a float mask', pixel(np.inf, np.float32, '.tiff'),
         says=['a1.tiff', 'inf'], early=False),
    Case('whole-floats', 'float mask of whole numbers', pixel(1, np.float32, '.tiff'),
         says=['a1.tiff', 'float'], value=trains_like(pixel(1, np.uint8)), early=False),
    Case('1-bit', '1-bit mask', one_bit, value=trains_like(one_bit_as_8)),
    Case('1-bit-splits', '1-bit mask in splits', two_class_splits, 'make_splits',
         value=share_of_ground, quick=True),
    Case('16-bit', '16-bit mask', pixel(1, np.uint16), value=trains_like(pixel(1, np.uint8))),
    Case('256', 'label beyond 8 bits', pixel(256, np.uint16), says=['a1.png', '256'], early=False,
         quick=True),
    Case('256-splits', 'label beyond 8 bits', pixel(256, np.uint16), 'make_splits',
         says=['a1.png', '256']),
    Case('65535', 'label beyond 8 bits', pixel(65535, np.uint16), says=['a1.png', '65535'],
         early=False),
    Case('negative', 'negative label', as_file('.tif', negative_tiff), says=['a1.tif', '-1'],
         early=False),
    Case('out-of-range', 'label out of range', pixel(7, np.uint8),
         says=['a1.png', 'label 7', '0-2'], early=False, quick=True),
    Case('out-of-range-val', 'label out of range',
         lambda lab: write(lab, np.full_like(lab.labels('v1'), 3), 'v1'),
         says=['v1.png', 'label 3'], early=False),
    Case('out-of-range-splits', 'label out of range', pixel(7, np.uint8), 'make_splits',
         says=['a1.png', 'label 7']),
    Case('out-of-range-check', 'label out of range', pixel(7, np.uint8), 'check_data',
         says=['a1.png', '7'], quick=True),
    Case('out-of-range-test', 'label out of range',
         lambda lab: (lab.trained(), write(lab, np.full_like(lab.labels('v1'), 3), 'v1')), 'test',
         says=['v1.png', 'label 3'], early=False),
    Case('254', 'label out of range', pixel(254, np.uint8), says=['a1.png', '254'], early=False),
    # Labels that are all in range, and mean nothing.
    Case('0-255', '0 and 255 for two classes', lambda lab: two_classes(lab, [0, 255, 255]),
         warns=[*ABSENT_ROAD, '255'], quick=True),
    Case('0-255-check', '0 and 255 for two classes', lambda lab: two_classes(lab, [0, 255, 255]),
         'check_data', warns=[*ABSENT_ROAD, '255']),
    Case('0-128-255', 'grey levels for three classes', lambda lab: map_all(lab, [0, 128, 255]),
         says=['.png', '128'], early=False),
    Case('one-class', 'masks of one class', one_class, warns=ABSENT_ROAD, quick=True),
    Case('config-of-one-class', 'label space of one class', config_of_one_class,
         warns=[('one class', 'single class', '1 class')]),
    Case('reduce-zero-label', 'reduce_zero_label on 0 and 1',
         lambda lab: reduced_zero(lab, [0, 1, 1]), warns=ABSENT_ROAD),
    Case('reduce-zero-label-right', 'reduce_zero_label on 0, 1 and 2',
         lambda lab: reduced_zero(lab, [0, 1, 2]), value=works),
    Case('absent-in-training', 'class absent in training',
         lambda lab: without_tree_in(lab, ['a0', 'a1', 'a2', 'a3']), warns=ABSENT_TREE),
    Case('absent-in-validation', 'class absent in validation',
         lambda lab: without_tree_in(lab, ['v0', 'v1']), warns=ABSENT_TREE, quick=True),
    Case('absent-in-check', 'class absent in validation',
         lambda lab: without_tree_in(lab, ['v0', 'v1']), 'check_data', warns=['tree']),
    Case('void-mask', 'mask all void', lambda lab: void_images(lab, ['a1']), says=['a1.png'],
         value=works, early=False),
    Case('all-void', 'all masks void', lambda lab: void_images(lab, ['a0', 'a1', 'a2', 'a3']),
         warns=['sky', 'ground', 'tree']),
    Case('void-validation', 'all masks void in validation',
         lambda lab: void_images(lab, ['v0', 'v1']), warns=['sky', 'ground', 'tree']),
    Case('swapped', 'image and mask swapped', swapped, says=['a1.png', ('channels', 'color')],
         early=False),
    Case('palette', 'palette of colours', as_file('.png', palette), value=trains_as_usual,
         quick=True),
    Case('palette-splits', 'palette of colours', as_file('.png', palette), 'make_splits',
         value=share_of_ground),
    Case('tiff', 'mask as TIFF', as_file('.tif', partial(encoded, kind='TIFF')),
         value=trains_as_usual),
    Case('bmp', 'mask as BMP', as_file('.bmp', partial(encoded, kind='BMP')),
         value=trains_as_usual),
    Case('multi-page', 'mask of several pages', as_file('.tif', lambda labels: encoded(
            PIL.Image.fromarray(labels), 'TIFF', save_all=True,
            append_images=[PIL.Image.fromarray(labels[::-1].copy())])),
         says=['a1.tif', 'page'], value=trains_as_usual, early=False),
    Case('turned', 'EXIF orientation of a mask', as_file('.png', partial(
            turned, orientation=3, kind='PNG')),
         says=['a1.png', ('orientation', 'exif')], value=trains_as_usual, early=False),
    Case('unread', 'masks of unlabeled images', damaged_where_nothing_reads, value=trains_as_usual,
         quick=True),
]  # fmt: skip


@parametrize('masks', CASES)
def test_mask(lab, case):
    lab.check(case)
