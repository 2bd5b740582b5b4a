"""The networks that make pseudo-labels, and the datasets that they label."""

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Resize
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import ResizeShortestEdge, ResizeToMultiple
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from cct_mm.engine.checkpoints.loading import load_weights
from cct_mm.engine.config_file import read_config
from cct_mm.evaluation_source import evaluation_pipeline
from cct_mm.labels import has_background
from cct_mm.models import ImageClassifier, MultiDomainSegmentor
from cct_mm.models.pretraining import skip_pretraining

from .cam import class_activation_maps
from .images import Image
from .pseudo_labels import confident


def load_config(
    path: str, checkpoint: str | None, domain: str | None, options: Sequence[str] | None
) -> tuple[Config, str]:
    """Return the config of a network, and the name of the domain to label.

    Args:
        path: Path of the config.
        checkpoint: Path of the checkpoint, which has to exist; None if none is needed.
        domain: Name of the domain; None means the only one.
        options: What ``--cfg-options`` overrides.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the domain is unknown, if none is given but the config has several, or if
            the config repeats a key.
    """
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'checkpoint {checkpoint} does not exist, expected a .pth file that tools/train.py '
            'wrote'
        )
    cfg = read_config(path, options)
    domains = list(cfg.model.domains)
    if domain is None and len(domains) > 1:
        raise ValueError(f'{path} has the domains {domains}: choose one with --domain')
    domain = domain or domains[0]
    if domain not in domains:
        raise ValueError(f'--domain {domain}: {path} has no such domain, expected one of {domains}')
    return cfg, domain


def source_config(cfg: Config, domain: str) -> dict:
    """Return the config of the images to label: the domain's weak, or else unlabeled, source.

    Raises:
        ValueError: If the domain has no such source in ``train_dataloader``.
    """
    sources = cfg.train_dataloader.dataset.domains.get(domain, {})
    kind = next((kind for kind in ('weak', 'unlabeled') if kind in sources), None)
    if kind is None:
        raise ValueError(
            f'domain {domain} has the sources {list(sources)} in train_dataloader, expected `weak` '
            'or `unlabeled`, whose images get the pseudo-labels'
        )
    return sources[kind]


def true_label_map(cfg: Config, domain: str) -> dict[int, int] | None:
    """Return the ``label_map`` by which the domain's labeled source loads its masks, or None."""
    source = cfg.train_dataloader.dataset.domains[domain].get('labeled') or {}
    while 'dataset' in source or 'datasets' in source:
        source = source['dataset'] if 'dataset' in source else source['datasets'][0]
    for step in source.get('pipeline') or ():
        if 'label_map' in step:
            return step['label_map']
    return None


def build_source(
    cfg: Config, domain: str, masks: str | None = None, label_map: dict[int, int] | None = None
) -> BaseSegDataset:
    """Return the dataset of :func:`source_config`.

    Args:
        cfg: The config of the network.
        domain: Name of the domain.
        masks: Folder of masks of its images, or None. Then its pipeline loads these alone.
        label_map: How they are read, see :func:`true_label_map`.

    Raises:
        ValueError: If the domain has no such source, if the source wraps other datasets, or if an
            image has no mask.
    """
    source = copy.deepcopy(source_config(cfg, domain))
    if masks is not None:
        source.pop('labeled', None)
        source.pipeline = [dict(type='LoadCheckedAnnotations', label_map=label_map)]
        source.setdefault('data_prefix', {})['seg_map_path'] = os.path.abspath(masks)
    dataset = DATASETS.build(source)
    if not isinstance(dataset, BaseSegDataset):
        raise ValueError(
            f'the source of domain {domain} is a {type(dataset).__name__}, expected a dataset that '
            'tells where its label files lie; call the tool once with each of its parts as source'
        )
    if masks is not None and 'seg_map_path' not in dataset.get_data_info(0):
        raise ValueError(
            f'{dataset.get_data_info(0)["img_path"]} has no mask, expected one below {masks} for '
            'each image of the source'
        )
    return dataset


def load_network(cfg: Config, checkpoint: str, classifier: bool) -> MultiDomainSegmentor:
    """Return a network with its weights, in evaluation mode, on this process's GPU if there is one.

    Args:
        cfg: The config of the network; it is changed to need no pretrained weights.
        checkpoint: Path of the checkpoint.
        classifier: Whether an ``ImageClassifier`` or a segmentor is expected.

    Raises:
        ValueError: If the network is of the other kind, or if the checkpoint belongs to another
            network, is damaged, or would run code.
    """
    skip_pretraining(cfg.model)
    model = MODELS.build(cfg.model)
    if isinstance(model, ImageClassifier) is not classifier:
        kinds = 'an ImageClassifier', 'a segmentor (--from-segmentor)'
        raise ValueError(
            f'the config is of a {type(model).__name__}, expected that of '
            f'{kinds[0] if classifier else kinds[1]}'
        )
    load_weights(model, checkpoint)
    if torch.cuda.is_available():
        model.cuda(int(os.environ.get('LOCAL_RANK', 0)))
    return model.eval()


def evaluation_resizes(cfg: Config, domain: str) -> list[dict]:
    """Return the configs of the transforms that resize the domain's images in evaluation.

    Raises:
        ValueError: If the config does not say how the domain's images are evaluated.
    """
    pipeline = evaluation_pipeline(cfg, domain)
    if pipeline is None:
        raise ValueError(
            f'the config evaluates no domain {domain}, expected one in test_dataloader or '
            'val_dataloader, or a test_pipeline, because the pipeline says at which size the '
            'network looks at an image'
        )
    # The latter two are no subclasses of Resize.
    kinds = (Resize, ResizeShortestEdge, ResizeToMultiple)
    return [config for config in pipeline if isinstance(TRANSFORMS.build(config), kinds)]


def build_resize(configs: Sequence[dict]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that resizes an image by the configs of :func:`evaluation_resizes`."""
    transforms = [TRANSFORMS.build(config) for config in configs]

    def resize(image: np.ndarray) -> np.ndarray:
        results = {'img': image, 'img_shape': image.shape[:2]}
        for transform in transforms:
            results = transform(results)
        return np.ascontiguousarray(results['img'])

    return resize


def activation_network(
    model: ImageClassifier,
    domain: str,
    resize: Callable[[np.ndarray], np.ndarray],
    scales: Sequence[float],
    flip: bool,
) -> Callable[[Image], np.ndarray]:
    """Return the function from an image to the activation maps of its P classes, [P, H, W].

    Args:
        model: The classifier.
        domain: Name of the domain.
        resize: The function that :func:`build_resize` returns.
        scales: Factors by which the resized image is resized again, > 0.
        flip: Whether the classifier looks at the mirrored image, too.

    Raises:
        ValueError: If a scale is not above 0.
    """
    if min(scales) <= 0:
        raise ValueError(f'scales are {list(scales)}, expected numbers > 0, such as 0.5 1.0')

    def network(image: Image) -> np.ndarray:
        pixels = torch.from_numpy(resize(image.pixels)).permute(2, 0, 1)
        maps = class_activation_maps(model, pixels, domain, image.present, scales, flip)
        if len(maps):
            maps = F.interpolate(maps[None], image.pixels.shape[:2], mode='bilinear')[0]
        else:
            maps = maps.new_zeros(0, *image.pixels.shape[:2])
        return maps.cpu().numpy()

    return network


def segmentor_network(
    model: MultiDomainSegmentor,
    domain: str,
    resize: Callable[[np.ndarray], np.ndarray],
    confidence: float,
) -> Callable[[Image], np.ndarray]:
    """Return the function from an image to the labels that a segmentor is sure of, [H, W].

    Args:
        model: The segmentor.
        domain: Name of the domain.
        resize: The function that :func:`build_resize` returns.
        confidence: Smallest probability of a label, in [0, 1].

    Raises:
        ValueError: If the segmentor predicts by a sliding window.
    """
    if model.test_cfg.get('mode', 'whole') != 'whole':
        raise ValueError(
            f'test_cfg.mode is {model.test_cfg.mode!r}, expected whole: pseudo-labels are made of '
            'whole images'
        )
    with_background = has_background(model.domains[domain].classes)

    @torch.no_grad()
    def network(image: Image) -> np.ndarray:
        pixels = torch.from_numpy(resize(image.pixels)).permute(2, 0, 1)
        height, width = pixels.shape[1:]
        batch = model.data_preprocessor({'inputs': [pixels], 'data_samples': [SegDataSample()]})
        logits = model.encode_decode(batch['inputs'], [{'domain': domain}])
        logits = logits[:, :, :height, :width]
        logits = F.interpolate(logits, image.pixels.shape[:2], mode='bilinear')
        present = image.present
        # If the image shows other classes, what looks like background may be one of them.
        if present is not None and with_background and image.complete:
            present = (0, *present)
        return confident(logits[0].float().softmax(dim=0), confidence, present).cpu().numpy()

    return network
