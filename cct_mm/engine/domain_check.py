"""Check that model, data, sampler and checkpoint speak of the same domains."""

from itertools import zip_longest

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor, nn

from cct_mm.datasets import AlternatingDomainSampler
from cct_mm.models.adversarial import DomainDiscriminator
from cct_mm.models.domain import Domain
from cct_mm.models.norm import NORMS
from cct_mm.models.segmentors import CCT

from .checkpoints.loading import not_a_number


@HOOKS.register_module()
class DomainCheckHook(Hook):
    """Compare domains and classes of the model with those of each dataloader, before they are used.

    A class count that disagrees would otherwise show as an index error inside a CUDA kernel, or not
    at all. A checkpoint is compared too, for mmengine loads what fits and leaves the rest as it is:
    a training that starts from one is told what does not match, a test or a resumed run refused.
    """

    def __init__(self) -> None:
        # Of the checkpoint, if any: domains whose head it brings, and why it does not for others.
        self._matched: set[str] = set()
        self._unmatched: dict[str, str] = {}
        self._other_encoder = ''
        self._not_finite = ''

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Say which of the checkpoint's domains the model lacks, has otherwise, or has alone.

        Raises:
            ValueError: If its batch norms have statistics by domain, and the model's have not; if a
                run with other domains is resumed, whose optimizer would not fit.
        """
        model = self._model(runner)
        # A bare state dict is a checkpoint too.
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
        by_domain = {key.partition('.')[0] for key in weights if '.statistics.' in key}
        if by_domain - set(NORMS[model.norm]):
            raise ValueError(
                f'the checkpoint has batch norms by domain, but the model has norm={model.norm!r}, '
                'which has none there: they would not be loaded; set model.norm to that of the '
                'checkpoint, or train one with this norm'
            )
        in_checkpoint = list(
            dict.fromkeys(key.split('.')[1] for key in weights if key.startswith('domains.'))
        )
        trained = checkpoint.get('meta', {}).get('dataset_meta', {}).get('domains', {})
        self._unmatched = {}
        for name, domain in model.domains.items():
            if name not in in_checkpoint:
                self._unmatched[name] = f'the checkpoint has no head for domain {name}'
                continue
            difference = _other_classes(domain, trained.get(name)) or _other_head(domain, weights)
            if difference:
                self._unmatched[name] = difference
        self._matched = set(model.domains) - set(self._unmatched)
        aside = sorted(set(in_checkpoint) - set(model.domains))
        self._other_encoder = _other_weights(model, weights)
        differences = [*filter(None, [self._other_encoder]), *self._unmatched.values()]
        if aside:
            differences.append(f"the checkpoint's domains {aside} are not in the model")
        if not differences and in_checkpoint != list(model.domains):
            # Optimizers know weights by their number.
            differences.append(
                f'the checkpoint has its domains in the order {in_checkpoint}, the model in the '
                f'order {list(model.domains)}'
            )
        self._not_finite = ''
        if name := not_a_number(checkpoint):
            self._not_finite = (
                f'checkpoint {getattr(runner, "_load_from", None)}: {name} holds values that are '
                'not finite (nan), expected numbers: the run that wrote it has diverged'
            )
            runner.logger.warning(self._not_finite)
        # mmengine tells hooks no other way.
        if runner._resume and self._not_finite:
            raise ValueError(f'{self._not_finite}; go on from an earlier checkpoint, or start anew')
        if runner._resume and differences:
            raise ValueError(
                f'{differences[0]}, so the run would not go on as it was; resume it with the model '
                'that it was started with, or start a new run from the checkpoint by load_from, '
                'without resume'
            )
        if not in_checkpoint:
            return
        if self._other_encoder:
            runner.logger.warning(f'{self._other_encoder}: what does not fit stays as it is')
        if absent := [name for name in model.domains if name not in in_checkpoint]:
            runner.logger.warning(
                f'the checkpoint has the domains {sorted(in_checkpoint)}, not '
                f'{absent}, whose heads stay as they are'
            )
        if isinstance(model.discriminator, DomainDiscriminator):
            found = model.discriminator.in_checkpoint(weights, 'discriminator.')
            if found not in (None, expected := model.discriminator.describe()):
                runner.logger.warning(
                    f"the checkpoint's discriminator is for {found}, not for {expected}: left out"
                )
        for name, reason in self._unmatched.items():
            if name in in_checkpoint:
                runner.logger.warning(
                    f'{reason}; weights of domain {name} whose names and shapes match are loaded, '
                    'the others stay as they are'
                )
        if aside:
            runner.logger.warning(f'{differences[-1]}: left out')

    def before_train(self, runner) -> None:
        """Check the training data, what the sampler fills, and what validation will use."""
        self._check_synchronised_norms(runner)
        loader = runner.train_dataloader
        self._check_domains(runner, loader.dataset, 'train_dataloader')
        self._check_training(runner, loader)
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
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner) -> None:
        """Check the validation data."""
        self._check_domains(runner, runner.val_dataloader.dataset, 'val_dataloader')
        self._check_batch(runner.val_dataloader, 'val_dataloader')

    def before_test(self, runner) -> None:
        """Check the test data."""
        if self._not_finite:
            raise ValueError(f'{self._not_finite}; test an earlier checkpoint')
        if self._other_encoder:
            raise ValueError(
                f'{self._other_encoder}, so its predictions would be noise; test a checkpoint that '
                'was trained with this model'
            )
        dataset = runner.test_dataloader.dataset
        self._check_domains(runner, dataset, 'test_dataloader')
        self._check_batch(runner.test_dataloader, 'test_dataloader')
        for name in dataset.metainfo['domains']:
            if name in self._unmatched:
                raise ValueError(
                    f'test_dataloader: {self._unmatched[name]}, so its predictions would be noise; '
                    'test a checkpoint that was trained with this model, or choose another domain '
                    'with --domain'
                )

    def _check_training(self, runner, loader) -> None:
        """Check that each domain's head is trained, or at least comes from a checkpoint."""
        sampler = loader.sampler
        alternating = isinstance(sampler, AlternatingDomainSampler)
        trained = sampler.order if alternating else loader.dataset.metainfo['domains']
        if alternating and isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                f'train_cfg: the training loop is a {type(runner.train_loop).__name__}, expected '
                "an IterBasedTrainLoop: AlternatingDomainSampler's draws never end; set "
                "train_cfg=dict(type='IterBasedTrainLoop', max_iters=...)"
            )
        for name in self._model(runner).domains:
            counts = sampler.per_batch[name] if alternating and name in trained else {}
            if counts and not set(counts).intersection(self._model(runner).learns_labels_of):
                found = ' and '.join(f'{n} {kind}' for kind, n in counts.items())
                raise ValueError(
                    f'train_dataloader: iterations of domain {name} have {found} images and no '
                    'labeled ones, expected some: without labels nothing trains its main head; '
                    'raise labeled_per_batch'
                )
            if name in trained:
                continue
            if name not in self._matched:
                raise ValueError(
                    f'train_dataloader: it trains the domains {list(dict.fromkeys(trained))}, not '
                    f'{name!r} of model.domains, whose head would stay random and count in mIoU; '
                    'remove it from model.domains and val_dataloader, or add its data to '
                    "train_dataloader.dataset.domains and its name to the sampler's order, if any"
                )
            runner.logger.warning(
                f'train_dataloader does not train domain {name} of the model: its head stays that '
                'of the checkpoint, while the encoder changes'
            )
        if not alternating and isinstance(self._model(runner), CCT):
            raise ValueError(
                f'train_dataloader: its sampler is a {type(sampler).__name__}, expected an '
                'AlternatingDomainSampler, by whose draws the perturbations are drawn'
            )

    def _check_synchronised_norms(self, runner) -> None:
        """Check that ``sync_bn`` took nothing from the network.

        timm's batch norms end in an activation, which mmengine's conversion hangs on to the new
        norm, where nothing calls it.
        """
        for name, module in runner.model.named_modules():
            if type(module) is nn.SyncBatchNorm and any(True for _ in module.children()):
                raise ValueError(
                    f"sync_bn: the batch norm {name} has lost its activation, for mmengine's "
                    'conversion does not know norms of timm, expected one that computes the same; '
                    "remove sync_bn, and set model.norm='frozen' if batches are too small"
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


def _other_weights(model, weights: dict[str, Tensor]) -> str:
    """Say which weight of the encoder is not in a checkpoint, or has another shape; '' if none.

    Batch norms have other names in checkpoints without domains; convolutions and linear layers keep
    theirs.
    """
    for part in ('backbone', 'neck'):
        for name, expected in getattr(getattr(model, part), 'named_parameters', list)():
            key = f'{part}.{name}'
            found = tuple(weights[key].shape) if key in weights else 'not there'
            if expected.ndim > 1 and found != tuple(expected.shape):
                return (
                    f"the checkpoint has another {part} than the model's "
                    f'{type(getattr(model, part)).__name__}: {key} is {found}, expected '
                    f'{tuple(expected.shape)}'
                )
    return ''


def _other_classes(domain: Domain, meta: dict | None) -> str | None:
    """Say where the classes that a checkpoint was trained with differ from the model's.

    Args:
        domain: The model's domain.
        meta: The domain's ``dict(classes=...)`` in the checkpoint; None where it does not tell.
    """
    if meta is None or tuple(meta['classes']) == domain.classes:
        return None
    found, expected = tuple(meta['classes']), domain.classes
    label = next(i for i, pair in enumerate(zip_longest(found, expected)) if len(set(pair)) > 1)
    at_label = [repr(c[label]) if label < len(c) else 'none' for c in (found, expected)]
    order = 'the order is another, ' if sorted(found) == sorted(expected) else ''
    return (
        f'the checkpoint has {len(found)} classes in domain {domain.name}, expected the '
        f'{len(expected)} of model.domains.{domain.name}: {order}label {label} is '
        f'{at_label[0]}, expected {at_label[1]}'
    )


def _other_head(domain: Domain, weights: dict[str, Tensor]) -> str | None:
    """Say which weight of a domain's main head is not in a checkpoint, or has another shape."""
    for name, expected in domain.decode_head.state_dict().items():
        key = f'domains.{domain.name}.decode_head.{name}'
        found = tuple(weights[key].shape) if key in weights else 'not there'
        if found != tuple(expected.shape):
            return (
                f"the checkpoint has another head for domain {domain.name} than the model's "
                f'{type(domain.decode_head).__name__}: {key} is {found}, expected '
                f'{tuple(expected.shape)}'
            )
    return None
