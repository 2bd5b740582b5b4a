"""Image-level classification: what is learned, from what, and what is passed on."""

import pytest
import torch
from torch.nn import functional as F

from cct_mm.models.segmentors.multi_domain import Batch
from cct_mm.weak.cam import class_activation_maps

HEAD = dict(type='ClassificationHead', in_channels=32)


@pytest.fixture
def classifier(make_model):
    return make_model('ImageClassifier', decode_head=HEAD)


@pytest.fixture
def make_weak(make_data):
    def make(domain='night', images=3, **kwargs):
        data = make_data(domain, labeled=0, unlabeled=images, **kwargs)
        for i, sample in enumerate(data['data_samples']):
            labels = (1 + i % 2, 3) if domain == 'night' else (i % 2,)
            sample.set_metainfo(dict(supervision='weak', image_labels=labels))
        return data

    return make


class TestLoss:
    def test_is_the_binary_cross_entropy_of_a_linear_layer_on_pooled_features(
        self, classifier, make_weak, losses_of, features_of
    ):
        data = make_weak()
        losses = losses_of(classifier, data)
        inputs = classifier.data_preprocessor(data, training=True)['inputs']
        z = features_of(classifier, inputs, 'night')[-1]
        layer = classifier.domains['night'].decode_head.conv_seg
        scores = F.linear(z.mean(dim=(2, 3)), layer.weight[:, :, 0, 0], layer.bias)
        targets = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0]])
        expected = F.binary_cross_entropy_with_logits(scores[:, 1:], targets)
        assert list(losses) == ['night.loss_image_level']
        torch.testing.assert_close(losses['night.loss_image_level'], expected)

    def test_is_the_mean_over_all_images_whatever_their_source(
        self, classifier, make_weak, losses_of
    ):
        data = make_weak(images=4)
        expected = losses_of(classifier, data)
        for sample, supervision in zip(
            data['data_samples'], ('labeled', 'labeled', 'unlabeled', 'weak'), strict=True
        ):
            sample.set_metainfo(dict(supervision=supervision))
        torch.testing.assert_close(losses_of(classifier, data), expected)

    def test_counts_every_class_where_there_is_no_background(
        self, classifier, make_weak, losses_of
    ):
        losses_of(classifier, make_weak('day'))['day.loss_image_level'].backward()
        grad = classifier.domains['day'].decode_head.conv_seg.bias.grad
        assert (grad != 0).all()

    def test_does_not_train_the_score_of_background(self, classifier, make_weak, losses_of):
        losses_of(classifier, make_weak())['night.loss_image_level'].backward()
        grad = classifier.domains['night'].decode_head.conv_seg.bias.grad
        assert grad[0] == 0
        assert (grad[1:] != 0).all()

    def test_does_not_see_padding(self, classifier, make_weak, features_of):
        classifier.eval()
        batch = classifier.data_preprocessor(make_weak(images=1), training=True)
        domain = classifier.domains['night']

        def scores(images, features):
            return classifier.scores(domain, Batch(images, batch['data_samples'], features))

        features = features_of(classifier, batch['inputs'], 'night')
        wider = [F.pad(level, (0, 2, 0, 3), value=100.0) for level in features]
        images = F.pad(batch['inputs'], (0, 16, 0, 24))
        torch.testing.assert_close(scores(images, wider), scores(batch['inputs'], features))


class TestPrediction:
    def test_is_a_probability_for_each_class_of_the_images_domain(self, classifier, make_weak):
        classifier.eval()
        for domain, count in (('day', 3), ('night', 5)):
            for sample in classifier.test_step(make_weak(domain)):
                assert sample.image_scores.shape == (count,)
                assert ((sample.image_scores > 0) & (sample.image_scores < 1)).all()


def test_encoder_initializes_a_segmentor(classifier, make_model, features_of):
    cct = make_model(seed=1)
    found = cct.load_state_dict(classifier.state_dict(), strict=False)
    assert all('decode_head' in key or 'auxiliary' in key for key in found.missing_keys)
    assert all('decode_head' in key for key in found.unexpected_keys)
    x = torch.randn(1, 3, 32, 48)
    outputs = (features_of(model.eval(), x, 'night')[-1] for model in (cct, classifier))
    assert torch.equal(*outputs)


class TestErrors:
    def test_segmentation_head(self, make_model):
        with pytest.raises(TypeError, match='domain day is a SubPixelHead, expected a Classif'):
            make_model('ImageClassifier')

    def test_image_without_image_level_labels(self, classifier, make_data, losses_of):
        data = make_data('day', labeled=0)
        with pytest.raises(ValueError, match=r'day: 0\.png comes without image-level labels'):
            losses_of(classifier, data)


class TestClassActivationMaps:
    @pytest.fixture
    def classifier(self, make_model):
        return make_model('ImageClassifier', decode_head=HEAD).eval()

    @pytest.fixture
    def image(self):
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (3, 40, 56), generator=generator).byte()

    def test_have_the_images_size_and_a_maximum_of_one(self, classifier, image):
        maps = class_activation_maps(classifier, image, 'night', (1, 2, 4))
        assert maps.shape == (3, 40, 56)
        assert maps.min() >= 0
        maxima = maps.amax(dim=(1, 2))
        assert ((maxima - 1).abs().lt(1e-5) | (maxima == 0)).all()

    def test_of_one_scale_are_the_weights_times_z_where_positive(
        self, classifier, image, features_of
    ):
        image = image[:, :32, :48]
        maps = class_activation_maps(classifier, image, 'night', (1, 3), scales=(1,), flip=False)
        inputs = (image.float()[None] - 127) / 64
        z = features_of(classifier, inputs, 'night')[-1]
        weight = classifier.domains['night'].decode_head.conv_seg.weight
        expected = F.conv2d(z, weight).relu()[:, [1, 3]]
        expected = F.interpolate(expected, (32, 48), mode='bilinear')[0]
        expected = expected / expected.amax(dim=(1, 2), keepdim=True).clamp(min=1e-5)
        torch.testing.assert_close(maps, expected.detach())

    def test_of_a_mirrored_image_are_mirrored(self, classifier, image):
        maps = class_activation_maps(classifier, image[:, :32, :48], 'night', (1, 2))
        mirrored = class_activation_maps(classifier, image[:, :32, :48].flip(-1), 'night', (1, 2))
        torch.testing.assert_close(mirrored.flip(-1), maps)

    def test_do_not_depend_on_which_other_classes_are_asked_for(self, classifier, image):
        three = class_activation_maps(classifier, image, 'night', (1, 2, 4))
        (one,) = class_activation_maps(classifier, image, 'night', (2,))
        torch.testing.assert_close(one, three[1])

    def test_of_no_class_are_none(self, classifier, image):
        assert class_activation_maps(classifier, image, 'night', ()).shape == (0, 40, 56)
