"""mmseg's own functions on a network of two domains, held to the path of its evaluation."""

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmseg.apis import MMSegInferencer, inference_model, init_model, show_result_pyplot
from mmseg.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[3]
CLASSES = {'day': ('sky', 'ground', 'car'), 'night': ('background', 'lamp', 'cat', 'dog', 'fox')}
SIZES = {'day': (48, 32), 'night': (64, 48)}
"""Width and height at which the network looks at the images of a domain."""
PALETTES = {
    name: [[10 * i, number, 200] for i in range(len(classes))]
    for number, (name, classes) in enumerate(CLASSES.items())
}
METAS = {name: dict(classes=CLASSES[name], palette=PALETTES[name]) for name in CLASSES}
both_domains = pytest.mark.parametrize('domain', SIZES)


def source(root, domain):
    """The test images of a domain, which are larger than what the network looks at."""
    return dict(
        type='ListDataset',
        data_root=str(root / domain),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=METAS[domain],
        test_mode=True,
        pipeline=[
            dict(type='LoadCheckedImage'),
            dict(type='Resize', scale=SIZES[domain], keep_ratio=False),
            dict(type='LoadCheckedAnnotations'),
            dict(type='PackSegInputs'),
        ],
    )


@pytest.fixture
def config(tmp_path, make_model):
    """A whole config as a user has it, with an image of noise for each domain."""
    random = np.random.default_rng(0)
    for domain in SIZES:
        for kind in ('images', 'masks'):
            (tmp_path / domain / kind).mkdir(parents=True)
        image = random.integers(0, 256, (70, 90, 3), np.uint8)
        cv2.imwrite(str(tmp_path / domain / 'images/x.png'), image)
        cv2.imwrite(str(tmp_path / domain / 'masks/x.png'), np.zeros((70, 90), np.uint8))
    domains = {domain: dict(labeled=source(tmp_path, domain)) for domain in SIZES}
    return Config(
        dict(
            model=make_model.config('CCT'),
            test_dataloader=dict(dataset=dict(type='MultiDomainDataset', domains=domains)),
            visualizer=dict(type='SegLocalVisualizer', name=f'of {tmp_path}'),
        )
    )


@pytest.fixture
def checkpoint(tmp_path, make_model):
    path = tmp_path / 'x.pth'
    meta = dict(dataset_meta=dict(domains=METAS, **METAS['day']))
    torch.save(dict(state_dict=make_model('CCT').state_dict(), meta=meta), path)
    return str(path)


@pytest.fixture
def model(config, checkpoint):
    return init_model(config, checkpoint, device='cpu')


def image_of(tmp_path, domain):
    return str(tmp_path / domain / 'images/x.png')


def evaluated(model, config, domain):
    """What the network predicts when it is tested, by the data set of the same config."""
    dataset = DATASETS.build(config.test_dataloader.dataset)
    data = pseudo_collate([dataset[list(SIZES).index(domain)]])
    with torch.no_grad():
        (result,) = model.test_step(data)
    assert result.metainfo['domain'] == domain
    return result


@both_domains
class TestFunctions:
    def test_predict_what_a_test_does(self, model, config, tmp_path, domain):
        model.default_domain = domain
        result = inference_model(model, image_of(tmp_path, domain))
        expected = evaluated(model, config, domain)
        assert torch.equal(result.seg_logits.data, expected.seg_logits.data)
        assert result.metainfo['domain'] == domain

    def test_predict_within_a_scope(self, model, config, tmp_path, domain):
        with model.active(domain):
            result = inference_model(model, image_of(tmp_path, domain))
        expected = evaluated(model, config, domain)
        assert torch.equal(result.seg_logits.data, expected.seg_logits.data)

    def test_predict_arrays_and_lists(self, model, config, tmp_path, domain):
        model.default_domain = domain
        image = cv2.imread(image_of(tmp_path, domain))
        results = inference_model(model, [image, image])
        expected = evaluated(model, config, domain).pred_sem_seg.data
        assert all(torch.equal(result.pred_sem_seg.data, expected) for result in results)

    def test_draw_with_the_palette_of_the_domain(self, model, tmp_path, domain):
        model.default_domain = domain
        assert model.dataset_meta == METAS[domain]
        path = image_of(tmp_path, domain)
        result = inference_model(model, path)
        picture = show_result_pyplot(
            model, path, result, opacity=1.0, show=False, draw_gt=False, with_labels=False
        )
        expected = np.array(PALETTES[domain])[result.pred_sem_seg.data[0].numpy()]
        assert np.array_equal(picture, expected)

    def test_take_the_domain_as_an_argument(self, config, checkpoint, tmp_path, domain):
        options = {'model.default_domain': domain}
        model = init_model(config, checkpoint, device='cpu', cfg_options=options)
        result = inference_model(model, image_of(tmp_path, domain))
        assert len(result.seg_logits.data) == len(CLASSES[domain])


@both_domains
class TestInferencer:
    def test_predicts_and_draws_as_the_functions_do(
        self, model, config, checkpoint, tmp_path, domain
    ):
        inferencer = MMSegInferencer(config, checkpoint, device='cpu', show_progress=False)
        inferencer.model.default_domain = domain
        found = inferencer(image_of(tmp_path, domain), return_vis=True, opacity=1.0,
                           with_labels=False)  # fmt: skip
        expected = evaluated(model, config, domain).pred_sem_seg.data[0].numpy()
        assert np.array_equal(found['predictions'], expected)
        # The inferencer keeps of a checkpoint what its first domain looks like, no more.
        assert np.array_equal(found['visualization'], np.array(PALETTES[domain])[expected])

    def test_goes_by_the_domain_of_each_call(self, config, checkpoint, tmp_path, domain):
        inferencer = MMSegInferencer(config, checkpoint, device='cpu', show_progress=False)
        for name in ('day', 'night', domain):
            with inferencer.model.active(name):
                sample = inferencer(image_of(tmp_path, name), return_datasamples=True)
            assert sample.metainfo['domain'] == name
            assert sample.metainfo['img_shape'] == SIZES[name][::-1]


@both_domains
def test_augmentation_averages_five_scales_as_they_are_and_mirrored(model, config, domain):
    runtime = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
    dataset = {**config.test_dataloader.dataset, 'pipeline': runtime.tta_pipeline}
    sample = DATASETS.build(dataset)[list(SIZES).index(domain)]
    sizes = [tuple(image.shape[1:]) for image in sample['inputs']]
    factors = [0.5, 0.5, 0.75, 0.75, 1, 1, 1.25, 1.25, 1.5, 1.5]
    assert sizes == [tuple(int(side * f) for side in SIZES[domain][::-1]) for f in factors]

    network = MODELS.build(dict(runtime.tta_model, module=model))
    with torch.no_grad():
        (found,) = network.test_step(pseudo_collate([sample]))
        versions = [
            model.test_step(dict(inputs=[image], data_samples=[version]))[0].seg_logits.data
            for image, version in zip(sample['inputs'], sample['data_samples'], strict=True)
        ]
    mean = sum(logits.softmax(dim=0) for logits in versions)
    assert torch.equal(found.pred_sem_seg.data[0], mean.argmax(dim=0))
    once = evaluated(model, config, domain)
    assert not torch.equal(found.pred_sem_seg.data, once.pred_sem_seg.data)
    assert torch.equal(found.gt_sem_seg.data, once.gt_sem_seg.data)


class TestNoDomain:
    WAYS = r"with model\.active\('day'\).*model\.default_domain = 'day'.*--cfg-options"

    def test_is_told_by_a_prediction(self, model, tmp_path):
        with pytest.raises(RuntimeError, match=self.WAYS):
            inference_model(model, image_of(tmp_path, 'day'))

    def test_is_told_by_the_inferencer(self, config, checkpoint, tmp_path):
        inferencer = MMSegInferencer(config, checkpoint, device='cpu', show_progress=False)
        with pytest.raises(RuntimeError, match=self.WAYS):
            inferencer(image_of(tmp_path, 'day'))

    def test_is_told_by_drawing(self, model):
        with pytest.raises(RuntimeError, match=self.WAYS):
            model.dataset_meta  # noqa: B018


class TestConfig:
    def test_of_a_user_keeps_its_own_pipeline(self, config, checkpoint):
        own = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
        config.test_pipeline = own
        assert init_model(config, checkpoint, device='cpu').cfg.test_pipeline == own

    def test_serves_two_networks(self, model, config, checkpoint, tmp_path):
        other = init_model(config, checkpoint, device='cpu')
        model.default_domain, other.default_domain = 'day', 'night'
        for network, domain in ((model, 'day'), (other, 'night'), (model, 'day')):
            result = inference_model(network, image_of(tmp_path, domain))
            assert result.metainfo['domain'] == domain

    def test_can_still_be_written_and_read(self, model, config, tmp_path):
        model.default_domain = 'night'
        model.cfg.dump(tmp_path / 'written.py')
        read = Config.fromfile(tmp_path / 'written.py')
        packed = Compose(read.test_pipeline)(dict(img_path=image_of(tmp_path, 'night')))
        assert packed['data_samples'].metainfo['domain'] == 'night'

    def test_still_builds_its_data_set(self, model, config):
        assert 'gt_sem_seg' in DATASETS.build(config.test_dataloader.dataset)[0]['data_samples']

    def test_without_a_domain_of_the_model_is_told(self, config, checkpoint, tmp_path):
        del config.test_dataloader.dataset.domains['night']
        model = init_model(config, checkpoint, device='cpu')
        model.default_domain = 'night'
        with pytest.raises(ValueError, match='domain night is in neither test_dataloader nor val'):
            inference_model(model, image_of(tmp_path, 'night'))

    def test_names_a_default_that_is_not_there(self, config):
        config.model.default_domain = 'dusk'
        with pytest.raises(ValueError, match=r"'dusk'.*expected one of \['day', 'night'\]"):
            init_model(config, device='cpu')


class TestPalette:
    def test_without_a_checkpoint_is_the_data_sets(self, config):
        model = init_model(config, device='cpu')
        assert {name: model.meta_of(name) for name in METAS} == METAS

    def test_that_is_known_nowhere_is_mmsegs(self, make_model):
        model = make_model('CCT')
        assert len(model.meta_of('night')['palette']) == len(CLASSES['night'])

    def test_set_by_hand_is_kept(self, make_model):
        model = make_model('CCT')
        model.dataset_meta = METAS['night']
        assert model.meta_of('night') == METAS['night']


@pytest.mark.parametrize('domains', [('day',), ('day', 'night')])
class TestInspection:
    """``inspect``, tracing and exporting ask an object for all that it has."""

    def test_is_safe(self, make_model, domains):
        model = MODELS.build(make_model.config('CCT', domains=domains))
        members = dict(inspect.getmembers(model))
        assert ('decode_head' in members) is (len(domains) == 1)
        assert 'progress' not in members

    def test_by_tracing_gives_the_same_network(self, make_model, domains):
        torch.manual_seed(0)
        model = MODELS.build(make_model.config('CCT', domains=domains)).eval()
        model.default_domain = 'day'
        images = torch.randn(1, 3, 32, 48)
        with torch.no_grad():
            traced = torch.jit.trace(model, images)
            assert torch.allclose(traced(images), model(images))
