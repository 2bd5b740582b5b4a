"""A method of a user's own is one class: the example of docs/methods.md, and mistakes."""

import pytest
import torch
from doc_pages import blocks
from mmseg.registry import MODELS

from cct_mm.models.segmentors import MultiDomainSegmentor

PAGE = 'docs/methods.md'


@pytest.fixture
def own_method():
    (code,) = blocks(PAGE, 'python')
    namespace = {}
    exec(compile(code, PAGE, 'exec'), namespace)
    yield namespace['MirrorConsistency']
    MODELS.module_dict.pop('MirrorConsistency')


def test_of_the_docs_adds_the_distance_of_mirrored_predictions(
    own_method, make_model, make_data, features_of
):
    model = make_model('MirrorConsistency', mirror_weight=2.0).train()
    data = model.data_preprocessor(make_data('day', size=(20, 27)), training=True)
    images = data['inputs'][2:]
    features = (features_of(model, x, 'day') for x in (images, images.flip(3)))
    plain, mirrored = (model.domains['day'].decode_head(f).softmax(dim=1) for f in features)
    error = (plain - mirrored.flip(3))[..., :20, :27]
    losses = model.loss(**data)
    torch.testing.assert_close(losses['day.loss_mirror'], 2 * error.square().mean())
    assert 'day.loss_ce' in losses
    data = model.data_preprocessor(make_data('day', unlabeled=0), training=True)
    assert 'day.loss_mirror' not in model.loss(**data)


def test_without_a_loss_says_what_to_define(make_model, make_data, losses_of):
    MODELS.register_module(module=type('Nothing', (MultiDomainSegmentor,), {}))
    try:
        with pytest.raises(NotImplementedError, match='Nothing does not define loss_of_batches'):
            losses_of(make_model('Nothing'), make_data('day', unlabeled=0))
    finally:
        MODELS.module_dict.pop('Nothing')
