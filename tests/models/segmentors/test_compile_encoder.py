"""A compiled encoder: the same losses and checkpoints, compiled once for a domain and a size."""

import copy
import shutil

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils import cpp_extension

DOMAINS = ('day', 'night')


@pytest.fixture(autouse=True)
def forget_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def make_pair(make_model):
    """Make a network whose encoder is compiled, and the same one without."""

    def make(**options):
        small = dict(
            backbone=dict(
                type='ResNetV1c',
                depth=18,
                stem_channels=8,
                base_channels=8,
                num_stages=1,
                strides=(1,),
                dilations=(1,),
                out_indices=(0,),
            ),
            decode_head=dict(type='SubPixelHead', in_channels=8, stride=4),
            auxiliary=dict(in_channels=8, stride=4, perturbations=[dict(type='F-Drop')]),
        )
        compiled = make_model(**small, **options)
        plain = copy.deepcopy(compiled)
        plain.compile_encoder = False
        return compiled.train(), plain.train()

    return make


def steps(model, data, domains, size=(16, 16)):
    """Train one step for each domain, and return the losses."""
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05))
    logged = [
        model.train_step(data(domain, size=size, seed=i), optim_wrapper)
        for i, domain in enumerate(domains)
    ]
    return [{key: value.item() for key, value in losses.items()} for losses in logged]


def test_has_the_same_losses_and_checkpoints(make_pair, make_data):
    pair = make_pair(compile_encoder=dict(backend='aot_eager'))
    found, expected = (steps(model, make_data, DOMAINS * 2) for model in pair)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    torch.testing.assert_close(*(model.state_dict() for model in pair), rtol=1e-4, atol=1e-5)


def test_is_compiled_once_for_a_domain_and_a_size(make_pair, make_data):
    counter = CompileCounterWithBackend('eager')
    model, _ = make_pair(compile_encoder=dict(backend=counter))
    steps(model, make_data, DOMAINS)
    assert counter.frame_count == 2
    steps(model, make_data, DOMAINS * 3)
    assert counter.frame_count == 2
    steps(model, make_data, DOMAINS * 2, size=(24, 16))
    assert counter.frame_count == 4
    steps(model, make_data, DOMAINS)
    assert counter.frame_count == 4


def test_is_not_compiled_for_inference(make_pair, make_data):
    counter = CompileCounterWithBackend('eager')
    model, plain = make_pair(compile_encoder=dict(backend=counter))
    steps(model, make_data, ['day'])
    plain.load_state_dict(model.state_dict())
    for size in ((16, 16), (32, 16), (16, 48)):
        found, expected = (
            network.eval().val_step(make_data('day', 0, 1, size=size)) for network in (model, plain)
        )
        assert torch.equal(found[0].seg_logits.data, expected[0].seg_logits.data)
    assert counter.frame_count == 1
    steps(model.train(), make_data, ['day'])
    assert counter.frame_count == 1


def test_copies_are_compiled_for_themselves(make_pair, make_data):
    counter = CompileCounterWithBackend('eager')
    model, _ = make_pair(compile_encoder=dict(backend=counter))
    steps(model, make_data, ['day'])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    steps(copy.deepcopy(model), make_data, ['day'])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which(cpp_extension.get_cxx_compiler()) is None, reason='no C++ compiler'
)
def test_has_the_same_losses_by_generated_code(make_pair, make_data):
    found, expected = (
        steps(model, make_data, ['day', 'day']) for model in make_pair(compile_encoder=True)
    )
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
