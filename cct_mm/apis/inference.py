"""Predict: from images to labels, image after image, several at once where their sizes agree."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.config import ConfigDict
from torch import Tensor

from cct_mm.datasets.reading import sentence
from cct_mm.models import MultiDomainSegmentor

from .inputs import Item, Source, find_inputs
from .model import check_segmentor, domains_of
from .pipeline import ImagePipeline, Prepared, evaluation_pipeline
from .prediction import Prediction
from .tta import tta_transforms


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
            (BGR, [H, W, 3], uint8), or several of them.
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

    Yields:
        A :class:`Prediction` for each image; with ``domain='all'`` one for each domain.

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
    for _, predictions in predict_items(predictors, items, batch_size, on_error or _raise):
        yield from predictions


def _raise(source: str, problem: str) -> None:
    raise ValueError(problem)


def build_predictors(
    model: MultiDomainSegmentor, domain: str | None = None, **options
) -> list['Predictor']:
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


def items_of(inputs: Iterable, on_error: Callable[[str, str], None]) -> Iterator[Item]:
    """Yield the items of all inputs, as far as they can be read; arguments as for `predict`."""
    for source in inputs:
        try:
            yield from source.items()
        except (OSError, ValueError) as error:
            on_error(source.source, sentence(error, source.source))


def predict_items(
    predictors: Sequence['Predictor'],
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


class Predictor:
    """Predicts by the head of one domain.

    Args:
        model: The network, with its config as ``cfg``.
        domain: Name of the domain.
        slide: As for :func:`predict`.
        tta: As for :func:`predict`.
        probabilities: As for :func:`predict`.
        among: How many domains predict on each image; if several, their names are folders.

    Raises:
        ValueError: If ``slide`` is impossible, or the config has no pipeline for the domain.
    """

    def __init__(
        self,
        model: MultiDomainSegmentor,
        domain: str,
        *,
        slide: tuple[int, int] | None = None,
        tta: bool = False,
        probabilities: bool = False,
        among: int = 1,
    ) -> None:
        self.model, self.domain, self.probabilities = model, domain, probabilities
        self.configs = evaluation_pipeline(model.cfg, domain)
        self.pipeline = ImagePipeline(self.configs, tta_transforms() if tta else ((),))
        self.test_cfg = model.test_cfg if slide is None else _window(*slide)
        self.folder = f'{domain}/' if among > 1 else ''
        self.classes = model.domains[domain].classes
        self.palette = _palette(model, domain)

    @torch.no_grad()
    def __call__(self, items: Sequence[Item], prepared: Sequence[Prepared]) -> list[Prediction]:
        """Predict on images; those of one size are computed together."""
        found: dict[int, Prediction] = {}
        order = sorted(range(len(items)), key=lambda i: prepared[i].shapes)
        for _, group in itertools.groupby(order, key=lambda i: prepared[i].shapes):
            batch = list(group)
            scores = self._scores([prepared[i].views for i in batch])
            for i, score in zip(batch, scores, strict=True):
                found[i] = self._prediction(items[i], prepared[i].image, score)
        return [found[i] for i in range(len(items))]

    def _scores(self, views: Sequence[Sequence[dict]]) -> Iterable[Tensor]:
        """Return logits, or the mean probabilities of several views, [C, H, W] for each image."""
        if len(views[0]) == 1:
            return self._logits([image[0] for image in views])
        # One view after another, because at their own size the logits of all would fill the memory.
        sums: list = [0] * len(views)
        for view in zip(*views, strict=True):
            for i, logits in enumerate(self._logits(view)):
                sums[i] = sums[i] + logits.softmax(dim=0)
        return [total / len(views[0]) for total in sums]

    def _logits(self, packed: Sequence[dict]) -> Iterator[Tensor]:
        """Yield the logits of each image of a batch, at the image's own size, [C, H, W]."""
        for view in packed:
            view['data_samples'].set_metainfo({'domain': self.domain})
        batch = {key: [view[key] for view in packed] for key in ('inputs', 'data_samples')}
        with self._serving() as model:
            data = model.data_preprocessor(batch, False)
            samples = data['data_samples']
            slides = self.test_cfg.get('mode', 'whole') == 'slide'
            infer = model.slide_inference if slides else model.whole_inference
            logits = infer(data['inputs'], [sample.metainfo for sample in samples])
        for i, sample in enumerate(samples):
            with self._serving() as model:
                # mmseg crops the padding, mirrors back and resizes.
                (result,) = model.postprocess_result(logits[i : i + 1], [sample])
            yield result.seg_logits.data.float()

    @contextmanager
    def _serving(self) -> Iterator[MultiDomainSegmentor]:
        """Let the network serve the domain by the given ``test_cfg``, and undo it at the end."""
        before, self.model.test_cfg = self.model.test_cfg, self.test_cfg
        try:
            with self.model.active(self.domain):
                yield self.model
        finally:
            self.model.test_cfg = before

    def _prediction(self, item: Item, image: np.ndarray, scores: Tensor) -> Prediction:
        probabilities = None
        if self.probabilities:
            averaged = len(self.pipeline.views) > 1
            probabilities = (scores if averaged else scores.softmax(dim=0)).cpu().numpy()
        labels = scores.argmax(dim=0).to(torch.uint8).cpu().numpy()
        return self.prediction(item, image, labels, probabilities)

    def prediction(
        self,
        item: Item,
        image: np.ndarray,
        labels: np.ndarray,
        probabilities: np.ndarray | None = None,
    ) -> Prediction:
        """Return the prediction that consists of these labels; shapes as in `Prediction`."""
        return Prediction(
            labels=labels,
            probabilities=probabilities,
            domain=self.domain,
            classes=self.classes,
            palette=self.palette,
            source=item.source,
            name=self.folder + item.name,
            image=image,
        )


def _window(side: int, stride: int) -> ConfigDict:
    if not 0 < stride <= side:
        raise ValueError(
            f'slide is a window of {side} pixels that moves by {stride}, expected 0 < stride <= '
            'side, such as (512, 341)'
        )
    return ConfigDict(mode='slide', crop_size=(side, side), stride=(stride, stride))


def _palette(model: MultiDomainSegmentor, domain: str) -> np.ndarray:
    """Return the domain's palette from the checkpoint, or else colors as mmseg draws them."""
    with model.active(domain):
        meta = getattr(model, 'dataset_meta', None) or {}
    # A network of one domain may have been trained on a plain data set.
    found = meta.get('domains', {}).get(domain, meta)
    classes = model.domains[domain].classes
    if tuple(found.get('classes', ())) == classes and found.get('palette'):
        return np.array(found['palette'], np.uint8)
    return np.random.default_rng(42).integers(0, 256, (len(classes), 3), dtype=np.uint8)
