"""Which images an iteration sees: alternating domains, kinds of supervision in a fixed ratio."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from cct_mm import keyed

from .multi_domain import MultiDomainDataset, SampleIndex


@DATA_SAMPLERS.register_module()
class AlternatingDomainSampler(Sampler[SampleIndex]):
    """Endless indices for an iteration-based loop: iteration t trains ``order[t mod len(order)]``.

    Each iteration yields ``labeled_per_batch`` images of the domain's labeled source, then
    ``unlabeled_per_batch`` of its unlabeled and ``weak_per_batch`` of its weak source; the
    dataloader's ``batch_size`` is their sum. Each pass over a source shows every image once, in a
    new order; a run is measured in iterations, of which each domain gets its turns of ``order``.

    Everything is a function of (seed, rank, iteration): image number j of a source is the same
    image with the same augmentation on one GPU or eight, with any number of workers, and after a
    resume. All ranks together yield what a single process would with batches that much larger.

    Args:
        dataset: A ``MultiDomainDataset``; the runner passes it.
        labeled_per_batch: Labeled images per iteration and device.
        unlabeled_per_batch: Unlabeled images per iteration and device (paper: as many as labeled).
            A dictionary gives every domain its own number, such as 0 to one without unlabeled
            images; labeled images then fill the batch, which has one size for all domains.
        weak_per_batch: The same for images with image-level or pseudo-labels.
        order: Names of the domains in the order they are trained, repeated for ever; a domain may
            occur several times to be trained more often. None alternates between all, as in the
            paper; ``'proportional'`` trains each in proportion to its number of images.
        replay_labeled: Repeat the labeled batches of the first pass, same images and augmentation,
            until a pass over the domain's other images ends, as the released code does. False
            draws new ones.
        seed: The run's seed; the runner passes it. None draws one, shared by all ranks.

    Raises:
        ValueError: If counts are below 0 or all 0, a dictionary of counts has other domains than
            the dataset, ``order`` names an unknown domain, or a domain lacks a source that the
            counts ask for.
    """

    def __init__(
        self,
        dataset: MultiDomainDataset,
        labeled_per_batch: int = 4,
        unlabeled_per_batch: int | Mapping[str, int] = 4,
        weak_per_batch: int | Mapping[str, int] = 0,
        order: Sequence[str] | str | None = None,
        replay_labeled: bool = False,
        seed: int | None = None,
    ) -> None:
        _check_dataset(dataset)
        self.dataset = dataset
        if order == 'proportional' and 'proportional' not in dataset.domains:
            order = self._proportional_order()
        # A single name is an order, too.
        self.order = [order] if isinstance(order, str) else list(order or dataset.domains)
        self.per_batch = _counts(
            dataset.domains,
            labeled_per_batch,
            {'unlabeled': unlabeled_per_batch, 'weak': weak_per_batch},
        )
        _check_order(self.order, dataset, self.per_batch)
        self.replay_labeled = replay_labeled
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self._skipped = 0
        self._orders: dict[int, tuple[tuple, list[int]]] = {}

    @property
    def batch_size(self) -> int:
        """Images per iteration: what the dataloader's batch size has to be."""
        return sum(next(iter(self.per_batch.values())).values())

    def _proportional_order(self) -> list[str]:
        """Return about 100 turns, each domain's by its share of all images, evenly mixed."""
        images = dict.fromkeys(self.dataset.domains, 0)
        for source in self.dataset.sources:
            images[source.domain] += len(source.dataset)
        total = sum(images.values())
        turns = {domain: max(1, round(100 * n / total)) for domain, n in images.items()}
        places = [((i + 0.5) / n, domain) for domain, n in turns.items() for i in range(n)]
        return [domain for _, domain in sorted(places)]

    def iteration(self, t: int) -> list[SampleIndex]:
        """Return what this rank loads in iteration ``t``."""
        rounds, turn = divmod(t, len(self.order))
        domain = self.order[turn]
        # Iterations of this domain before t.
        before = rounds * self.order.count(domain) + self.order[:turn].count(domain)
        indices = []
        for kind, count in self.per_batch[domain].items():
            source = self.dataset.source_index(domain, kind)
            batch = before
            if kind == 'labeled' and self.replay_labeled:
                batch = self._replayed(domain, before)
            first = (batch * self.world_size + self.rank) * count
            indices += [self._index(source, first + i) for i in range(count)]
        return indices

    def _replayed(self, domain: str, before: int) -> int:
        """Return the number of the labeled batch that comes after so many iterations."""
        passes = []  # Batches of a pass over each source.
        for kind, count in self.per_batch[domain].items():
            source = self.dataset.sources[self.dataset.source_index(domain, kind)]
            passes.append(math.ceil(len(source.dataset) / (count * self.world_size)))
        labeled, *others = passes
        epoch, passed = divmod(before, max(others, default=labeled))
        return epoch * labeled + passed % labeled

    def _index(self, source: int, number: int) -> SampleIndex:
        size = len(self.dataset.sources[source].dataset)
        epoch, position = divmod(number, size)
        return SampleIndex(source, self._order_of(source, epoch, size)[position], number, self.seed)

    def _order_of(self, source: int, epoch: int, size: int) -> list[int]:
        """Return the order in which the ``epoch``-th pass goes through a source."""
        key = (self.seed, 'order', source, epoch)
        if self._orders.get(source, (None,))[0] != key:
            order = torch.randperm(size, generator=keyed.generator(*key)).tolist()
            self._orders[source] = key, order
        return self._orders[source][1]

    def skip(self, num_samples: int) -> None:
        """Start later: mmengine's loop calls it on resume with iterations x batch size."""
        self._skipped = num_samples

    def __iter__(self) -> Iterator[SampleIndex]:
        """Yield indices for ever."""
        t, rest = divmod(self._skipped, self.batch_size)
        while True:
            yield from self.iteration(t)[rest:]
            t, rest = t + 1, 0

    def __len__(self) -> int:
        """Return the number of images, the dataloader's idea of an epoch (mmengine logs it)."""
        return len(self.dataset)


def _counts(
    domains: list[str], labeled: int, others: dict[str, int | Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Return how many images of each kind an iteration of each domain loads, where not 0."""
    _check_counted_domains(domains, others)
    counts = {
        domain: {
            kind: number[domain] if isinstance(number, Mapping) else number
            for kind, number in others.items()
        }
        for domain in domains
    }
    _check_numbers(labeled, others, counts)
    most = max(sum(own.values()) for own in counts.values())
    for domain, own in counts.items():
        counts[domain] = {'labeled': labeled + most - sum(own.values()), **own}
    return {d: {kind: n for kind, n in own.items() if n} for d, own in counts.items()}


def _check_dataset(dataset: MultiDomainDataset) -> None:
    if not hasattr(dataset, 'domains'):
        raise ValueError(
            f'AlternatingDomainSampler: the dataset is a {type(dataset).__name__}, expected a '
            "MultiDomainDataset, which knows the domains: dataset=dict(type='"
            "MultiDomainDataset', domains=dict(NAME=dict(labeled=...)))"
        )


def _check_counted_domains(domains: list[str], others: dict[str, int | Mapping[str, int]]) -> None:
    for kind, number in others.items():
        if isinstance(number, Mapping) and set(number) != set(domains):
            raise ValueError(
                f'AlternatingDomainSampler: {kind}_per_batch names domains {list(number)}, '
                f'expected a number for each of {domains}'
            )


def _check_numbers(labeled: int, others: dict, counts: dict[str, dict[str, int]]) -> None:
    numbers = [labeled, *(n for own in counts.values() for n in own.values())]
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or not any(numbers):
        given = ', '.join(f'{kind}_per_batch={n!r}' for kind, n in others.items())
        raise ValueError(
            f'AlternatingDomainSampler: labeled_per_batch={labeled!r}, {given}, expected whole '
            'numbers >= 0, not all 0'
        )


def _check_order(
    order: list[str], dataset: MultiDomainDataset, per_batch: dict[str, dict[str, int]]
) -> None:
    """Check that the domains exist and have the sources that the counts ask for."""
    for domain in order:
        if domain not in dataset.domains:
            raise ValueError(
                f'AlternatingDomainSampler: order names domain {domain!r}, expected some of '
                f'{list(dataset.domains)}'
            )
        for kind, count in per_batch[domain].items():
            if dataset.has_source(domain, kind):
                continue
            fix = f'or set {kind}_per_batch=0'
            if len(dataset.domains) > 1:
                fix = f'or set {kind}_per_batch=dict({domain}=0, ...)'
            if kind == 'labeled':
                fix = (
                    'because without labels nothing trains its main head, from which its auxiliary '
                    'decoders learn'
                )
            raise ValueError(
                f'AlternatingDomainSampler: {kind}_per_batch is {count}, but domain {domain} has '
                f'no {kind} source; add {kind}=dict(...) to '
                f'train_dataloader.dataset.domains.{domain}, {fix}'
            )
