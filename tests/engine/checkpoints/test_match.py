"""A checkpoint of mmseg's EncoderDecoder against a model with domains."""

import pytest
from mmseg.registry import MODELS
from tiny_network import tiny_backbone

from cct_mm.engine.checkpoints.match import match_checkpoint

NAMES = ('sky', 'car', 'bus')
HEAD = dict(type='FCNHead', in_channels=32, channels=8, num_convs=1)


@pytest.fixture
def zoo():
    """A checkpoint of a network with three classes."""
    network = MODELS.build(
        dict(
            type='EncoderDecoder', backbone=tiny_backbone(), decode_head={**HEAD, 'num_classes': 3}
        )
    )
    return dict(state_dict=network.state_dict(), meta=dict(dataset_meta=dict(classes=NAMES)))


def match(checkpoint, classes, head=HEAD):
    config = dict(type='SupervisedSegmentor', backbone=tiny_backbone(), decode_head=head)
    model = MODELS.build({**config, 'domains': dict(day=dict(classes=classes))})
    return match_checkpoint(model, checkpoint)


@pytest.mark.parametrize('classes', [NAMES, NAMES[::-1], NAMES[:2]])
def test_all_classes_that_the_domain_has_are_brought(zoo, classes):
    found = match(zoo, classes)
    assert found.matched == {'day'} and found.warnings() == []


def test_but_no_run_goes_on_from_it(zoo):
    (difference,) = match(zoo, NAMES).differences
    assert difference == "the checkpoint is of mmseg's EncoderDecoder, without domains"


def test_classes_that_it_lacks_are_named(zoo):
    found = match(zoo, ('sky', 'tree', 'Bus'))
    assert found.matched == set()
    (warning,) = found.warnings()
    assert warning.startswith(
        "the checkpoint is of mmseg's EncoderDecoder: its head brings 2 of 3 classes of domain day "
        'by name, not tree; weights of domain day'
    )


def test_what_does_not_fit_the_head_is_named(zoo):
    (warning,) = match(zoo, NAMES, {**HEAD, 'num_convs': 2}).warnings()
    assert 'decode_head.convs.1.conv.weight is not there' in warning
    (warning,) = match(zoo, NAMES, {**HEAD, 'channels': 4}).warnings()
    assert 'what does not fit is left out: decode_head.conv_seg.weight' in warning


def test_names_are_those_of_2022_too(zoo):
    zoo['meta'] = dict(CLASSES=list(NAMES))
    assert 'by name' in match(zoo, ('a', 'b', 'c')).warnings()[0]
    assert match(zoo, NAMES).matched == {'day'}


def test_without_names_as_many_classes_are_enough(zoo):
    del zoo['meta']
    assert match(zoo, ('a', 'b', 'c')).matched == {'day'}
    assert match(zoo, ('a', 'b')).matched == set()


def test_a_teacher_that_the_model_leaves_out_is_told(zoo):
    config = dict(
        type='WeakToStrong',
        backbone=tiny_backbone(),
        decode_head=HEAD,
        domains=dict(day=dict(classes=NAMES)),
    )
    student, taught = (
        MODELS.build({**config, 'teacher': teacher}) for teacher in (None, dict(decay=0.9))
    )
    (warning,) = match_checkpoint(student, dict(state_dict=taught.state_dict())).warnings()
    assert 'the checkpoint has a teacher' in warning and 'set model.teacher' in warning
    for model, weights in ((taught, taught), (taught, student), (student, student)):
        assert match_checkpoint(model, dict(state_dict=weights.state_dict())).warnings() == []
