"""Predict on images, folders and videos: label maps, pictures and, on request, probabilities.

python tools/predict.py CONFIG CHECKPOINT photos/ "trips/*.jpg" drive.mp4 --domain day --out DIR

DIR gets labels/ (indexed PNGs in the domain's colors, whose values are the classes' numbers),
overlays/ (pictures, and a video for each video) and predictions.json (classes, colors, settings).
Folders below an input are kept. What cannot be read is named and skipped. What is there is kept, so
that a run that was interrupted goes on when the same command is given again.
"""

import argparse

from options import add_cfg_options, add_trust


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', help='its checkpoint file')
    parser.add_argument(
        'inputs',
        nargs='+',
        help='images, folders (recursively), patterns like "a/*.jpg", videos',
    )
    parser.add_argument(
        '--domain',
        help='domain of the images, where the network has several; all: each domain, side by side',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument(
        '--probabilities',
        action='store_true',
        help='also write probabilities/*.npz: `probabilities`, float16, [class, row, column]',
    )
    parser.add_argument(
        '--slide',
        nargs=2,
        type=int,
        metavar=('SIDE', 'STRIDE'),
        help='predict in square windows of SIDE pixels that move by STRIDE [as the config says]',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="average over the paper's five scales, 0.5 to 1.5, each as is and mirrored",
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        metavar='N',
        help='compute up to N images of one size together [1]',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... [a GPU if there is one]')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='start over: first remove the predictions that are in DIR',
    )
    add_trust(parser)
    add_cfg_options(parser)
    # Inputs may stand before and behind options.
    return parser.parse_intermixed_args()


def run(args: argparse.Namespace) -> None:
    """Predict and print what was done."""
    # Only now, because these imports take seconds, for which nobody should wait to read the help.
    import torch

    from cct_mm.apis import init_model
    from cct_mm.apis.inference import build_predictors
    from cct_mm.apis.inputs import find_inputs
    from cct_mm.apis.results import PredictionFolder, Writer, describe
    from cct_mm.engine.checkpoints.files import require_writable
    from cct_mm.engine.checkpoints.loading import trust_checkpoint
    from cct_mm.engine.config_options import parse_options

    for path in args.trust_checkpoint:
        trust_checkpoint(path)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        inputs = find_inputs(args.inputs, outside=args.out)
        model = init_model(
            args.config, args.checkpoint, device, cfg_options=parse_options(args.cfg_options)
        )
        predictors = build_predictors(
            model, args.domain, slide=args.slide, tta=args.tta, probabilities=args.probabilities
        )
        require_writable(args.out, '--out')
        if args.overwrite:
            PredictionFolder.clear(args.out)
        folder = PredictionFolder(args.out, describe(predictors, args.checkpoint, args.tta))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
    try:
        summary = Writer(predictors, folder, args.batch_size)(inputs)
    except (ValueError, OSError) as error:
        raise SystemExit(f'stopped: {error}') from None
    except torch.OutOfMemoryError:
        raise SystemExit(
            f'stopped: the memory of {device} is full; try --batch-size 1, --slide 512 341 or '
            '--device cpu (with --slide, in another --out)'
        ) from None
    finally:
        folder.close()
    for problem in summary.problems.values():
        print(f'skipped: {problem}')
    print(
        f'{summary.predicted} predicted, {summary.there} there before, '
        f'{len(summary.problems)} skipped'
    )
    if not summary.predicted and not summary.there:
        raise SystemExit('nothing could be predicted')
    print(f'Predictions: {folder.path}')


def main() -> None:
    """Predict; Ctrl-C leaves whole files."""
    args = parse_args()
    try:
        run(args)
    except KeyboardInterrupt:
        raise SystemExit('interrupted; run the same command again to go on') from None


if __name__ == '__main__':
    main()
