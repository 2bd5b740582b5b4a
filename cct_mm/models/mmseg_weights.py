"""Weights of mmseg's ``EncoderDecoder``, e.g. of its model zoo, in a model with domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmengine.logging import print_log
from torch import Tensor

from .head_as_neck import HeadAsNeck

if TYPE_CHECKING:
    from .domain import Domain
    from .segmentors import MultiDomainSegmentor

CLASSIFIER = 'conv_seg.'
"""What mmseg calls the last layer of its heads, which has a row for each class."""


@dataclass
class BroughtHead:
    """What a head of mmseg brings to a domain.

    Args:
        domain: The domain's name.
        classes: Its classes whose rows of the classifier are brought.
        missing: Its other classes, whose rows stay as they are.
        by: Whether ``'name'`` or ``'number'`` tells which row is whose.
        left_out: Weights of the head that are not in the domain's, or have another shape there.
    """

    domain: str
    classes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    by: str = 'name'
    left_out: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Say it in a sentence."""
        count = len(self.classes) + len(self.missing)
        text = (
            f'its head brings {len(self.classes)} of {count} classes of domain {self.domain} by '
            f'{self.by}'
        )
        if self.missing:
            text += f', not {", ".join(self.missing)}'
        if self.left_out:
            text += f'; what does not fit is left out: {", ".join(self.left_out)}'
        return text


def take_weights(
    model: MultiDomainSegmentor, state_dict: dict[str, Tensor], prefix: str, metadata: dict
) -> None:
    """Rename an ``EncoderDecoder``'s weights while a model loads them, and log what they bring.

    Args:
        model: The model.
        state_dict: Changed in place.
        prefix: Of the model's own weights in it.
        metadata: Of the model; the reader of checkpoints puts ``classes`` there.
    """
    own = [key for key in state_dict if key.startswith(prefix)]
    weights = {key[len(prefix) :]: state_dict.pop(key) for key in own}
    weights, brought = with_domains(model, weights, metadata.get('classes'))
    state_dict.update({prefix + key: value for key, value in weights.items()})
    if brought:
        sentences = [encoder_sentence(model, weights), *(head.sentence() for head in brought)]
        print_log('; '.join(sentences), logger='current')


def with_domains(
    model: MultiDomainSegmentor, weights: dict[str, Tensor], classes: Sequence[str] | None = None
) -> tuple[dict[str, Tensor], list[BroughtHead]]:
    """Return the weights by the names they have in a model with domains.

    Each domain's main head and heads of deep supervision start from the one ``decode_head`` and
    ``auxiliary_head``. A row of a classifier goes to the class of the same name, whatever the case
    of its letters; where the checkpoint names no classes, to that of the same number if there are
    equally many. Where a :class:`~cct_mm.models.head_as_neck.HeadAsNeck` divides the head, what is
    before the classifier goes there.

    Args:
        model: The model.
        weights: Of an ``EncoderDecoder``; others stay as they are.
        classes: Names of its classes, where they are known.

    Returns:
        The weights, and what each domain's main head gets; nothing if they are no
        ``EncoderDecoder``'s.
    """
    if not any(key.startswith('decode_head.') for key in weights):
        return weights, []
    divided = isinstance(model.neck, HeadAsNeck)
    found, heads, deep = {}, {}, {}
    for key, value in weights.items():
        part, _, name = key.partition('.')
        if part == 'decode_head' and divided and not name.startswith(CLASSIFIER):
            found[f'neck.head.{name}'] = value
        elif part == 'decode_head':
            heads[name] = value
        elif part == 'auxiliary_head':
            deep[name if name.partition('.')[0].isdigit() else f'0.{name}'] = value
        elif part == 'neck' and divided:
            found[f'neck.neck.{name}'] = value
        else:
            found[key] = value
    brought = []
    for domain in model.domains.values():
        fitting, report = _fit(domain, 'decode_head', heads, classes)
        found |= fitting
        found |= _fit(domain, 'deep_heads', deep, classes)[0]
        brought.append(report)
    return found, brought


def encoder_sentence(model: MultiDomainSegmentor, weights: dict[str, Tensor]) -> str:
    """Say how much of the encoder comes from a checkpoint of mmseg.

    Args:
        model: The model.
        weights: By their names in the model. Batch norms may have others; they are not counted.
    """
    counts = []
    for part in ('backbone', 'neck'):
        module = getattr(model, part)
        layers = [] if module is None else list(module.named_parameters(prefix=part))
        shapes = {name: x.shape for name, x in layers if x.ndim > 1}
        there = sum(name in weights and weights[name].shape == s for name, s in shapes.items())
        counts += [f'{there} of {len(shapes)} layers of the {part}'] if shapes else []
    return f'a checkpoint of an EncoderDecoder brings {", ".join(counts)}'


def _fit(
    domain: Domain, part: str, weights: dict[str, Tensor], classes: Sequence[str] | None
) -> tuple[dict[str, Tensor], BroughtHead]:
    """Return what fits a part of a domain, by its name in the model, and a report."""
    report = BroughtHead(domain.name, missing=domain.classes, by='name' if classes else 'number')
    fitting = {}
    expected = getattr(domain, part).state_dict()
    for name, value in weights.items():
        there = expected.get(name)
        if there is not None and CLASSIFIER in name and value.shape[1:] == there.shape[1:]:
            rows = _rows(domain.classes, classes, len(value))
            value = _with_rows(there, value, rows)
            report.classes = tuple(domain.classes[i] for i in rows)
            report.missing = tuple(c for c in domain.classes if c not in report.classes)
        if there is None or value.shape != there.shape:
            report.left_out.append(f'decode_head.{name}')
        else:
            fitting[f'domains.{domain.name}.{part}.{name}'] = value
    return fitting, report


def _rows(own: Sequence[str], theirs: Sequence[str] | None, count: int) -> dict[int, int]:
    """Return for each row of a domain's classifier that is brought where it comes from."""
    if not theirs:
        return {i: i for i in range(count)} if count == len(own) else {}
    numbers = {name.casefold(): j for j, name in enumerate(theirs)}
    rows = {i: numbers.get(c.casefold(), count) for i, c in enumerate(own)}
    return {i: j for i, j in rows.items() if j < count}


def _with_rows(there: Tensor, value: Tensor, rows: dict[int, int]) -> Tensor:
    merged = there.detach().clone()
    if rows:
        merged[list(rows)] = value[list(rows.values())].to(merged)
    return merged
