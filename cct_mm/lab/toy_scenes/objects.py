"""What stands in a scene: the ground, trees, houses, cars, persons and lamps.

Each thing is painted at a place that ``Scene.stand`` chooses: row and column of its foot, and its
nearness, which sets its size.
"""

import numpy as np

from .scene import HEIGHT, WIDTH, Color, Scene, Shape, box, ellipse, hsv, polygon


def paint_ground(scene: Scene) -> None:
    """Paint the ground up to an uneven horizon: of one kind, perhaps with a path of another."""
    hills = scene.uniform(0, 7) * scene.noise(scene.uniform(18, 60))[0]
    horizon = scene.horizon + hills
    colors = {
        'grass': hsv(scene.uniform(70, 125), scene.uniform(0.3, 0.65), scene.uniform(0.35, 0.6)),
        'earth': hsv(scene.uniform(18, 45), scene.uniform(0.2, 0.55), scene.uniform(0.35, 0.7)),
        'asphalt': hsv(scene.uniform(190, 260), scene.uniform(0, 0.1), scene.uniform(0.3, 0.6)),
        'snow': hsv(scene.uniform(190, 230), scene.uniform(0, 0.08), scene.uniform(0.75, 0.92)),
    }
    kind = scene.pick(list(colors), [0.4, 0.25, 0.25, 0.1])
    whole = (
        (0, 0, HEIGHT, WIDTH),
        lambda v, u: v >= horizon[None, :],
    )
    grain = {'grass': 0.16, 'earth': 0.12, 'asphalt': 0.06, 'snow': 0.03}
    scene.paint(whole, colors[kind], 'ground', 0, grain[kind], patches=scene.uniform(0.05, 0.2))
    if scene.chance(0.55):
        path = scene.pick([name for name in colors if name != kind])
        top, foot = scene.uniform(0, WIDTH), scene.uniform(-20, WIDTH + 20)
        wide = scene.uniform(18, 60)
        start = scene.horizon + max(0.0, float(hills.max())) + 1
        strip = polygon(
            (start, top - 2), (start, top + 2), (HEIGHT, foot + wide), (HEIGHT, foot - wide)
        )
        scene.paint(strip, colors[path], 'ground', 0, grain[path], patches=0.08)
    rows = np.clip((np.arange(HEIGHT) - scene.horizon) / (HEIGHT - scene.horizon), 0, 1)
    scene.nearness = np.where(scene.label == 1, rows[:, None], 0.0)


def paint_tree(scene: Scene, row: float, column: float, nearness: float) -> None:
    """Paint a broad-leaved tree in any season or a conifer."""
    scale = scene.zoom * (0.45 + nearness) * scene.uniform(0.75, 1.4)
    trunk = hsv(scene.uniform(15, 40), scene.uniform(0.2, 0.5), scene.uniform(0.2, 0.4))
    season = scene.pick(['summer', 'autumn', 'dark'], [0.55, 0.25, 0.2])
    hue = {'summer': (75, 130), 'autumn': (15, 60), 'dark': (120, 160)}[season]
    leaves = hsv(scene.uniform(*hue), scene.uniform(0.35, 0.75), scene.uniform(0.22, 0.55))
    wide = 1.6 * scale
    if scene.chance(0.65):
        stem = scene.uniform(6, 16) * scale
        scene.paint(
            box(row - stem - 5 * scale, column - wide, row, column + wide),
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
                ellipse(y, x, size * stretch, size), leaves * light, 'tree', nearness, 0.22, 0.25
            )
    else:
        height, half = scene.uniform(22, 36) * scale, scene.uniform(5, 9) * scale
        scene.paint(
            box(row - 0.25 * height, column - wide, row, column + wide),
            trunk, 'tree', nearness, 0.2,
        )  # fmt: skip
        for tier in range(3):
            foot = row - height * (0.12 + 0.24 * tier)
            reach = half * (1 - 0.26 * tier)
            top = (foot - height * 0.42, column)
            scene.paint(
                polygon((foot, column - reach), (foot, column + reach), top),
                leaves * (0.8 + 0.12 * tier), 'tree', nearness, 0.25, 0.15,
            )  # fmt: skip


def paint_house(scene: Scene, row: float, column: float, nearness: float) -> None:
    """Paint walls in any color, a pitched or flat roof, a door, rows of windows."""
    scale = scene.zoom * (0.5 + 0.9 * nearness) * scene.uniform(0.75, 1.3)
    half, height = scene.uniform(10, 20) * scale, scene.uniform(13, 26) * scale
    wall = hsv(scene.uniform(0, 60), scene.uniform(0.05, 0.6), scene.uniform(0.45, 0.9))
    if scene.chance(0.25):
        wall = hsv(scene.uniform(180, 240), scene.uniform(0.02, 0.3), scene.uniform(0.5, 0.85))
    roof = hsv(scene.pick([10, 25, 220]), scene.uniform(0.1, 0.6), scene.uniform(0.2, 0.55))
    top, left, right = row - height, column - half, column + half
    scene.paint(box(top, left, row, right), wall, 'house', nearness, 0.05, 0.06)
    # One wall is turned away from the light.
    side = left + 2 * half * scene.uniform(0.55, 0.8)
    if scene.chance(0.6):
        scene.paint(box(top, side, row, right), wall * 0.72, 'house', nearness, 0.05, 0.06)
    pitch = scene.uniform(0.3, 0.8) * half
    style = scene.pick(['gable', 'hip', 'flat'])
    ridge = {'gable': 0.0, 'hip': scene.uniform(0.3, 0.7), 'flat': 1.02}[style] * half
    pitch = pitch if style != 'flat' else 1.5 * scale
    over = 1.5 * scale
    scene.paint(
        polygon(
            (top, left - over),
            (top, right + over),
            (top - pitch, column + ridge),
            (top - pitch, column - ridge),
        ),
        roof, 'house', nearness, 0.1, 0.1,
    )  # fmt: skip
    pane = hsv(scene.uniform(190, 230), scene.uniform(0.1, 0.5), scene.uniform(0.15, 0.55))
    stories, bays = int(scene.rng.integers(1, 4)), int(scene.rng.integers(2, 5))
    tall, broad = height / stories, 2 * half / bays
    for story in range(stories):
        for bay in range(bays):
            y, x = top + tall * (story + 0.25), left + broad * (bay + 0.28)
            scene.paint(box(y, x, y + 0.5 * tall, x + 0.44 * broad), pane, 'house', nearness, 0.1)
    door = left + 2 * half * scene.uniform(0.1, 0.8)
    scene.paint(
        box(row - 7 * scale, door, row, door + 4 * scale),
        hsv(scene.uniform(0, 360), 0.4, 0.3), 'house', nearness,
    )  # fmt: skip


def paint_car(scene: Scene, row: float, column: float, nearness: float) -> None:
    """Paint a sedan, a station wagon or a van from the side, in any color."""
    scale = scene.zoom * (0.4 + 0.85 * nearness) * scene.uniform(0.85, 1.2)
    paintwork = hsv(scene.uniform(0, 360), scene.uniform(0.4, 0.95), scene.uniform(0.3, 0.9))
    if scene.chance(0.45):
        paintwork = hsv(0, 0, scene.pick([0.08, 0.3, 0.55, 0.75, 0.92]))
    half, wheel = scene.uniform(13, 18) * scale, scene.uniform(2.4, 3.2) * scale
    body, cabin = scene.uniform(5, 7) * scale, scene.uniform(4.5, 6.5) * scale
    style = scene.pick(['sedan', 'wagon', 'van'])
    facing = scene.pick([-1, 1])
    reach = {'sedan': (0.55, 0.5), 'wagon': (0.45, 0.95), 'van': (0.75, 0.98)}[style]
    rake = {'sedan': (0.3, 0.3), 'wagon': (0.3, 0.1), 'van': (0.15, 0.03)}[style]
    cabin *= 1.5 if style == 'van' else 1.0
    floor = row - 0.8 * wheel
    belt = floor - body

    def cabin_shape(margin: float) -> Shape:
        front = column + facing * half * (reach[0] - margin)
        rear = column - facing * half * (reach[1] - margin)
        lift = cabin * margin
        return polygon(
            (belt + 0.2 - lift, front),
            (belt + 0.2 - lift, rear),
            (belt - cabin + 1.6 * lift, rear + facing * half * rake[1]),
            (belt - cabin + 1.6 * lift, front - facing * half * rake[0]),
        )

    glass = hsv(scene.uniform(190, 230), scene.uniform(0.1, 0.4), scene.uniform(0.1, 0.5))
    scene.paint(cabin_shape(0), paintwork, 'car', nearness, 0.03)
    scene.paint(cabin_shape(0.12), glass, 'car', nearness, 0.05)
    post = column + facing * half * scene.uniform(-0.2, 0.1)
    scene.paint(
        box(belt - 0.9 * cabin, post - 0.5 * scale, belt, post + 0.5 * scale),
        paintwork, 'car', nearness,
    )  # fmt: skip
    scene.paint(box(belt, column - half, floor, column + half), paintwork, 'car', nearness, 0.03)
    sill = floor - 0.3 * body
    scene.paint(box(sill, column - half, floor, column + half), paintwork * 0.6, 'car', nearness)
    for end, light in ((facing, [1, 1, 0.8]), (-facing, [0.8, 0.1, 0.1])):
        edge = column + end * half * 0.93
        scene.paint(
            ellipse(belt + 0.35 * body, edge, 0.17 * body, 0.07 * half),
            np.array(light), 'car', nearness, 0,
        )  # fmt: skip
    for side in (-0.6, 0.6):
        center = (row - wheel, column + side * half)
        scene.paint(ellipse(*center, wheel, wheel), np.full(3, 0.07), 'car', nearness)
        scene.paint(ellipse(*center, 0.45 * wheel, 0.45 * wheel), np.full(3, 0.5), 'car', nearness)


def paint_person(scene: Scene, row: float, column: float, nearness: float) -> None:
    """Paint a person from the front or side, standing or walking, in any clothes."""
    height = scene.zoom * (0.42 + 0.8 * nearness) * scene.uniform(27, 38)
    build = height * scene.uniform(0.1, 0.145)
    skin = hsv(scene.uniform(15, 32), scene.uniform(0.25, 0.6), scene.uniform(0.35, 0.9))
    coat = hsv(scene.uniform(0, 360), scene.uniform(0.1, 0.8), scene.uniform(0.25, 0.9))
    trousers = hsv(scene.uniform(200, 260), scene.uniform(0.05, 0.5), scene.uniform(0.15, 0.6))
    stride = height * scene.uniform(0.02, 0.15)
    hip, shoulder = row - 0.48 * height, row - 0.84 * height
    long_coat = scene.chance(0.3)
    for side in (-1, 1):
        foot, top = column + side * stride, column + side * 0.35 * build
        leg = 0.42 * build
        scene.paint(
            polygon((row, foot - leg), (row, foot + leg), (hip, top + leg), (hip, top - leg)),
            trousers * (1 - 0.15 * (side > 0)), 'person', nearness, 0.08,
        )  # fmt: skip
    hem = hip + (0.26 if long_coat else 0.03) * height
    flare = build * (1.15 if long_coat else 0.85)
    scene.paint(
        polygon(
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
            polygon(
                (shoulder, joint - arm),
                (shoulder, joint + arm),
                (hip, column + swing + arm),
                (hip, column + swing - arm),
            ),
            coat * 0.85, 'person', nearness, 0.08,
        )  # fmt: skip
    head = 0.085 * height
    scene.paint(
        ellipse(shoulder - 0.8 * head, column, 1.05 * head, 0.85 * head), skin, 'person', nearness
    )
    hair = hsv(scene.uniform(0, 45), scene.uniform(0, 0.6), scene.uniform(0.05, 0.6))
    scene.paint(
        ellipse(shoulder - 1.35 * head, column, 0.6 * head, 0.9 * head), hair, 'person', nearness
    )


def paint_lamp(
    scene: Scene, row: float, column: float, nearness: float
) -> tuple[float, float, float, Color] | None:
    """Paint a street lamp.

    Returns:
        Row and column of its light, its reach and its color; None if it is out.
    """
    scale = scene.zoom * (0.45 + 0.8 * nearness) * scene.uniform(0.9, 1.15)
    height, wide = scene.uniform(36, 54) * scale, scene.uniform(1.0, 1.5) * scale
    metal = hsv(scene.uniform(100, 240), scene.uniform(0, 0.25), scene.uniform(0.15, 0.5))
    top = row - height
    scene.paint(box(top, column - wide, row, column + wide), metal, 'lamp', nearness)
    foot = 2 * wide
    scene.paint(box(row - 3 * scale, column - foot, row, column + foot), metal, 'lamp', nearness)
    style = scene.pick(['arm', 'globe', 'lantern'])
    side = scene.pick([-1, 1])
    size = scene.uniform(2.6, 3.8) * scale
    light_row, light_column = top, column
    if style == 'arm':
        reach = scene.uniform(7, 12) * scale
        light_column = column + side * reach
        scene.paint(
            box(top, min(column, light_column), top + 1.6 * scale, max(column, light_column)),
            metal, 'lamp', nearness,
        )  # fmt: skip
        light_row = top + 1.8 * scale
        head = ellipse(light_row, light_column, 0.65 * size, 1.5 * size)
    elif style == 'globe':
        head = ellipse(top, column, 1.15 * size, 1.15 * size)
    else:
        light_row = top - 0.5 * size
        head = polygon(
            (top + size, column - 0.7 * size),
            (top + size, column + 0.7 * size),
            (top - 1.3 * size, column + 1.1 * size),
            (top - 1.3 * size, column - 1.1 * size),
        )
    on = scene.chance(0.8)
    hue = scene.pick([38, 45, 200])
    color = hsv(hue, scene.uniform(0.55, 0.75) if hue == 38 else scene.uniform(0.05, 0.3), 1.0)
    scene.paint(head, np.full(3, 0.6), 'lamp', nearness, emission=color if on else 0.0)
    return (light_row, light_column, height, color) if on else None
