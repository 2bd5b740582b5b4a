"""Export one domain of a trained network for use without cct_mm.

python tools/export_model.py CONFIG CHECKPOINT --domain NAME --out DIR --format mmseg onnx torch

mmseg: an ordinary config and checkpoint of MMSegmentation, with one Python file beside them where
the network has layers of cct_mm. onnx: a file for onnxruntime and others. torch: a program of
torch.export, which PyTorch alone runs. Each is compared with the network before it appears.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from options import add_cfg_options, add_trust

if TYPE_CHECKING:
    from cct_mm.export import Export


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', help='its checkpoint file')
    parser.add_argument('--domain', help='which domain, where the config has several, or all')
    parser.add_argument('--out', required=True, help='folder for the files')
    parser.add_argument(
        '--format',
        nargs='+',
        choices=['mmseg', 'onnx', 'torch'],
        default=['mmseg'],
        help='what to write, one or several [mmseg]',
    )
    parser.add_argument('--force', action='store_true', help='replace files that are there')
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def size_of(path: str | Path) -> str:
    """Return the size of a file, for people."""
    size = Path(path).stat().st_size
    return f'{size / 1e6:.1f} MB' if size > 1e5 else f'{size / 1e3:.1f} kB'


def show(done: Export) -> None:
    """Say what was written."""
    for kind, difference in done.differences.items():
        found = (
            'not compared, because onnxruntime is not installed'
            if difference is None
            else f'largest difference of logits to the network: {difference:.2g}'
        )
        print(f'{kind}: {found}')
    before, after = done.parameters
    print(f'Parameters: {before:,} in the network, {after:,} exported')
    for path in done.files:
        print(f'Written: {path}, {size_of(path)}')


def main() -> int:
    """Export."""
    args = parse_args()
    # Only now, because these imports take seconds, for which nobody should wait to read the help.
    from cct_mm.apis import init_model
    from cct_mm.apis.model import domains_of
    from cct_mm.engine.checkpoints.loading import trust_checkpoint
    from cct_mm.engine.config_options import parse_options
    from cct_mm.export import export_domain

    for path in args.trust_checkpoint:
        trust_checkpoint(path)
    traced = set(args.format) != {'mmseg'}
    try:
        given = parse_options(args.cfg_options)
        model = init_model(args.config, args.checkpoint, 'cpu', cfg_options=given)
        domains = domains_of(model, args.domain)
        if traced:
            print('Tracing a network takes about a minute.', flush=True)
        for domain in domains:
            show(export_domain(model, model.cfg, domain, args.out, args.format, args.force))
    except (ImportError, ValueError, OSError, KeyError) as error:
        raise SystemExit(str(error)) from None
    print(f'Checkpoint: {args.checkpoint}, {size_of(args.checkpoint)}')
    if traced and model.test_cfg.get('mode') == 'slide':
        print(
            'Note: the config predicts by a sliding window, but onnx and torch see an image as a '
            'whole; give them one window after another, or images of about its size'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
