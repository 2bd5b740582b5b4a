"""Which images an iteration sees: alternating domains, kinds of supervision in a fixed ratio."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from cct_mm import keyed

from .multi_domain import MultiDomainDataset, SampleIndex


@DATA_SAMPLERS.register_module()
class AlternatingDomainSampler(Sampler[SampleIndex]):
    """Endless draws for an iteration-based loop: iteration t trains ``order[t mod len(order)]``.

    Each iteration yields ``labeled_per_batch`` draws of the domain's labeled source, then
    ``unlabeled_per_batch`` of its unlabeled and ``weak_per_batch`` of its weak source; the
    dataloader's ``batch_size`` is their sum. A source is gone through in a new order each time it
    has been seen whole, which is an epoch of this source; the run's length is in iterations, of
    which each domain gets its turns of ``order``. Everything is a function
    of (seed, rank, iteration): draw number j of a source is the same image with the same
    augmentation on one GPU or eight, with any number of workers, and after a resume. Over the
    ranks, an iteration draws what a single process would with batches that much larger.

    Args:
        dataset: A ``MultiDomainDataset``; the runner passes it.
        labeled_per_batch: Labeled images per iteration and device.
        unlabeled_per_batch: Unlabeled images per iteration and device (paper: as many as labeled).
            A dictionary gives every domain its own number, such as 0 to one without unlabeled
            images; labeled images then fill the batch, which has one size for all domains.
        weak_per_batch: The same for images with image-level or pseudo-labels.
        order: Names of the domains in the order they are trained, repeated for ever; a domain may
            occur several times to be trained more often. None alternates between all, as in the
            paper; ``'proportional'`` trains each as often as its share of the images asks for.
        seed: The run's seed; the runner passes it. None draws one, shared by all ranks.

    Raises:
        ValueError: For counts below 0 or adding to 0, a dictionary of counts with other domains
            than the dataset's, unknown domains in ``order``, or a domain without the sources that
            the counts ask for.
    """

    def __init__(
        self,
        dataset: MultiDomainDataset,
        labeled_per_batch: int = 4,
        unlabeled_per_batch: int | Mapping[str, int] = 4,
        weak_per_batch: int | Mapping[str, int] = 0,
        order: Sequence[str] | str | None = None,
        seed: int | None = None,
    ) -> None:
        if not hasattr(dataset, 'domains'):
            raise ValueError(
                f'AlternatingDomainSampler: the dataset is a {type(dataset).__name__}, expected a '
                "MultiDomainDataset, which knows the domains: dataset=dict(type='"
                "MultiDomainDataset', domains=dict(NAME=dict(labeled=...)))"
            )
        self.dataset = dataset
        if order == 'proportional' and 'proportional' not in dataset.domains:
            order = self._proportional_order()
        # A single name is an order too.
        self.order = [order] if isinstance(order, str) else list(order or dataset.domains)
        self.per_batch = self._counts(
            labeled_per_batch, {'unlabeled': unlabeled_per_batch, 'weak': weak_per_batch}
        )
        self._check_sources()
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self._skipped = 0
        self._orders: dict[int, tuple[tuple, list[int]]] = {}

    @property
    def batch_size(self) -> int:
        """Draws per iteration: what the dataloader's batch size has to be."""
        return sum(next(iter(self.per_batch.values())).values())

    def _counts(
        self, labeled: int, others: dict[str, int | Mapping[str, int]]
    ) -> dict[str, dict[str, int]]:
        """Return how many images of each kind a domain's iteration draws."""
        domains = list(self.dataset.domains)
        for kind, number in others.items():
            if isinstance(number, Mapping) and set(number) != set(domains):
                raise ValueError(
                    f'AlternatingDomainSampler: {kind}_per_batch names domains {list(number)}, '
                    f'expected a number for each of {domains}'
                )
        counts = {
            domain: {
                kind: number[domain] if isinstance(number, Mapping) else number
                for kind, number in others.items()
            }
            for domain in domains
        }
        numbers = [labeled, *(n for own in counts.values() for n in own.values())]
        if not all(isinstance(n, int) and n >= 0 for n in numbers) or not any(numbers):
            given = ', '.join(f'{kind}_per_batch={n!r}' for kind, n in others.items())
            raise ValueError(
                f'AlternatingDomainSampler: labeled_per_batch={labeled!r}, {given}, expected whole '
                'numbers >= 0, not all 0'
            )
        most = max(sum(own.values()) for own in counts.values())
        counts = {
            domain: {'labeled': labeled + most - sum(own.values()), **own}
            for domain, own in counts.items()
        }
        return {d: {kind: n for kind, n in c.items() if n} for d, c in counts.items()}

    def _proportional_order(self) -> list[str]:
        """Return 100 or so turns, each domain's by its share of all images, evenly mixed."""
        images = dict.fromkeys(self.dataset.domains, 0)
        for source in self.dataset.sources:
            images[source.domain] += len(source.dataset)
        total = sum(images.values())
        turns = {domain: max(1, round(100 * n / total)) for domain, n in images.items()}
        places = [((i + 0.5) / n, domain) for domain, n in turns.items() for i in range(n)]
        return [domain for _, domain in sorted(places)]

    def _check_sources(self) -> None:
        for domain in self.order:
            if domain not in self.dataset.domains:
                raise ValueError(
                    f'AlternatingDomainSampler: order names domain {domain!r}, expected some of '
                    f'{list(self.dataset.domains)}'
                )
            for kind, count in self.per_batch[domain].items():
                if self.dataset.has_source(domain, kind):
                    continue
                fix = f'or set {kind}_per_batch=0'
                if len(self.dataset.domains) > 1:
                    fix = f'or set {kind}_per_batch=dict({domain}=0, ...)'
                if kind == 'labeled':
                    fix = (
                        'for without labels nothing trains its main head, from which its auxiliary '
                        'decoders learn'
                    )
                raise ValueError(
                    f'AlternatingDomainSampler: {kind}_per_batch is {count}, '
                    f'but domain {domain} has no {kind} source; add {kind}=dict(...) to '
                    f'train_dataloader.dataset.domains.{domain}, {fix}'
                )

    def iteration(self, t: int) -> list[SampleIndex]:
        """Return what this rank draws in iteration ``t``."""
        domain = self.order[t % len(self.order)]
        occurrences = [i for i, name in enumerate(self.order) if name == domain]
        before = t // len(self.order) * len(occurrences)
        before += sum(i < t % len(self.order) for i in occurrences)
        draws = []
        for kind, count in self.per_batch[domain].items():
            source = self.dataset.source_index(domain, kind)
            first = (before * self.world_size + self.rank) * count
            draws += [self._draw(source, first + i) for i in range(count)]
        return draws

    def _draw(self, source: int, number: int) -> SampleIndex:
        size = len(self.dataset.sources[source].dataset)
        epoch, position = divmod(number, size)
        return SampleIndex(source, self._order_of(source, epoch, size)[position], number, self.seed)

    def _order_of(self, source: int, epoch: int, size: int) -> list[int]:
        """Return the order in which a source is gone through for the ``epoch``-th time."""
        key = (self.seed, 'order', source, epoch)
        if self._orders.get(source, (None,))[0] != key:
            order = torch.randperm(size, generator=keyed.generator(*key)).tolist()
            self._orders[source] = key, order
        return self._orders[source][1]

    def skip(self, num_samples: int) -> None:
        """Start later: mmengine's loop calls it on resume with iterations x batch size."""
        self._skipped = num_samples

    def __iter__(self) -> Iterator[SampleIndex]:
        """Yield draws for ever."""
        t, rest = divmod(self._skipped, self.batch_size)
        while True:
            yield from self.iteration(t)[rest:]
            t, rest = t + 1, 0

    def __len__(self) -> int:
        """Return the number of images, the dataloader's idea of an epoch (mmengine logs it)."""
        return len(self.dataset)
