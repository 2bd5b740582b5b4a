"""Images and masks are told apart and paired by their names, whatever the layout."""

import pytest

from cct_mm.lab.new_domain.find import find_files


def pairs(folder, names):
    return [(folder.path(image), folder.path(mask)) for image, mask in names]


LAYOUTS = {
    'folders': [('images/a.jpg', 'masks/a.png'), ('images/b.jpg', 'masks/b.png')],
    'folders of the same suffix': [('img/a.png', 'gt/a.png')],
    'endings': [('a_sat.jpg', 'a_mask.png'), ('b_sat.jpg', 'b_mask.png')],
    'beginnings': [('image0.png', 'mask0.png'), ('image1.png', 'mask1.png')],
    'suffixes': [('a.jpg', 'a.png'), ('b.JPG', 'b.png')],
    'subfolders': [('x/image.png', 'x/mask.png'), ('y/image.png', 'y/mask.png')],
    'splits': [('train/0.jpg', 'trainannot/0.png'), ('val/0.jpg', 'valannot/0.png')],
    'same names in two towns': [
        ('photos/bonn/1.jpg', 'photos/bonn/1_labels.png'),
        ('photos/ulm/1.jpg', 'photos/ulm/1_labels.png'),
    ],
}


@pytest.mark.parametrize('names', LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_in_one_folder(folder, names):
    for name in (name for pair in names for name in pair):
        folder.image(name)
    extra = folder.image('images/unpaired.jpg')
    found = find_files([str(folder)])
    assert found.pairs == pairs(folder, names)
    assert found.unlabeled == [extra] and found.without_image == []


@pytest.mark.parametrize('mask', ['1.png', '1_m.png', 'mask_1.png', 'deep/1.png', '1-class.tif'])
def test_masks_of_a_folder_of_their_own(folder, mask):
    folder.image('photos/1.jpg')
    folder.image('photos/2.jpg')
    folder.image(f'drawn/{mask}')
    found = find_files([folder.path('photos')], [folder.path('drawn')])
    assert found.pairs == pairs(folder, [('photos/1.jpg', f'drawn/{mask}')])
    assert found.unlabeled == [folder.path('photos/2.jpg')]


def test_patterns_choose_and_common_endings_do_not_count(folder):
    for name in ('a/1_x.png', 'a/1_y.png', 'a/1_y_color.png', 'b/2_x.png', 'b/2_y.png'):
        folder.image(name)
    # Only the ends that all have in common tell that they belong together.
    found = find_files([folder.path('**/*_x.png')], [folder.path('**/*_y.png')])
    assert found.pairs == pairs(folder, [('a/1_x.png', 'a/1_y.png'), ('b/2_x.png', 'b/2_y.png')])


def test_further_images_are_unlabeled_though_a_mask_has_their_name(folder):
    for name in ('photos/1.jpg', 'masks/1.png', 'video/1.jpg', 'video/2.jpg'):
        folder.image(name)
    found = find_files([folder.path('photos'), folder.path('masks')], (), [folder.path('video')])
    assert found.pairs == pairs(folder, [('photos/1.jpg', 'masks/1.png')])
    assert found.unlabeled == [folder.path('video/1.jpg'), folder.path('video/2.jpg')]


def test_masks_of_no_image_are_told(folder):
    for name in ('images/1.jpg', 'masks/1.png', 'masks/7.png'):
        folder.image(name)
    found = find_files([str(folder)])
    assert found.without_image == [folder.path('masks/7.png')]


def refused(*arguments):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        find_files(*arguments)
    return str(caught.value)


def test_nothing_there(folder):
    assert 'nowhere has no images' in refused([folder.path('nowhere')])


def test_no_masks(folder):
    folder.image('1.jpg')
    assert '--masks' in refused([str(folder)])


def test_masks_of_other_images(folder):
    folder.image('photos/1.jpg')
    folder.image('drawn/x.png')
    assert 'none of 1 masks' in refused([folder.path('photos')], [folder.path('drawn')])


def test_two_images_for_a_mask(folder):
    for name in ('photos/1.jpg', 'video/1.jpg', 'drawn/1.png'):
        folder.image(name)
    places = [folder.path('photos'), folder.path('video')]
    assert '--unlabeled' in refused(places, [folder.path('drawn')])


def test_two_masks_for_an_image(folder):
    for name in ('a.jpg', 'a_mask.png', 'a_labels.png'):
        folder.image(name)
    message = refused([str(folder)])
    assert 'a_mask.png' in message and 'a_labels.png' in message and '--masks' in message


def test_masks_left_among_the_images(folder):
    for i in range(4):
        for name in (f'{i}.jpg', f'{i}_mask.png', f'{i}_edges.png'):
            folder.image(name)
    assert '0_edges.png' in refused([str(folder)])
