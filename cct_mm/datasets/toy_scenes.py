"""ToyScenes: two small procedural domains for a demonstration that needs no download.

``day`` has houses and cars, ``night`` lamps and persons; both have sky, ground and trees, under
another light. The images are 128 x 96 pixels. A handful of labeled images does not show what a few
hundred do: kinds of sky and ground, seasons, shapes, sizes, colours, occlusion, haze, lamps that
are out, and the light of the hour vary from image to image, independently of each other.

An image is made in three steps, as nature does it: surfaces with a colour and a depth are painted
from far to near, light falls on them (sun and shadows, or lamps on a dark ambience), and a camera
adds haze, blur and noise. Every draw of an image comes from its key (seed, domain, split, index),
so each image can be made again alone.

The data are part of what a result on them means: any change of what is drawn needs a new
:data:`GENERATOR_VERSION`.
"""

import colorsys
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmseg.registry import DATASETS

from .file_lists import format_file_list
from .list_dataset import ListDataset
from .splits import nested_splits, split_files

GENERATOR_VERSION = 1
"""Version of what is drawn; folders of another version are not taken for this one."""

HEIGHT, WIDTH = 96, 128
SPLIT_SIZES = {'train': 212, 'val': 60, 'test': 100}
"""Images of each domain."""
LABELED_SIZE = 12
"""Labeled images of each domain; the other 200 of train are unlabeled."""

DOMAINS = {
    'day': {
        'classes': ('sky', 'ground', 'tree', 'house', 'car'),
        'palette': [[120, 180, 240], [150, 120, 80], [40, 140, 40], [190, 60, 40], [240, 200, 0]],
    },
    'night': {
        'classes': ('sky', 'ground', 'tree', 'lamp', 'person'),
        'palette': [[20, 30, 90], [90, 80, 70], [20, 90, 50], [255, 240, 150], [220, 60, 160]],
    },
}
"""Metainfo of each domain, by its name."""
FOREGROUND = {'day': ('tree', 'house', 'car'), 'night': ('tree', 'lamp', 'person')}
"""Things of each domain; sky and ground are what they stand before and on."""

Colour = np.ndarray
Shape = tuple[tuple[float, float, float, float], Callable[[np.ndarray, np.ndarray], np.ndarray]]


@DATASETS.register_module()
class ToyScenesDataset(ListDataset):
    """One domain of ToyScenes.

    Args:
        domain: ``'day'`` or ``'night'``; selects classes and palette.
        metainfo: A subset of the domain's classes, for example. Default: all.
        **kwargs: Arguments of :class:`~cct_mm.datasets.list_dataset.ListDataset`; ``data_root`` is
            the folder of the domain.

    Raises:
        ValueError: There is no such domain.

    Example:
        >>> dataset = dict(
        ...     type='ToyScenesDataset', domain='night', data_root='data/ToyScenes/night',
        ...     ann_file='n12.txt')
    """

    LABEL_HINT = 'write the data again with tools/make_toy_scenes.py --force'
    SOURCE_HINT = 'write the data with tools/make_toy_scenes.py'

    def __init__(self, domain: str, metainfo: dict | None = None, **kwargs) -> None:
        _check_domain(domain)
        self.domain = domain
        kwargs.setdefault('dataset_name', f'toy_scenes {domain}')
        super().__init__(metainfo={**DOMAINS[domain], **(metainfo or {})}, **kwargs)

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """The map for a subset of the domain's classes.

        Args:
            new_classes: The classes in use.

        Returns:
            See :meth:`ListDataset.get_label_map`.
        """
        # The base asks a class for its METAINFO, here the classes depend on the instance.
        domain = type(self.domain, (ListDataset,), {'METAINFO': DOMAINS[self.domain]})
        return domain.get_label_map(new_classes)


def write_toy_scenes(root: str | os.PathLike, seed: int = 0, force: bool = False) -> Path:
    """Write both domains below ``root/ToyScenes``, whole or not at all.

    ``<domain>/{train,val,test}/000.png`` with masks in ``<domain>/{train,val,test}annot/``, lists
    ``train.txt val.txt test.txt n12.txt n12_unlabeled.txt`` and, in the folder of both domains,
    ``toy_scenes.json`` with the generator's version, the seed and a hash of all files.

    Args:
        root: Folder of the data sets, such as ``data``.
        seed: Seed of all draws.
        force: Whether a folder that is there with other content is replaced.

    Returns:
        The folder ``root/ToyScenes``. One that is there with the same version, seed and files as
        its manifest says is left as it is.

    Raises:
        FileExistsError: The folder is there but is of another version or seed, or was changed.
    """
    target = Path(root) / 'ToyScenes'
    header = {'generator_version': GENERATOR_VERSION, 'seed': seed}
    if target.exists() and not force:
        _check_present(target, header)
        return target

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.ToyScenes.', dir=target.parent) as temporary:
        new = Path(temporary) / 'new'
        for domain in DOMAINS:
            _write_domain(new / domain, domain, seed)
        manifest = {**header, 'sha256': _content_hash(new)}
        (new / 'toy_scenes.json').write_text(json.dumps(manifest, indent=2) + '\n')
        if target.exists():
            target.rename(Path(temporary) / 'old')
        new.rename(target)
    return target


def _check_present(target: Path, header: dict) -> None:
    """Refuse a folder that is not what the present generator writes."""
    path = target / 'toy_scenes.json'
    found = json.loads(path.read_text()) if path.is_file() else {}
    problem = ''
    if not found:
        problem = 'has no toy_scenes.json'
    elif {key: found.get(key) for key in header} != header:
        problem = f'is of {found}, expected {header}'
    elif found.get('sha256') != _content_hash(target):
        problem = 'has files that were changed, added or removed since it was written'
    if problem:
        raise FileExistsError(
            f'{target} {problem}; remove the folder, or replace it with '
            f'tools/make_toy_scenes.py --force'
        )


def _content_hash(folder: Path) -> str:
    """SHA-256 over the names and bytes of all images, masks and lists."""
    digest = hashlib.sha256()
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob('*.*')}
    for name in sorted(paths):
        if name.endswith(('.png', '.txt')):
            digest.update(name.encode() + b'\0' + hashlib.sha256(paths[name].read_bytes()).digest())
    return digest.hexdigest()


def _write_domain(folder: Path, domain: str, seed: int) -> None:
    num_classes = len(DOMAINS[domain]['classes'])
    for split, size in SPLIT_SIZES.items():
        entries, counts = [], []
        (folder / split).mkdir(parents=True)
        (folder / f'{split}annot').mkdir()
        for index in range(size):
            image, label = draw_scene(domain, split, index, seed)
            entry = (f'{split}/{index:03d}.png', f'{split}annot/{index:03d}.png')
            for name, array in zip(entry, (image[..., ::-1], label), strict=True):
                (folder / name).write_bytes(cv2.imencode('.png', array)[1].tobytes())
            entries.append(entry)
            counts.append(np.bincount(label.ravel(), minlength=num_classes))
        (folder / f'{split}.txt').write_text(format_file_list(entries))
        if split == 'train':
            class_counts = np.array(counts)
            splits = nested_splits(entries, class_counts, [LABELED_SIZE], seed)
            files = split_files(entries, splits, {'seed': seed}, class_counts)
            for name, text in files.items():
                (folder / name).write_text(text)


def draw_scene(domain: str, split: str, index: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image.

    Args:
        domain: ``'day'`` or ``'night'``.
        split: ``'train'``, ``'val'`` or ``'test'``.
        index: Number of the image in its split, from 0.
        seed: Seed of the data set.

    Returns:
        The image, ``[96, 128, 3]`` uint8 RGB, and its labels, ``[96, 128]`` uint8.

    Raises:
        ValueError: There is no such domain or split.
    """
    _check_domain(domain)
    if split not in SPLIT_SIZES:
        raise ValueError(f'split {split!r} is unknown, expected one of {list(SPLIT_SIZES)}')
    key = [seed, list(DOMAINS).index(domain), list(SPLIT_SIZES).index(split), index]
    scene = _Scene(np.random.default_rng(key), DOMAINS[domain]['classes'])
    return _draw_day(scene) if domain == 'day' else _draw_night(scene)


def _check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise ValueError(f'domain {domain!r} is unknown, expected one of {list(DOMAINS)}')


class _Scene:
    """What the camera sees before light and camera: surfaces, painted from far to near.

    Args:
        rng: Source of all draws of this image.
        classes: Names of the classes, by label.
    """

    def __init__(self, rng: np.random.Generator, classes: Sequence[str]) -> None:
        self.rng = rng
        self.classes = classes
        self.surface = np.zeros((HEIGHT, WIDTH, 3))
        """Reflected share of the light."""
        self.emission = np.zeros((HEIGHT, WIDTH, 3))
        """Light of its own: sky, lamps, windows."""
        self.shade = np.ones((HEIGHT, WIDTH))
        """Share of the sun that arrives."""
        self.nearness = np.zeros((HEIGHT, WIDTH))
        """0 at the horizon, 1 at the lower edge: what haze goes by."""
        self.label = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.grain = rng.uniform(-1, 1, (HEIGHT, WIDTH))
        self.patches = self.noise(4)
        self.horizon = rng.uniform(0.3, 0.56) * HEIGHT

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence, weights: Sequence[float] | None = None):
        return options[int(self.rng.choice(len(options), p=weights))]

    def noise(self, cell: float) -> np.ndarray:
        """Smooth noise in [-1, 1] whose features are ``cell`` pixels wide."""
        rows, columns = (_interpolation(size, cell, self.uniform(0, 1)) for size in (HEIGHT, WIDTH))
        return rows @ self.rng.uniform(-1, 1, (rows.shape[1], columns.shape[1])) @ columns.T

    def paint(
        self,
        shape: Shape,
        colour: Colour,
        name: str,
        nearness: float,
        grain: float = 0.05,
        patches: float = 0.0,
        emission: Colour | float = 0.0,
    ) -> None:
        """Cover a shape with a surface of class ``name``.

        Args:
            shape: Bounding box and inside test.
            colour: RGB in 0 .. 1.
            name: The class.
            nearness: Depth of the surface, 0 .. 1.
            grain: Strength of variation from pixel to pixel, as a share of the brightness.
            patches: Strength of variation over a few pixels.
            emission: Light of its own.
        """
        region, mask = _rasterize(shape)
        if mask is None:
            return
        texture = 1 + grain * self.grain[region][mask] + patches * self.patches[region][mask]
        self.surface[region][mask] = colour * texture[:, None]
        self.emission[region][mask] = emission
        self.shade[region][mask] = 1.0
        self.nearness[region][mask] = nearness
        self.label[region][mask] = self.classes.index(name)

    def darken_ground(self, shape: Shape, share: float) -> None:
        """Let a shadow fall on the ground inside a shape."""
        region, mask = _rasterize(shape)
        if mask is not None:
            mask &= self.label[region] == self.classes.index('ground')
            self.shade[region][mask] = np.minimum(self.shade[region][mask], share)

    def stand(self, nearest: float = 1.0, farthest: float = 0.04) -> tuple[float, float, float]:
        """A place for a thing: row and column of its foot, and its nearness."""
        nearness = self.uniform(farthest, nearest)
        row = self.horizon + 1 + nearness**1.2 * (HEIGHT - self.horizon)
        return row, self.uniform(-4, WIDTH + 4), nearness


def _interpolation(size: int, cell: float, offset: float) -> np.ndarray:
    position = np.arange(size) / cell + offset
    lower = np.floor(position).astype(int)
    weight = position - lower
    weight = weight * weight * (3 - 2 * weight)
    matrix = np.zeros((size, lower[-1] + 2))
    matrix[np.arange(size), lower] = 1 - weight
    matrix[np.arange(size), lower + 1] = weight
    return matrix


def _rasterize(shape: Shape) -> tuple[tuple[slice, slice], np.ndarray | None]:
    """The region of the image that the shape's box covers, and the shape's mask in it."""
    (top, left, bottom, right), inside = shape
    rows = slice(max(0, int(top)), min(HEIGHT, int(bottom) + 2))
    columns = slice(max(0, int(left)), min(WIDTH, int(right) + 2))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return (rows, columns), None
    y = np.arange(rows.start, rows.stop)[:, None] + 0.5
    x = np.arange(columns.start, columns.stop)[None] + 0.5
    mask = inside(y, x)
    return (rows, columns), mask if mask.any() else None


def _ellipse(y: float, x: float, height: float, width: float) -> Shape:
    """An ellipse around (y, x); height and width are half axes."""
    return (
        (y - height, x - width, y + height, x + width),
        lambda v, u: ((v - y) / height) ** 2 + ((u - x) / width) ** 2 <= 1,
    )


def _polygon(*corners: tuple[float, float]) -> Shape:
    """A convex polygon; corners (y, x) in either direction."""
    ys, xs = zip(*corners, strict=True)
    edges = list(zip(corners, (*corners[1:], corners[0]), strict=True))

    def inside(v: np.ndarray, u: np.ndarray) -> np.ndarray:
        sides = [(x1 - x0) * (v - y0) - (y1 - y0) * (u - x0) for (y0, x0), (y1, x1) in edges]
        return np.logical_and.reduce([side >= 0 for side in sides]) | np.logical_and.reduce(
            [side <= 0 for side in sides]
        )

    return (min(ys), min(xs), max(ys), max(xs)), inside


def _box(top: float, left: float, bottom: float, right: float) -> Shape:
    return (
        (top, left, bottom, right),
        lambda v, u: (v >= top) & (v <= bottom) & (u >= left) & (u <= right),
    )


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB of a hue in degrees, saturation and value in 0 .. 1."""
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value))


def _draw_ground(scene: _Scene) -> None:
    """Ground up to an uneven horizon, of a kind of its own, perhaps with a path."""
    hills = scene.uniform(0, 7) * scene.noise(scene.uniform(18, 60))[0]
    horizon = scene.horizon + hills
    colours = {
        'grass': _hsv(scene.uniform(70, 125), scene.uniform(0.3, 0.65), scene.uniform(0.35, 0.6)),
        'earth': _hsv(scene.uniform(18, 45), scene.uniform(0.2, 0.55), scene.uniform(0.35, 0.7)),
        'asphalt': _hsv(scene.uniform(190, 260), scene.uniform(0, 0.1), scene.uniform(0.3, 0.6)),
        'snow': _hsv(scene.uniform(190, 230), scene.uniform(0, 0.08), scene.uniform(0.75, 0.92)),
    }
    kind = scene.pick(list(colours), [0.4, 0.25, 0.25, 0.1])
    whole = (
        (0, 0, HEIGHT, WIDTH),
        lambda v, u: v >= horizon[None, :],
    )
    grain = {'grass': 0.16, 'earth': 0.12, 'asphalt': 0.06, 'snow': 0.03}
    scene.paint(whole, colours[kind], 'ground', 0, grain[kind], patches=scene.uniform(0.05, 0.2))
    if scene.chance(0.55):
        path = scene.pick([name for name in colours if name != kind])
        top, foot = scene.uniform(0, WIDTH), scene.uniform(-20, WIDTH + 20)
        wide = scene.uniform(18, 60)
        start = scene.horizon + max(0.0, float(hills.max())) + 1
        strip = _polygon(
            (start, top - 2), (start, top + 2), (HEIGHT, foot + wide), (HEIGHT, foot - wide)
        )
        scene.paint(strip, colours[path], 'ground', 0, grain[path], patches=0.08)
    rows = np.clip((np.arange(HEIGHT) - scene.horizon) / (HEIGHT - scene.horizon), 0, 1)
    scene.nearness = np.where(scene.label == 1, rows[:, None], 0.0)


def _draw_tree(scene: _Scene, row: float, column: float, nearness: float) -> None:
    """A broad-leaved tree in any season or a conifer."""
    scale = (0.45 + nearness) * scene.uniform(0.75, 1.4)
    trunk = _hsv(scene.uniform(15, 40), scene.uniform(0.2, 0.5), scene.uniform(0.2, 0.4))
    season = scene.pick(['summer', 'autumn', 'dark'], [0.55, 0.25, 0.2])
    hue = {'summer': (75, 130), 'autumn': (15, 60), 'dark': (120, 160)}[season]
    leaves = _hsv(scene.uniform(*hue), scene.uniform(0.35, 0.75), scene.uniform(0.22, 0.55))
    wide = 1.6 * scale
    if scene.chance(0.65):
        stem = scene.uniform(6, 16) * scale
        scene.paint(
            _box(row - stem - 5 * scale, column - wide, row, column + wide),
            trunk, 'tree', nearness, 0.2,
        )  # fmt: skip
        radius = scene.uniform(8, 13) * scale
        stretch = scene.uniform(0.8, 1.4)
        for _ in range(int(scene.rng.integers(5, 10))):
            y = row - stem - radius * stretch * (0.6 + 0.45 * scene.uniform(-1, 1))
            x = column + radius * 0.65 * scene.uniform(-1, 1)
            size = radius * scene.uniform(0.4, 0.65)
            # Lower leaves lie in the shadow of the upper ones.
            light = 1 + 0.25 * (row - stem - radius * stretch * 0.6 - y) / (radius * stretch)
            scene.paint(
                _ellipse(y, x, size * stretch, size), leaves * light, 'tree', nearness, 0.22, 0.25
            )
    else:
        height, half = scene.uniform(22, 36) * scale, scene.uniform(5, 9) * scale
        scene.paint(
            _box(row - 0.25 * height, column - wide, row, column + wide),
            trunk, 'tree', nearness, 0.2,
        )  # fmt: skip
        for tier in range(3):
            foot = row - height * (0.12 + 0.24 * tier)
            reach = half * (1 - 0.26 * tier)
            top = (foot - height * 0.42, column)
            scene.paint(
                _polygon((foot, column - reach), (foot, column + reach), top),
                leaves * (0.8 + 0.12 * tier), 'tree', nearness, 0.25, 0.15,
            )  # fmt: skip


def _draw_house(scene: _Scene, row: float, column: float, nearness: float) -> None:
    """Walls in any colour, a pitched or flat roof, a door, rows of windows."""
    scale = (0.5 + 0.9 * nearness) * scene.uniform(0.75, 1.3)
    half, height = scene.uniform(10, 20) * scale, scene.uniform(13, 26) * scale
    wall = _hsv(scene.uniform(0, 60), scene.uniform(0.05, 0.6), scene.uniform(0.45, 0.9))
    if scene.chance(0.25):
        wall = _hsv(scene.uniform(180, 240), scene.uniform(0.02, 0.3), scene.uniform(0.5, 0.85))
    roof = _hsv(scene.pick([10, 25, 220]), scene.uniform(0.1, 0.6), scene.uniform(0.2, 0.55))
    top, left, right = row - height, column - half, column + half
    scene.paint(_box(top, left, row, right), wall, 'house', nearness, 0.05, 0.06)
    # One wall is turned away from the light.
    side = left + 2 * half * scene.uniform(0.55, 0.8)
    if scene.chance(0.6):
        scene.paint(_box(top, side, row, right), wall * 0.72, 'house', nearness, 0.05, 0.06)
    pitch = scene.uniform(0.3, 0.8) * half
    style = scene.pick(['gable', 'hip', 'flat'])
    ridge = {'gable': 0.0, 'hip': scene.uniform(0.3, 0.7), 'flat': 1.02}[style] * half
    pitch = pitch if style != 'flat' else 1.5 * scale
    over = 1.5 * scale
    scene.paint(
        _polygon(
            (top, left - over),
            (top, right + over),
            (top - pitch, column + ridge),
            (top - pitch, column - ridge),
        ),
        roof, 'house', nearness, 0.1, 0.1,
    )  # fmt: skip
    pane = _hsv(scene.uniform(190, 230), scene.uniform(0.1, 0.5), scene.uniform(0.15, 0.55))
    storeys, bays = int(scene.rng.integers(1, 4)), int(scene.rng.integers(2, 5))
    tall, broad = height / storeys, 2 * half / bays
    for storey in range(storeys):
        for bay in range(bays):
            y, x = top + tall * (storey + 0.25), left + broad * (bay + 0.28)
            scene.paint(_box(y, x, y + 0.5 * tall, x + 0.44 * broad), pane, 'house', nearness, 0.1)
    door = left + 2 * half * scene.uniform(0.1, 0.8)
    scene.paint(
        _box(row - 7 * scale, door, row, door + 4 * scale),
        _hsv(scene.uniform(0, 360), 0.4, 0.3), 'house', nearness,
    )  # fmt: skip


def _draw_car(scene: _Scene, row: float, column: float, nearness: float) -> None:
    """A saloon, an estate or a van from the side, in any colour."""
    scale = (0.4 + 0.85 * nearness) * scene.uniform(0.85, 1.2)
    paintwork = _hsv(scene.uniform(0, 360), scene.uniform(0.4, 0.95), scene.uniform(0.3, 0.9))
    if scene.chance(0.45):
        paintwork = _hsv(0, 0, scene.pick([0.08, 0.3, 0.55, 0.75, 0.92]))
    half, wheel = scene.uniform(13, 18) * scale, scene.uniform(2.4, 3.2) * scale
    body, cabin = scene.uniform(5, 7) * scale, scene.uniform(4.5, 6.5) * scale
    style = scene.pick(['saloon', 'estate', 'van'])
    facing = scene.pick([-1, 1])
    reach = {'saloon': (0.55, 0.5), 'estate': (0.45, 0.95), 'van': (0.75, 0.98)}[style]
    rake = {'saloon': (0.3, 0.3), 'estate': (0.3, 0.1), 'van': (0.15, 0.03)}[style]
    cabin *= 1.5 if style == 'van' else 1.0
    floor = row - 0.8 * wheel
    belt = floor - body

    def cabin_shape(margin: float) -> Shape:
        front = column + facing * half * (reach[0] - margin)
        rear = column - facing * half * (reach[1] - margin)
        lift = cabin * margin
        return _polygon(
            (belt + 0.2 - lift, front),
            (belt + 0.2 - lift, rear),
            (belt - cabin + 1.6 * lift, rear + facing * half * rake[1]),
            (belt - cabin + 1.6 * lift, front - facing * half * rake[0]),
        )

    glass = _hsv(scene.uniform(190, 230), scene.uniform(0.1, 0.4), scene.uniform(0.1, 0.5))
    scene.paint(cabin_shape(0), paintwork, 'car', nearness, 0.03)
    scene.paint(cabin_shape(0.12), glass, 'car', nearness, 0.05)
    post = column + facing * half * scene.uniform(-0.2, 0.1)
    scene.paint(
        _box(belt - 0.9 * cabin, post - 0.5 * scale, belt, post + 0.5 * scale),
        paintwork, 'car', nearness,
    )  # fmt: skip
    scene.paint(_box(belt, column - half, floor, column + half), paintwork, 'car', nearness, 0.03)
    sill = floor - 0.3 * body
    scene.paint(_box(sill, column - half, floor, column + half), paintwork * 0.6, 'car', nearness)
    for end, light in ((facing, [1, 1, 0.8]), (-facing, [0.8, 0.1, 0.1])):
        edge = column + end * half * 0.93
        scene.paint(
            _ellipse(belt + 0.35 * body, edge, 0.17 * body, 0.07 * half),
            np.array(light), 'car', nearness, 0,
        )  # fmt: skip
    for side in (-0.6, 0.6):
        centre = (row - wheel, column + side * half)
        scene.paint(_ellipse(*centre, wheel, wheel), np.full(3, 0.07), 'car', nearness)
        scene.paint(_ellipse(*centre, 0.45 * wheel, 0.45 * wheel), np.full(3, 0.5), 'car', nearness)


def _draw_person(scene: _Scene, row: float, column: float, nearness: float) -> None:
    """A person from the front or side, standing or walking, in any clothes."""
    height = (0.42 + 0.8 * nearness) * scene.uniform(27, 38)
    build = height * scene.uniform(0.1, 0.145)
    skin = _hsv(scene.uniform(15, 32), scene.uniform(0.25, 0.6), scene.uniform(0.35, 0.9))
    coat = _hsv(scene.uniform(0, 360), scene.uniform(0.1, 0.8), scene.uniform(0.25, 0.9))
    trousers = _hsv(scene.uniform(200, 260), scene.uniform(0.05, 0.5), scene.uniform(0.15, 0.6))
    stride = height * scene.uniform(0.02, 0.15)
    hip, shoulder = row - 0.48 * height, row - 0.84 * height
    long_coat = scene.chance(0.3)
    for side in (-1, 1):
        foot, top = column + side * stride, column + side * 0.35 * build
        leg = 0.42 * build
        scene.paint(
            _polygon((row, foot - leg), (row, foot + leg), (hip, top + leg), (hip, top - leg)),
            trousers * (1 - 0.15 * (side > 0)), 'person', nearness, 0.08,
        )  # fmt: skip
    hem = hip + (0.26 if long_coat else 0.03) * height
    flare = build * (1.15 if long_coat else 0.85)
    scene.paint(
        _polygon(
            (hem, column - flare),
            (hem, column + flare),
            (shoulder, column + build),
            (shoulder, column - build),
        ),
        coat, 'person', nearness, 0.08, 0.08,
    )  # fmt: skip
    for side in (-1, 1):
        swing = side * (build + height * scene.uniform(0.01, 0.1))
        arm = 0.28 * build
        joint = column + side * 0.9 * build
        scene.paint(
            _polygon(
                (shoulder, joint - arm),
                (shoulder, joint + arm),
                (hip, column + swing + arm),
                (hip, column + swing - arm),
            ),
            coat * 0.85, 'person', nearness, 0.08,
        )  # fmt: skip
    head = 0.085 * height
    scene.paint(
        _ellipse(shoulder - 0.8 * head, column, 1.05 * head, 0.85 * head), skin, 'person', nearness
    )
    hair = _hsv(scene.uniform(0, 45), scene.uniform(0, 0.6), scene.uniform(0.05, 0.6))
    scene.paint(
        _ellipse(shoulder - 1.35 * head, column, 0.6 * head, 0.9 * head), hair, 'person', nearness
    )


def _draw_lamp(
    scene: _Scene, row: float, column: float, nearness: float
) -> tuple[float, float, float, Colour] | None:
    """A street lamp; returns row and column of its light, its reach and colour, None if out."""
    scale = (0.45 + 0.8 * nearness) * scene.uniform(0.9, 1.15)
    height, wide = scene.uniform(36, 54) * scale, scene.uniform(1.0, 1.5) * scale
    metal = _hsv(scene.uniform(100, 240), scene.uniform(0, 0.25), scene.uniform(0.15, 0.5))
    top = row - height
    scene.paint(_box(top, column - wide, row, column + wide), metal, 'lamp', nearness)
    foot = 2 * wide
    scene.paint(_box(row - 3 * scale, column - foot, row, column + foot), metal, 'lamp', nearness)
    style = scene.pick(['arm', 'globe', 'lantern'])
    side = scene.pick([-1, 1])
    size = scene.uniform(2.6, 3.8) * scale
    light_row, light_column = top, column
    if style == 'arm':
        reach = scene.uniform(7, 12) * scale
        light_column = column + side * reach
        scene.paint(
            _box(top, min(column, light_column), top + 1.6 * scale, max(column, light_column)),
            metal, 'lamp', nearness,
        )  # fmt: skip
        light_row = top + 1.8 * scale
        head = _ellipse(light_row, light_column, 0.65 * size, 1.5 * size)
    elif style == 'globe':
        head = _ellipse(top, column, 1.15 * size, 1.15 * size)
    else:
        light_row = top - 0.5 * size
        head = _polygon(
            (top + size, column - 0.7 * size),
            (top + size, column + 0.7 * size),
            (top - 1.3 * size, column + 1.1 * size),
            (top - 1.3 * size, column - 1.1 * size),
        )
    on = scene.chance(0.8)
    hue = scene.pick([38, 45, 200])
    colour = _hsv(hue, scene.uniform(0.55, 0.75) if hue == 38 else scene.uniform(0.05, 0.3), 1.0)
    scene.paint(head, np.full(3, 0.6), 'lamp', nearness, emission=colour if on else 0.0)
    return (light_row, light_column, height, colour) if on else None


def _draw_day(scene: _Scene) -> tuple[np.ndarray, np.ndarray]:
    weather = scene.pick(['clear', 'overcast', 'evening'], [0.5, 0.3, 0.2])
    zenith, rim = {
        'clear': ((scene.uniform(200, 225), scene.uniform(0.4, 0.75), scene.uniform(0.65, 0.95)),
                  (scene.uniform(190, 215), scene.uniform(0.08, 0.25), scene.uniform(0.85, 1.0))),
        'overcast': ((scene.uniform(200, 240), scene.uniform(0, 0.12), scene.uniform(0.5, 0.8)),
                     (scene.uniform(200, 240), scene.uniform(0, 0.08), scene.uniform(0.7, 0.95))),
        'evening': ((scene.uniform(220, 280), scene.uniform(0.25, 0.5), scene.uniform(0.4, 0.65)),
                    (scene.uniform(8, 45), scene.uniform(0.4, 0.75), scene.uniform(0.8, 1.0))),
    }[weather]  # fmt: skip
    rise = np.clip(np.arange(HEIGHT) / scene.horizon, 0, 1)[:, None, None]
    sky = _hsv(*zenith) * (1 - rise) + _hsv(*rim) * rise
    clouds = scene.noise(scene.uniform(14, 30)) + 0.5 * scene.noise(8) + 0.25 * scene.patches
    cover = {'clear': scene.uniform(-0.2, 1.0), 'overcast': -0.4, 'evening': 0.2}[weather]
    cloud = np.clip((clouds - cover) * 1.6, 0, scene.uniform(0.4, 0.95))[..., None]
    white = _hsv(rim[0], 0.3 * rim[1], scene.uniform(0.75, 1.0))
    scene.emission[:] = sky * (1 - cloud) + white * cloud

    _draw_ground(scene)
    things = [(_draw_tree, *scene.stand()) for _ in range(int(scene.rng.integers(1, 5)))]
    things += [(_draw_house, *scene.stand(0.5)) for _ in range(int(scene.rng.integers(0, 4)))]
    things += [(_draw_car, *scene.stand(0.95, 0.15)) for _ in range(int(scene.rng.integers(0, 4)))]
    sun = scene.uniform(-1, 1)
    depth = {'clear': 0.5, 'overcast': 0.9, 'evening': 0.65}[weather] + scene.uniform(-0.08, 0.08)
    for draw, row, column, nearness in sorted(things, key=lambda thing: thing[3]):
        reach = (8 + 14 * nearness) * (1.5 if draw is _draw_house else 1.0)
        scene.darken_ground(_ellipse(row, column + sun * reach, 2 + 2.5 * nearness, reach), depth)
        draw(scene, row, column, nearness)

    level = scene.uniform(0.65, 1.2) * (0.85 if weather == 'evening' else 1.0)
    warmth = scene.uniform(-0.1, 0.1) + (0.12 if weather == 'evening' else 0.0)
    tilt = scene.uniform(-0.25, 0.25) * np.linspace(-1, 1, WIDTH)[None, :]
    light = level * np.array([1 + warmth, 1.0, 1 - warmth])
    image = scene.surface * (scene.shade * (1 + tilt))[..., None] * light
    image += scene.emission * level**0.5 * np.array([1 + 0.5 * warmth, 1.0, 1 - 0.5 * warmth])
    haze = scene.uniform(0, 0.55) ** 1.5 * (1 - scene.nearness) * (scene.label > 0)
    image += (_hsv(*rim) * level**0.5 - image) * haze[..., None]
    return _photograph(scene, image, noise=scene.uniform(0.005, 0.035)), scene.label


def _draw_night(scene: _Scene) -> tuple[np.ndarray, np.ndarray]:
    hue, glow = scene.pick([225, 240, 30]), scene.uniform(0.02, 0.3)
    rise = np.clip(np.arange(HEIGHT) / scene.horizon, 0, 1)[:, None, None] ** 2
    dark = _hsv(scene.uniform(220, 250), scene.uniform(0.4, 0.8), scene.uniform(0.03, 0.16))
    sky = dark * (1 - rise) + _hsv(hue, scene.uniform(0.2, 0.6), glow) * rise
    clouds = np.clip(scene.noise(scene.uniform(16, 32)) + 0.4 * scene.patches, 0, 1)
    scene.emission[:] = sky * (1 + scene.uniform(0, 1.2) * clouds[..., None])
    if scene.chance(0.6):
        stars = scene.grain > scene.uniform(0.985, 0.998)
        scene.emission[stars] += scene.uniform(0.2, 0.6)
    if scene.chance(0.3):
        moon = (
            scene.uniform(4, scene.horizon),
            scene.uniform(0, WIDTH),
            *[scene.uniform(3, 5)] * 2,
        )
        region, mask = _rasterize(_ellipse(*moon))
        scene.emission[region][mask] = _hsv(50, 0.1, scene.uniform(0.6, 1.0))

    _draw_ground(scene)
    things = [(_draw_tree, *scene.stand()) for _ in range(int(scene.rng.integers(1, 5)))]
    things += [(_draw_lamp, *scene.stand(0.9, 0.1)) for _ in range(int(scene.rng.integers(1, 4)))]
    things += [
        (_draw_person, *scene.stand(0.95, 0.15)) for _ in range(int(scene.rng.integers(0, 5)))
    ]
    ambience = scene.uniform(0.24, 0.6) * _hsv(hue, scene.uniform(0.1, 0.45), 1.0)
    light = np.broadcast_to(ambience, scene.surface.shape).copy()
    halo = np.zeros_like(light)
    strength, bloom = scene.uniform(0.5, 1.1), scene.uniform(0.1, 0.45)
    for draw, row, column, nearness in sorted(things, key=lambda thing: thing[3]):
        lamp = draw(scene, row, column, nearness)
        if lamp is None:
            continue
        light_row, light_column, reach, colour = lamp
        fall = 0.45 * _glow(light_row, light_column, 0.7 * reach, 0.7 * reach)
        fall += _glow(row, light_column, 0.3 * reach, 0.75 * reach)
        light += strength * fall[..., None] * colour
        bulb = _glow(light_row, light_column, 0.13 * reach, 0.13 * reach)
        bulb += 0.3 * _glow(light_row, light_column, 0.35 * reach, 0.35 * reach)
        halo += bloom * bulb[..., None] * colour
    image = scene.surface * light + scene.emission + halo
    level = scene.uniform(0.85, 1.35)
    return _photograph(scene, image * level, noise=scene.uniform(0.01, 0.04)), scene.label


def _glow(row: float, column: float, height: float, width: float) -> np.ndarray:
    """A soft spot of light around (row, column), 1 in its middle."""
    rows = np.exp(-(((np.arange(HEIGHT) + 0.5 - row) / height) ** 2))
    columns = np.exp(-(((np.arange(WIDTH) + 0.5 - column) / width) ** 2))
    return rows[:, None] * columns


def _photograph(scene: _Scene, image: np.ndarray, noise: float) -> np.ndarray:
    """What the camera makes of it: blur, a curve, sensor noise, 8 bits."""
    centre = scene.uniform(0.5, 0.9)
    side = (1 - centre) / 2
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode='edge')
        lower, upper = (
            np.take(padded, np.arange(image.shape[axis]) + shift, axis) for shift in (0, 2)
        )
        image = centre * image + side * (lower + upper)
    image = np.clip(image, 0, 1) ** scene.uniform(0.8, 1.15)
    image = image + noise * scene.rng.standard_normal(image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
