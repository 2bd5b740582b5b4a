"""Compare pseudo-labels with true masks.

python tools/report_pseudo_labels.py CONFIG CHECKPOINT --masks DIR --out DIR

Takes a classifier and images with image-level labels, as gen_pseudo_labels.py does, and a folder of
true masks. Writes mIoU, coverage, and precision, recall and IoU of each class, before and after the
CRF, and a sweep over both thresholds, as table (report.md), plot (thresholds.png) and counts
(counts.json). Choose thresholds on training images, never on those of the final evaluation.

python tools/report_pseudo_labels.py CONFIG --labels DIR --masks DIR --out DIR

Does the same, without thresholds, for label files that are there, such as those of
gen_pseudo_labels.py --from-segmentor.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from mmengine.config import DictAction
from mmseg.utils import register_all_modules

import cct_mm  # noqa: F401  registers everything
from cct_mm.engine.checkpoints.loading import add_trust_argument
from cct_mm.files import write_atomically
from cct_mm.lab.pseudo_label_quality import Scorer, add, compare_files, plot, recipes, report
from cct_mm.labels import has_background
from cct_mm.processes import processes
from cct_mm.progress_bar import progress_bar
from cct_mm.weak.crf import import_crf
from cct_mm.weak.generate import Summary, work
from cct_mm.weak.images import Images
from cct_mm.weak.networks import (
    activation_network,
    build_resize,
    build_source,
    load_config,
    load_network,
    validation_resizes,
)
from cct_mm.weak.pseudo_labels import PRESETS
from cct_mm.weak.writer import LabelFiles


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the classifier')
    parser.add_argument('checkpoint', nargs='?', help='its checkpoint file')
    parser.add_argument('--labels', help='folder of pseudo-labels, in place of a checkpoint')
    parser.add_argument('--masks', required=True, help='folder of the true masks')
    parser.add_argument('--out', required=True, help='folder for the report')
    parser.add_argument('--domain', help='which domain, where the config has several')
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[0.5, 1.0, 1.5, 2.0],
        help='at which it looks at an image, of its validation size [0.5 1.0 1.5 2.0]',
    )
    parser.add_argument('--no-flip', action='store_true', help='do not look at mirrored images')
    paper = PRESETS['paper']
    for name, default in (('bg', paper.background), ('fg', paper.foreground)):
        parser.add_argument(
            f'--theta-{name}',
            type=float,
            default=default,
            help=f'of the recipes; the sweep has thresholds of its own [{default:.2f}]',
        )
    parser.add_argument('--no-crf', action='store_true', help='leave the dense CRF out')
    parser.add_argument('--limit', type=int, help='compare this many images, spread over all')
    parser.add_argument(
        '--workers',
        type=int,
        default=max(1, (os.cpu_count() or 1) // 2),
        help='processes beside the network [half of the cores]',
    )
    add_trust_argument(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries: key=value ...; _base_.NAME is the entry NAME of the config',
    )
    args = parser.parse_args()
    if (args.checkpoint is None) == (args.labels is None):
        parser.error('expected either a checkpoint or --labels, a folder of pseudo-labels')
    if args.labels:
        of_maps = ('scales', 'no_flip', 'theta_bg', 'theta_fg', 'no_crf', 'workers')
        given = [name for name in of_maps if getattr(args, name) != parser.get_default(name)]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            parser.error(f'{options}: label files are compared as they are; leave it out')
    for name in ('limit', 'workers'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name} {value}: expected at least 1')
    return args


def main() -> int:
    """Make the report."""
    args = parse_args()
    register_all_modules(init_default_scope=True)
    totals: dict = {}
    summary = Summary()
    out = Path(args.out)
    try:
        # What it takes hours to count must find a place.
        out.mkdir(parents=True, exist_ok=True)
        if args.checkpoint and not args.no_crf:
            import_crf()
        cfg, domain = load_config(args.config, args.checkpoint, args.domain, args.cfg_options)
        dataset = build_source(cfg, domain)
        classes = dataset.metainfo['classes']
        number = min(args.limit or len(dataset), len(dataset))
        indices = [i * len(dataset) // number for i in range(number)]
        truth = build_source(cfg, domain, masks=args.masks)
        images = Images(dataset, indices, LabelFiles(dataset), truth)
        with processes(args.workers) as pool, progress_bar('images', len(images)) as update:
            if args.labels:
                labels = build_source(cfg, domain, masks=args.labels)
                labeled = Images(dataset, indices, images.files, labels)
                found = compare_files(images, labeled, len(classes), summary)
            else:
                images.require_image_labels()
                with_background = has_background(classes)
                thresholds = dict(background=args.theta_bg, foreground=args.theta_fg)
                compared = recipes(not args.no_crf, with_background, **thresholds)
                score = Scorer(compared, len(classes), with_background)
                model = load_network(cfg, args.checkpoint, classifier=True)
                resize = build_resize(validation_resizes(cfg, domain))
                network = activation_network(model, domain, resize, args.scales, not args.no_flip)
                found = work(images, network, score, pool, args.workers, True, summary)
            for done, counts in enumerate(found, start=1):
                add(totals, counts)
                update(done)
        if not totals:
            problem = next(iter(summary.problems.values()), 'the source is empty')
            raise ValueError(f'no image could be compared: {problem}')
    except (ImportError, ValueError, OSError, RuntimeError) as error:
        raise SystemExit(str(error)) from None
    for problem in summary.problems.values():
        print(f'skipped: {problem}')

    text = report(totals, classes, done, skipped=len(summary.problems))
    print(text)
    counts = {str(key): value.tolist() for key, value in totals.items()}
    files: dict[str, str | bytes] = {
        'report.md': text,
        'counts.json': json.dumps(dict(classes=classes, counts=counts)) + '\n',
    }
    if args.checkpoint:
        files['thresholds.png'] = plot(totals)
    try:
        for name, content in files.items():
            write_atomically(out / name, content)
    except OSError as error:
        raise SystemExit(f'the report could not be written: {error}') from None
    print('Report: ' + ', '.join(str(out / name) for name in files))
    return 0


if __name__ == '__main__':
    sys.exit(main())
