"""Whether images of validation can stand in one batch."""

from collections.abc import Iterable

from mmseg.models import SegDataPreProcessor

from cct_mm import keyed

from .file_cache import Problem
from .file_sources import FileSource
from .image_headers import read_headers

MOST_SIZES = 5
"""Images of so many sizes are sent through their pipeline, of each source."""


def check_batch(
    name: str, batch_size: int | None, sources: Iterable[FileSource], preprocessor: type
) -> list[str]:
    """Say where images leave their pipeline with sizes that make no batch.

    Args:
        name: What messages call the dataloader.
        batch_size: Of the dataloader.
        sources: Its sources.
        preprocessor: Class of the model's data_preprocessor. mmseg's own pads images of validation
            only after it has found them to be of one size, whatever its ``test_cfg``.
    """
    if preprocessor.forward is not SegDataPreProcessor.forward or (batch_size or 1) == 1:
        return []
    sizes: dict[tuple[int, int], str] = {}
    for source in sources:
        paths = [info['img_path'] for info in source.infos]
        first: dict[tuple, int] = {}
        for index, header in enumerate(read_headers(paths).values()) if source.is_local else ():
            if not isinstance(header, Problem):
                first.setdefault((header.width, header.height, header.orientation), index)
        for index in list(first.values())[:MOST_SIZES]:
            # Whatever the pipeline draws, the run's own draws stay as they are.
            with keyed.global_generators_seeded(0, 'check_batch', index):
                results = source.dataset.prepare_data(index)
            height, width = results['inputs'].shape[-2:]
            sizes.setdefault((width, height), paths[index])
    if len(sizes) < 2:
        return []
    shown = ', '.join(f'{w}x{h} ({path})' for (w, h), path in list(sizes.items())[:2])
    return [
        f'{name}: batch_size is {batch_size}, but images leave the pipeline with different sizes, '
        f'expected one: {shown}; set batch_size=1, or resize or pad them to one size in their '
        'pipeline (padding in model.data_preprocessor comes too late)'
    ]
