"""Write pseudo-labels for the training images of a domain.

python tools/gen_pseudo_labels.py CONFIG CHECKPOINT --out DIR

From a classifier (configs/weak) by class activation maps, or, with --from-segmentor, from a trained
segmentor by confidence. The images are those of the domain's `weak` source in train_dataloader, or
else of its `unlabeled` source. What is there already is kept, so that a run that was interrupted or
killed goes on where it was. On several GPUs:

torchrun --nproc_per_node 4 tools/gen_pseudo_labels.py CONFIG CHECKPOINT --out DIR
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import torch
from mmengine.config import Config, DictAction
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from torch.nn import functional as F

import cct_mm  # noqa: F401  registers everything
from cct_mm.models import ImageClassifier, MultiDomainSegmentor
from cct_mm.visualization import fit, overlay, sheet
from cct_mm.weak.cam import class_activation_maps
from cct_mm.weak.crf import import_crf
from cct_mm.weak.generate import (
    Finisher,
    Image,
    Images,
    Summary,
    UnreadableImage,
    coverage,
    generate,
    processes,
)
from cct_mm.weak.pseudo_labels import PRESETS, Recipe, confident
from cct_mm.weak.writer import Folder, LabelFiles

LINE_EVERY = 50
"""Images between two lines of progress where the output is no terminal."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument('--out', required=True, help='folder for the label files')
    parser.add_argument(
        '--from-segmentor', action='store_true', help='the checkpoint is a segmentor, e.g. CCT'
    )
    parser.add_argument(
        '--confidence', type=float, default=0.9, help='of a segmentor: least probability [0.9]'
    )
    parser.add_argument(
        '--preset',
        choices=list(PRESETS),
        default='paper',
        help='paper: both thresholds, one CRF; released: a CRF for each threshold [paper]',
    )
    parser.add_argument('--theta-bg', type=float, help='background below this activation [0.05]')
    parser.add_argument('--theta-fg', type=float, help='foreground above this activation [0.30]')
    parser.add_argument('--no-crf', action='store_true', help='leave the dense CRF out')
    parser.add_argument(
        '--workers',
        type=int,
        default=max(1, cores // 2),
        help='processes for CRF and files beside the network [half of the cores]',
    )
    parser.add_argument(
        '--on-error',
        choices=['stop', 'skip'],
        default='stop',
        help='what to do about an image that cannot be read or has no image-level labels [stop]',
    )
    parser.add_argument(
        '--preview', type=int, default=0, metavar='N', help='draw a sheet of N images and labels'
    )
    args = parser.parse_args()
    if not 0 <= args.confidence <= 1:
        parser.error(f'--confidence {args.confidence}: expected a probability in [0, 1]')
    if args.workers < 1:
        parser.error(f'--workers {args.workers}: expected at least 1')
    return args


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which network looks at which images, and how."""
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', help='its checkpoint file')
    parser.add_argument('--domain', help='which domain, where the config has several')
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[0.5, 1.0, 1.5, 2.0],
        help='sizes at which a classifier looks at an image [0.5 1.0 1.5 2.0]',
    )
    parser.add_argument('--no-flip', action='store_true', help='do not look at mirrored images')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override config entries: key=value ...'
    )


def load_config(args: argparse.Namespace) -> tuple[Config, str]:
    """Return the config, and the name of the domain."""
    if not Path(args.checkpoint).is_file():
        raise SystemExit(
            f'checkpoint {args.checkpoint} does not exist, expected a .pth file that '
            'tools/train.py wrote'
        )
    if any(scale <= 0 for scale in args.scales):
        raise SystemExit(f'--scales {args.scales}: expected numbers > 0, such as 0.5 1.0')
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    domains = list(cfg.model.domains)
    if args.domain is None and len(domains) > 1:
        raise SystemExit(f'{args.config} has the domains {domains}: choose one with --domain')
    domain = args.domain or domains[0]
    if domain not in domains:
        raise SystemExit(f'--domain {domain}: {args.config} has no such domain, only {domains}')
    return cfg, domain


def build_source(cfg: Config, domain: str):
    """Return the dataset of the images to label: the domain's weak, or unlabeled, source."""
    sources = cfg.train_dataloader.dataset.domains.get(domain, {})
    for kind in ('weak', 'unlabeled'):
        if kind in sources:
            return DATASETS.build(sources[kind])
    raise SystemExit(
        f'domain {domain} has the sources {list(sources)} in train_dataloader, expected `weak` or '
        '`unlabeled`, whose images get the pseudo-labels'
    )


def load_model(cfg: Config, checkpoint: str, from_segmentor: bool) -> MultiDomainSegmentor:
    """Return the network with its weights, in evaluation mode."""
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    if isinstance(model, ImageClassifier) is from_segmentor:
        fix = 'without' if from_segmentor else 'with'
        raise SystemExit(
            f'the config is a {type(model).__name__}: run this {fix} --from-segmentor, or give the '
            'config of the network that the checkpoint is of'
        )
    try:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True, logger='silent')
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise SystemExit(
            f'{checkpoint} is no checkpoint of this config: ' + '\n'.join(lines[:4])
        ) from None
    if torch.cuda.is_available():
        model.cuda(int(os.environ.get('LOCAL_RANK', 0)))
    return model.eval()


def activation_network(
    model: ImageClassifier, domain: str, scales: Sequence[float], flip: bool
) -> Callable[[Image], np.ndarray]:
    """Return the function from an image to the activation maps of its classes, [P, H, W]."""

    def network(image: Image) -> np.ndarray:
        pixels = torch.from_numpy(image.pixels).permute(2, 0, 1)
        maps = class_activation_maps(model, pixels, domain, image.present, scales, flip)
        return maps.cpu().numpy()

    return network


def segmentor_network(
    model: MultiDomainSegmentor, cfg: Config, domain: str, confidence: float
) -> Callable[[Image], np.ndarray]:
    """Return the function from an image to the labels that a segmentor is sure of, [H, W]."""
    evaluated = next(iter(cfg.val_dataloader.dataset.domains[domain].values()))
    resizes = [TRANSFORMS.build(t) for t in evaluated.pipeline if t.type == 'Resize']
    has_background = model.domains[domain].classes[0] == 'background'

    @torch.no_grad()
    def network(image: Image) -> np.ndarray:
        results = {'img': image.pixels, 'img_shape': image.pixels.shape[:2]}
        for resize in resizes:
            results = resize(results)
        height, width = results['img'].shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(results['img'])).permute(2, 0, 1)
        batch = model.data_preprocessor({'inputs': [pixels], 'data_samples': [SegDataSample()]})
        logits = model.encode_decode(batch['inputs'], [{'domain': domain}])
        logits = F.interpolate(
            logits[:, :, :height, :width], image.pixels.shape[:2], mode='bilinear'
        )
        present = image.present
        if present is not None and has_background:
            present = (0, *present)
        return confident(logits[0].float().softmax(dim=0), confidence, present).cpu().numpy()

    return network


def describe(args: argparse.Namespace, domain: str, classes: Sequence[str], recipe: Recipe) -> dict:
    """Return what the files depend on, ready for JSON."""
    digest = hashlib.sha256(Path(args.checkpoint).read_bytes()).hexdigest()
    settings = {'domain': domain, 'classes': list(classes), 'checkpoint': f'sha256 {digest}'}
    if args.from_segmentor:
        settings |= {'confidence': args.confidence, 'crf': recipe.describe()['crf']}
    else:
        settings |= {'scales': args.scales, 'flip': not args.no_flip, **recipe.describe()}
    return settings


def draw_preview(images: Images, folder: Folder, count: int) -> Path:
    """Draw the first images beside their labels, which are laid over them."""
    rows: list[list[np.ndarray]] = []
    for i in range(len(images)):
        image = images[i]
        file = folder.file(image.name)
        if image.problem or not file.is_file():
            continue
        with PIL.Image.open(file) as labels:
            colours = np.asarray(labels.convert('RGB'))
        pixels = image.pixels[..., ::-1]
        rows.append([fit(pixels), fit(overlay(pixels, colours))])
        if len(rows) == count:
            break
    path = folder.path / 'preview.png'
    if rows:
        cv2.imwrite(str(path), sheet(rows, ['image', 'pseudo-label'], scale=1)[..., ::-1])
    return path


def show(summary: Summary, total: int, elapsed: float, machine: str) -> None:
    """Say what was done, and how long each part took."""
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
            f'{summary.written / elapsed:.2f} images/s on {machine}; seconds an image, beside '
            f'each other: {share}; {100 * coverage(summary.pixels):.1f}% of the pixels have a label'
        )
    for path, problem in summary.problems.items():
        print(f'skipped {path}: {problem}')


def main() -> int:
    """Make pseudo-labels."""
    args = parse_args()
    rank, world_size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    register_all_modules(init_default_scope=True)
    cfg, domain = load_config(args)
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
        dataset = build_source(cfg, domain)
        classes = dataset.metainfo['classes']
        files = LabelFiles(dataset)
        images = Images(dataset, range(rank, len(dataset), world_size), files)
        if not args.from_segmentor and not images.has_image_labels:
            raise ValueError(
                f'the source of domain {domain} tells no image-level labels, expected '
                'LoadImageLabels in its pipeline: activation maps are made for the classes that '
                'an image shows'
            )
    except (ImportError, ValueError, OSError) as error:
        raise SystemExit(str(error)) from None

    console = Console()
    with processes(args.workers) as pool:
        model = load_model(cfg, args.checkpoint, args.from_segmentor)
        if args.from_segmentor:
            network = segmentor_network(model, cfg, domain, args.confidence)
        else:
            network = activation_network(model, domain, args.scales, not args.no_flip)
        try:
            folder = Folder(args.out, describe(args, domain, classes, recipe), rank)
        except (ValueError, OSError) as error:
            raise SystemExit(str(error)) from None
        finish = Finisher(recipe, files, folder, classes[0] == 'background')
        columns = (
            TextColumn('pseudo-labels'),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task('', total=len(images))

            def progress(summary: Summary) -> None:
                done = summary.written + summary.there + len(summary.problems)
                bar.update(task, completed=done)
                if not console.is_terminal and summary.written % LINE_EVERY == 1:
                    print(f'{done} of {len(images)} images', flush=True)

            try:
                summary = generate(
                    images, network, finish, pool, args.workers, args.on_error == 'skip', progress
                )
            except (UnreadableImage, OSError, RuntimeError) as error:
                raise SystemExit(f'stopped: {error}') from None
            except KeyboardInterrupt:
                raise SystemExit('interrupted; run the same command again to go on') from None
    folder.close()
    machine = f'{torch.get_num_threads()} threads + {args.workers} processes'
    show(summary, len(images), summary.elapsed, machine)
    if args.preview and rank == 0:
        print(f'Preview: {draw_preview(images, folder, args.preview)}')
    print(f'Pseudo-labels: {folder.path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
