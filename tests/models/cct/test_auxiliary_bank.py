"""The bank of auxiliary decoders: one layout, K different decoders, errors that name the entry."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from cct_mm import testing
from cct_mm.models.cct import AuxiliaryBank, consistency_fused, consistency_reference
from cct_mm.models.cct.perturbations import PERTURBATIONS, DropOut, FNoise
from cct_mm.models.subpixel_head import SubPixelHead

PATHS = {'fused': consistency_fused, 'reference': consistency_reference}
ENTRIES = [dict(type='F-Noise', num=3, bound=0.2), dict(type='DropOut', num=2), dict(type='I-VAT')]


def bank_of(entries=ENTRIES, in_channels=5, num_classes=4, stride=4, **arguments):
    torch.manual_seed(0)
    return AuxiliaryBank(entries, in_channels, num_classes, stride, **arguments)


class TestEntries:
    def test_num_decoders_share_an_entry(self):
        bank = bank_of()
        assert len(bank) == 6
        assert bank.names == ['F-Noise'] * 3 + ['DropOut'] * 2 + ['I-VAT']
        assert [type(p) for p in bank.perturbations[2:4]] == [FNoise, DropOut]
        assert bank.perturbations[0].bound == 0.2

    def test_config_is_left_as_it_was(self):
        entries = [dict(entry) for entry in ENTRIES]
        bank_of(entries)
        assert entries == ENTRIES

    def test_guided_names_those_that_need_a_foreground(self):
        assert bank_of().guided == []
        names = ['Obj-Msk', 'G-Cutout', 'F-Drop', 'Con-Msk', 'Obj-Msk']
        bank = bank_of([dict(type=name) for name in names])
        assert bank.guided == ['Con-Msk', 'G-Cutout', 'Obj-Msk']


class TestFormerArguments:
    def test_range_of_f_noise_is_its_bound(self):
        entries = [dict(type='F-Noise', num=2, range=0.2)]
        with pytest.warns(FutureWarning, match='range of F-Noise is now called bound'):
            bank = bank_of(entries)
        assert [p.bound for p in bank.perturbations] == [0.2, 0.2]
        assert entries == [dict(type='F-Noise', num=2, range=0.2)]

    def test_both_names_are_refused(self):
        with pytest.raises(ValueError, match='range=0.2 and bound=0.3.*remove range'):
            bank_of([dict(type='F-Noise', range=0.2, bound=0.3)])

    def test_only_f_noise_has_had_one(self):
        with pytest.raises(ValueError, match="DropOut.*'range'"):
            bank_of([dict(type='DropOut', range=0.2)])


class TestErrors:
    """A message names the entry, the value, what is expected, and the fix."""

    def message(self, *entries, **arguments):
        with pytest.raises(ValueError) as error:
            bank_of(entries, **arguments)
        return str(error.value)

    def assert_names(self, message, *parts):
        for part in ('AuxiliaryBank', *parts):
            assert part in message

    def test_unknown_name(self):
        # Perturbations that someone has registered since (a user) are listed too.
        registered = list(PERTURBATIONS.module_dict)
        seven = ['I-VAT', 'F-Noise', 'F-Drop', 'Obj-Msk', 'Con-Msk', 'G-Cutout', 'DropOut']
        assert registered[:7] == seven
        message = self.message(dict(type='F-Noize', num=6))
        self.assert_names(message, "'F-Noize'", "{'type': 'F-Noize', 'num': 6}")
        self.assert_names(message, f'expected one of {", ".join(registered)}')
        self.assert_names(
            message, 'cct_mm.models.cct.perturbations.PERTURBATIONS', 'custom_imports'
        )

    def test_no_name(self):
        self.assert_names(self.message(dict(num=6)), 'unknown perturbation None', "{'num': 6}")

    @pytest.mark.parametrize('num', [0, -2, 1.5, '6', None])
    def test_number_of_decoders(self, num):
        message = self.message(dict(type='DropOut', num=num))
        self.assert_names(message, f'num is {num!r}', 'DropOut', '>= 1', 'remove the entry')

    def test_unknown_argument(self):
        message = self.message(dict(type='DropOut', rate=0.5))
        self.assert_names(message, "{'type': 'DropOut', 'rate': 0.5}", "'rate'", 'argument')

    def test_argument_out_of_range(self):
        message = self.message(dict(type='DropOut', p=1.0))
        assert all(part in message for part in ('DropOut', 'p is 1.0', '[0, 1)'))

    def test_no_entry(self):
        self.assert_names(
            self.message(),
            '`perturbations` is empty',
            "dict(type='F-Noise', num=6)",
            "'SupervisedSegmentor'",
        )

    @pytest.mark.parametrize('stride', [3, 1, 0])
    def test_stride_that_is_no_power_of_two(self, stride):
        message = self.message(*ENTRIES, stride=stride)
        self.assert_names(message, f'stride is {stride}', 'power of two >= 2', '8 for a -d8')


class TestDecoders:
    def test_have_one_checkpoint_layout_whatever_the_perturbations(self):
        shapes = {name: tuple(value.shape) for name, value in bank_of().state_dict().items()}
        assert shapes == {
            'weights.0': (6, 4, 5),
            'weights.1': (6, 16, 4),
            'weights.2': (6, 16, 4),
            'biases.0': (6, 16),
            'biases.1': (6, 16),
        }
        other = bank_of([dict(type='Obj-Msk', num=6)])
        other.load_state_dict(bank_of().state_dict(), strict=True)

    def test_have_the_hidden_width_asked_for(self):
        shapes = [tuple(weight.shape) for weight in bank_of(channels=9, stride=8).weights]
        assert shapes == [(6, 9, 5), (6, 36, 9), (6, 36, 9), (6, 16, 9)]

    def test_differ(self):
        bank = bank_of()
        z = torch.randn(1, 5, 3, 3)
        logits = [bank.decode(k, z) for k in range(len(bank))]
        for one, other in combinations(logits, 2):
            assert (one - other).abs().max() > 1e-2

    @pytest.mark.parametrize('last_relu', [False, True])
    def test_each_is_the_main_heads_network(self, last_relu):
        # In float64: products and convolutions of float32 round differently on some CPUs.
        bank = bank_of(last_relu=last_relu, channels=7).double()
        head = SubPixelHead(5, num_classes=4, stride=4, channels=7, last_relu=last_relu).double()
        z = torch.randn(2, 5, 3, 4, dtype=torch.double)
        for k in range(len(bank)):
            state = {name: value[k] for name, value in bank.state_dict().items()}
            head.load_state_dict(state, strict=True)
            torch.testing.assert_close(bank.decode(k, z), head([z]), rtol=0, atol=1e-14)

    def test_each_starts_like_a_main_head(self):
        bank = bank_of(in_channels=400, channels=50)
        for k in range(len(bank)):
            first, weights, biases = bank.decoder(k)
            assert first.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.05)
            for weight, bias in zip(weights, biases, strict=True):
                blocks = weight.unflatten(0, (-1, 4))
                assert torch.equal(blocks, blocks[:, :1].expand_as(blocks))
                assert len(bias.unique()) == len(bias)

    def test_mmengine_does_not_draw_the_weights_again(self):
        bank = bank_of()
        before = [p.clone() for p in bank.parameters()]
        bank.init_weights()
        assert all(torch.equal(p, q) for p, q in zip(before, bank.parameters(), strict=True))

    def test_all_are_learned(self):
        assert all(p.requires_grad and p.is_leaf for p in bank_of().parameters())


class TestShared:
    """One set of weights for all decoders."""

    def test_has_the_parameters_of_one_decoder(self):
        shapes = {name: tuple(p.shape) for name, p in bank_of(shared=True).state_dict().items()}
        own = {name: tuple(p.shape) for name, p in bank_of().state_dict().items()}
        assert shapes == {name: (1, *shape[1:]) for name, shape in own.items()}

    @pytest.mark.parametrize('path', PATHS)
    def test_is_a_bank_of_equal_decoders_whose_gradients_add_up(self, path):
        entries = [*ENTRIES, dict(type='F-Drop')]
        own, shared = (
            testing.example_step(*entries, pairwise=3, weak=0.4, shared=shared)
            for shared in (False, True)
        )
        own = replace(own, z=shared.z, target=shared.target)
        with torch.no_grad():
            for each, one in zip(own.bank.parameters(), shared.bank.parameters(), strict=True):
                each.copy_(one.expand_as(each))
        expected = testing.losses_and_gradients(PATHS[path], own)
        expected = {
            name: value.sum(dim=0, keepdim=True) if name.endswith(tuple('0123')) else value
            for name, value in expected.items()
        }
        found = testing.losses_and_gradients(PATHS[path], shared)
        testing.assert_all_close(found, expected, 1e-10)
