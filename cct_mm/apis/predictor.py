"""By one domain: from what the network sees to labels."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.config import ConfigDict
from torch import Tensor

from cct_mm.evaluation_source import evaluation_pipeline
from cct_mm.models import MultiDomainSegmentor

from .inputs import Item
from .pipeline import ImagePipeline, Prepared
from .prediction import Prediction
from .tta import tta_transforms


class Predictor:
    """Predicts by the head of one domain.

    Args:
        model: The network, with its config as ``cfg``.
        domain: Name of the domain.
        slide: As for :func:`~cct_mm.apis.predict`.
        tta: As for :func:`~cct_mm.apis.predict`.
        probabilities: As for :func:`~cct_mm.apis.predict`.
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
        if self.configs is None:
            raise ValueError(
                f'domain {domain} is in neither test_dataloader nor val_dataloader, and there is '
                'no test_pipeline, expected one of them, because its pipeline says at which size '
                'the network looks at an image'
            )
        self.pipeline = ImagePipeline(self.configs, tta_transforms() if tta else ((),))
        self.test_cfg = model.test_cfg if slide is None else _window(*slide)
        self.folder = f'{domain}/' if among > 1 else ''
        self.classes = model.domains[domain].classes
        self.palette = np.array(model.meta_of(domain)['palette'], np.uint8)

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
