"""A run ends when a loss is not finite, and says what to do."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from loss_scale import ScaledOptimWrapper
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cct_mm.engine import CPUAmpOptimWrapper, DivergenceHook


@pytest.fixture
def runner():
    return SimpleNamespace(
        iter=99,
        max_iters=1000,
        work_dir='work_dirs/x',
        hooks=[],
        model=nn.Linear(2, 2),
        logger=mock.MagicMock(),
        message_hub=MessageHub('divergence'),
    )


def outputs(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_loss_that_is_no_number_is_named(runner, value):
    losses = {'loss': torch.tensor(value), 'day.loss_ab_ce': torch.tensor(1.0)}
    with pytest.raises(FloatingPointError, match='^iteration 100: loss .*lower'):
        DivergenceHook(interval=50).after_train_iter(runner, 0, outputs=losses)


def test_numbers_and_what_is_no_loss_pass(runner):
    values = outputs(loss=1e9, distance=float('nan'))
    DivergenceHook(interval=50).after_train_iter(runner, 0, outputs=values)


def test_it_looks_every_so_often(runner):
    runner.iter = 98
    DivergenceHook(interval=50).after_train_iter(runner, 0, outputs=outputs(loss=float('nan')))


def test_it_sees_the_losses_of_each_of_two_domains_that_alternate(runner):
    hook = DivergenceHook(interval=50)
    runner.iter = 98
    hook.after_train_iter(runner, 0, outputs={'day.loss': torch.tensor(float('nan'))})
    runner.iter = 99
    with pytest.raises(FloatingPointError, match='day.loss not finite'):
        hook.after_train_iter(runner, 0, outputs={'night.loss': torch.tensor(1.0)})


def batch(domain, *images):
    samples = [SegDataSample(metainfo=dict(domain=domain, img_path=path)) for path in images]
    return dict(data_samples=samples)


def after(hook, runner, iteration, domain, **losses):
    """Let a hook see a step; ``iteration`` counts from 1."""
    runner.iter = iteration - 1
    names = {f'{domain}.{name}': value for name, value in losses.items()}
    images = batch(domain, f'{domain}{iteration}.png', f'{domain}{iteration}u.png')
    hook.after_train_iter(runner, iteration - 1, images, outputs(**names))


def test_the_first_wrong_step_is_named_though_it_is_looked_at_later(runner):
    hook = DivergenceHook(interval=10)
    nan = float('nan')
    for iteration, domain in zip(range(1, 10), ['day', 'night'] * 5, strict=False):
        # From iteration 4 on, that of night, first one term and then all.
        values = dict(loss_ce=1.0, loss_unsupervised=1.0)
        if iteration == 4:
            values['loss_unsupervised'] = nan
        if iteration > 4:
            values = dict.fromkeys(values, nan)
        after(hook, runner, iteration, domain, **values)
    expected = (
        '^iteration 4: night.loss_unsupervised not finite, domain night, '
        'images night4.png, night4u.png, expected numbers'
    )
    with pytest.raises(FloatingPointError, match=expected):
        after(hook, runner, 10, 'night', loss_ce=nan)


def test_a_weight_that_no_loss_shows_yet_is_named(runner):
    hook = DivergenceHook(interval=3)
    after(hook, runner, 1, 'day', loss=1.0)
    with torch.no_grad():
        runner.model.bias[1] = float('inf')
    after(hook, runner, 2, 'night', loss=1.0)
    with pytest.raises(FloatingPointError, match='^iteration 2: weight bias .*domain night'):
        after(hook, runner, 3, 'day', loss=1.0)


@pytest.mark.parametrize('when', ['checkpoint', 'last checkpoint', 'validation', 'end'])
def test_it_looks_before_whatever_counts(runner, when):
    hook = DivergenceHook(interval=50)
    if when == 'checkpoint':
        runner.hooks = [hook, CheckpointHook(interval=7, by_epoch=False)]
    if when == 'last checkpoint':
        runner.hooks = [hook, CheckpointHook(interval=500, by_epoch=False)]
        runner.max_iters = 7
    after(hook, runner, 6, 'day', loss=float('nan'))
    with pytest.raises(FloatingPointError, match='^iteration 6: day.loss not finite'):
        after(hook, runner, 7, 'day', loss=1.0)
        if when == 'validation':
            hook.before_val_epoch(runner)
        if when == 'end':
            hook.after_train(runner)


def test_what_was_looked_at_is_not_looked_at_again(runner):
    hook = DivergenceHook(interval=2)
    for iteration in range(1, 7):
        after(hook, runner, iteration, 'day', loss=1.0)
    assert hook._steps == []


class Waits(TorchDispatchMode):
    """Counts what makes a host wait for its device."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 'local_scalar_dense' in str(function) or 'is_nonzero' in str(function)
        return function(*args, **(kwargs or {}))


def test_between_two_looks_nothing_waits_for_the_device(runner):
    hook = DivergenceHook(interval=50)
    with Waits() as waits:
        for iteration in range(1, 50):
            after(hook, runner, iteration, 'day', loss=float('nan'), loss_ce=1.0)
    assert waits.count == 0
    # Tensors of this device have no values that one could read.
    runner.model.to('meta')
    hook = DivergenceHook(interval=50)
    losses = {name: torch.ones((), device='meta') for name in ('loss', 'loss_ce')}
    for runner.iter in range(49):
        hook.after_train_iter(runner, runner.iter, batch('day', 'a.png'), losses)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        # Filled anew, as the queues of the discriminator.
        self.register_buffer('queue', torch.zeros(0, 2))

    def forward(self, x):
        self.queue = x.detach()
        return self.layers(x).square().mean()


def copy_of(network, wrapper):
    momenta = [dict(state) for state in wrapper.optimizer.state.values()]
    momenta = [{k: v.clone() for k, v in m.items() if torch.is_tensor(v)} for m in momenta]
    return {k: v.clone() for k, v in network.state_dict().items()}, momenta


def equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=False)


def train(runner, hook, wrapper, batches, spoil=()):
    """Take the steps of a training loop; return what weights and momenta were after each."""
    runner.model.train()
    runner.optim_wrapper = wrapper
    hook.before_train(runner)
    states = []
    for runner.iter, x in enumerate(batches):
        images = batch('day', f'{runner.iter + 1}.png')
        hook.before_train_iter(runner, runner.iter, images)
        with wrapper.optim_context(runner.model):
            loss = runner.model(x)
        if runner.iter + 1 in spoil:
            # A finite loss of an infinite gradient.
            loss = loss + (runner.model.layers[0].weight[0, 0] * 0).abs().sqrt()
        wrapper.update_params(loss)
        hook.after_train_iter(runner, runner.iter, images, dict(loss=loss.detach()))
        states.append(copy_of(runner.model, wrapper))
    return states


@pytest.fixture
def make_training(runner):
    def make(kind=OptimWrapper, **kwargs):
        torch.manual_seed(0)
        runner.model = Network()
        optimizer = torch.optim.SGD(runner.model.parameters(), lr=0.1, momentum=0.9)
        batches = [torch.randn(4, 2) for _ in range(6)]
        return kind(optimizer=optimizer, **kwargs), batches

    return make


class Unscaled(OptimWrapper):
    """What AmpOptimWrapper has in bfloat16 on a GPU: a scaler that does nothing."""

    loss_scaler = torch.amp.GradScaler('cpu', enabled=False)


@pytest.mark.parametrize('kind', [OptimWrapper, CPUAmpOptimWrapper, Unscaled])
@pytest.mark.parametrize('what', ['loss', 'gradient'])
def test_steps_left_out_leave_everything_as_it_was(runner, make_training, kind, what):
    wrapper, batches = make_training(kind)
    kept = train(runner, DivergenceHook(max_skipped=0), wrapper, [batches[i] for i in (0, 2, 4)])
    wrapper, batches = make_training(kind)
    if what == 'loss':
        batches[1], batches[3] = batches[1] * float('nan'), batches[3] * float('inf')
    spoil = (2, 4) if what == 'gradient' else ()
    hook = DivergenceHook(max_skipped=2)
    found = train(runner, hook, wrapper, batches[:5], spoil)
    equal(found[0], found[1])
    equal(found[2], found[3])
    equal([found[i] for i in (0, 2, 4)], kept)
    (first,), (second,) = [call.args for call in runner.logger.warning.call_args_list]
    assert first.startswith(
        f'iteration 2: {what} not finite, domain day, images 2.png: the step is'
    )
    assert 'iteration 4' in second
    assert '2 of at most 2' in second


def test_one_step_more_than_may_be_left_out_ends_the_run_over_resumptions(runner, make_training):
    wrapper, batches = make_training()
    nan = torch.full((4, 2), float('nan'))
    train(runner, DivergenceHook(max_skipped=2), wrapper, [batches[0], nan])
    saved = runner.message_hub.state_dict()
    runner.message_hub = MessageHub('resumed')
    runner.message_hub.load_state_dict(saved)
    wrapper, batches = make_training()
    with pytest.raises(
        FloatingPointError,
        match=r'^iteration 3: loss .*domain day, images 3\.png, .*2 .*max_skipped',
    ):
        train(runner, DivergenceHook(max_skipped=2), wrapper, [nan, batches[0], nan, batches[1]])


def test_where_gradients_are_accumulated_the_others_still_count(runner, make_training):
    wrapper, batches = make_training(accumulative_counts=2)
    batches[1] = batches[1] * float('nan')
    found = train(runner, DivergenceHook(max_skipped=1), wrapper, batches)
    equal(found[0], found[1])
    assert all(value.isfinite().all() for value in found[-1][0].values())
    weights = [state[0]['layers.0.weight'] for state in found]
    assert not torch.equal(weights[2], weights[3])
    assert not torch.equal(weights[4], weights[5])


SKIP = """
    from types import SimpleNamespace
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.model import MMDistributedDataParallel
    from mmengine.optim import OptimWrapper
    from mmseg.structures import SegDataSample
    from torch import nn
    from cct_mm.engine import DivergenceHook

    def train(max_skipped):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        model = MMDistributedDataParallel(network, broadcast_buffers=False)
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        runner = SimpleNamespace(
            model=model, optim_wrapper=wrapper, work_dir='there', hooks=[], max_iters=100,
            message_hub=MessageHub('skip'), logger=MMLogger('skip'),
        )
        hook = DivergenceHook(interval=4, max_skipped=max_skipped)
        hook.before_train(runner)
        for runner.iter in range(8):
            image = SegDataSample(metainfo=dict(domain='day', img_path=f'{runner.iter + 1}-{rank}'))
            data = dict(data_samples=[image])
            before = {k: v.clone() for k, v in network.state_dict().items()}
            hook.before_train_iter(runner, runner.iter, data)
            loss = model(torch.randn(4, 2) + rank).square().mean()
            # Of the first process at iteration 2, of the second at 6; no gradient shows it.
            if (runner.iter + 1, rank) in [(2, 0), (6, 1)]:
                loss = loss + float('inf')
            wrapper.update_params(loss)
            try:
                hook.after_train_iter(runner, runner.iter, data, dict(loss=loss.detach()))
            except FloatingPointError as error:
                message = str(error).partition(', expected')[0]
                break
            same = all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
            assert same == (max_skipped > 0 and runner.iter + 1 in (2, 6)), runner.iter
        else:
            message = None
        ours = torch.cat([p.detach().flatten() for p in network.parameters()])
        theirs = ours.clone()
        distributed.broadcast(theirs, 0)
        assert torch.equal(ours, theirs)
        return runner.iter + 1, message

    found = 'iteration {0}: loss not finite, domain day, images of process 0 {0}-0, '
    found += 'images of process 1 {0}-1'
    assert train(0) == (4, found.format(2)), train(0)
    after = ', after 1 others that were left out (max_skipped)'
    assert train(1) == (6, found.format(6) + after), train(1)
    assert train(2) == (8, None), train(2)
"""


@pytest.mark.slow
def test_two_processes_stop_or_leave_out_steps_together(on_two_processes):
    on_two_processes(SKIP)


def test_a_loss_scale_finds_itself_without_an_alarm(runner, make_training):
    class Scaled(ScaledOptimWrapper):
        loss_scaler = torch.amp.GradScaler('cpu', init_scale=2.0**127, growth_interval=1000)

    for max_skipped in 0, 1:
        wrapper, batches = make_training(Scaled)
        batches = [1e3 * x for x in batches]
        train(runner, DivergenceHook(interval=1, max_skipped=max_skipped), wrapper, batches)
        assert Scaled.loss_scaler.get_scale() < 2.0**127
    runner.logger.warning.assert_not_called()


def test_options_that_make_no_sense_are_refused():
    for value in (-1, 1.5, '3'):
        with pytest.raises(ValueError, match=f'max_skipped is {value!r}, expected'):
            DivergenceHook(max_skipped=value)


def test_weights_that_are_no_numbers_are_not_saved(runner):
    hook = DivergenceHook()
    good = dict(weight=torch.ones(2), count=torch.tensor(3))
    hook.before_save_checkpoint(runner, dict(state_dict=good))
    with pytest.raises(FloatingPointError, match='^iteration 100: bias '):
        bad = dict(good, bias=torch.tensor([0.0, float('nan')]))
        hook.before_save_checkpoint(runner, dict(state_dict=bad))
