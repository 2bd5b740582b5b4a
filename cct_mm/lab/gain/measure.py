"""What one batch says: gradients of the losses in the encoder, and what perturbations do."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from cct_mm.labels import SUPERVISIONS
from cct_mm.models.cct.consistency_reference import draw_context
from cct_mm.models.domain import Domain
from cct_mm.models.segmentors import CCT
from cct_mm.models.segmentors.batch import Batch, select

from .true_foreground import CCTWithTrueForeground

LOSSES = ('labeled', 'unlabeled', 'truth')
"""L_s, w_u L_u, and what L_s of the unlabeled images would be, where their labels are known."""

ENCODER = 'whole encoder'
"""Name of all stages together."""

Values = dict[str, dict[str, float]]
"""Several numbers for each stage of the encoder, or for each kind of perturbation."""


def measure(
    model: CCT, inputs: Tensor, data_samples: list[SegDataSample]
) -> tuple[str, dict[str, Tensor], Values]:
    """Measure a batch of one domain as a training step sees it; no weight changes.

    Args:
        model: The network, in training mode, with its progress set.
        inputs: Images, preprocessed, [B, 3, H, W].
        data_samples: Their samples.

    Returns:
        The domain's name, what :func:`gradients` returns, and what :func:`perturbations` does.

    Raises:
        ValueError: If the batch has no labeled or no unlabeled images.
    """
    domain = model.domain_of(data_samples)
    others = set(SUPERVISIONS).difference(model.needs.labels_of)
    labeled = select(inputs, data_samples, *model.needs.labels_of)
    unlabeled = select(inputs, data_samples, *others)
    if not len(labeled) or not len(unlabeled):
        raise ValueError(
            f'domain {domain.name}: a batch of training has {len(labeled)} labeled and '
            f'{len(unlabeled)} unlabeled images, expected some of both to compare their losses; '
            'raise labeled_per_batch or unlabeled_per_batch of train_dataloader.sampler'
        )
    with model.active(domain):
        model.encode(labeled, unlabeled)
        found = gradients(model, domain, labeled, unlabeled)
        return domain.name, found, perturbations(model, domain, unlabeled)


def gradients(model: CCT, domain: Domain, labeled: Batch, unlabeled: Batch) -> dict[str, Tensor]:
    """Return the gradients of each loss, [2, n] or [3, n], for the n numbers of each parameter.

    They are in the order of :data:`LOSSES`; there is no third where nobody knows the truth.

    Args:
        model: The network.
        domain: The active domain.
        labeled: Its labeled images, encoded.
        unlabeled: Its unlabeled images, encoded.

    Returns:
        Those of the encoder's parameters, by name.
    """
    parameters = dict(_encoder_parameters(model))
    rows = []
    of_each = [model.loss_labeled(domain, labeled), model.loss_unlabeled(domain, unlabeled)]
    if isinstance(model, CCTWithTrueForeground):
        of_each.append(model.loss_labeled(domain, unlabeled))
    for losses in of_each:
        total, _ = model.parse_losses(losses)
        # Encoded together, both have one graph. What no loss depends on, such as the neck after the
        # map that is perturbed, has a gradient of zeros.
        options = dict(retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.autograd.grad(total, list(parameters.values()), **options))
    pairs = zip(*rows, strict=True)
    return {
        name: torch.stack(pair).flatten(1) for name, pair in zip(parameters, pairs, strict=True)
    }


def _encoder_parameters(model: CCT) -> Iterator[tuple[str, nn.Parameter]]:
    for part in ('backbone', 'neck'):
        if getattr(model, part) is not None:
            for name, parameter in getattr(model, part).named_parameters(prefix=part):
                if parameter.requires_grad:
                    yield name, parameter


def stage_of(name: str) -> str:
    """Return the stage that a parameter belongs to: its name up to the first number.

    Example:
        >>> stage_of('backbone.timm_model.blocks.3.0.conv_pw.weight')
        'backbone.timm_model.blocks.3'
        >>> stage_of('backbone.layer1.0.conv1.weight')
        'backbone.layer1'
        >>> stage_of('neck.fuse.conv.weight')
        'neck.fuse.conv'
    """
    modules = name.split('.')[:-1]
    numbered = [i for i, module in enumerate(modules) if module[-1].isdigit()]
    return '.'.join(modules[: numbered[0] + 1] if numbered else modules)


class GradientMeans:
    """Compares the gradients of the losses over batches, stage by stage of the encoder.

    One batch's gradient is mostly noise, so the angle is that between the means over all batches.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._norms: list[dict[str, Tensor]] = []

    def add(self, gradients: dict[str, Tensor]) -> None:
        """Add a batch.

        Args:
            gradients: See :func:`gradients`.
        """
        for name, each in gradients.items():
            self._sums[name] = self._sums[name] + each if name in self._sums else each
        products = _products(gradients)
        self._norms.append({stage: own.diagonal().sqrt() for stage, own in products.items()})

    def values(self) -> Values:
        """Return the comparison.

        Returns:
            For each stage, and for all of them, the mean norm of a batch's gradient of each of
            :data:`LOSSES`, and ``cosine``: that of the angle between the mean gradients of L_s and
            L_u, 0 where one is 0; with the truth also ``cosine_labeled`` and ``cosine_unlabeled``,
            those of their angles to its gradient.
        """
        values = {}
        for stage, products in _products(self._sums).items():
            norms = torch.stack([norms[stage] for norms in self._norms]).mean(0).tolist()
            values[stage] = dict(zip(LOSSES, norms, strict=False), cosine=_cosine(products, 0, 1))
            if len(norms) == len(LOSSES):
                values[stage]['cosine_labeled'] = _cosine(products, 0, 2)
                values[stage]['cosine_unlabeled'] = _cosine(products, 1, 2)
        return values


def _cosine(products: Tensor, one: int, other: int) -> float:
    scale = (products[one, one] * products[other, other]).sqrt()
    return (products[one, other] / scale).item() if scale else 0.0


def _products(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the products of the gradients with themselves and each other, by stage."""
    products: dict[str, Tensor | float] = defaultdict(float)
    for name, each in gradients.items():
        each, stage = each.double(), stage_of(name)
        products[stage] = products[stage] + (each @ each.mT).cpu()
    return {**products, ENCODER: sum(products.values())}


@torch.no_grad()
def perturbations(model: CCT, domain: Domain, unlabeled: Batch) -> Values:
    """Measure each perturbation as training draws it.

    Args:
        model: The network.
        domain: The active domain.
        unlabeled: Its unlabeled images, encoded.

    Returns:
        For each kind the mean over its decoders: ``size``, the norm of p(z) - z relative to that
        of z; ``distance``, of the decoder's prediction to the main head's; ``gap``, the same
        without the perturbation, which is what the decoder itself is behind.
    """
    bank = domain.auxiliary
    z, target = model.auxiliary_input(domain, unlabeled)
    z = z.float()  # [B, D, h, w]
    guidance = target.guidance(z.shape[2:])
    distance = model.loss_consistency
    weight = distance.position_weight(target.prob, target.valid)  # [B, H, W]
    rows = []
    for k, perturbation in enumerate(bank.perturbations):
        state = perturbation.draw(draw_context(bank, k, z, target, guidance))
        (perturbed,) = perturbation.perturb(z, state)  # [B, D, h, w] of [1, B, D, h, w]
        logits = [bank.decode(k, one) for one in (perturbed, z)]  # [B, C, H, W] each
        both = [distance(target.prob, one, weight) for one in logits]
        rows.append(torch.stack([(perturbed - z).norm() / z.norm(), *both]))
    size, distance, gap = (bank.means_by_kind(column) for column in torch.stack(rows, dim=1))
    return {
        kind: dict(size=size[kind].item(), distance=distance[kind].item(), gap=gap[kind].item())
        for kind in bank.kinds
    }


def average(batches: Sequence[Values]) -> Values:
    """Return the mean of each number over several batches."""
    return {
        row: {name: fmean(batch[row][name] for batch in batches) for name in values}
        for row, values in batches[0].items()
    }
