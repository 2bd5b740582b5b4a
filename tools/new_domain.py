r"""From folders of your images and masks to a domain and configs that train on it.

It looks at the files, pairs images and masks by their names, makes a hold-out where no folder is
called val, and writes into configs/NAME: the domain file NAME.py, the lists of files, and the
configs supervised_NAME.py, cct_NAME.py and recommended_NAME.py. It says what it chose, and which
commands come next. Nothing that exists is overwritten; docs/own_data.md tells more.

Example:
    python tools/new_domain.py leaves data/leaves --classes background leaf fruit
    python tools/new_domain.py city photos --masks masks --unlabeled video_frames \
        --classes sky=0 road=7 car=26 --things car
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', help='what the domain is called: letters, digits, _')
    parser.add_argument(
        'folders', nargs='+', metavar='FOLDER',
        help="folders of images, with or without masks in them, or patterns such as 'a/*_sat.jpg'",
    )  # fmt: skip
    parser.add_argument(
        '--classes', nargs='+', default=[], metavar='CLASS',
        help='names in the order of their values in the masks, or NAME=VALUE, NAME=R,G,B or '
        'NAME=#RRGGBB for each; without it, it is said what the masks hold',
    )  # fmt: skip
    parser.add_argument(
        '--masks', nargs='+', default=[], metavar='FOLDER',
        help='folders of masks, or patterns (default: found by their names among the images)',
    )  # fmt: skip
    parser.add_argument(
        '--unlabeled', nargs='+', default=[], metavar='FOLDER',
        help='folders of further images, which have no masks, or patterns',
    )  # fmt: skip
    parser.add_argument(
        '--things', nargs='*', metavar='CLASS',
        help='classes that are objects (default: all but the first, where that is background)',
    )  # fmt: skip
    parser.add_argument(
        '--val', nargs='+', default=[], metavar='FOLDER', help='images of validation, with masks'
    )
    parser.add_argument(
        '--hold-out', type=float, default=0.2, metavar='SHARE',
        help='share of the masks for validation where there is none; 0 trains on all (default 0.2)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of the hold-out (default 0)')
    parser.add_argument(
        '--orientation', choices=['stored', 'exif'],
        help='whether masks fit images as they are stored, or turned by their EXIF data '
        '(default: as the sizes of the masks tell)',
    )  # fmt: skip
    parser.add_argument(
        '--model', choices=['efficientnet-lite0', 'resnet50-d8'], default='efficientnet-lite0',
        help='efficientnet-lite0 for a CPU (default), resnet50-d8 as in the paper for a GPU',
    )  # fmt: skip
    parser.add_argument(
        '--join', nargs='+', default=[], metavar='DOMAIN_FILE',
        help='domain files written before: configs for one network of all these domains, too',
    )  # fmt: skip
    parser.add_argument('--out', type=Path, help='new folder (default: configs/NAME)')
    args = parser.parse_args(argv)
    if not 0 <= args.hold_out < 1:
        parser.error(f'--hold-out {args.hold_out}: expected a share from 0 to below 1')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Write a domain.

    Args:
        argv: Command line without the program's name. Default: that of the process.

    Raises:
        OSError: If files are missing or cannot be written.
        ValueError: If something is not clear; the message says what to give.
    """
    args = parse_args(argv)
    # After the arguments, because it imports torch.
    from cct_mm.lab.new_domain import configs, describe, find, images, masks, survey, write

    configs.check_name(args.name)
    out = args.out or Path('configs', args.name)
    write.check_free(out)
    joined = [configs.read_domain_file(path) for path in args.join]
    network = configs.NETWORKS[args.model]
    if not args.classes:
        files = find.find_files([*args.folders, *args.val], args.masks, args.unlabeled)
        held = masks.look_at_masks([mask for _, mask in files.pairs])
        raise ValueError(
            f'the {len(files.pairs)} masks hold {masks.shown(held)}; say which classes they stand '
            f'for, with names in the place of these: {masks.proposal(held)}'
        )
    found = survey.survey(
        args.folders, args.classes, args.masks, args.unlabeled, args.things, args.val,
        args.hold_out, args.orientation, args.seed,
    )  # fmt: skip
    crop = joined[0].crop if joined else images.crop_side(found.images, network.crop)
    parts = frozenset(part for part, entries in found.split.items() if entries)
    path = str(out.resolve() / f'{args.name}.py')
    domain = configs.DomainFile(args.name, path, crop, parts, bool(found.unlabeled))
    domains = [*joined, domain]
    configs.check_together(domains)
    lines = describe.notes(found, crop)
    texts = {f'{args.name}.py': configs.domain_text(args.name, found, crop, lines)}
    for group in [[domain], domains] if joined else [[domain]]:
        texts |= configs.training_texts(group, network, str(CONFIGS / '_base_'), str(out.resolve()))
    write.write_domain(out, found, texts)

    print(*(f'- {line}' for line in lines), '', *describe.class_table(found), '', sep='\n')
    print(f'Written to {out}: {", ".join(texts)}, lists/')
    if missing := describe.missing_weights(network):
        print(missing)
    group = domains if joined else [domain]
    has_cct = any(name.startswith('cct_') for name in texts)
    print('Next:', *describe.next_commands(out, group, network, has_cct), sep='\n  ')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f'new_domain: {error}')
