"""What the demo shows beside its report: the gain, how much it spreads, and a picture."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS

from cct_mm.engine.config_file import read_config
from cct_mm.visualization import colorize, sheet

from .grids import Job
from .grids.record import last_checkpoint
from .grids.table import mean_and_spread, paired_difference

PICTURES_PER_DOMAIN = 3
SCALE = 3
"""Factor by which images and label maps are enlarged."""
WRONG, RIGHT = (214, 39, 40), (238, 238, 238)
"""Colors of the error maps."""


def scores(jobs: Sequence[Job]) -> dict[str, dict[str, float]]:
    """Return the test mIoU of each finished run: method -> seed -> percent."""
    found: dict[str, dict[str, float]] = {}
    for job in jobs:
        found.setdefault(job.run.method, {})[str(job.run.seed)] = job.record['mIoU']
    return found


def make_record(jobs: Sequence[Job], root: str | Path) -> dict:
    """Return what the demo has to know of its runs over several seeds.

    Args:
        jobs: The finished runs.
        root: The repository, whose commit is noted.
    """
    describe = ['git', '-C', str(root), 'describe', '--always', '--dirty', '--abbrev=12']
    commit = subprocess.run(describe, check=True, capture_output=True, text=True).stdout.strip()
    machine = jobs[0].record['machine']
    return {
        'commit': commit,
        'machine': f'{machine["cpu"]}, torch {machine["torch"]}',
        'iterations': jobs[0].record['iterations'],
        'mIoU': scores(jobs),
    }


def gain_sentence(run: Mapping[str, Mapping[str, float]], record: Mapping) -> str:
    """Say what CCT gained in one run, and in the recorded ones.

    Args:
        run: Scores of the run: method -> seed -> percent.
        record: See :func:`make_record`.
    """
    (here,) = paired_difference(run['cct'], run['supervised']).values()
    gains = list(paired_difference(record['mIoU']['cct'], record['mIoU']['supervised']).values())
    mean, spread = mean_and_spread(gains)
    return (
        f'The unlabeled images gave {here:+.2f} mIoU in this run. Over {len(gains)} seeds they '
        f'give {mean:+.2f} ± {spread:.2f} ({min(gains):+.2f} to {max(gains):+.2f}; commit '
        f'{record["commit"]}, {record["machine"]}).'
    )


def predict(config: str, checkpoint: Path, per_domain: int) -> list[dict[str, np.ndarray]]:
    """Return image, truth and prediction of some test images of each domain.

    They are spread evenly over the test images, whatever their result.

    Args:
        config: Path of the config.
        checkpoint: The trained weights.
        per_domain: Images of each domain.

    Returns:
        For each image, its RGB pixels, the painted truth, the painted prediction and the painted
        errors, [H, W, 3] uint8 each.
    """
    cfg = read_config(config)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    load_checkpoint(model, str(checkpoint), map_location='cpu', logger='silent')
    model.eval()
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    results, indices, start = [], [], 0
    for source in dataset.sources:
        count = len(source.dataset)
        indices += [start + i * (count // per_domain) for i in range(per_domain)]
        start += count
    for index in indices:
        item = dataset[index]
        with torch.no_grad():
            (sample,) = model.test_step(
                {'inputs': [item['inputs']], 'data_samples': [item['data_samples']]}
            )
        palette = dataset.metainfo['domains'][sample.metainfo['domain']]['palette']
        truth = sample.gt_sem_seg.data.squeeze().numpy()
        prediction = sample.pred_sem_seg.data.squeeze().numpy()
        results.append(
            {
                'image': item['inputs'].permute(1, 2, 0).numpy()[..., ::-1],
                'truth': colorize(truth, palette),
                'prediction': colorize(prediction, palette),
                'errors': colorize(truth != prediction, [RIGHT, WRONG]),
            }
        )
    return results


def make_picture(jobs: Sequence[Job]) -> np.ndarray:
    """Return a picture of test images: image, truth, and what each method predicts and misses."""
    columns = [
        predict(job.run.config, last_checkpoint(job.train_dir), PICTURES_PER_DOMAIN) for job in jobs
    ]
    titles = ['image', 'truth']
    for job in jobs:
        titles += [f'{job.run.method}: mIoU {job.record["mIoU"]:.1f}', 'its errors']
    rows = []
    for predictions in zip(*columns, strict=True):
        row = [_enlarge(predictions[0]['image'], cv2.INTER_CUBIC), predictions[0]['truth']]
        for one in predictions:
            row += [one['prediction'], one['errors']]
        rows.append([row[0], *(_enlarge(part, cv2.INTER_NEAREST) for part in row[1:])])
    return sheet(rows, titles, scale=1)


def _enlarge(picture: np.ndarray, interpolation: int) -> np.ndarray:
    picture = np.ascontiguousarray(picture)
    return cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=interpolation)
