"""Train a supervised baseline and CCT on two domains of toy scenes: ``python tools/demo.py``.

Each is one network for both domains, which differ in classes and looks. Takes a few minutes on two
cores and needs no download. Ends with a table of mIoU and a picture of test images of each domain:
image, truth, baseline, CCT.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import cv2
import torch
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS
from mmseg.utils import register_all_modules

import cct_mm  # noqa: F401  registers everything
from cct_mm.engine.config_file import read_config
from cct_mm.lab.grids import load_grid
from cct_mm.lab.grids.record import last_checkpoint
from cct_mm.lab.toy_scenes import write_toy_scenes
from cct_mm.visualization import colorize, sheet

ROOT = Path(__file__).resolve().parent.parent
GRID = ROOT / 'configs/experiments/demo.yaml'
PICTURES_PER_DOMAIN = 3


def predict(config: str, checkpoint: Path, per_domain: int) -> list[dict]:
    """Return image, label and prediction of some test images of each domain, as arrays."""
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
        results.append(
            {
                'image': item['inputs'].permute(1, 2, 0).numpy()[..., ::-1],
                'truth': colorize(sample.gt_sem_seg.data.squeeze().numpy(), palette),
                'prediction': colorize(sample.pred_sem_seg.data.squeeze().numpy(), palette),
            }
        )
    return results


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', default='work_dirs/experiments', help='where results go')
    args = parser.parse_args()
    os.chdir(ROOT)
    data = Path(os.environ.setdefault('CCT_MM_DATA', 'data'))
    if not os.access(data if data.exists() else data.parent, os.W_OK):
        # Shared data folders are often read-only; the toy scenes can live anywhere.
        data = Path('data')
        os.environ['CCT_MM_DATA'] = str(data)
    print(f'Scenes: {write_toy_scenes(data)}', flush=True)
    command = [sys.executable, 'tools/run_experiments.py', str(GRID), '--rerun']
    code = subprocess.call([*command, '--work-dir', args.work_dir])
    if code:
        return code

    register_all_modules(init_default_scope=True)
    grid = load_grid(GRID)
    columns = {}
    for run in grid.runs:
        train_dir = Path(args.work_dir) / grid.name / run.name / 'train'
        columns[run.method] = predict(run.config, last_checkpoint(train_dir), PICTURES_PER_DOMAIN)
    rows = [
        [s['image'], s['truth'], s['prediction'], c['prediction']]
        for s, c in zip(columns['supervised'], columns['cct'], strict=True)
    ]
    picture = Path(args.work_dir) / grid.name / 'demo.png'
    titles = ['image', 'truth', 'supervised', 'CCT']
    cv2.imwrite(str(picture), sheet(rows, titles)[..., ::-1])
    print(f'Picture: {picture}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
