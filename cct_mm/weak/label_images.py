"""A folder of pseudo-labels for the images of a domain, with all that a user sees of it."""

import argparse
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from mmengine.config import Config
from mmseg.utils import register_all_modules

from cct_mm.engine.checkpoints.loading import trust_checkpoint
from cct_mm.files import write_atomically
from cct_mm.labels import IGNORE_INDEX, has_background
from cct_mm.processes import processes
from cct_mm.progress_bar import progress_bar
from cct_mm.result_folder import network_settings
from cct_mm.visualization import fit, jpeg, overlay, sheet

from .crf import import_crf
from .generate import Finisher, Summary, coverage, generate
from .images import Images
from .networks import (
    activation_network,
    build_resize,
    build_source,
    evaluation_resizes,
    load_config,
    load_network,
    segmentor_network,
    source_config,
)
from .pseudo_labels import PRESETS, VERSION, Recipe
from .writer import Folder, LabelFiles

PREVIEWS_PER_ROW = 3


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
        'validation resize': evaluation_resizes(cfg, domain),
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


def label_images(args: argparse.Namespace, cores: int) -> int:
    """Make pseudo-labels, as ``tools/gen_pseudo_labels.py`` asks for.

    Args:
        args: Its command line.
        cores: Number of cores for this process and its workers.

    Returns:
        The exit code.

    Raises:
        SystemExit: With a sentence, if that is impossible, stops, or is interrupted.
    """
    for checkpoint in args.trust_checkpoint:
        trust_checkpoint(checkpoint)
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
        torch.set_num_threads(max(1, cores - args.workers))
    with processes(args.workers) as pool:
        try:
            model = load_network(cfg, args.checkpoint, classifier=not args.from_segmentor)
            resize = build_resize(evaluation_resizes(cfg, domain))
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
