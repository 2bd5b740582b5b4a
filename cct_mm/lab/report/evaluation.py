"""Evaluate a run for its report, once: scores, confusion matrices and a few predictions."""

import contextlib
import copy
import hashlib
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import torch
from mmengine.runner import Runner, load_checkpoint
from mmengine.utils import import_modules_from_strings
from mmseg.registry import DATASETS, METRICS, MODELS
from mmseg.utils import register_all_modules

from cct_mm.evaluation import DomainIoUMetric
from cct_mm.files import write_atomically
from cct_mm.models.pretraining import skip_pretraining
from cct_mm.models.segmentors import CCT, ImageClassifier, MultiDomainSegmentor
from cct_mm.progress_bar import progress_bar
from cct_mm.visualization import viewable

from .agreement import same_class
from .runs import ReportError, Run

PICTURES = 4
"""Images of each domain that are kept to be shown."""
SIDE = 320
"""Longer side of what is kept of an image, in pixels."""
VERSION = 1
"""Of the files; a file of another version is made anew."""


@dataclass(frozen=True)
class Picture:
    """An image with its label map and the prediction.

    Args:
        domain: Its domain.
        name: Name of its file.
        image: [H, W, 3], RGB, uint8.
        truth: [H, W], uint8.
        prediction: [H, W], uint8.
    """

    domain: str
    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """What the last checkpoint of a run does on a split.

    Args:
        checkpoint: Name of the checkpoint.
        metrics: As ``DomainIoUMetric`` returns them, None for nan.
        domains: Classes and palette of each domain.
        confusion: [C, C] for each domain, see :func:`cct_mm.evaluation.confusion_matrix`.
        pictures: Evenly spaced images of each domain.
        agreement: For each domain of a CCT, mean over the pictures of what
            :func:`~cct_mm.lab.report.agreement.same_class` returns.
    """

    checkpoint: str
    metrics: dict[str, float | None]
    domains: dict[str, dict[str, Any]]
    confusion: dict[str, np.ndarray]
    pictures: list[Picture]
    agreement: dict[str, dict[str, float]]


def evaluate(run: Run, split: str) -> Evaluation:
    """Evaluate the last checkpoint of a run, or read what the last call has kept.

    The result is in ``report/<split>.npz`` of the work dir, for one checkpoint and config.

    Args:
        run: The run.
        split: ``'val'`` or ``'test'``.

    Raises:
        ReportError: If the run has no checkpoint or config, or its model segments nothing.
        Exception: Whatever its config, data or network raise.
    """
    if run.checkpoint is None or run.config_file is None:
        missing = 'whole checkpoint' if run.checkpoint is None else 'config'
        raise ReportError(f'{run.folder} has no {missing}')
    path = run.folder / 'report' / f'{split}.npz'
    key = _key(run, split)
    kept = _read(path, key)
    if kept is None:
        kept = _evaluate(run, split)
        # Somebody else's work dir may be read-only; then the next call evaluates again.
        with contextlib.suppress(OSError):
            write_atomically(path, _to_bytes(kept, key))
    return kept


def _key(run: Run, split: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in (run.checkpoint, run.config_file):
        with path.open('rb') as file:
            for part in iter(lambda file=file: file.read(1 << 20), b''):
                digest.update(part)
    return f'{VERSION} {split} {digest.hexdigest()}'


def _evaluate(run: Run, split: str) -> Evaluation:
    register_all_modules(init_default_scope=True)
    cfg = copy.deepcopy(run.config)
    import_modules_from_strings(**cfg.get('custom_imports', {'imports': ['cct_mm']}))
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        raise ReportError(f'the config has no {split}_dataloader')
    skip_pretraining(cfg.model)
    model = MODELS.build(cfg.model)
    if not isinstance(model, MultiDomainSegmentor) or isinstance(model, ImageClassifier):
        raise ReportError(f'{type(model).__name__} segments no images of domains')
    load_checkpoint(model, str(run.checkpoint), map_location='cpu', logger='silent')
    model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()
    evaluator = cfg.get(f'{split}_evaluator')
    own = isinstance(evaluator, dict) and evaluator.get('type') == 'DomainIoUMetric'
    metric = METRICS.build(evaluator) if own else DomainIoUMetric()
    return _run_through(model, loader, metric, run.checkpoint)


def _run_through(
    model: MultiDomainSegmentor, loader: dict, metric: DomainIoUMetric, checkpoint: Path
) -> Evaluation:
    dataset = DATASETS.build(loader['dataset'])
    metric.dataset_meta = dataset.metainfo
    chosen, start = set(), 0
    for source in dataset.sources:
        count = len(source.dataset)
        chosen |= {start + (2 * i + 1) * count // (2 * PICTURES) for i in range(PICTURES)}
        start += count
    pictures, shares, number = [], {}, 0
    title = '/'.join(checkpoint.parts[-3:])
    with progress_bar(title, len(dataset), patience=2.0) as update:
        for batch in Runner.build_dataloader({**loader, 'dataset': dataset}, seed=0):
            with torch.no_grad():
                samples = model.test_step(batch)
            metric.process(batch, [sample.to_dict() for sample in samples])
            for image, sample in zip(batch['inputs'], samples, strict=True):
                if number in chosen:
                    pictures.append(_picture(image, sample))
                    if isinstance(model, CCT):
                        domain = shares.setdefault(sample.metainfo['domain'], [])
                        domain.append(same_class(model, image, sample))
                number += 1
            update(number)
    metrics = {k: None if v != v else v for k, v in metric.evaluate(len(dataset)).items()}
    confusion = {domain: counts.numpy() for domain, counts in metric.confusion.items()}
    agreement = {
        domain: {kind: fmean(each[kind] for each in images) for kind in images[0]}
        for domain, images in shares.items()
    }
    return Evaluation(
        checkpoint.name, metrics, dataset.metainfo['domains'], confusion, pictures, agreement
    )


def _picture(image: torch.Tensor, sample: Any) -> Picture:
    truth, prediction = (
        data.data.squeeze().cpu().numpy().astype(np.uint8)
        for data in (sample.gt_sem_seg, sample.pred_sem_seg)
    )
    factor = min(1.0, SIDE / max(truth.shape))
    size = tuple(max(1, round(side * factor)) for side in truth.shape[::-1])
    # The network's input, of as many channels as the images have.
    rgb = viewable(image.cpu().permute(1, 2, 0).numpy().clip(0, 255))
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    maps = (cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in (truth, prediction))
    info = sample.metainfo
    return Picture(info['domain'], Path(info['img_path']).name, rgb, *maps)


def _to_bytes(evaluation: Evaluation, key: str) -> bytes:
    arrays = {f'confusion {name}': counts for name, counts in evaluation.confusion.items()}
    for i, picture in enumerate(evaluation.pictures):
        for part in ('image', 'truth', 'prediction'):
            arrays[f'{part} {i}'] = getattr(picture, part)
    meta = {
        'key': key,
        'checkpoint': evaluation.checkpoint,
        'metrics': evaluation.metrics,
        'domains': evaluation.domains,
        'agreement': evaluation.agreement,
        'pictures': [[picture.domain, picture.name] for picture in evaluation.pictures],
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), **arrays)
    return buffer.getvalue()


def _read(path: Path, key: str) -> Evaluation | None:
    """Return what was kept; None if there is nothing, or it is of something else or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file['meta']))
            if meta['key'] != key:
                return None
            confusion = {name: file[f'confusion {name}'] for name in meta['domains']}
            pictures = [
                Picture(*names, *(file[f'{part} {i}'] for part in ('image', 'truth', 'prediction')))
                for i, names in enumerate(meta['pictures'])
            ]
            return Evaluation(
                *(meta[name] for name in ('checkpoint', 'metrics', 'domains')),
                *(confusion, pictures, meta['agreement']),
            )
    # zipfile and zlib raise errors of their own for what is damaged.
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
