"""Calls that launch work, counted by hand."""

import pytest
import torch

from cct_mm.lab.benchmark.calls import CallCounter


def counted(compute):
    with CallCounter() as calls:
        compute()
    assert calls.total == sum(calls.by_name.values())
    return {name.removeprefix('aten::'): count for name, count in calls.by_name.items()}


def test_forward_and_backward_count():
    x = torch.randn(4, 5)
    weight = torch.randn(5, 6, requires_grad=True)
    calls = counted(lambda: (x @ weight).relu().sum().backward())
    # The gradient of the sum is ones, expanded; that of the product is one product.
    assert calls == {'mm': 2, 'relu': 1, 'sum': 1, 'ones_like': 1, 'threshold_backward': 1}


def test_what_launches_nothing_does_not_count():
    x, y = torch.randn(4, 6), torch.randn(2, 3)

    def views():
        (
            x.t(),
            x[1:],
            x[:, 0],
            x.view(2, 12),
            x.reshape(24),
            x.expand(3, 4, 6),
            x.unbind(),
            x.chunk(2),
        )
        x.detach(), x.unsqueeze(0).permute(2, 0, 1), x.flatten(), x.diagonal(), x.contiguous()
        x.to(torch.float32), x.unfold(0, 2, 1)

    def allocations():
        torch.empty(3), torch.empty_like(x), x.new_empty(2), torch.empty_strided((2,), (1,))

    def metadata():
        y.t_().unsqueeze_(0).squeeze_(0), torch.empty(0).resize_(3), y.size(), y.is_contiguous()

    for compute in (views, allocations, metadata):
        assert counted(compute) == {}, compute.__name__


@pytest.mark.parametrize(
    'compute, expected',
    [
        (lambda x: x.to(torch.float64), {'_to_copy': 1}),
        (lambda x: x.t().reshape(-1), {'clone': 1}),
        (lambda x: x[1:].add_(1), {'add_': 1}),
        (lambda x: x.zero_(), {'zero_': 1}),
        (
            lambda x: (torch.zeros(3), x.new_zeros(2), torch.arange(3)),
            dict(zeros=1, new_zeros=1, arange=1),
        ),
        (lambda x: torch.mm(x, x.t(), out=torch.empty(4, 4)), {'mm': 1}),
        (lambda x: torch._foreach_add_([x, x], 1.0), {'_foreach_add_': 1}),
        (lambda x: x.sum().item(), {'sum': 1, '_local_scalar_dense': 1}),
        (lambda x: torch.stack([x[0], x[1]]), {'stack': 1}),
    ],
)
def test_what_writes_counts_once(compute, expected):
    x = torch.ones(4, 5)
    assert counted(lambda: compute(x)) == expected


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


def test_calls_inside_of_an_autograd_function_count():
    x = torch.randn(3, requires_grad=True)
    y, ones = Square.apply(x), torch.ones(3)
    assert counted(lambda: Square.apply(x)) == {'pow': 1}
    assert counted(lambda: torch.autograd.grad(y, x, ones)) == {'mul': 2}


def test_calls_inside_of_function_transforms_count():
    x, weight = torch.randn(4, 5), torch.randn(5, 6)
    calls = counted(lambda: torch.func.grad(lambda x: (x @ weight).tanh().sum())(x))
    assert calls == {'mm': 2, 'tanh': 1, 'sum': 1, 'ones_like': 1, 'tanh_backward': 1}
    calls = counted(lambda: torch.func.jvp(torch.tanh, (x,), (x,)))
    assert (calls['tanh'], calls['tanh_backward']) == (1, 1)
    calls = counted(lambda: torch.func.vmap(torch.dot)(x, x))
    assert calls['bmm'] == 1


def test_a_launch_behind_an_operator_is_one_call_and_others_can_be_added():
    @torch.library.custom_op('benchmark_tests::launch', mutates_args=())
    def launch(x: torch.Tensor) -> torch.Tensor:
        return (x + 1) * 2 - x

    x = torch.ones(3)
    with CallCounter() as calls:
        launch(x)
        calls.add('triton kernel', 2)
    assert calls.by_name == {'benchmark_tests::launch': 1, 'triton kernel': 2}
    assert calls.total == 3
