"""What ``init_model``, ``inference_model`` and ``MMSegInferencer`` of mmseg expect of a network."""

from collections.abc import MutableMapping
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from cct_mm.evaluation_source import evaluation_source


class ServesMmseg:
    """Mixin: the config and the meta information that mmseg hangs on a network, by domain.

    mmseg expects a config of one data set with one pipeline, and one list of classes.
    """

    _cfg: MutableMapping | None = None
    _meta: dict[str, Any] | None = None

    @property
    def cfg(self) -> MutableMapping | None:
        """The whole config; mmseg sets it.

        mmseg's functions look into its ``test_pipeline`` for what to do with an image. Where there
        is none, it is that of the domain that is active when an image comes. mmseg's inferencer
        looks into ``test_dataloader.dataset.pipeline`` of the config that it has set, which
        therefore gets the same there.
        """
        return self._cfg

    @cfg.setter
    def cfg(self, config: MutableMapping) -> None:
        # A copy, because networks may share a config, and each has an active domain of its own.
        self._cfg = config.copy()
        sources = {name: evaluation_source(config, name) for name in self.domains}
        pipelines = {n: s['pipeline'] for n, s in sources.items() if s and s.get('pipeline')}
        own = dict(type='DomainPipeline', domains=pipelines, active=self._active)
        for place, key in (
            (self._cfg, 'test_pipeline'),
            ((config.get('test_dataloader') or {}).get('dataset', {}), 'pipeline'),
        ):
            # Not that of a network which the config was given to before.
            if key not in place or place[key][-1]['type'] == 'DomainPipeline':
                # By this name mmseg finds the reader, and puts another there for arrays.
                place[key] = [dict(type='LoadImageFromFile'), own]

    @property
    def dataset_meta(self) -> dict[str, Any]:
        """Classes and palette of the active domain, by which mmseg draws; mmseg sets it.

        Raises:
            UnknownError: If no domain is active.
        """
        return self.meta_of(self.active_domain.name)

    @dataset_meta.setter
    def dataset_meta(self, meta: dict[str, Any] | None) -> None:
        self._meta = meta

    def meta_of(self, domain: str) -> dict[str, Any]:
        """Return ``classes`` and ``palette`` of a domain.

        The palette is that in the checkpoint, or of the data set in the config, or else the one
        that mmseg gives to a data set without.

        Args:
            domain: Its name.
        """
        classes = self.domains[domain].classes
        meta = self._meta or {}
        found = meta.get('domains', {}).get(domain)
        if not _is_of(found, classes) and self._cfg is not None:
            source = evaluation_source(self._cfg, domain)
            # Without reading its files.
            found = source and DATASETS.build({**source, 'lazy_init': True}).metainfo
        if not _is_of(found, classes):
            found = meta
        if not _is_of(found, classes):
            found = BaseSegDataset(metainfo=dict(classes=classes), lazy_init=True).metainfo
        return dict(classes=classes, palette=found['palette'])


def _is_of(meta: dict | None, classes: tuple[str, ...]) -> bool:
    return bool(meta) and tuple(meta.get('classes') or ()) == classes and 'palette' in meta
