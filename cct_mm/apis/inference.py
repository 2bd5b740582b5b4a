"""Predict: from images to labels, image after image, several at once where their sizes agree."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from cct_mm.datasets.reading import sentence
from cct_mm.models import MultiDomainSegmentor

from .inputs import Input, Item, Source, find_inputs
from .model import check_segmentor, domains_of
from .prediction import Prediction
from .predictor import Predictor


def predict(
    model: MultiDomainSegmentor,
    inputs: Source | Sequence[Source],
    domain: str | None = None,
    *,
    batch_size: int = 1,
    slide: tuple[int, int] | None = None,
    tta: bool = False,
    probabilities: bool = False,
    on_error: Callable[[str, str], None] | None = None,
) -> Iterator[Prediction]:
    """Predict on images, one after another, in the order in which they are given.

    Args:
        model: A network of :func:`~cct_mm.apis.init_model` or of mmseg's function of this name.
        inputs: An image file, a folder (recursively), a pattern, a video (each frame) or an array
            (BGR, [H, W, 3], uint8, or the channels that the config's ``LoadCheckedImage`` names),
            or several of them.
        domain: Name of the domain that the images belong to; ``'all'`` predicts on each image by
            every domain; None takes ``model.default_domain``, or the only one.
        batch_size: How many images are read ahead, and computed together if they have one size.
        slide: Side and stride in pixels of a square window that slides over the image as the
            network sees it; None does what the config's ``test_cfg`` says.
        tta: Average over the paper's five scales, each as is and mirrored, see
            :mod:`cct_mm.apis.tta`.
        probabilities: Whether predictions have probabilities, which take 4 bytes a pixel and class.
        on_error: Called with name and problem of each image that cannot be read, which is left out
            then; None raises instead.

    Returns:
        An iterator over one :class:`Prediction` for each image, or with ``domain='all'`` one for
        each image and domain. Images are read and predicted on as it goes on.

    Raises:
        ValueError: If an argument is impossible, an input does not exist, or an image cannot be
            read.

    Example:
        >>> model = init_model('configs/multi_domain/cct_toy.py', 'iter_400.pth', device='cuda')
        >>> for p in predict(model, ['photo.jpg', 'more/'], domain='day'):
        ...     print(p.source, [p.classes[i] for i in np.unique(p.labels)])
        ...     p.save('predictions')
    """
    if isinstance(inputs, str | os.PathLike | np.ndarray):
        inputs = [inputs]
    predictors = build_predictors(model, domain, slide=slide, tta=tta, probabilities=probabilities)
    items = items_of(find_inputs(inputs), on_error or _raise)
    results = predict_items(predictors, items, batch_size, on_error or _raise)
    return (prediction for _, predictions in results for prediction in predictions)


def _raise(source: str, problem: str) -> None:
    raise ValueError(problem)


def build_predictors(
    model: MultiDomainSegmentor, domain: str | None = None, **options
) -> list[Predictor]:
    """Return a predictor for each domain that is meant, see :func:`predict`.

    Args:
        model: The network.
        domain: Name of a domain, ``'all'`` or None.
        **options: Further arguments of :class:`Predictor`.

    Raises:
        ValueError: As for :func:`predict`.
    """
    check_segmentor(model)
    names = domains_of(model, domain)
    return [Predictor(model, name, among=len(names), **options) for name in names]


def items_of(inputs: Iterable[Input], on_error: Callable[[str, str], None]) -> Iterator[Item]:
    """Yield the items of all inputs, as far as they can be read; arguments as for `predict`."""
    for source in inputs:
        try:
            yield from source.items()
        except (OSError, ValueError) as error:
            on_error(source.source, sentence(error, source.source))


def predict_items(
    predictors: Sequence[Predictor],
    items: Iterable[Item],
    batch_size: int,
    on_error: Callable[[str, str], None],
) -> Iterator[tuple[Item, list[Prediction]]]:
    """Yield each item that can be read with what each predictor says of it, in order.

    Args:
        predictors: The predictors.
        items: The items, which are taken as they are needed.
        batch_size: How many are taken at once.
        on_error: Called with name and problem of each item that cannot be read.

    Raises:
        ValueError: If ``batch_size`` is not above 0.
    """
    if batch_size < 1:
        raise ValueError(f'batch_size is {batch_size}, expected at least 1')
    items = iter(items)
    while batch := list(itertools.islice(items, batch_size)):
        readable, prepared = [], []
        for item in batch:
            try:
                prepared.append([predictor.pipeline(item.image) for predictor in predictors])
                readable.append(item)
            except Exception as error:  # a loader may raise anything
                on_error(item.source, sentence(error, item.source))
        columns = [
            predictor(readable, [images[i] for images in prepared])
            for i, predictor in enumerate(predictors)
        ]
        for item, *predictions in zip(readable, *columns, strict=True):
            yield item, predictions
