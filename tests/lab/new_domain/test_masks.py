"""Values of masks become classes, or it is said what to write."""

import numpy as np
import pytest
from PIL import Image

from cct_mm.lab.new_domain.masks import assign, look_at_masks, parse_classes


def masks_of(folder, *values):
    return look_at_masks([folder.mask(f'{i}.png', v) for i, v in enumerate(values)])


class TestClassesByValues:
    @pytest.mark.parametrize(
        ('values', 'names', 'class_of'),
        [
            ((0, 1, 2), 'abc', {0: 0, 1: 1, 2: 2}),
            ((0, 1), 'abc', {0: 0, 1: 1, 2: 2}),
            ((0, 1, 255), 'ab', {0: 0, 1: 1, 255: 255}),
            ((0, 255), 'ab', {0: 0, 255: 1}),
            ((1, 2, 3), 'abc', {1: 0, 2: 1, 3: 2}),
            ((1, 2, 3, 255), 'abc', {1: 0, 2: 1, 3: 2, 255: 255}),
            ((0, 100, 200), 'abc', {0: 0, 100: 1, 200: 2}),
            ((0, 7, 9), ('a=0', 'b=9'), {0: 0, 9: 1, 7: 255}),
            ((0, 7, 9), ('a=0', 'b=7', 'b=9'), {0: 0, 7: 1, 9: 1}),
        ],
    )
    def test_of_values(self, folder, values, names, class_of):
        assert assign(tuple(names), masks_of(folder, values)).class_of == class_of

    def test_only_values_that_are_no_class_themselves_are_mapped(self, folder):
        assert assign('abc', masks_of(folder, (0, 1, 2, 255))).label_map == {}
        assert assign('ab', masks_of(folder, (0, 255))).label_map == {255: 1}

    @pytest.mark.parametrize(
        ('values', 'names', 'says'),
        [
            ((0, 1, 2), 'ab', 'hold 3 values for 2 classes: 0 (33.3%)'),
            ((0, 1, 255), 'abc', '255 may stand for c or for no class'),
            ((5, 6), ('a=1', 'b=2'), 'none of the values of --classes'),
            ((0, 1), 'a', 'single class'),
            ((0, 1), 'aa', 'repeated names'),
            ((0, 1), ('a=0', 'b'), 'b has no value'),
            ((0, 1), ('a=0', 'b=0'), '0 is the value of two classes'),
            ((0, 1), ('a=0', 'b=1.5'), 'b=1.5: expected a value'),
            ((0, 1), ('a=0', 'b=1,2,300'), 'b=1,2,300: expected a value'),
        ],
    )
    def test_that_are_not_clear(self, folder, values, names, says):
        with pytest.raises(ValueError) as caught:
            assign(tuple(names), masks_of(folder, values))
        assert says in str(caught.value)

    def test_proposal_is_what_is_understood(self, folder):
        masks = masks_of(folder, (0, 3, 9, 255))
        with pytest.raises(ValueError, match='name as many') as caught:
            assign('ab', masks)
        words = str(caught.value).partition('--classes ')[2].partition(' (')[0].split()
        assert words == ['a=0', 'b=3', 'name2=9']
        assert assign(words, masks).class_of == {0: 0, 3: 1, 9: 2, 255: 255}


class TestColors:
    SKY, ROAD = (0, 0, 255), (128, 64, 128)

    @pytest.mark.parametrize('road', ['128,64,128', '#804080', '#804080'.upper()])
    def test_stand_for_classes(self, folder, road):
        masks = masks_of(folder, (self.SKY, self.ROAD))
        classes = assign(('sky=0,0,255', f'road={road}'), masks)
        assert classes.class_of == {0x0000FF: 0, 0x804080: 1}
        assert masks.in_colors and masks.palette[0x804080] == self.ROAD

    def test_have_no_order(self, folder):
        with pytest.raises(ValueError, match='a=0,0,255 b=128,64,128'):
            assign('ab', masks_of(folder, (self.SKY, self.ROAD)))

    def test_with_equal_channels_are_values(self, folder):
        masks = masks_of(folder, ((0, 0, 0), (1, 1, 1)), ((0, 0, 0), (255, 255, 255)))
        assert masks.in_colors and not masks.colors
        assert assign('ab', masks).class_of == {0: 0, 1: 1, 255: 255}

    @pytest.mark.parametrize('white', ['255,255,255', '#ffffff', '255'])
    def test_with_equal_channels_are_named_as_colors_or_values(self, folder, white):
        masks = masks_of(folder, ((0, 0, 0), (7, 7, 7), (255, 255, 255)))
        classes = assign(('background=0,0,0', f'object={white}'), masks)
        assert classes.class_of == {0: 0, 255: 1, 7: 255}

    def test_with_equal_channels_and_named_twice_are_of_one_class(self, folder):
        masks = masks_of(folder, ((0, 0, 0), (7, 7, 7)))
        with pytest.raises(ValueError, match='7 and 7,7,7 are the same value'):
            assign(('a=0', 'b=7', 'c=7,7,7'), masks)

    def test_of_a_palette_are_kept(self, folder, tmp_path):
        picture = Image.fromarray(np.array([[0, 1]], np.uint8))
        picture.putpalette([9, 8, 7, 1, 2, 3])
        picture.save(tmp_path / 'p.png')
        masks = look_at_masks([str(tmp_path / 'p.png')])
        assert not masks.in_colors and masks.palette[1] == (1, 2, 3)


def test_pixels_are_counted(folder):
    masks = masks_of(folder, (0, 1), (1,))
    assert masks.pixels() == {0: 12 * 16, 1: 12 * 16 + 24 * 16}


def test_unreadable_masks_are_told_and_others_stay(folder, tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'x')
    paths = [folder.mask('0.png'), str(tmp_path / 'broken.png')]
    masks = look_at_masks(paths)
    assert list(masks.values) == paths[:1] and list(masks.unreadable) == paths[1:]
    with pytest.raises(ValueError, match='none of 1 can be read'):
        look_at_masks(paths[1:])


def test_jpegs_hold_no_labels(folder):
    with pytest.raises(ValueError, match='with losses'):
        look_at_masks([folder.mask('0.jpg')])


def test_names_in_their_order():
    assert parse_classes(['b', 'a']) == (('b', 'a'), None)
    assert parse_classes(['b=2', 'a=1', 'b=3']) == (('b', 'a'), {2: 0, 1: 1, 3: 0})
