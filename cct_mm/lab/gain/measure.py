"""What one batch says: gradients of L_s and w_u L_u in the encoder, and what perturbations do."""

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

ENCODER = 'whole encoder'
"""Name of all stages together."""

Values = dict[str, dict[str, float]]
"""Several numbers for each stage of the encoder, or for each kind of perturbation."""


def measure(
    model: CCT, inputs: Tensor, data_samples: list[SegDataSample]
) -> tuple[str, Values, Values]:
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
        stages = gradients(model, domain, labeled, unlabeled)
        return domain.name, stages, perturbations(model, domain, unlabeled)


def gradients(model: CCT, domain: Domain, labeled: Batch, unlabeled: Batch) -> Values:
    """Compare the gradients of L_s and of w_u L_u, stage by stage of the encoder.

    Args:
        model: The network.
        domain: The active domain.
        labeled: Its labeled images, encoded.
        unlabeled: Its unlabeled images, encoded.

    Returns:
        For each stage, and for all of them, ``labeled`` and ``unlabeled``: the gradients' norms,
        and ``cosine``: that of the angle between them, 0 where one is 0.
    """
    parameters = dict(_encoder_parameters(model))
    found = []
    for losses in (model.loss_labeled(domain, labeled), model.loss_unlabeled(domain, unlabeled)):
        total, _ = model.parse_losses(losses)
        # Encoded together, both have one graph. Norms of other domains have no gradient.
        options = dict(retain_graph=True, allow_unused=True)
        found.append(torch.autograd.grad(total, list(parameters.values()), **options))
    products: dict[str, Tensor | float] = defaultdict(float)
    for name, one, other in zip(parameters, *found, strict=True):
        of_both = _products(one, other)
        for stage in (stage_of(name), ENCODER):
            products[stage] = products[stage] + of_both
    return {stage: _compared(*of_both.tolist()) for stage, of_both in products.items()}


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


def _products(one: Tensor | None, other: Tensor | None) -> Tensor:
    """Return the products of two gradients with themselves and with each other, [3]."""
    like = one if one is not None else other
    if like is None:
        return torch.zeros(3, dtype=torch.float64)
    one, other = (torch.zeros_like(like) if g is None else g for g in (one, other))
    one, other = one.flatten().double(), other.flatten().double()
    return torch.stack([one @ one, other @ other, one @ other]).cpu()


def _compared(labeled: float, unlabeled: float, both: float) -> dict[str, float]:
    norms = labeled**0.5, unlabeled**0.5
    cosine = both / (norms[0] * norms[1]) if all(norms) else 0.0
    return dict(labeled=norms[0], unlabeled=norms[1], cosine=cosine)


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
    z = domain.z(unlabeled.features).float()  # [B, D, h, w]
    target = model.target_of(domain, unlabeled)
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
