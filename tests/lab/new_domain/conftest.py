"""Small files of the kinds that people have."""

import cv2
import numpy as np
import pytest


class Folder:
    """Writes images and masks below a folder, and remembers nothing."""

    def __init__(self, root):
        self.root = root

    def __str__(self):
        return str(self.root)

    def path(self, name):
        return str(self.root / name)

    def image(self, name, size=(24, 16), seed=0, dtype=np.uint8):
        width, height = size
        rng = np.random.default_rng([seed, *name.encode()])
        pixels = rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype)
        return self.write(name, pixels)

    def mask(self, name, values=(0, 1), size=(24, 16)):
        """Write equal stripes of values or of R, G, B colors, from left to right."""
        width, height = size
        stripes = np.repeat(np.array(values), -(-width // len(values)), axis=0)[:width]
        pixels = np.broadcast_to(stripes, (height, *stripes.shape)).astype(np.uint8)
        return self.write(name, pixels[..., ::-1] if pixels.ndim == 3 else pixels)

    def write(self, name, pixels):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
        return str(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('CCT_MM_CACHE', str(tmp_path / 'cache'))
    return Folder(tmp_path / 'data')
