"""What loading transforms share: reading bytes, decoding by mmcv, and naming the dataset."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import mmcv
import mmengine.fileio as fileio
import numpy as np

from ..reading import is_truncated, missing_file, unreadable_file


@contextmanager
def dataset_named(results: Mapping) -> Iterator[None]:
    """Put the dataset's name before errors, where the sample has it (samples of mmseg do not)."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        name = results.get('dataset_name')
        raise kind(f'{name}: {error}' if name else str(error)) from None


def read_bytes(path: str, kind: str, backend_args: dict | None) -> bytes:
    """Read a file; ``kind`` is what errors call it, such as ``'mask'``."""
    try:
        # Some backends return a memoryview.
        return bytes(fileio.get(path, backend_args=backend_args))
    except FileNotFoundError:
        raise FileNotFoundError(missing_file(kind, path)) from None
    except OSError as error:
        raise ValueError(unreadable_file(kind, path, error)) from None


def decode_by_mmcv(content: bytes, kind: str, path: str, flag: str, backend: str) -> np.ndarray:
    """Decode an image by mmcv, whose backends raise anything; its cv2 returns None instead."""
    state = 'is truncated' if is_truncated(content) else 'cannot be decoded'
    try:
        pixels = mmcv.imfrombytes(content, flag=flag, backend=backend)
    except MemoryError:
        raise
    except Exception as error:
        pixels, said = None, f'{type(error).__name__}: {error}'
    else:
        said = f'the backend {backend} takes it for no image'
    if pixels is None or state == 'is truncated':
        raise ValueError(
            f'{kind} {path} {state} ({len(content)} bytes): {said}; copy or convert it again'
        )
    return pixels
