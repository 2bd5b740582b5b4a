"""Masks among images are found by their names; images with alike names stay images."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cct_mm.datasets.checks.mask_names import check_no_masks

MASKS = [
    ['a.jpg', 'a.png'],
    ['a.png', 'a_labelTrainIds.png'],
    ['a.png', 'b.png', 'b_mask.png'],
    ['a.jpg', 'a_gt.tif'],
    ['a.jpg', 'b.jpg', 'b_superpixels.png'],
    ['a_sat.jpg', 'a_mask.png'],
    ['a.png', 'a-seg.png'],
    ['a.png', 'a mask.png'],
    ['a.png', 'amask.png'],
    ['img_01.png', 'mask_01.png'],
    ['image0.png', 'image1.png', 'mask0.png', 'mask1.png'],
    ['0001.png', '0001_GT.png'],
    ['x.jpg', 'x.jpg.png'],
    ['ISIC_1.jpg', 'ISIC_1_segmentation.png'],
    ['a.png', 'a_foo.png', 'b.png', 'b_foo.png'],
    ['case1.png', 'case1m.png', 'case2.png', 'case2m.png'],
    ['images/a.png', 'masks/a.png'],
    ['train/1.png', 'trainannot/1.png'],
    ['images/train/1.jpg', 'labels/train/1.jpg'],
    ['JPEGImages/2007_1.jpg', 'SegmentationClass/2007_1.png'],
    ['leftImg8bit/x/x_1_leftImg8bit.png', 'gtFine/x/x_1_gtFine_labelIds.png'],
    ['scene1/image.png', 'scene1/mask.png'],
    ['/labels/day/a_sat.jpg', '/labels/day/a_mask.png'],
]

IMAGES = [
    ['frame_1.png', 'frame_10.png', 'frame_100.png'],
    ['img.png', 'img_2.png', 'img (1).png', 'img_copy.png'],
    ['IMG_1.jpg', 'IMG_1_edited.jpg', 'IMG_2.jpg'],
    ['street.jpg', 'street_night.jpg', 'park.jpg'],
    ['a_left.png', 'a_right.png'],
    ['seq1/1.png', 'seq2/1.png', 'seq3/1.jpg'],
    ['labeled/1.png', 'unlabeled/1.png'],
    ['with_mask_1.jpg', 'without_mask_1.jpg'],
    ['/data/labels/a.png', '/data/labels/b.png'],
    ['2020-01-01 10.00.00.jpg', '2020-01-01 10.00.01.jpg'],
    ['night/a.1.png', 'night/a.2.png'],
    ['a.png'],
]


@pytest.mark.parametrize('images', MASKS, ids=' '.join)
def test_masks_are_found_in_any_order(images):
    for order in (images, images[::-1]):
        with pytest.raises(ValueError, match='look like an image and its mask') as error:
            check_no_masks(order)
        assert re.match(r'(.*) and (.*) look', str(error.value)).groups()[1] in images


@pytest.mark.parametrize('images', IMAGES, ids=' '.join)
def test_images_stay_images(images):
    check_no_masks(images)


@pytest.mark.parametrize(
    ('images', 'settings'),
    [
        (['a_sat.jpg', 'a_mask.png'], "img_suffix='_sat.jpg' and seg_map_suffix='_mask.png'"),
        (['a.jpg', 'a.png'], "img_suffix='.jpg' and seg_map_suffix='.png'"),
        (['a.png', 'a_gt.tif'], "img_suffix='.png' and seg_map_suffix='_gt.tif'"),
    ],
)
def test_error_names_what_to_set(images, settings):
    with pytest.raises(ValueError, match=re.escape(f'{" and ".join(images)} look')) as error:
        check_no_masks(images)
    assert f'such as {settings}' in str(error.value)
    assert 'name all images in a list' in str(error.value)


numbers = st.lists(st.integers(0, 99999), min_size=1, max_size=30, unique=True)
words = st.sampled_from(['frame', 'IMG', 'cam', 'left', 'scene', 'DSC'])


@settings(max_examples=60, deadline=None)
@given(numbers, words, st.sampled_from(['', '_', '-', '.']), st.sampled_from(['.png', '.jpg']))
def test_numbered_frames_are_images(numbers, word, separator, suffix):
    check_no_masks([f'video/{word}{separator}{n}{suffix}' for n in numbers])


@settings(max_examples=60, deadline=None)
@given(numbers, words, st.sampled_from(['_mask', '_gt', '-label', '_seg', '_labelIds']), st.data())
def test_one_mask_among_any_number_of_frames_is_found(numbers, word, ending, data):
    frames = [f'video/{word}_{n}.png' for n in numbers]
    mask = f'video/{word}_{data.draw(st.sampled_from(numbers))}{ending}.png'
    at = data.draw(st.integers(0, len(frames)))
    with pytest.raises(ValueError, match=re.escape(mask)):
        check_no_masks([*frames[:at], mask, *frames[at:]])
