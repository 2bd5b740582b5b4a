"""What predicts one domain: encoder, neck and main head, as an mmseg ``EncoderDecoder``."""

import copy

import torch
from mmengine.config import ConfigDict
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.models.decode_heads import FCNHead
from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from cct_mm.models.batch_preprocessor import BatchPreprocessor
from cct_mm.models.cpu import use_plain_convolutions
from cct_mm.models.head_as_neck import HeadAsNeck
from cct_mm.models.norm import use_plain_norms
from cct_mm.models.segmentors import ImageClassifier, MultiDomainSegmentor


def plain_model(model: MultiDomainSegmentor, domain: str) -> EncoderDecoder:
    """Return a copy of what predicts one domain, in evaluation mode, on the CPU.

    Auxiliary decoders, discriminator and other domains stay behind. Batch norms are ordinary ones
    with the domain's statistics, and so are convolutions. Where a teacher predicts, it is the
    teacher. A head of mmseg that a ``HeadAsNeck`` divides is whole again.

    Args:
        model: The trained network.
        domain: One of its domains.

    Raises:
        ValueError: If there is no such domain, or the network is a classifier.
    """
    if isinstance(model, ImageClassifier):
        raise ValueError(
            'the network is an ImageClassifier, expected a segmentor: a classifier has no label '
            'maps to export; make pseudo-labels of it with tools/gen_pseudo_labels.py'
        )
    model = model.predictor
    head = model.domain_named(domain).decode_head
    plain = EncoderDecoder.__new__(EncoderDecoder)
    # EncoderDecoder's own constructor would build its parts from configs.
    super(EncoderDecoder, plain).__init__(copy.deepcopy(model.data_preprocessor))
    plain.backbone = _plain(model.backbone, domain)
    if model.neck is not None:
        plain.neck = _plain(model.neck, domain)
    plain.decode_head = _plain(head, domain)
    if is_divided(model.neck, head):
        _join(plain)
    for name in ('align_corners', 'num_classes', 'out_channels'):
        setattr(plain, name, getattr(head, name))
    plain.train_cfg, plain.test_cfg = None, ConfigDict(model.test_cfg)
    if isinstance(plain.data_preprocessor, BatchPreprocessor):
        plain.data_preprocessor.__class__ = SegDataPreProcessor
    plain = plain.to('cpu', memory_format=torch.contiguous_format)
    return plain.eval()


def is_divided(neck: nn.Module | None, head: nn.Module) -> bool:
    """Tell whether neck and main head are one head of mmseg: its features, and its classifier."""
    return (
        isinstance(neck, HeadAsNeck)
        and type(head) is FCNHead
        and head.num_convs == 0
        and not head.concat_input
        and (head.input_transform, head.in_index) == (None, -1)
        and head.align_corners == neck.head.align_corners
    )


def _join(model: EncoderDecoder) -> None:
    """Put the classifier back into the head that is the neck, as mmseg builds it."""
    classifier, whole = model.decode_head, model.neck.head
    for name in ('conv_seg', 'dropout', 'num_classes', 'out_channels', 'threshold', 'loss_decode'):
        setattr(whole, name, getattr(classifier, name))
    model.decode_head, model.neck = whole, model.neck.neck


def _plain(module: nn.Module, domain: str) -> nn.Module:
    module = copy.deepcopy(module)
    use_plain_norms(module, domain)
    use_plain_convolutions(module)
    return module
