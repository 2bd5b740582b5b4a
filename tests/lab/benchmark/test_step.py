"""The variants of a step are what they claim to be."""

import pytest
import torch

from cct_mm.lab.benchmark.config import load_config, with_decoders
from cct_mm.lab.benchmark.inputs import made_up_batch
from cct_mm.lab.benchmark.step import auxiliary_part, build_step, step_work
from cct_mm.lab.benchmark.variants import Variant, current_path

CPU = torch.device('cpu')


def losses_of(cfg, variant, labeled=0):
    model, _ = build_step(cfg, variant, CPU, seed=0)
    (domain,) = model.domains
    batch = made_up_batch(domain, 2, (32, 40), labeled=labeled, unlabeled=2, seed=0)
    return model, model(**model.data_preprocessor(batch, True), mode='loss')


def test_a_step_without_decoders_trains_the_encoder_on_the_unlabeled_images(config):
    model, losses = losses_of(load_config(config), Variant('k0'))
    losses['field.loss_unsupervised'].backward()
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().max() > 0
        assert moved == name.startswith(('backbone.', 'neck.')), name


def test_fused_and_reference_compute_the_same_step(config):
    cfg = load_config(config)
    _, fused = losses_of(cfg, Variant('fused'), labeled=2)
    _, reference = losses_of(cfg, Variant('reference'), labeled=2)
    assert fused.keys() == reference.keys()
    for name in fused:
        torch.testing.assert_close(fused[name], reference[name], msg=name)
    assert fused['field.loss_unsupervised'] > 0


def test_every_repeat_of_a_step_computes_the_same(config):
    cfg = load_config(config)
    model, wrapper = build_step(cfg, Variant('fused'), CPU, seed=0)
    work = step_work(model, wrapper, [made_up_batch('field', 2, (32, 32), 2, 2, 0)])
    assert work.run() == work.run() == work.run()


def test_a_step_from_the_device_computes_the_same(config):
    cfg = load_config(config)
    batch = made_up_batch('field', 2, (30, 36), 2, 2, 0)  # which the preprocessor pads
    losses = []
    for from_device in (False, True):
        model, wrapper = build_step(cfg, Variant('fused'), CPU, seed=0)
        work = step_work(model, wrapper, [batch], from_device)
        losses += [work.run(), work.run()]
    assert batch['inputs'][0].shape[1:] == (30, 36)
    assert losses == losses[:1] * 4


@pytest.mark.parametrize('path', ['fused', 'reference'])
def test_the_auxiliary_part_of_a_step_is_its_unsupervised_loss(config, path):
    model, wrapper = build_step(load_config(config), Variant(path), CPU, seed=0)
    batch = made_up_batch('field', 2, (32, 40), 2, 2, 0)
    compute = auxiliary_part(model, path, step_work(model, wrapper, [batch]).run)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    torch.testing.assert_close(compute(), losses['field.loss_unsupervised'].detach())


def test_variants_differ_in_precision_and_memory_format_as_named(config):
    variant = Variant.parse('fused+channels-last+bfloat16')
    assert variant.name == 'fused, bfloat16, channels last'
    model, wrapper = build_step(load_config(config), variant, CPU, seed=0)
    assert type(wrapper).__name__ == 'CPUAmpOptimWrapper'
    weight = model.neck.bottleneck.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    plain, wrapper = build_step(load_config(config), Variant('fused'), CPU, seed=0)
    assert type(wrapper).__name__ == 'OptimWrapper'
    torch.testing.assert_close(plain.neck.bottleneck.conv.weight, weight)


def test_the_mix_of_perturbations_keeps_its_proportions():
    mix = [dict(type='F-Noise', num=6, bound=0.3), dict(type='I-VAT', num=2), dict(type='Obj-Msk')]
    counts = [[entry['num'] for entry in with_decoders(mix, count)] for count in (9, 18, 4, 1)]
    assert counts == [[6, 2, 1], [12, 4, 2], [3, 1], [1]]
    assert with_decoders(mix, 9)[0]['bound'] == 0.3
    assert with_decoders(mix, 0) == []


def test_the_old_name_of_the_fused_path_goes_on_with_a_warning():
    with pytest.warns(UserWarning, match='`fast`.*`fused`'):
        assert Variant.parse('fast+bfloat16') == Variant('fused', bfloat16=True)
    with pytest.warns(UserWarning, match='`fast`.*`fused`'):
        assert current_path('fast') == 'fused'
