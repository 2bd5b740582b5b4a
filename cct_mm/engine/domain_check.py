"""Check before training that model, data and sampler speak of the same domains."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from cct_mm.datasets import AlternatingDomainSampler


@HOOKS.register_module()
class DomainCheckHook(Hook):
    """Compare domains and classes of the model with those of each dataloader, before they are used.

    A class count that disagrees would otherwise show as an index error inside a CUDA kernel, or not
    at all. A checkpoint's domains are compared too: what matches is loaded, what does not is named.
    """

    def __init__(self) -> None:
        self._untrained: list[str] = []

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Say which of the checkpoint's domains the model lacks, and the other way round.

        Raises:
            ValueError: If its batch norms have statistics by domain, and the model's have not.
        """
        model = self._model(runner)
        by_domain = any('.statistics.' in key for key in checkpoint.get('state_dict', {}))
        if by_domain and model.norm != 'per-domain':
            raise ValueError(
                f'the checkpoint has batch norms by domain, but the model has norm={model.norm!r}, '
                "expected 'per-domain': none of them would be loaded; set model.norm, or train a "
                'checkpoint with this norm'
            )
        in_checkpoint = {
            key.split('.')[1]
            for key in (k.removeprefix('module.') for k in checkpoint.get('state_dict', {}))
            if key.startswith('domains.')
        }
        self._untrained = [name for name in model.domains if name not in in_checkpoint]
        if not in_checkpoint:
            return
        if self._untrained:
            runner.logger.warning(
                f'the checkpoint has the domains {sorted(in_checkpoint)}, not '
                f'{self._untrained}, whose heads stay as they are'
            )
        if aside := sorted(in_checkpoint - set(model.domains)):
            runner.logger.warning(
                f"the checkpoint's domains {aside} are not in the model: left out"
            )

    def before_train(self, runner) -> None:
        """Check the training data, and that the batch size is what the sampler fills."""
        loader = runner.train_dataloader
        self._check_domains(runner, loader.dataset, 'train_dataloader')
        sampler = loader.sampler
        if (
            isinstance(sampler, AlternatingDomainSampler)
            and loader.batch_size != sampler.batch_size
        ):
            counts = next(iter(sampler.per_batch.values()))
            parts = ' + '.join(f'{kind}_per_batch={n}' for kind, n in counts.items())
            raise ValueError(
                f'train_dataloader: batch_size is {loader.batch_size}, expected '
                f'{sampler.batch_size} = {parts} of its sampler; make them agree'
            )

    def before_val(self, runner) -> None:
        """Check the validation data."""
        self._check_domains(runner, runner.val_dataloader.dataset, 'val_dataloader')
        self._check_batch(runner.val_dataloader, 'val_dataloader')

    def before_test(self, runner) -> None:
        """Check the test data."""
        dataset = runner.test_dataloader.dataset
        self._check_domains(runner, dataset, 'test_dataloader')
        self._check_batch(runner.test_dataloader, 'test_dataloader')
        if missing := [name for name in self._untrained if name in dataset.metainfo['domains']]:
            raise ValueError(
                f'test_dataloader: the checkpoint has no head for {missing}, so their predictions '
                'would be noise; test a checkpoint that was trained on them, or choose the domain '
                'with --domain'
            )

    def _check_batch(self, loader, name: str) -> None:
        domains = loader.dataset.metainfo['domains']
        if len(domains) > 1 and (loader.batch_size or 1) > 1:
            raise ValueError(
                f'{name}: batch_size is {loader.batch_size} with the domains {list(domains)}, '
                'expected 1: their images have different sizes'
            )

    @staticmethod
    def _model(runner):
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

    def _check_domains(self, runner, dataset, name: str) -> None:
        model = self._model(runner)
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
