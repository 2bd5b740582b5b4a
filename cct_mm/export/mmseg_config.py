"""The config of an exported network: mmseg's classes, and those of a file generated beside it."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import MODELS, TRANSFORMS

from cct_mm.datasets.transforms import LoadCheckedAnnotations, LoadCheckedImage, LoadImageLabels
from cct_mm.evaluation_source import evaluation_pipeline
from cct_mm.models.batch_preprocessor import BatchPreprocessor
from cct_mm.models.head_as_neck import OF_THE_CLASSIFIER
from cct_mm.models.pretraining import skip_pretraining

from .generated_code import PREFIX, is_ours

LOADED_BY_MMSEG = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


def domain_pipeline(cfg: Mapping, domain: str) -> list[dict]:
    """Return the pipeline by which a domain's images are tested, in mmseg's transforms.

    Where the config does not evaluate the domain, images are loaded as they are.

    Raises:
        ValueError: If a transform is one of this package for which mmseg has none.
    """
    pipeline = evaluation_pipeline(cfg, domain)
    if pipeline is None:
        return [*copy.deepcopy(LOADED_BY_MMSEG), dict(type='PackSegInputs')]
    return [t for step in pipeline for t in _of_mmseg(step, domain)]


def _of_mmseg(step: Mapping, domain: str) -> list[dict]:
    """Return what stands for a transform without this package: one, or none."""
    kind = step['type'] if isinstance(step['type'], type) else TRANSFORMS.get(step['type'])
    if kind is LoadImageLabels:
        return []
    if kind is LoadCheckedAnnotations:
        return [dict(type='LoadAnnotations')]
    if kind is LoadCheckedImage:
        if step.get('max_value') is not None:
            raise ValueError(
                f'domain {domain}: its images are read with max_value={step["max_value"]}, which '
                'mmseg cannot; write them as 8-bit images, and test with those'
            )
        kept = {
            key: step[key]
            for key in ('to_float32', 'color_type', 'imdecode_backend')
            if key in step
        }
        # As loaded here: mmcv decodes what another type or backend is named for.
        if 'color_type' not in kept and 'imdecode_backend' not in kept:
            kinds = {1: dict(color_type='grayscale'), 3: {}}
            kept |= kinds.get(step.get('channels', 3), dict(color_type='unchanged'))
        # 'unchanged' ignores it anyway.
        if step.get('orientation') == 'stored' and kept.get('color_type') != 'unchanged':
            kept['color_type'] = kept.get('color_type', 'color') + '_ignore_orientation'
        return [dict(type='LoadImageFromFile', **kept)]
    if is_ours(kind):
        raise ValueError(
            f'domain {domain}: its test pipeline has {kind.__name__}, expected transforms of mmseg '
            'or mmcv, for without cct_mm there is no other; leave it out of test_dataloader'
        )
    return [dict(step)]


def model_config(cfg: Mapping, domain: str, joined: bool = False) -> tuple[dict, dict[str, type]]:
    """Return the config of :func:`~cct_mm.export.plain_model`, and the classes it needs of ours.

    Args:
        cfg: The config of the network.
        domain: Name of the domain.
        joined: Whether the head that a ``HeadAsNeck`` divides is whole again.

    Returns:
        The config, in which a class of this package has another name, and these classes by their
        new names.
    """
    model = copy.deepcopy(dict(cfg['model']))
    skip_pretraining(model)
    own = model['domains'][domain]
    head = {**model['decode_head'], **own.get('decode_head', {})}
    head['num_classes'] = len(own['classes'])
    losses = head.get('loss_decode') or ()
    if not losses or any(is_ours(_class(x)) for x in _listed(losses)):
        head['loss_decode'] = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    neck = model.get('neck')
    if joined:
        head, neck = _joined(neck['head'], head), neck.get('neck')
    classes: dict[str, type] = {}
    preprocessor = dict(model['data_preprocessor'])
    if _class(preprocessor) is BatchPreprocessor:
        preprocessor['type'] = SegDataPreProcessor.__name__
    plain = dict(
        type='EncoderDecoder',
        data_preprocessor=_plain(preprocessor, classes),
        backbone=_plain(model['backbone'], classes),
        decode_head=_plain(head, classes),
        train_cfg=dict(),
        test_cfg=model.get('test_cfg') or dict(mode='whole'),
    )
    if neck is not None:
        plain['neck'] = _plain(neck, classes)
    return plain, classes


def _joined(features: Mapping, classifier: Mapping) -> dict:
    own = (*OF_THE_CLASSIFIER, 'dropout_ratio', 'ignore_index')
    return {
        **{key: value for key, value in features.items() if key not in own},
        **{key: value for key, value in classifier.items() if key in own},
    }


def _class(config: Mapping) -> type | None:
    kind = config.get('type')
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _listed(value: Mapping | Sequence[Mapping]) -> Sequence[Mapping]:
    return [value] if isinstance(value, Mapping) else value


def _plain(value: Any, classes: dict[str, type]) -> Any:
    """Return a config without pretrained weights, synchronization, or names of our classes."""
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item, classes) for item in value)
    if not isinstance(value, Mapping):
        return value
    plain = {key: _plain(item, classes) for key, item in value.items() if key != 'init_cfg'}
    # On one device, where a network predicts, it is the same.
    if plain.get('type') in ('SyncBN', 'MMSyncBN'):
        plain['type'] = 'BN'
    kind = _class(plain)
    if is_ours(kind):
        plain['type'] = PREFIX + kind.__name__
        classes[plain['type']] = kind
    return plain


def export_config(
    cfg: Mapping, domain: str, meta: Mapping, model: Mapping, module: str | None
) -> Config:
    """Return the whole config, with what mmseg's API, inferencer and ``tools/test.py`` read.

    Args:
        cfg: The config of the network.
        domain: Name of the domain.
        meta: Classes and palette of the domain.
        model: As :func:`model_config` returns it.
        module: Name of the generated module, or None if there is none.
    """
    imports = [
        name
        for name in (cfg.get('custom_imports') or {}).get('imports', ())
        if name.partition('.')[0] != 'cct_mm'
    ]
    pipeline = domain_pipeline(cfg, domain)
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='BaseSegDataset',
            metainfo=dict(meta),
            data_root='data',
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            pipeline=pipeline,
        ),
    )
    return Config(
        dict(
            default_scope='mmseg',
            custom_imports=dict(
                imports=[*imports, *([module] if module else [])], allow_failed_imports=False
            ),
            model=dict(model),
            test_pipeline=copy.deepcopy(pipeline),
            test_dataloader=loader,
            test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            test_cfg=dict(type='TestLoop'),
            env_cfg=dict(cudnn_benchmark=False),
            vis_backends=[dict(type='LocalVisBackend')],
            visualizer=dict(
                type='SegLocalVisualizer',
                vis_backends=[dict(type='LocalVisBackend')],
                name='visualizer',
            ),
            log_level='INFO',
            load_from=None,
        )
    )
