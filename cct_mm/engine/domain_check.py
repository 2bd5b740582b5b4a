"""Check before training that model, data and sampler speak of the same domains."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from cct_mm.datasets import AlternatingDomainSampler


@HOOKS.register_module()
class DomainCheckHook(Hook):
    """Compare domains and classes of the model with those of each dataloader, before they are used.

    A class count that disagrees would otherwise show as an index error inside a CUDA kernel, or not
    at all.
    """

    def before_train(self, runner) -> None:
        """Check the training data, and that the batch size is what the sampler fills."""
        loader = runner.train_dataloader
        self._check_domains(runner, loader.dataset, 'train_dataloader')
        sampler = loader.sampler
        if (
            isinstance(sampler, AlternatingDomainSampler)
            and loader.batch_size != sampler.batch_size
        ):
            parts = ' + '.join(f'{kind}_per_batch={n}' for kind, n in sampler.per_batch.items())
            raise ValueError(
                f'train_dataloader: batch_size is {loader.batch_size}, expected '
                f'{sampler.batch_size} = {parts} of its sampler; make them agree'
            )

    def before_val(self, runner) -> None:
        """Check the validation data."""
        self._check_domains(runner, runner.val_dataloader.dataset, 'val_dataloader')

    def before_test(self, runner) -> None:
        """Check the test data."""
        self._check_domains(runner, runner.test_dataloader.dataset, 'test_dataloader')

    def _check_domains(self, runner, dataset, name: str) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if 'domains' not in getattr(dataset, 'metainfo', {}):
            raise ValueError(
                f'{name}: its dataset is a {type(dataset).__name__}, expected a '
                'MultiDomainDataset, which knows the domains: '
                "dataset=dict(type='MultiDomainDataset', domains=dict(NAME=dict(labeled=...)))"
            )
        for domain, meta in dataset.metainfo['domains'].items():
            if domain not in model.domains:
                raise ValueError(
                    f'{name}: it has domain {domain!r}, but model.domains are '
                    f'{list(model.domains)}; use the same names in both'
                )
            expected = model.domains[domain].classes
            if tuple(meta['classes']) != expected:
                raise ValueError(
                    f'{name}: domain {domain} has {len(meta["classes"])} classes '
                    f'{list(meta["classes"])}, expected the {len(expected)} of '
                    f'model.domains.{domain}, {list(expected)}; give both the same'
                )
