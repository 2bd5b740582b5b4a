"""Check that model, data, sampler and checkpoint speak of the same domains."""

from collections.abc import Iterable

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from cct_mm.datasets import AddView, AlternatingDomainSampler, CachedFeaturesDataset
from cct_mm.datasets.wrappers import pipelines
from cct_mm.models.segmentors import MultiDomainSegmentor

from .channel_check import check_channels
from .checkpoints.match import CheckpointMatch, match_checkpoint
from .features.recipe import check_features
from .training_progress import model_of


@HOOKS.register_module()
class DomainCheckHook(Hook):
    """Compare domains and classes of the model with those of each dataloader, before they are used.

    A class count that disagrees would otherwise show as an index error inside a CUDA kernel, or not
    at all. A checkpoint is compared too, because mmengine loads what fits and leaves the rest as it
    is: a training that starts from it is told what does not match; a test or a resumed run is
    refused.
    """

    def __init__(self) -> None:
        self._match = CheckpointMatch()
        self._not_finite = ''

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Say which of the checkpoint's domains the model lacks, has otherwise, or has alone.

        Raises:
            ValueError: If the checkpoint has domain-specific batch norms, and the model has not, or
                if a run is resumed that was another or has diverged.
        """
        self._match = match = match_checkpoint(model_of(runner), checkpoint)
        self._not_finite = match.not_finite and (
            f'checkpoint {getattr(runner, "_load_from", None)}: {match.not_finite} holds values '
            'that are not finite (nan), expected numbers: the run that wrote it has diverged'
        )
        # mmengine tells hooks no other way.
        if runner._resume and self._not_finite:
            raise ValueError(f'{self._not_finite}; go on from an earlier checkpoint, or start anew')
        if runner._resume and match.differences:
            raise ValueError(
                f'{match.differences[0]}, so the run would not go on as it was; resume it with the '
                'model that it was started with, or start a new run from the checkpoint by '
                'load_from, without resume'
            )
        for sentence in match.warnings():
            runner.logger.warning(sentence)

    def before_train(self, runner) -> None:
        """Check the training data, what the sampler yields, and what validation will use."""
        model, loader = model_of(runner), runner.train_dataloader
        check_synchronized_norms(runner.model)
        check_average(model, getattr(runner, 'hooks', ()))
        check_domains(model, loader.dataset, 'train_dataloader')
        check_channels(model, loader.dataset)
        check_loop(runner.train_loop, loader.sampler)
        idle = check_trained(model, loader, self._match.matched)
        check_needs(model, loader)
        for name in idle:
            runner.logger.warning(
                f'train_dataloader does not train domain {name} of the model: its head stays that '
                'of the checkpoint, while the encoder changes'
            )
        check_batch_size(loader)
        if isinstance(loader.dataset, CachedFeaturesDataset):
            check_features(model, runner.cfg.model, loader.dataset, loader.sampler)
        if model.needs.unlabeled and not loads_unlabeled(model, loader):
            runner.logger.warning(
                f'train_dataloader loads no unlabeled images, from which {type(model).__name__} '
                'learns: it trains as the supervised baseline does; set unlabeled_per_batch in the '
                'sampler, and batch_size to the sum'
            )
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner) -> None:
        """Check the validation data."""
        model, dataset = model_of(runner), runner.val_dataloader.dataset
        check_domains(model, dataset, 'val_dataloader')
        check_channels(model, dataset)
        check_single_images(runner.val_dataloader, 'val_dataloader')

    def before_test(self, runner) -> None:
        """Check the test data, and that the checkpoint brings what predicts them."""
        if self._not_finite:
            raise ValueError(f'{self._not_finite}; test an earlier checkpoint')
        if self._match.encoder:
            raise ValueError(
                f'{self._match.encoder}, so its predictions would be noise; test a checkpoint that '
                'was trained with this model'
            )
        if self._match.teacher:
            runner.logger.warning(self._match.teacher)
        model, dataset = model_of(runner), runner.test_dataloader.dataset
        check_domains(model, dataset, 'test_dataloader')
        check_channels(model, dataset)
        check_single_images(runner.test_dataloader, 'test_dataloader')
        for name in dataset.metainfo['domains']:
            if name in self._match.unmatched:
                raise ValueError(
                    f'test_dataloader: {self._match.unmatched[name]}, so its predictions would be '
                    'noise; test a checkpoint that was trained with this model, or choose another '
                    'domain with --domain'
                )


def check_domains(model: MultiDomainSegmentor, dataset, name: str) -> None:
    """Check that a dataset's domains are in the model, with the same classes in the same order.

    Args:
        model: The model.
        dataset: A ``MultiDomainDataset``, or what stands in its place.
        name: Of the dataloader, as errors call it.

    Raises:
        ValueError: If they are not.
    """
    if 'domains' not in getattr(dataset, 'metainfo', {}):
        raise ValueError(
            f'{name}: its dataset is a {type(dataset).__name__}, expected a MultiDomainDataset, '
            "which knows the domains: dataset=dict(type='MultiDomainDataset', "
            'domains=dict(NAME=dict(labeled=...)))'
        )
    for domain, meta in dataset.metainfo['domains'].items():
        if domain not in model.domains:
            raise ValueError(
                f'{name}: it has domain {domain!r}, but model.domains are {list(model.domains)}; '
                'use the same names in both'
            )
        expected = model.domains[domain].classes
        if tuple(meta['classes']) != expected:
            raise ValueError(
                f'{name}: domain {domain} has {len(meta["classes"])} classes '
                f'{list(meta["classes"])}, expected the {len(expected)} of '
                f'model.domains.{domain}, {list(expected)}; give both the same'
            )


def check_loop(loop, sampler) -> None:
    """Check that the training loop ends.

    Raises:
        ValueError: If it waits for the end of an endless sampler.
    """
    if isinstance(sampler, AlternatingDomainSampler) and isinstance(loop, EpochBasedTrainLoop):
        raise ValueError(
            f'train_cfg: the training loop is a {type(loop).__name__}, expected an '
            'IterBasedTrainLoop, because an AlternatingDomainSampler never ends; set '
            "train_cfg=dict(type='IterBasedTrainLoop', max_iters=...)"
        )


def check_needs(model: MultiDomainSegmentor, loader) -> None:
    """Check that the training data have what the model's method asks for.

    Args:
        model: The model, whose ``needs`` say it.
        loader: Of training.

    Raises:
        ValueError: If labels, sample keys or views are missing, or if there are unlabeled images
            from which the method does not learn.
    """
    method, needs, sampler = type(model).__name__, model.needs, loader.sampler
    if not isinstance(sampler, AlternatingDomainSampler):
        if needs.sample_keys:
            raise ValueError(
                f'train_dataloader: its sampler is a {type(sampler).__name__}, expected an '
                f'AlternatingDomainSampler, by whose sample keys {method} draws random numbers'
            )
        return
    for name in dict.fromkeys(sampler.order):
        counts = sampler.per_batch[name]
        if name in model.domains and not set(counts).intersection(needs.labels_of):
            found = ' and '.join(f'{n} {kind}' for kind, n in counts.items())
            raise ValueError(
                f'train_dataloader: iterations of domain {name} have {found} images and no '
                'labeled ones, expected some: without labels nothing trains its main head; '
                'raise labeled_per_batch'
            )
        others = {kind: n for kind, n in counts.items() if kind not in needs.labels_of}
        if others and not needs.unlabeled:
            found = ' and '.join(f'{n} {kind}' for kind, n in others.items())
            raise ValueError(
                f'train_dataloader: iterations of domain {name} have {found} images, from which '
                f'{method} does not learn, expected none; set '
                f'{" and ".join(f"{kind}_per_batch=0" for kind in others)} in the sampler and '
                'batch_size to labeled_per_batch, or use a method such as CCT'
            )
        for source in getattr(loader.dataset, 'sources', ()) if needs.views else ():
            kind = source.supervision
            if source.domain != name or kind not in counts or kind in needs.labels_of:
                continue
            for steps in pipelines(source.dataset):
                views = {t.name for t in steps if isinstance(t, AddView)}
                if missing := set(needs.views) - views:
                    raise ValueError(
                        f'{source.name}: its pipeline makes the views {sorted(views)}, but '
                        f"{method} needs {missing.pop()!r} too; add dict(type='AddView', "
                        'name=..., transforms=[...]) to the end of the pipeline'
                    )


def loads_unlabeled(model: MultiDomainSegmentor, loader) -> bool:
    """Tell whether some iteration has images other than those whose labels the method uses."""
    if not isinstance(loader.sampler, AlternatingDomainSampler):
        return True
    counts = (loader.sampler.per_batch[name] for name in loader.sampler.order)
    return any(set(own) - set(model.needs.labels_of) for own in counts)


def check_trained(model: MultiDomainSegmentor, loader, from_checkpoint: set[str]) -> list[str]:
    """Check that each domain's head is trained, or at least comes from a checkpoint.

    Args:
        model: The model.
        loader: Of training.
        from_checkpoint: Domains whose head a checkpoint has brought.

    Returns:
        The domains that are not trained.

    Raises:
        ValueError: If a head would stay random.
    """
    alternating = isinstance(loader.sampler, AlternatingDomainSampler)
    trained = loader.sampler.order if alternating else loader.dataset.metainfo['domains']
    idle = [name for name in model.domains if name not in trained]
    for name in idle:
        if name not in from_checkpoint:
            raise ValueError(
                f'train_dataloader: it trains the domains {list(dict.fromkeys(trained))}, not '
                f'{name!r} of model.domains, whose head would stay random and count in mIoU; '
                'remove it from model.domains and val_dataloader, or add its data to '
                "train_dataloader.dataset.domains and its name to the sampler's order, if any"
            )
    return idle


def check_batch_size(loader) -> None:
    """Check that the sampler fills the dataloader's batches.

    Raises:
        ValueError: If it yields more or fewer samples for an iteration.
    """
    sampler = loader.sampler
    if isinstance(sampler, AlternatingDomainSampler) and loader.batch_size != sampler.batch_size:
        counts = next(iter(sampler.per_batch.values()))
        parts = ' + '.join(f'{kind}_per_batch={n}' for kind, n in counts.items())
        raise ValueError(
            f'train_dataloader: batch_size is {loader.batch_size}, expected {sampler.batch_size} = '
            f'{parts} of its sampler; make them agree'
        )


def check_single_images(loader, name: str) -> None:
    """Check that several domains are evaluated image by image.

    Raises:
        ValueError: If a batch may hold images of different sizes.
    """
    domains = loader.dataset.metainfo['domains']
    if len(domains) > 1 and (loader.batch_size or 1) > 1:
        raise ValueError(
            f'{name}: batch_size is {loader.batch_size} with the domains {list(domains)}, '
            'expected 1: their images have different sizes'
        )


def check_average(model: MultiDomainSegmentor, hooks: Iterable[Hook]) -> None:
    """Check that no hook averages a network whose buffers change their size.

    Args:
        model: The model.
        hooks: All hooks of the runner.

    Raises:
        ValueError: If an ``EMAHook`` meets a discriminator, whose queues grow in the first steps.
    """
    if getattr(model, 'discriminator', None) and any(isinstance(h, EMAHook) for h in hooks):
        raise ValueError(
            'custom_hooks: an EMAHook cannot average the queues of model.discriminator, which '
            'change their size, expected one of the two; remove the hook or the discriminator'
        )


def check_synchronized_norms(model: nn.Module) -> None:
    """Check that ``sync_bn`` took nothing from the network.

    The batch norms of timm end in an activation. mmengine's conversion hangs it on to the new norm,
    which never calls it.

    Raises:
        ValueError: If a norm has lost its activation.
    """
    for name, module in model.named_modules():
        if type(module) is nn.SyncBatchNorm and any(True for _ in module.children()):
            raise ValueError(
                f"sync_bn: the batch norm {name} has lost its activation, because mmengine's "
                'conversion does not know norms of timm, expected one that computes the same; '
                "remove sync_bn, and set model.norm='frozen' if batches are too small"
            )
