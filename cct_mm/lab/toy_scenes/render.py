"""How an image is made: a sky, things on the ground, the light of the hour, and a camera."""

import numpy as np

from cct_mm.datasets.toy_scenes import DOMAINS, check_domain

from .objects import paint_car, paint_ground, paint_house, paint_lamp, paint_person, paint_tree
from .scene import HEIGHT, WIDTH, Color, Scene, ellipse, hsv, rasterize

SPLITS = ('train', 'val', 'test')
"""A split's place in this list is part of the key of its random numbers."""
DEMO_ZOOM = 1.7
"""Size of the demo's things, as a multiple of the usual size."""


def render_scene(
    domain: str, split: str, index: int, seed: int = 0, demo: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Render one image.

    Args:
        domain: ``'day'`` or ``'night'``.
        split: ``'train'``, ``'val'`` or ``'test'``.
        index: Number of the image in its split, from 0.
        seed: Seed of the data set.
        demo: Whether things are larger and each image is seen through a camera of its own.

    Returns:
        The image, ``[96, 128, 3]`` uint8 RGB, and its labels, ``[96, 128]`` uint8.

    Raises:
        ValueError: There is no such domain or split.
    """
    check_domain(domain)
    if split not in SPLITS:
        raise ValueError(f'split {split!r} is unknown, expected one of {list(SPLITS)}')
    key = [seed, list(DOMAINS).index(domain), SPLITS.index(split), index]
    zoom = DEMO_ZOOM if demo else 1.0
    scene = Scene(np.random.default_rng(key), DOMAINS[domain]['classes'], zoom)
    image, label = _render_day(scene) if domain == 'day' else _render_night(scene)
    return _filter(scene, image) if demo else image, label


def _render_day(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    weather = scene.pick(['clear', 'overcast', 'evening'], [0.5, 0.3, 0.2])
    rim = _day_sky(scene, weather)
    paint_ground(scene)
    things = [(paint_tree, *scene.stand()) for _ in range(int(scene.rng.integers(1, 5)))]
    things += [(paint_house, *scene.stand(0.5)) for _ in range(int(scene.rng.integers(0, 4)))]
    things += [(paint_car, *scene.stand(0.95, 0.15)) for _ in range(int(scene.rng.integers(0, 4)))]
    sun = scene.uniform(-1, 1)
    depth = {'clear': 0.5, 'overcast': 0.9, 'evening': 0.65}[weather] + scene.uniform(-0.08, 0.08)
    for paint, row, column, nearness in sorted(things, key=lambda thing: thing[3]):
        reach = (8 + 14 * nearness) * (1.5 if paint is paint_house else 1.0)
        scene.darken_ground(ellipse(row, column + sun * reach, 2 + 2.5 * nearness, reach), depth)
        paint(scene, row, column, nearness)

    level = scene.uniform(0.65, 1.2) * (0.85 if weather == 'evening' else 1.0)
    warmth = scene.uniform(-0.1, 0.1) + (0.12 if weather == 'evening' else 0.0)
    tilt = scene.uniform(-0.25, 0.25) * np.linspace(-1, 1, WIDTH)[None, :]
    light = level * np.array([1 + warmth, 1.0, 1 - warmth])
    image = scene.surface * (scene.shade * (1 + tilt))[..., None] * light
    image += scene.emission * level**0.5 * np.array([1 + 0.5 * warmth, 1.0, 1 - 0.5 * warmth])
    haze = scene.uniform(0, 0.55) ** 1.5 * (1 - scene.nearness) * (scene.label > 0)
    image += (rim * level**0.5 - image) * haze[..., None]
    return _photograph(scene, image, noise=scene.uniform(0.005, 0.035)), scene.label


def _day_sky(scene: Scene, weather: str) -> Color:
    """Let the sky shine, with clouds before it, and return its color at the horizon."""
    zenith, rim = {
        'clear': ((scene.uniform(200, 225), scene.uniform(0.4, 0.75), scene.uniform(0.65, 0.95)),
                  (scene.uniform(190, 215), scene.uniform(0.08, 0.25), scene.uniform(0.85, 1.0))),
        'overcast': ((scene.uniform(200, 240), scene.uniform(0, 0.12), scene.uniform(0.5, 0.8)),
                     (scene.uniform(200, 240), scene.uniform(0, 0.08), scene.uniform(0.7, 0.95))),
        'evening': ((scene.uniform(220, 280), scene.uniform(0.25, 0.5), scene.uniform(0.4, 0.65)),
                    (scene.uniform(8, 45), scene.uniform(0.4, 0.75), scene.uniform(0.8, 1.0))),
    }[weather]  # fmt: skip
    rise = np.clip(np.arange(HEIGHT) / scene.horizon, 0, 1)[:, None, None]
    sky = hsv(*zenith) * (1 - rise) + hsv(*rim) * rise
    clouds = scene.noise(scene.uniform(14, 30)) + 0.5 * scene.noise(8) + 0.25 * scene.patches
    cover = {'clear': scene.uniform(-0.2, 1.0), 'overcast': -0.4, 'evening': 0.2}[weather]
    cloud = np.clip((clouds - cover) * 1.6, 0, scene.uniform(0.4, 0.95))[..., None]
    white = hsv(rim[0], 0.3 * rim[1], scene.uniform(0.75, 1.0))
    scene.emission[:] = sky * (1 - cloud) + white * cloud
    return hsv(*rim)


def _render_night(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    hue = _night_sky(scene)
    paint_ground(scene)
    things = [(paint_tree, *scene.stand()) for _ in range(int(scene.rng.integers(1, 5)))]
    things += [(paint_lamp, *scene.stand(0.9, 0.1)) for _ in range(int(scene.rng.integers(1, 4)))]
    things += [
        (paint_person, *scene.stand(0.95, 0.15)) for _ in range(int(scene.rng.integers(0, 5)))
    ]
    ambience = scene.uniform(0.24, 0.6) * hsv(hue, scene.uniform(0.1, 0.45), 1.0)
    light = np.broadcast_to(ambience, scene.surface.shape).copy()
    halo = np.zeros_like(light)
    strength, bloom = scene.uniform(0.5, 1.1), scene.uniform(0.1, 0.45)
    for paint, row, column, nearness in sorted(things, key=lambda thing: thing[3]):
        lamp = paint(scene, row, column, nearness)
        if lamp is None:
            continue
        light_row, light_column, reach, color = lamp
        fall = 0.45 * _glow(light_row, light_column, 0.7 * reach, 0.7 * reach)
        fall += _glow(row, light_column, 0.3 * reach, 0.75 * reach)
        light += strength * fall[..., None] * color
        bulb = _glow(light_row, light_column, 0.13 * reach, 0.13 * reach)
        bulb += 0.3 * _glow(light_row, light_column, 0.35 * reach, 0.35 * reach)
        halo += bloom * bulb[..., None] * color
    image = scene.surface * light + scene.emission + halo
    level = scene.uniform(0.85, 1.35)
    return _photograph(scene, image * level, noise=scene.uniform(0.01, 0.04)), scene.label


def _night_sky(scene: Scene) -> float:
    """Let the sky glow, perhaps with stars and a moon, and return the hue of its glow."""
    hue, glow = scene.pick([225, 240, 30]), scene.uniform(0.02, 0.3)
    rise = np.clip(np.arange(HEIGHT) / scene.horizon, 0, 1)[:, None, None] ** 2
    dark = hsv(scene.uniform(220, 250), scene.uniform(0.4, 0.8), scene.uniform(0.03, 0.16))
    sky = dark * (1 - rise) + hsv(hue, scene.uniform(0.2, 0.6), glow) * rise
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
        region, mask = rasterize(ellipse(*moon))
        scene.emission[region][mask] = hsv(50, 0.1, scene.uniform(0.6, 1.0))
    return hue


def _glow(row: float, column: float, height: float, width: float) -> np.ndarray:
    """Return a soft spot of light around (row, column), 1 in its middle."""
    rows = np.exp(-(((np.arange(HEIGHT) + 0.5 - row) / height) ** 2))
    columns = np.exp(-(((np.arange(WIDTH) + 0.5 - column) / width) ** 2))
    return rows[:, None] * columns


def _photograph(scene: Scene, image: np.ndarray, noise: float) -> np.ndarray:
    """Turn the light into an image: blur, a tone curve, sensor noise, 8 bits."""
    center = scene.uniform(0.5, 0.9)
    side = (1 - center) / 2
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode='edge')
        lower, upper = (
            np.take(padded, np.arange(image.shape[axis]) + shift, axis) for shift in (0, 2)
        )
        image = center * image + side * (lower + upper)
    image = np.clip(image, 0, 1) ** scene.uniform(0.8, 1.15)
    image = image + noise * scene.rng.standard_normal(image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _filter(scene: Scene, image: np.ndarray) -> np.ndarray:
    """See an image through a camera of its own: a colored filter, a contrast, an exposure."""
    color = hsv(scene.uniform(0, 360), scene.uniform(0, 0.5), 1.0)
    light = (image / 255 * color / color.mean()) ** scene.uniform(0.55, 1.2)
    return np.round(np.clip(light * scene.uniform(0.8, 1.2), 0, 1) * 255).astype(np.uint8)
