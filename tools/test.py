"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import json
import math
import os.path as osp
from typing import TYPE_CHECKING

from options import add_cfg_options, add_launcher, add_trust, tell_rank

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Evaluate a segmentor.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder of the logs (default: work_dirs/CONFIG)')
    parser.add_argument('--out', help='write the metrics to this JSON file')
    parser.add_argument(
        '--split', choices=['test', 'val'], default='test', help='which dataloader to evaluate'
    )
    parser.add_argument('--domain', help='evaluate this domain alone [all domains of the model]')
    parser.add_argument(
        '--pred-dir', help='write the predictions as PNGs of labels into this folder'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='average over several scales and mirrored images, as tta_pipeline of the config says',
    )
    parser.add_argument('--show-dir', help='draw predictions beside the labels into this folder')
    add_cfg_options(parser)
    add_trust(parser)
    add_launcher(parser)
    args = parser.parse_args()
    tell_rank(args)
    if not osp.isfile(args.checkpoint):
        parser.error(
            f'checkpoint {args.checkpoint} does not exist, expected a .pth file that '
            'tools/train.py wrote, e.g. the one named in WORK_DIR/last_checkpoint'
        )
    return args


def write_predictions(cfg: Config, folder: str) -> None:
    """Let a config write the predictions of its test, as mmseg's ``test.py --out`` does.

    Raises:
        SystemExit: If its metric cannot.
    """
    evaluator = cfg.test_evaluator
    if not isinstance(evaluator, dict) or evaluator.get('type') != 'DomainIoUMetric':
        raise SystemExit(
            f'--pred-dir: test_evaluator is {evaluator}, expected a DomainIoUMetric, which writes '
            "predictions; set test_evaluator=dict(type='DomainIoUMetric')"
        )
    evaluator.output_dir = folder


def use_augmentation(cfg: Config) -> None:
    """Let a config test with ``tta_model`` and ``tta_pipeline``, as mmseg's ``test.py --tta`` does.

    Raises:
        SystemExit: If the config does not have them.
    """
    for key in ('tta_model', 'tta_pipeline'):
        if not cfg.get(key):
            raise SystemExit(
                f'--tta: the config has no {key}, expected that of '
                'configs/_base_/default_runtime.py, which says scales and flips; copy it from there'
            )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def main() -> None:
    """Evaluate."""
    args = parse_args()
    from mmengine.dist import is_main_process

    from cct_mm.engine.checkpoints.files import CheckpointError, require_writable
    from cct_mm.engine.checkpoints.loading import trust_checkpoint
    from cct_mm.engine.config_file import read_config
    from cct_mm.engine.processes.launch import leave_processes, prepare_processes
    from cct_mm.engine.quiet_runner import EvaluationRunner
    from cct_mm.files import write_atomically
    from cct_mm.models.pretraining import skip_pretraining

    for checkpoint in args.trust_checkpoint:
        trust_checkpoint(checkpoint)
    try:
        cfg = read_config(args.config, args.cfg_options)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    cfg.launcher = args.launcher
    prepare_processes(cfg)
    if args.split == 'val':
        cfg.test_dataloader = cfg.get('val_dataloader')
        cfg.test_evaluator = cfg.get('val_evaluator')
        cfg.test_cfg = cfg.get('test_cfg') or dict(type='TestLoop')
    if not (cfg.get('test_dataloader') and cfg.get('test_evaluator')):
        raise SystemExit(
            f'--split {args.split}: {args.config} has no {args.split}_dataloader with an '
            'evaluator, expected both; add '
            f'{args.split}_dataloader=dict(dataset=dict(domains=...)) '
            f"and {args.split}_evaluator=dict(type='DomainIoUMetric'), or take the other split"
        )
    if args.domain:
        domains = cfg.test_dataloader.dataset.domains
        if args.domain not in domains:
            raise SystemExit(
                f'--domain {args.domain}: {args.config} evaluates no such domain, expected one of '
                f'{", ".join(domains)}'
            )
        cfg.test_dataloader.dataset.domains = {args.domain: domains[args.domain]}
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    # A resumed training leaves a config in its work dir that says to resume.
    cfg.load_from, cfg.resume = args.checkpoint, False
    skip_pretraining(cfg.model)
    if args.show_dir:
        cfg.default_hooks.visualization = dict(
            type='DomainVisualizationHook', draw=True, interval=1
        )
        cfg.visualizer.save_dir = args.show_dir
    if args.pred_dir:
        write_predictions(cfg, args.pred_dir)
    if args.tta:
        use_augmentation(cfg)
    try:
        require_writable(cfg.work_dir, '--work-dir')
        if args.out:
            require_writable(osp.dirname(osp.abspath(args.out)), '--out')
        if args.pred_dir:
            require_writable(args.pred_dir, '--pred-dir')
        runner = EvaluationRunner.from_cfg(cfg)
        metrics = runner.test()
    except CheckpointError as error:
        raise SystemExit(str(error)) from None
    if args.out and is_main_process():
        # JSON has no NaN: the IoU of a class that occurs nowhere is null.
        finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        write_atomically(args.out, json.dumps(finite, indent=2) + '\n')
        runner.logger.info(f'Metrics are in {args.out}')
    if args.pred_dir:
        runner.logger.info(f'Predictions are in {args.pred_dir}')
    leave_processes()


if __name__ == '__main__':
    main()
