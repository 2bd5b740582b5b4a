"""Images that are missing, damaged, or of a type that is not what one would think."""

import os
from functools import partial

import cv2
import numpy as np
import PIL.Image
import pytest
from bad_inputs import Case, parametrize, trains_as_usual, trains_like, works
from damaged_files import (
    HTML,
    LFS_POINTER,
    cut,
    encoded,
    encoded_by_cv2,
    of_huge_size,
    turned,
    with_wrong_checksum,
    zero_middle,
)

NO_IMAGE = ('no image', 'not an image', 'decode', 'identify', 'html', 'lfs')
DAMAGED = ('damaged', 'corrupt', 'truncated', 'decode', 'crc')


def in_place(content):
    """Put other bytes into the file a1.png."""

    def make(lab):
        lab.image().write_bytes(content(lab) if callable(content) else content)

    return make


def as_file(suffix, encode, names=('a1',)):
    """Encode images anew, under another suffix."""

    def make(lab):
        for name in names:
            lab.replace(lab.image(name), suffix, encode(lab.pixels(name)))

    return make


def jpeg(lab, name='a1', **options):
    return lab.replace(
        lab.image(name), '.jpg', encoded(lab.pixels(name), 'JPEG', quality=95, **options)
    )


def remove(lab, name='a1'):
    lab.image(name).unlink()


def truncated_jpeg(lab, name='a1'):
    cut(jpeg(lab, name))


def damaged_jpeg(lab, name='a1'):
    zero_middle(jpeg(lab, name))


def truncated_progressive_jpeg(lab):
    cut(jpeg(lab, progressive=True))


def truncated_png(lab):
    cut(lab.image())


def truncated_tiff(lab):
    cut(lab.replace(lab.image(), '.tif', encoded(lab.pixels(), 'TIFF')), 0.9)


def folder(lab):
    remove(lab)
    lab.image().mkdir()


def broken_link(lab):
    remove(lab)
    lab.image().symlink_to(lab.data / 'moved/a1.png')


def unreadable(lab):
    if os.geteuid() == 0:
        pytest.skip('root reads every file')
    lab.image().chmod(0)


def deep(scale, dtype=np.uint16):
    return lambda pixels: encoded_by_cv2(pixels.astype(dtype) * dtype(scale), '.png')


def grey(pixels):
    return pixels.mean(axis=-1).astype(np.uint8)


def with_alpha(image):
    alpha = np.broadcast_to(np.arange(image.shape[1]) * 3, image.shape[:2]).astype(np.uint8)
    channels = image if image.ndim == 3 else image[..., None]
    return np.concatenate([channels, alpha[..., None]], axis=-1)


def grey_alpha_png(pixels):
    image = with_alpha(grey(pixels))
    return encoded(
        PIL.Image.merge('LA', [PIL.Image.fromarray(image[..., i]) for i in (0, 1)]), 'PNG'
    )


def grey_rgb_png(pixels):
    return encoded(np.repeat(grey(pixels)[..., None], 3, axis=-1), 'PNG')


def palette_image(pixels):
    return PIL.Image.fromarray(pixels).quantize(32)


def palette_png(pixels):
    return encoded(palette_image(pixels), 'PNG', transparency=bytes(range(0, 256, 8)))


def quantized_png(pixels):
    return encoded(palette_image(pixels).convert('RGB'), 'PNG')


def one_bit(pixels):
    return PIL.Image.fromarray(grey(pixels)).convert('1')


def cmyk(pixels):
    return encoded(PIL.Image.fromarray(pixels).convert('CMYK'), 'JPEG', quality=95)


def decoded_png(content):
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return encoded(pixels[..., ::-1].copy(), 'PNG')


def animated(kind):
    def encode(pixels):
        frames = [PIL.Image.fromarray(pixels), PIL.Image.fromarray(pixels[::-1].copy())]
        options = {'lossless': True} if kind == 'WEBP' else {}
        return encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options
        )

    return encode


def float_tiff(pixels):
    return encoded_by_cv2((pixels / 255).astype(np.float32), '.tiff')


def turned_file(orientation, kind, **options):
    return lambda pixels: turned(pixels, orientation, kind, **options)


def not_turned_jpeg(lab, name='a1'):
    jpeg(lab, name)


def turned_jpeg(lab, orientation, name='a1'):
    path = lab.replace(lab.image(name), '.jpg', turned(lab.pixels(name), orientation, quality=95))
    assert PIL.Image.open(path).getexif()[0x0112] == orientation


ORIENTATION = ('orientation', 'exif')
LOSSLESS = {'BMP': '.bmp', 'TIFF': '.tif', 'PPM': '.ppm'}

CASES = [
    Case('missing', 'missing image', remove, says=['a1.png', ('not found', 'missing', 'exist')],
         quick=True),
    Case('missing-unlabeled', 'missing image', lambda lab: remove(lab, 'u1'),
         says=['u1.png', ('not found', 'missing', 'exist')]),
    Case('missing-val', 'missing image', lambda lab: remove(lab, 'v1'),
         says=['v1.png', ('not found', 'missing', 'exist')]),
    Case('missing-check', 'missing image', remove, 'check_data', says=['a1.png'], quick=True),
    Case('empty', 'empty file', in_place(b''), says=['a1.png', ('empty', '0 bytes')], early=False,
         quick=True),
    Case('truncated-jpeg', 'truncated JPEG', truncated_jpeg, says=['a1.jpg', 'truncated'],
         early=False, quick=True),
    Case('truncated-progressive-jpeg', 'truncated JPEG', truncated_progressive_jpeg,
         says=['a1.jpg', DAMAGED], early=False),
    Case('truncated-jpeg-val', 'truncated JPEG', lambda lab: truncated_jpeg(lab, 'v0'),
         says=['v0.jpg', 'truncated'], early=False),
    Case('truncated-jpeg-check', 'truncated JPEG', truncated_jpeg, 'check_data',
         says=['a1.jpg', DAMAGED]),
    Case('damaged-jpeg', 'JPEG damaged in the middle', damaged_jpeg, says=['a1.jpg', DAMAGED],
         early=False, quick=True),
    Case('damaged-jpeg-unlabeled', 'JPEG damaged in the middle',
         lambda lab: damaged_jpeg(lab, 'u0'), says=['u0.jpg', DAMAGED], early=False),
    Case('damaged-jpeg-check', 'JPEG damaged in the middle', damaged_jpeg, 'check_data',
         says=['a1.jpg', DAMAGED], quick=True),
    Case('truncated-png', 'truncated PNG', truncated_png, says=['a1.png', 'truncated'],
         early=False),
    Case('truncated-tiff', 'truncated TIFF', truncated_tiff, says=['a1.tif', DAMAGED],
         early=False),
    Case('png-checksum', 'PNG with a wrong checksum',
         in_place(lambda lab: with_wrong_checksum(lab.image().read_bytes())),
         says=['a1.png', DAMAGED], early=False),
    Case('html', 'web page named .png', in_place(HTML), says=['a1.png', NO_IMAGE], early=False),
    Case('lfs-pointer', 'pointer of Git LFS', in_place(LFS_POINTER),
         says=['a1.png', NO_IMAGE], early=False),
    Case('text-of-json', 'text named .png', in_place(b'{"image": 1}'), 'check_data',
         says=['a1.png', NO_IMAGE]),
    Case('folder', 'folder named like an image', folder,
         says=['a1.png', ('folder', 'directory', 'no file', 'not a file', 'not found')],
         early=False, quick=True),
    Case('broken-link', 'broken link', broken_link, says=['a1.png', ('link', 'exist', 'found')],
         early=False),
    Case('no-permission', 'unreadable file', unreadable, says=['a1.png', 'permission'],
         early=False),
    Case('huge', 'huge declared size',
         in_place(lambda lab: of_huge_size(lab.image().read_bytes())), says=['a1.png'],
         early=False),
    # Other types: the right pixels, or a refusal that names the type.
    Case('16-bit', '16-bit image', as_file('.png', deep(257)), says=['a1.png', '16'],
         value=trains_as_usual, early=False),
    Case('8-in-16-bit', '8-bit values in 16 bits', as_file('.png', deep(1)),
         says=['a1.png', '16'], value=trains_as_usual, early=False, quick=True),
    Case('12-in-16-bit', '12-bit values in 16 bits', as_file('.png', deep(16)),
         says=['a1.png', '16'], value=trains_as_usual, early=False),
    Case('8-in-16-bit-unlabeled', '8-bit values in 16 bits', as_file('.png', deep(1), ['u0']),
         says=['u0.png', '16'], value=trains_as_usual, early=False),
    Case('12-in-16-bit-check', '12-bit values in 16 bits', as_file('.png', deep(16)),
         'check_data', warns=['a1.png', '16']),
    Case('float-tiff', 'float image', as_file('.tiff', float_tiff), says=['a1.tif', 'float'],
         value=trains_as_usual, early=False),
    Case('cmyk', 'CMYK JPEG', as_file('.jpg', cmyk),
         value=trains_like(as_file('.png', lambda pixels: decoded_png(cmyk(pixels))))),
    Case('grey', 'grey image', as_file('.png', lambda pixels: encoded(grey(pixels), 'PNG')),
         value=trains_like(as_file('.png', grey_rgb_png)), quick=True),
    Case('grey-alpha', 'grey image with alpha', as_file('.png', grey_alpha_png),
         value=trains_like(as_file('.png', grey_rgb_png))),
    Case('alpha', 'alpha channel',
         as_file('.png', lambda pixels: encoded(with_alpha(pixels), 'PNG')),
         value=trains_as_usual),
    Case('palette', 'palette with transparency', as_file('.png', palette_png),
         value=trains_like(as_file('.png', quantized_png))),
    Case('1-bit', '1-bit image', as_file('.png', lambda pixels: encoded(one_bit(pixels), 'PNG')),
         value=trains_like(
             as_file('.png', lambda pixels: encoded(one_bit(pixels).convert('RGB'), 'PNG')))),
    *[
        Case(f'exif-{orientation}', 'EXIF orientation',
             partial(turned_jpeg, orientation=orientation), says=['a1.jpg', ORIENTATION],
             value=trains_like(jpeg), early=False, quick=orientation == 3)
        for orientation in (2, 3, 6, 8)
    ],
    Case('exif-1', 'EXIF without a turn', partial(turned_jpeg, orientation=1),
         value=trains_like(jpeg)),
    Case('exif-png', 'EXIF orientation of a PNG', as_file('.png', turned_file(3, 'PNG')),
         says=['a1.png', ORIENTATION], value=trains_as_usual, early=False),
    Case('exif-tiff', 'orientation of a TIFF', as_file('.tif', turned_file(3, 'TIFF')),
         says=['a1.tif', ORIENTATION], value=trains_as_usual, early=False),
    Case('exif-webp', 'EXIF orientation of a WebP',
         as_file('.webp', turned_file(3, 'WEBP', lossless=True)),
         says=['a1.webp', ORIENTATION], value=trains_as_usual, early=False),
    Case('exif-check', 'EXIF orientation', partial(turned_jpeg, orientation=6), 'check_data',
         warns=['a1.jpg', ORIENTATION]),
    Case('exif-unlabeled', 'EXIF orientation', partial(turned_jpeg, orientation=3, name='u0'),
         value=trains_like(lambda lab: jpeg(lab, 'u0')), says=['u0.jpg', ORIENTATION],
         early=False),
    Case('animated-webp', 'animated image', as_file('.webp', animated('WEBP')),
         says=['a1.webp'], value=trains_as_usual, early=False),
    Case('multi-page-tiff', 'several pages', as_file('.tif', animated('TIFF')),
         says=['a1.tif'], value=trains_as_usual, early=False),
    *[
        Case(kind.lower(), f'{kind} file',
             as_file(suffix, partial(encoded, kind=kind)), value=trains_as_usual)
        for kind, suffix in LOSSLESS.items()
    ],
    Case('png-named-jpg', 'suffix of another type',
         lambda lab: lab.replace(lab.image(), '.jpg'), value=trains_as_usual, quick=True),
    Case('jpeg-named-png', 'suffix of another type',
         in_place(lambda lab: encoded(lab.pixels(), 'JPEG', quality=98)),
         value=trains_like(as_file('.png', lambda pixels: decoded_png(
             encoded(pixels, 'JPEG', quality=98))))),
    Case('upper-case', 'suffix in upper case', lambda lab: lab.replace(lab.image(), '.PNG'),
         value=trains_as_usual),
    Case('truncated-in-test', 'truncated JPEG',
         lambda lab: (lab.trained(), truncated_jpeg(lab, 'v1')), 'test',
         says=['v1.jpg', 'truncated'], early=False),
    Case('turned-in-test', 'EXIF orientation in evaluation',
         lambda lab: (lab.trained(), turned_jpeg(lab, 3, 'v1')), 'test',
         says=['v1.jpg', ORIENTATION],
         value=lambda lab, run: evaluates_like(lab, lambda other: jpeg(other, 'v1')), early=False),
    Case('16-bit-in-test', '8-bit values in 16 bits',
         lambda lab: (lab.trained(), as_file('.png', deep(1), ['v1'])(lab)), 'test',
         says=['v1.png', '16'], value=lambda lab, run: evaluates_like(lab, lambda other: None),
         early=False),
    Case('truncated-in-pseudo', 'truncated JPEG',
         lambda lab: (lab.trained(), truncated_jpeg(lab, 'u0')), 'pseudo_labels_of_segmentor',
         says=['u0.jpg', 'truncated'], quick=True),
    Case('skipped-in-pseudo', 'truncated JPEG, skipped',
         lambda lab: (lab.trained(), truncated_jpeg(lab, 'u0')), 'pseudo_labels_of_segmentor',
         args=['--on-error', 'skip'], value=lambda lab, run: only_u1_is_labeled(lab, run)),
    Case('16-bit-in-pseudo', '8-bit values in 16 bits',
         lambda lab: (lab.trained(), as_file('.png', deep(1), ['u0'])(lab)),
         'pseudo_labels_of_segmentor', says=['u0.png', '16'],
         value=lambda lab, run: labels_like(lab, lambda other: None)),
    Case('turned-in-pseudo', 'EXIF orientation of pseudo-labels',
         lambda lab: (lab.trained(), turned_jpeg(lab, 6, 'u0')), 'pseudo_labels_of_segmentor',
         says=['u0.jpg', ORIENTATION],
         value=lambda lab, run: labels_like(lab, lambda other: jpeg(other, 'u0'))),
    Case('very-small', 'image of one pixel', lambda lab: one_pixel(lab), says=['a1'],
         value=works, early=False),
]  # fmt: skip


def one_pixel(lab):
    PIL.Image.fromarray(lab.pixels()[:1, :1]).save(lab.image())
    PIL.Image.fromarray(lab.labels()[:1, :1]).save(lab.mask())


def evaluates_like(lab, make):
    found = (lab.root / 'metrics.json').read_text()
    other = lab.another()
    other.trained()
    make(other)
    run = other.test()
    assert run.code == 0, run.output
    assert (other.root / 'metrics.json').read_text() == found


def only_u1_is_labeled(lab, run):
    assert sorted(path.name for path in (lab.root / 'pseudo').glob('**/*.png')) == ['u1.png']
    assert '1 skipped' in run.output
    assert 'u0.jpg' in run.output


def labels_like(lab, make):
    other = lab.another()
    other.trained()
    make(other)
    run = other.pseudo_labels_of_segmentor()
    assert run.code == 0, run.output
    for name in ('u0', 'u1'):
        found, expected = (
            np.asarray(PIL.Image.open(folder.root / f'pseudo/images/{name}.png'))
            for folder in (lab, other)
        )
        assert found.shape == expected.shape
        assert (found != expected).mean() < 0.02, name


@parametrize('images', CASES)
def test_image(lab, case):
    lab.check(case)
