"""The comparison of pseudo-labels with true masks that ``tools/report_pseudo_labels.py`` makes."""

import argparse
import json
from pathlib import Path

from mmseg.utils import register_all_modules

from cct_mm.engine.checkpoints.loading import trust_checkpoint
from cct_mm.files import write_atomically
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
    evaluation_resizes,
    load_config,
    load_network,
    true_label_map,
)
from cct_mm.weak.pseudo_labels import PRESETS
from cct_mm.weak.writer import LabelFiles

from .pseudo_label_quality import Scorer, add, compare_files, plot, recipes, report


def compare_labels(args: argparse.Namespace) -> int:
    """Make the report.

    Args:
        args: The command line of ``tools/report_pseudo_labels.py``.

    Returns:
        The exit code.

    Raises:
        SystemExit: With a sentence, if nothing can be compared or written.
    """
    for checkpoint in args.trust_checkpoint:
        trust_checkpoint(checkpoint)
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
        truth = build_source(cfg, domain, args.masks, true_label_map(cfg, domain))
        images = Images(dataset, indices, LabelFiles(dataset), truth)
        with processes(args.workers) as pool, progress_bar('images', len(images)) as update:
            if args.labels:
                labels = build_source(cfg, domain, masks=args.labels)
                labeled = Images(dataset, indices, images.files, labels)
                found = compare_files(images, labeled, len(classes), summary)
            else:
                images.require_image_labels()
                with_background = has_background(classes)
                paper = PRESETS['paper']
                thresholds = dict(
                    background=paper.background if args.theta_bg is None else args.theta_bg,
                    foreground=paper.foreground if args.theta_fg is None else args.theta_fg,
                )
                compared = recipes(not args.no_crf, with_background, **thresholds)
                score = Scorer(compared, len(classes), with_background)
                model = load_network(cfg, args.checkpoint, classifier=True)
                resize = build_resize(evaluation_resizes(cfg, domain))
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
