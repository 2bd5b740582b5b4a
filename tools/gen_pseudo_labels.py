"""Write pseudo-labels for the training images of a domain.

python tools/gen_pseudo_labels.py CONFIG CHECKPOINT --out DIR

The network is a classifier (configs/weak), whose class activation maps become labels, or, with
--from-segmentor, a trained segmentor, whose confident predictions become labels. The images belong
to the domain's `weak` source in train_dataloader, or else to its `unlabeled` source. Existing label
files are kept, so a run that was interrupted or killed goes on where it stopped. On several GPUs:

torchrun --nproc_per_node 4 tools/gen_pseudo_labels.py CONFIG CHECKPOINT --out DIR
"""

import argparse
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from mmengine.config import Config, DictAction
from mmseg.utils import register_all_modules

import cct_mm  # noqa: F401  registers everything
from cct_mm.engine.checkpoints.loading import add_trust_argument
from cct_mm.files import write_atomically
from cct_mm.labels import IGNORE_INDEX, has_background
from cct_mm.processes import processes
from cct_mm.progress_bar import progress_bar
from cct_mm.result_folder import network_settings
from cct_mm.visualization import fit, jpeg, overlay, sheet
from cct_mm.weak.crf import import_crf
from cct_mm.weak.generate import Finisher, Summary, coverage, generate
from cct_mm.weak.images import Images
from cct_mm.weak.networks import (
    activation_network,
    build_resize,
    build_source,
    load_config,
    load_network,
    segmentor_network,
    source_config,
    validation_resizes,
)
from cct_mm.weak.pseudo_labels import PRESETS, VERSION, Recipe
from cct_mm.weak.writer import Folder, LabelFiles

PREVIEWS_PER_ROW = 3


def share_of_cores() -> int:
    """Return how many of the machine's cores belong to this process, one of several on it."""
    return (os.cpu_count() or 1) // int(os.environ.get('LOCAL_WORLD_SIZE', 1))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', help='its checkpoint file')
    parser.add_argument('--domain', help='which domain, where the config has several')
    parser.add_argument('--out', required=True, help='folder for the label files')
    parser.add_argument(
        '--from-segmentor', action='store_true', help='the checkpoint is a segmentor, e.g. CCT'
    )
    parser.add_argument(
        '--confidence',
        type=float,
        default=0.9,
        help='least probability of a label of a segmentor [0.9]',
    )
    parser.add_argument(
        '--preset',
        choices=list(PRESETS),
        default='paper',
        help='paper: both thresholds, one CRF; released: a CRF for each threshold [paper]',
    )
    parser.add_argument('--theta-bg', type=float, help='background below this activation [0.05]')
    parser.add_argument('--theta-fg', type=float, help='foreground above this activation [0.30]')
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[0.5, 1.0, 1.5, 2.0],
        help='factors of the validation size at which a classifier looks [0.5 1.0 1.5 2.0]',
    )
    parser.add_argument('--no-flip', action='store_true', help='do not look at mirrored images')
    parser.add_argument('--no-crf', action='store_true', help='leave the dense CRF out')
    parser.add_argument(
        '--workers',
        type=int,
        default=max(1, share_of_cores() // 2),
        help='processes beside each network, which run the CRF [half of the cores]',
    )
    parser.add_argument(
        '--on-error',
        choices=['stop', 'skip'],
        default='stop',
        help='what to do about an image that cannot be read or has no image-level labels [stop]',
    )
    parser.add_argument(
        '--preview', type=int, default=0, metavar='N', help='make a picture of N images and labels'
    )
    add_trust_argument(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries: key=value ...; _base_.NAME is the entry NAME of the config',
    )
    args = parser.parse_args()
    if args.from_segmentor:
        of_classifiers = ('preset', 'theta_bg', 'theta_fg', 'scales', 'no_flip')
        given = [name for name in of_classifiers if getattr(args, name) != parser.get_default(name)]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            parser.error(f'{options}: only for classifiers; leave it out with --from-segmentor')
    elif args.confidence != parser.get_default('confidence'):
        parser.error('--confidence: only with --from-segmentor; a classifier has --theta-fg')
    if not 0 <= args.confidence <= 1:
        parser.error(f'--confidence {args.confidence}: expected a probability in [0, 1]')
    if args.workers < 1:
        parser.error(f'--workers {args.workers}: expected at least 1')
    return args


def describe(
    args: argparse.Namespace, cfg: Config, domain: str, images: Images, recipe: Recipe
) -> dict:
    """Return everything that the label files depend on, except the images themselves.

    It leaves out how the network was trained. It leaves out the image-level labels, too: each file
    keeps its own, so that a change renews the files of the changed images alone.
    """
    classes = list(images.dataset.metainfo['classes'])
    transforms = images.dataset.pipeline.transforms
    pipeline = zip(source_config(cfg, domain).pipeline, transforms, strict=True)
    loading = [config for config, transform in pipeline if transform in images.transforms]
    settings = {
        'version': VERSION,
        'domain': domain,
        'classes': classes,
        'values of the classes': images.files.table[: len(classes)].tolist(),
        **network_settings(cfg.model, args.checkpoint),
        'validation resize': validation_resizes(cfg, domain),
        'loading': [{k: v for k, v in config.items() if k != 'path'} for config in loading],
    }
    if args.from_segmentor:
        settings |= {'confidence': args.confidence, 'crf': asdict(recipe)['crf']}
    else:
        settings |= {'scales': args.scales, 'flip': not args.no_flip, **asdict(recipe)}
    return settings


def make_preview(images: Images, folder: Folder, count: int) -> Path | None:
    """Make a picture of the first labeled images and their labels; None if no image has labels."""
    # The picture is a JPEG because a PNG could have the name of an image's label file.
    path = folder.path / 'preview.jpg'
    path.unlink(missing_ok=True)
    pictures: list[np.ndarray] = []
    names = images.names()
    for i, index in enumerate(images.indices):
        file = folder.file(names[index])
        if not file.is_file():
            continue
        try:
            with PIL.Image.open(file) as labels:
                if labels.getextrema() == (IGNORE_INDEX, IGNORE_INDEX):
                    continue
                colors = np.asarray(labels.convert('RGB'))
        # A file of someone else may hold anything; training reports it.
        except (OSError, SyntaxError, ValueError):
            continue
        image = images[i]
        if image.problem:
            continue
        pixels = image.pixels[..., ::-1]
        pictures += [fit(pixels), fit(overlay(pixels, colors))]
        if len(pictures) == 2 * count:
            break
    if not pictures:
        return None
    columns = 2 * min(PREVIEWS_PER_ROW, len(pictures) // 2)
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    titles = ['image', 'pseudo-label'] * (columns // 2)
    write_atomically(path, jpeg(sheet(rows, titles, scale=1)))
    return path


def show(summary: Summary, total: int, machine: str) -> None:
    """Print what was done, and how long each part took."""
    print(
        f'{summary.written} written, {summary.there} there before, '
        f'{len(summary.problems)} skipped, of {total}'
    )
    if summary.written:
        share = ', '.join(
            f'{name} {summary.seconds[name] / summary.written:.2f}'
            for name in ('network', 'CRF', 'disk')
        )
        print(
            f'{summary.written / summary.elapsed:.2f} images/s {machine}; seconds an image, '
            f'beside each other: {share}; '
            f'{100 * coverage(summary.pixels):.1f}% of the pixels have a label'
        )
    for problem in summary.problems.values():
        print(f'skipped: {problem}')


def main() -> int:
    """Make pseudo-labels."""
    args = parse_args()
    rank, world_size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    register_all_modules(init_default_scope=True)
    recipe = PRESETS[args.preset]
    try:
        recipe = replace(
            recipe,
            background=recipe.background if args.theta_bg is None else args.theta_bg,
            foreground=recipe.foreground if args.theta_fg is None else args.theta_fg,
            crf=None if args.no_crf else recipe.crf,
        )
        if recipe.crf:
            import_crf()
        cfg, domain = load_config(args.config, args.checkpoint, args.domain, args.cfg_options)
        dataset = build_source(cfg, domain)
        with_background = has_background(dataset.metainfo['classes'])
        if recipe.per_threshold and not with_background:
            raise ValueError(
                f'--preset released: domain {domain} has no background class, expected one: its '
                'two thresholds tell background from foreground; take --preset paper'
            )
        files = LabelFiles(dataset)
        images = Images(dataset, range(rank, len(dataset), world_size), files)
        if not args.from_segmentor:
            images.require_image_labels()
    except (ImportError, ValueError, OSError) as error:
        raise SystemExit(str(error)) from None

    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, share_of_cores() - args.workers))
    with processes(args.workers) as pool:
        try:
            model = load_network(cfg, args.checkpoint, classifier=not args.from_segmentor)
            resize = build_resize(validation_resizes(cfg, domain))
            if args.from_segmentor:
                network = segmentor_network(model, domain, resize, args.confidence)
            else:
                network = activation_network(model, domain, resize, args.scales, not args.no_flip)
            settings = describe(args, cfg, domain, images, recipe)
            folder = Folder(args.out, settings, rank, world_size)
        except (ValueError, OSError) as error:
            raise SystemExit(str(error)) from None
        finish = Finisher(recipe, files, folder, with_background)
        with progress_bar('pseudo-labels', len(images)) as update:

            def progress(summary: Summary) -> None:
                update(summary.written + summary.there + len(summary.problems))

            try:
                summary = generate(
                    images, network, finish, pool, args.workers, args.on_error == 'skip', progress
                )
            except (ValueError, OSError, RuntimeError) as error:
                raise SystemExit(f'stopped: {error}') from None
            except KeyboardInterrupt:
                raise SystemExit('interrupted; run the same command again to go on') from None
    folder.close()
    machine = f'(threads: {torch.get_num_threads()}, processes beside them: {args.workers})'
    show(summary, len(images), machine)
    if args.preview and rank == 0:
        try:
            preview = make_preview(images, folder, args.preview)
        except OSError as error:
            raise SystemExit(f'the preview could not be written: {error}') from None
        print(f'Preview: {preview or "none, because no image has a label"}')
    print(f'Pseudo-labels: {folder.path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
