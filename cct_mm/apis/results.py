"""Predictions of many images on disk, whole files only, and going on after an interruption."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from cct_mm.progress_bar import progress_bar
from cct_mm.result_folder import ResultFolder, network_settings
from cct_mm.visualization import jpeg

from .inference import items_of, predict_items
from .inputs import Input, Item, video_length
from .prediction import SOURCE, picture
from .predictor import Predictor

VERSION = 1
"""Grows whenever the same settings give other predictions than before."""


class PredictionFolder(ResultFolder):
    """The folder of ``tools/predict.py``; arguments and errors as for a ``ResultFolder``."""

    WHAT = 'predictions'
    SETTINGS = 'predictions.json'
    RESULTS = ('labels', 'overlays', 'probabilities')
    START_OVER = 'start over with --overwrite, which removes what is there'

    @classmethod
    def clear(cls, path: str | os.PathLike) -> None:
        """Remove the results that are in a folder of this kind; any other stays as it is."""
        path = Path(path)
        if (path / cls.SETTINGS).is_file():
            for name in cls.RESULTS:
                shutil.rmtree(path / name, ignore_errors=True)
            (path / cls.SETTINGS).unlink()


def describe(predictors: Sequence[Predictor], checkpoint: str | os.PathLike, tta: bool) -> dict:
    """Return everything that predictions depend on, except the images themselves.

    Args:
        predictors: One for each domain.
        checkpoint: Path of the network's checkpoint.
        tta: Whether they average over scales.
    """
    settings = {'version': VERSION, 'domains': [p.domain for p in predictors]}
    for p in predictors:
        colors = ['#{:02x}{:02x}{:02x}'.format(*color) for color in p.palette]
        settings[f'classes of {p.domain}'] = dict(zip(p.classes, colors, strict=True))
        settings[f'pipeline of {p.domain}'] = p.configs
    settings |= {'test_cfg': predictors[0].test_cfg, 'tta': tta}
    return settings | network_settings(predictors[0].model.cfg.model, checkpoint)


@dataclass
class Summary:
    """What a run did.

    Args:
        predicted: Number of images and frames whose predictions were written.
        there: Number of those whose predictions existed before.
        problems: Each image or video that was skipped, wholly or in part -> why.
    """

    predicted: int = 0
    there: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        """Number of images and frames that are done with."""
        return self.predicted + self.there + len(self.problems)


class Writer:
    """Predicts on all inputs and writes what comes out.

    Args:
        predictors: One for each domain.
        folder: Where to.
        batch_size: As for :func:`~cct_mm.apis.predict`.
    """

    def __init__(
        self, predictors: Sequence[Predictor], folder: PredictionFolder, batch_size: int = 1
    ) -> None:
        self.predictors, self.folder, self.batch_size = predictors, folder, batch_size
        self.summary = Summary()

    def __call__(self, inputs: Sequence[Input]) -> Summary:
        """Write the predictions of all inputs that have none yet; videos come last.

        Raises:
            OSError: If a file cannot be written.
        """
        inputs = [source for source in inputs if self._is_its_own(source)]
        images = [source for source in inputs if not source.is_video]
        if images:
            with progress_bar('images', len(images)) as update:
                self._write(images, update)
        for video in inputs:
            if video.is_video:
                with progress_bar('frames', video.count()) as update:
                    self._write([video], update)
                self._draw(video)
        return self.summary

    def _write(self, inputs: Sequence[Input], update: Callable[[int], None]) -> None:
        before = self.summary.seen
        items = self._missing(items_of(inputs, self._problem))
        for item, predictions in predict_items(
            self.predictors, items, self.batch_size, self._problem
        ):
            for p in predictions:
                if p.probabilities is not None:
                    self.folder.write(f'probabilities/{p.name}.npz', p.npz())
            # Frames are drawn into a video.
            if isinstance(item.image, str):
                self.folder.write(f'overlays/{item.name}.jpg', jpeg(picture(predictions)))
            # Last, because labels tell of which image the results are.
            for p in predictions:
                self.folder.write(f'labels/{p.name}.png', p.png())
            self.summary.predicted += 1
            update(self.summary.seen - before)
        update(self.summary.seen - before)

    def _missing(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items that lack a result."""
        for item in items:
            expected = self._labels(item.name)
            if isinstance(item.image, str):
                expected.append(f'overlays/{item.name}.jpg')
            for p in self.predictors:
                if p.probabilities:
                    expected.append(f'probabilities/{p.folder}{item.name}.npz')
            if all(map(self.folder.has, expected)):
                self.summary.there += 1
            else:
                yield item

    def _labels(self, name: str) -> list[str]:
        """Return the names of the label files of an item, one for each predictor."""
        return [f'labels/{predictor.folder}{name}.png' for predictor in self.predictors]

    def _is_its_own(self, given: Input) -> bool:
        """Tell whether no other image's labels have the name of this one's."""
        name, source = given.identity()
        for labels in self._labels(name):
            if not self.folder.has(labels):
                continue
            with contextlib.suppress(OSError, SyntaxError, ValueError):
                with PIL.Image.open(self.folder.file(labels)) as file:
                    # Whoever corrects labels by hand may lose the note.
                    found = file.info.get(SOURCE, source)
                if found != source:
                    self._problem(
                        given.source,
                        f'{given.source}: {self.folder.file(labels)} is there, but of {found}, '
                        'expected a name of its own; choose another --out',
                    )
                    return False
        return True

    def _problem(self, source: str, problem: str) -> None:
        self.summary.problems[source] = problem

    def _draw(self, video: Input) -> None:
        """Write the video of overlays, from the labels of its frames."""
        name = f'overlays/{video.name.removesuffix(".mp4")}.mp4'
        items = items_of([video], lambda *_: None)
        items = (item for item in items if all(map(self.folder.has, self._labels(item.name))))
        first = next(items, None)
        if self.folder.has(name) or first is None:
            return
        drawn = self._picture(first)
        _, rate = video_length(video.image)
        with self.folder.whole(name) as path, progress_bar('video', video.count()) as update:
            code, size = cv2.VideoWriter_fourcc(*'mp4v'), (drawn.shape[1], drawn.shape[0])
            output = cv2.VideoWriter(str(path), code, rate, size)
            for number, item in enumerate(itertools.chain([first], items), start=1):
                output.write(self._picture(item)[..., ::-1])
                update(number)
            output.release()

    def _picture(self, frame: Item) -> np.ndarray:
        predictions = []
        for predictor, name in zip(self.predictors, self._labels(frame.name), strict=True):
            with PIL.Image.open(self.folder.file(name)) as labels:
                values = np.asarray(labels)
            predictions.append(predictor.prediction(frame, frame.image[..., ::-1], values))
        return picture(predictions)
