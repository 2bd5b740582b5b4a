"""What the methods that CCT is compared with have in common."""

import copy
from pathlib import Path

import pytest
import torch
import two_domains
from mmengine.optim import OptimWrapper

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

NAMES = ('EntropyMinimization', 'PseudoLabeling', 'InputVAT', 'CrossPseudoSupervision')
METHODS = {name: two_domains.METHODS[name] for name in NAMES}
every_method = pytest.mark.parametrize('method', METHODS)


def train(model, data, steps):
    """Train for some iterations as a runner does; data and progress follow from their number."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05))
    model.train()
    for t in steps:
        set_progress(model, Progress(t, 100, 0))
        model.train_step(data(('day', 'night')[t % 2], seed=t), wrapper)


@every_method
class TestEach:
    def test_without_unlabeled_images_has_the_loss_of_the_baseline(
        self, method, make_model, make_data, losses_of
    ):
        found = losses_of(make_model(method, **METHODS[method]), make_data('day', unlabeled=0))
        expected = losses_of(make_model('SupervisedSegmentor'), make_data('day', unlabeled=0))
        assert expected.items() <= found.items()
        further = {name for name in found.keys() - expected.keys() if 'second' not in name}
        # Two networks teach each other on labeled images, too.
        assert (further == set()) is (method != 'CrossPseudoSupervision')

    def test_trains_the_encoder_and_the_head_of_its_domain_alone(
        self, method, make_model, make_data, losses_of
    ):
        model = make_model(method, **METHODS[method])
        before = copy.deepcopy(model.state_dict())
        # The ones without labels: in mixed precision they come first.
        with torch.autocast('cpu', torch.bfloat16):
            losses = losses_of(model, make_data('night', labeled=0))
        assert all(value.dtype == torch.float32 for value in losses.values())
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        for name, weight in model.named_parameters():
            idle = 'domains.day' in name
            assert (weight.grad is None) is idle, name
        moved = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
        assert moved and not any('day' in name for name in moved)

    def test_rises_with_its_ramp(self, method, make_model, make_data, losses_of):
        values = []
        for iteration in (0, 10):
            model = make_model(method, **METHODS[method])
            set_progress(model, Progress(iteration, 100, 0))
            values.append(losses_of(model, make_data('day'))['day.loss_unsupervised'].item())
        assert 0 < values[0] < 0.1 * values[1]

    def test_goes_on_bit_for_bit_from_a_checkpoint(self, method, make_model, make_data):
        model = make_model(method, **METHODS[method])
        train(model, make_data, range(2))
        other = make_model(method, **METHODS[method], seed=3)
        other.load_state_dict(model.state_dict())
        for m in (model, other):
            train(m, make_data, range(2, 4))
        state = model.state_dict()
        assert all(torch.equal(v, state[name]) for name, v in other.state_dict().items())


TWO_PROCESSES = f"""
    sys.path.insert(0, {str(Path(two_domains.__file__).parent)!r})
    from mmengine.registry import DefaultScope
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    from two_domains import SUBPIXEL, build, network_config
    from cct_mm.models.progress import set_progress
    from cct_mm.schedules import Progress

    # The images of the first process are smaller than those of the second.
    images, samples = torch.zeros(8, 3, 24, 32), []
    for i in range(8):
        height, width = ((16, 20), (24, 32))[i // 4]
        generator = torch.Generator().manual_seed(i)
        images[i, :, :height, :width] = torch.randn(3, height, width, generator=generator)
        labels = torch.full((1, 24, 32), 255)
        labels[:, :height, :width] = torch.randint(3, (1, height, width), generator=generator)
        tags = dict(
            img_shape=(height, width),
            domain='day',
            supervision='labeled' if i % 4 < 2 else 'unlabeled',
            sample_key=str(i),
        )
        samples.append(SegDataSample(metainfo=tags))
        samples[-1].gt_sem_seg = PixelData(data=labels)

    def gradients(model, indices):
        model.zero_grad()
        losses = model.loss(images[indices], [samples[i] for i in indices])
        assert all(value > 0 for name, value in losses.items() if 'loss' in name)
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        return {{n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}}

    own = range(4 * rank, 4 * rank + 4)
    head = {{**SUBPIXEL, 'in_channels': 32}}
    found, models = {{}}, {{}}
    with DefaultScope.overwrite_default_scope('mmseg'):
        for method in {NAMES!r}:
            torch.manual_seed(0)
            # Batch norm would see one half of the batch on each process.
            model = build(network_config(method, neck=None, head=head, norm='frozen'))
            model.data_preprocessor.size = (24, 32)
            set_progress(model, Progress(50, 100, 0))
            models[method] = model.train()
            found[method] = gradients(model, own)
            for gradient in found[method].values():
                distributed.all_reduce(gradient)
                gradient /= 2
    distributed.destroy_process_group()
    for method, model in models.items():
        # Labeled images of both, then unlabeled ones.
        expected = gradients(model, [0, 1, 4, 5, 2, 3, 6, 7])
        assert expected.keys() == found[method].keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[method][name], value, rtol=1e-3, atol=1e-5)
"""


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_all_images(on_two_processes):
    on_two_processes(TWO_PROCESSES)
