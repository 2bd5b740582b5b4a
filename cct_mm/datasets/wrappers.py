"""Data sets inside the wrappers of mmengine and mmseg, and the transforms of all of them."""

from collections.abc import Callable, Iterator

from torch.utils.data import Dataset

from .filling import Followed, FollowedPipeline, may_fill, nested


def leaf_datasets(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the data sets that know images, out of any nesting of wrappers.

    Args:
        dataset: A data set, or a wrapper such as ``ConcatDataset`` around some.
    """
    inner = _inner(dataset)
    if not inner:
        yield dataset
    for part in inner:
        yield from leaf_datasets(part)


def _inner(dataset: Dataset) -> list[Dataset]:
    """Return what a wrapper wraps; nothing for a data set of images."""
    if hasattr(dataset, 'datasets'):
        return list(dataset.datasets)
    return [dataset.dataset] if hasattr(dataset, 'dataset') else []


def wrappers_of(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the wrappers around the data sets that know images, from the outside in."""
    inner = _inner(dataset)
    if inner:
        yield dataset
    for part in inner:
        yield from wrappers_of(part)


def pipelines(dataset: Dataset) -> Iterator[list[Callable]]:
    """Yield, for each data set of images, the transforms that its images go through.

    The transforms of a ``MultiImageMixDataset`` around it come last. Transforms inside another,
    such as the choices of ``RandomChoice``, follow that one.
    """
    inner = _inner(dataset)
    own = getattr(dataset, 'pipeline', ())
    own = [step for t in getattr(own, 'transforms', own) for step in nested(t)]
    if not inner:
        yield own
    for part in inner:
        for transforms in pipelines(part):
            yield transforms + own


def follow_filling(dataset: Dataset) -> None:
    """Let the pipelines of a data set and of its wrappers mark what is filling.

    The pipelines are changed in place, see :mod:`cct_mm.datasets.filling`; their transforms stay
    the same. Where no transform can fill, nothing is changed.
    """
    if not any(may_fill(t) for transforms in pipelines(dataset) for t in transforms):
        return
    for leaf in leaf_datasets(dataset):
        if not isinstance(leaf.pipeline, FollowedPipeline):
            leaf.pipeline = FollowedPipeline(leaf.pipeline.transforms)
    for wrapper in wrappers_of(dataset):
        steps = getattr(wrapper, 'pipeline', None)
        if isinstance(steps, list):
            steps[:] = [t if isinstance(t, Followed) else Followed(t) for t in steps]
