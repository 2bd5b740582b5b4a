"""How the domains of a checkpoint and of a model compare."""

from dataclasses import dataclass, field
from itertools import zip_longest

from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.mmseg_weights import with_domains
from cct_mm.models.norm import NORMS
from cct_mm.models.segmentors import MultiDomainSegmentor

from .loading import classes_of, not_a_number

ENCODER = ('backbone', 'neck')
"""The parts of a segmentor that all domains share."""


@dataclass
class CheckpointMatch:
    """What a checkpoint brings to a model, and what differs; sentences are complete causes.

    Args:
        in_checkpoint: The checkpoint's domains, in order.
        matched: The model's domains whose head the checkpoint brings.
        unmatched: Why it does not, for the model's other domains.
        aside: The checkpoint's domains that the model does not have, as a sentence; '' if none.
        order: How the order of the domains and weights differs, as a sentence; '' if it does not.
        encoder: How the encoder differs, as a sentence; '' if it does not.
        discriminator: How the discriminator differs, as a sentence; '' if it does not.
        teacher: That the model leaves a teacher out, as a sentence; '' if it does not.
        not_finite: Name of a weight that holds nan; '' if none does.
    """

    in_checkpoint: list[str] = field(default_factory=list)
    matched: set[str] = field(default_factory=set)
    unmatched: dict[str, str] = field(default_factory=dict)
    aside: str = ''
    order: str = ''
    encoder: str = ''
    discriminator: str = ''
    teacher: str = ''
    not_finite: str = ''

    @property
    def differences(self) -> list[str]:
        """All that keeps a run from going on with the model as it was; the order of weights too."""
        found = [*filter(None, [self.encoder]), *self.unmatched.values()]
        found += filter(None, [self.aside])
        # Optimizers know weights by their number.
        return found or [*filter(None, [self.order])]

    def warnings(self) -> list[str]:
        """Return what a training that starts from the checkpoint has to be told."""
        if not self.in_checkpoint:
            return []
        found = []
        if self.encoder:
            found.append(f'{self.encoder}: what does not fit stays as it is')
        if absent := [name for name in self.unmatched if name not in self.in_checkpoint]:
            found.append(
                f'the checkpoint has the domains {sorted(self.in_checkpoint)}, not {absent}, whose '
                'heads stay as they are'
            )
        found += filter(None, [self.discriminator, self.teacher])
        found += [
            f'{reason}; weights of domain {name} whose names and shapes match are loaded, the '
            'others stay as they are'
            for name, reason in self.unmatched.items()
            if name in self.in_checkpoint
        ]
        if self.aside:
            found.append(f'{self.aside}: left out')
        return found


def match_checkpoint(model: MultiDomainSegmentor, checkpoint: dict) -> CheckpointMatch:
    """Compare a checkpoint with a model.

    Args:
        model: The model that it is loaded into.
        checkpoint: What ``torch.save`` has written, or a bare state dict.

    Raises:
        ValueError: If the checkpoint has domain-specific norms, and the model has not.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    _check_norms(model, weights)
    weights, brought = with_domains(model, weights, classes_of(checkpoint))
    partly = {
        head.domain: f"the checkpoint is of mmseg's EncoderDecoder: {head.sentence()}"
        for head in brought
        if head.missing or head.left_out
    }
    heads = (key.split('.')[1] for key in weights if key.startswith('domains.'))
    in_checkpoint = list(dict.fromkeys(heads))
    trained = checkpoint.get('meta', {}).get('dataset_meta', {}).get('domains', {})
    unmatched = {}
    for name, domain in model.domains.items():
        if name not in in_checkpoint:
            unmatched[name] = f'the checkpoint has no head for domain {name}'
        elif difference := (
            partly.get(name) or _classes(domain, trained.get(name)) or _head(domain, weights)
        ):
            unmatched[name] = difference
    match = CheckpointMatch(
        in_checkpoint=in_checkpoint,
        matched=set(model.domains) - set(unmatched),
        unmatched=unmatched,
        encoder=_encoder(model, weights),
        discriminator=_discriminator(model, weights),
        teacher=_teacher(model, weights),
        not_finite=not_a_number(checkpoint) or '',
    )
    if aside := sorted(set(in_checkpoint) - set(model.domains)):
        match.aside = f"the checkpoint's domains {aside} are not in the model"
    if brought:
        match.order = "the checkpoint is of mmseg's EncoderDecoder, without domains"
    elif in_checkpoint != list(model.domains):
        match.order = (
            f'the checkpoint has its domains in the order {in_checkpoint}, the model in the order '
            f'{list(model.domains)}'
        )
    return match


def _check_norms(model: MultiDomainSegmentor, weights: dict[str, Tensor]) -> None:
    parts = {key.partition('.')[0] for key in weights if '.statistics.' in key}
    # A method may have further norms of its own, such as those of a teacher.
    if parts.intersection(ENCODER) - set(NORMS[model.norm]):
        raise ValueError(
            f'the checkpoint has domain-specific batch norms, but the model has '
            f'norm={model.norm!r}, which has none there: they would not be loaded; set model.norm '
            'to that of the checkpoint, or train one with this norm'
        )


def _encoder(model: MultiDomainSegmentor, weights: dict[str, Tensor]) -> str:
    """Say which weight of the encoder is not in a checkpoint, or has another shape; '' if none.

    Batch norms have other names in checkpoints without domains; convolutions and linear layers keep
    theirs.
    """
    for part in ENCODER:
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


def _classes(domain: Domain, meta: dict | None) -> str:
    """Say where the classes that a checkpoint was trained with differ from the model's; '' if not.

    Args:
        domain: The model's domain.
        meta: The domain's ``dict(classes=...)`` in the checkpoint; None where it does not tell.
    """
    if meta is None or tuple(meta['classes']) == domain.classes:
        return ''
    found, expected = tuple(meta['classes']), domain.classes
    label = next(i for i, pair in enumerate(zip_longest(found, expected)) if len(set(pair)) > 1)
    at_label = [repr(c[label]) if label < len(c) else 'none' for c in (found, expected)]
    order = 'the order is another, ' if sorted(found) == sorted(expected) else ''
    return (
        f'the checkpoint has {len(found)} classes in domain {domain.name}, expected the '
        f'{len(expected)} of model.domains.{domain.name}: {order}label {label} is '
        f'{at_label[0]}, expected {at_label[1]}'
    )


def _head(domain: Domain, weights: dict[str, Tensor]) -> str:
    """Say which weight of a main head is not in a checkpoint, or has another shape; '' if none."""
    for name, expected in domain.decode_head.state_dict().items():
        key = f'domains.{domain.name}.decode_head.{name}'
        found = tuple(weights[key].shape) if key in weights else 'not there'
        if found != tuple(expected.shape):
            return (
                f"the checkpoint has another head for domain {domain.name} than the model's "
                f'{type(domain.decode_head).__name__}: {key} is {found}, expected '
                f'{tuple(expected.shape)}'
            )
    return ''


def _discriminator(model: MultiDomainSegmentor, weights: dict[str, Tensor]) -> str:
    discriminator = getattr(model, 'discriminator', None)
    if discriminator is None:
        return ''
    found, expected = (
        discriminator.in_checkpoint(weights, 'discriminator.'),
        discriminator.describe(),
    )
    if found in (None, expected):
        return ''
    return f"the checkpoint's discriminator is for {found}, not for {expected}: left out"


def _teacher(model: MultiDomainSegmentor, weights: dict[str, Tensor]) -> str:
    left_out = getattr(model, 'teacher', None) is None
    if not (left_out and any(key.startswith('teacher.') for key in weights)):
        return ''
    return (
        'the checkpoint has a teacher, which may be what was validated, and the model has none: '
        'its weights are those of the student; set model.teacher as in the training'
    )
