"""A batch: which images are in it, where they are valid, and their pseudo-labels."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from cct_mm.models.segmentors.batch import Batch, select

SIZE = (12, 16)
CLASSES = ('background', 'cat', 'cow', 'dog')


def samples_of(*supervisions, sizes=None):
    sizes = sizes or [SIZE] * len(supervisions)
    return [
        SegDataSample(metainfo=dict(img_shape=size, supervision=kind, domain='day', number=i))
        for i, (kind, size) in enumerate(zip(supervisions, sizes, strict=True))
    ]


def batch_of(samples):
    return Batch(torch.rand(len(samples), 3, *SIZE), samples)


class TestSelect:
    @pytest.mark.parametrize(
        ('supervisions', 'chosen'),
        [
            ('LLUU', [0, 1]),
            ('UULL', [2, 3]),
            ('LULUL', [0, 2, 4]),
            ('LLL', [0, 1, 2]),
            ('UU', []),
        ],
    )
    def test_takes_the_images_of_the_kind_in_their_order(self, supervisions, chosen):
        kinds = {'L': 'labeled', 'U': 'unlabeled'}
        samples = samples_of(*(kinds[letter] for letter in supervisions))
        images = torch.rand(len(samples), 3, *SIZE)
        found = select(images, samples, 'labeled')
        assert torch.equal(found.images, images[chosen])
        assert [sample.metainfo['number'] for sample in found.samples] == chosen
        assert len(found) == len(chosen)

    def test_takes_several_kinds(self):
        samples = samples_of('labeled', 'weak', 'unlabeled')
        images = torch.rand(3, 3, *SIZE)
        assert torch.equal(select(images, samples, 'weak', 'unlabeled').images, images[1:])


class TestAmongNamed:
    PROB = torch.tensor([0.1, 0.2, 0.3, 0.4])[None, :, None, None].repeat(2, 1, 3, 5)

    def named(self, *labels, complete=True):
        samples = samples_of(*['unlabeled'] * len(labels))
        for sample, named in zip(samples, labels, strict=True):
            if named is not None:
                sample.set_metainfo(dict(image_labels=named, image_labels_complete=complete))
        return batch_of(samples)

    def test_gives_the_probability_of_other_classes_to_background_and_those_that_are_named(self):
        found = self.named((1,), (2, 3)).among_named(self.PROB, CLASSES)
        expected = torch.tensor([[1 / 3, 2 / 3, 0, 0], [1 / 8, 0, 3 / 8, 4 / 8]])
        torch.testing.assert_close(found, expected[:, :, None, None].expand(2, 4, 3, 5))

    def test_is_among_the_named_alone_where_no_class_is_background(self):
        streets = ('sky', 'road', 'car', 'tree')
        found = self.named((1,), ()).among_named(self.PROB, streets)
        assert (found[0, 1] == 1).all() and (found[0, [0, 2, 3]] == 0).all()
        torch.testing.assert_close(found[1], self.PROB[1])

    def test_of_no_name_is_background(self):
        found = self.named((), (1, 2, 3)).among_named(self.PROB, CLASSES)
        assert (found[0, 0] == 1).all()
        torch.testing.assert_close(found[1], self.PROB[1])

    @pytest.mark.parametrize(('labels', 'complete'), [((None, None), True), (((1,), (2,)), False)])
    def test_changes_nothing_where_images_may_have_any_class(self, labels, complete):
        batch = self.named(*labels, complete=complete)
        assert torch.equal(batch.among_named(self.PROB, CLASSES), self.PROB)

    def test_leaves_the_images_alone_that_have_no_label(self):
        found = self.named((1,), None).among_named(self.PROB, CLASSES)
        torch.testing.assert_close(found[1], self.PROB[1])
        assert (found[0, 2:] == 0).all()

    def test_of_names_that_may_not_be_all_is_refused(self):
        batch = self.named(None, (1,))
        del batch.samples[1].image_labels_complete
        batch.samples[1].set_metainfo(dict(img_path='b.png'))
        with pytest.raises(
            ValueError, match=r"^day, unlabeled source: b.png .*add 'image_labels_complete' to the"
        ):
            batch.among_named(self.PROB, CLASSES)

    def test_is_a_probability_where_the_network_is_certain_of_another_class(self):
        prob = torch.zeros(1, 4, 3, 5)
        prob[:, 3] = 1
        found = self.named((1,)).among_named(prob, CLASSES)
        torch.testing.assert_close(found[0, :2], torch.full((2, 3, 5), 0.5))


class TestValid:
    def test_is_everything_where_images_have_the_full_size(self):
        valid = batch_of(samples_of('labeled', 'unlabeled')).valid()
        assert torch.equal(valid, torch.ones(2, 1, *SIZE, dtype=torch.bool))

    @pytest.mark.parametrize('filling', [(), (0,), (1, 2), (0, 1, 2)])
    def test_leaves_out_padding_and_filling(self, filling):
        sizes = [(12, 16), (9, 16), (5, 7)]
        samples = samples_of(*['unlabeled'] * 3, sizes=sizes)
        torch.manual_seed(0)
        expected = torch.zeros(3, 1, *SIZE, dtype=torch.bool)
        for i, (sample, (height, width)) in enumerate(zip(samples, sizes, strict=True)):
            filled = torch.zeros(1, height, width, dtype=torch.bool)
            if i in filling:
                filled = torch.rand(1, height, width) < 0.3
                sample.filled = PixelData(data=filled)
            expected[i, :, :height, :width] = ~filled
        assert torch.equal(batch_of(samples).valid(), expected)

    def test_leaves_out_the_filling_of_images_of_the_full_size(self):
        samples = samples_of('unlabeled', 'unlabeled')
        filled = torch.rand(1, *SIZE) < 0.5
        samples[1].filled = PixelData(data=filled)
        valid = batch_of(samples).valid()
        assert valid[0].all()
        assert torch.equal(valid[1], ~filled)


class TestPseudoLabels:
    def test_are_none_without_weak_images(self):
        assert batch_of(samples_of('unlabeled')).pseudo_labels() is None

    def test_are_those_of_the_weak_images_and_255_elsewhere(self):
        samples = samples_of('weak', 'unlabeled', 'weak')
        labels = torch.randint(0, 5, (3, 1, *SIZE))
        for sample, own in zip(samples, labels, strict=True):
            sample.gt_sem_seg = PixelData(data=own)
        found = batch_of(samples).pseudo_labels()
        assert found.dtype == torch.int64
        assert torch.equal(found[[0, 2]], labels[[0, 2], 0])
        assert (found[1] == 255).all()
