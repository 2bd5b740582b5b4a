"""Whether images of validation can stand in one batch."""

from collections.abc import Iterable

from mmseg.models import SegDataPreProcessor

from cct_mm import keyed

from .file_cache import Problem
from .file_facts import read_headers
from .findings import Finding, Findings
from .sources import FileSource

MOST_SIZES = 5
"""Number of image sizes that are sent through the pipeline, for each source."""


def check_batch(
    split: str, batch_size: int | None, sources: Iterable[FileSource], preprocessor: type
) -> Findings:
    """Say where images leave their pipeline with sizes that do not fit into one batch.

    Args:
        split: ``'val'`` or ``'test'``.
        batch_size: That of the dataloader.
        sources: Its sources.
        preprocessor: The class of the model's data_preprocessor. mmseg's own pads images of
            validation only after it has checked that they have one size, whatever its ``test_cfg``.
    """
    if preprocessor.forward is not SegDataPreProcessor.forward or (batch_size or 1) == 1:
        return Findings()
    sizes: dict[tuple[int, int], str] = {}
    for source in sources:
        paths = [info['img_path'] for info in source.infos]
        first: dict[tuple, int] = {}
        headers = read_headers(paths) if source.is_local else {}
        for index, path in enumerate(paths):
            header = headers.get(path)
            if header is not None and not isinstance(header, Problem):
                first.setdefault((header.width, header.height, header.orientation), index)
        for index in list(first.values())[:MOST_SIZES]:
            # The random numbers of the run stay as they are, whatever the pipeline draws.
            with keyed.global_generators_seeded(0, 'check_batch', index):
                results = source.dataset.prepare_data(index)
            height, width = results['inputs'].shape[-2:]
            sizes.setdefault((width, height), paths[index])
    if len(sizes) < 2:
        return Findings()
    shown = ', '.join(f'{w}x{h} ({path})' for (w, h), path in list(sizes.items())[:2])
    message = (
        f'batch_size is {batch_size}, but images leave the pipeline with different sizes, '
        f'expected one: {shown}; set batch_size=1, or resize or pad them to one size in their '
        'pipeline (padding in model.data_preprocessor comes too late)'
    )
    return Findings([Finding(f'{split}_dataloader', 'batch', message)])
