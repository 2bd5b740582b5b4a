"""I-VAT (Eqs. 13-15), compared with autograd in the space of z, where the paper writes it."""

import pytest
import torch
from torch.nn import functional as F

from cct_mm import testing
from cct_mm.models.cct.perturbations import IVAT
from cct_mm.models.subpixel_head import subpixel_decode


def step_of(seed=0, **example):
    return testing.example_step(dict(type='I-VAT'), seed=seed, **{'stride': 2, **example})


def decode(step, z):
    """The auxiliary decoder from z to log-probabilities, in PyTorch's own functions."""
    first, weights, biases = step.bank.decoder(0)
    logits = subpixel_decode(
        F.conv2d(z, first[:, :, None, None]), weights, biases, step.bank.last_relu
    )
    return F.log_softmax(logits, dim=1)


def divergence(step, r):
    """KL(g(z) || g(z + r)) summed over each image without its padding."""
    log_prob = decode(step, step.z).detach()
    at_positions = F.kl_div(decode(step, step.z + r), log_prob, reduction='none', log_target=True)
    return (at_positions * step.target.valid).sum(dim=(1, 2, 3))


def adversarial(step, r, eps, limit=False):
    """Eqs. 14, 15 with the gradient at r, or in the limit of a small step along r."""
    point = (torch.zeros_like(r) if limit else r).requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(step, point).sum(), point, create_graph=limit)
    if limit:
        (gradient,) = torch.autograd.grad((gradient * r).sum(), point)
    return eps * gradient / norm(gradient)


def norm(r):
    return r.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def cosine(one, other):
    return F.cosine_similarity(one.flatten(1), other.flatten(1))


@torch.no_grad()
def found(step, **arguments):
    """r_adv as I-VAT gives it, in the space of z."""
    perturbation = IVAT(**arguments)
    step.bank.perturbations[0] = perturbation
    return perturbation.perturb(step.z, step.draw())[0] - step.z


def start(step, xi):
    """The starting point of start='uniform', whose keyed numbers can be drawn again."""
    step.bank.perturbations[0] = IVAT(start='uniform')
    (r,) = step.context().uniform(-0.5, 0.5).to(step.z.dtype)
    return xi * r / norm(r)


@pytest.mark.parametrize(
    'example',
    [{}, dict(padding=True), dict(channels=6), dict(last_relu=True), dict(stride=8, batch=1)],
    ids=str,
)
class TestDirection:
    @pytest.mark.parametrize('xi', [0.1, 10.0])
    def test_equals_the_equations_in_the_space_of_z(self, example, xi):
        step = step_of(**example)
        expected = adversarial(step, start(step, xi), eps=1.5)
        r = found(step, eps=1.5, xi=xi, start='uniform')
        torch.testing.assert_close(r, expected, rtol=0, atol=1e-9)

    def test_limit_equals_the_hessian_times_the_start(self, example):
        step = step_of(**example)
        expected = adversarial(step, start(step, 1.0), eps=2.0, limit=True)
        r = found(step, start='uniform')
        torch.testing.assert_close(r, expected, rtol=0, atol=1e-10)

    @pytest.mark.parametrize('distribution', ['normal', 'uniform'])
    @pytest.mark.parametrize('xi', [None, 0.1])
    def test_norm_is_eps_for_each_image(self, example, distribution, xi):
        step = step_of(**example)
        r = found(step, eps=3.0, xi=xi, start=distribution)
        torch.testing.assert_close(norm(r), torch.full_like(norm(r), 3.0), rtol=1e-10, atol=0)


class TestFiniteStep:
    @pytest.mark.parametrize('distribution', ['normal', 'uniform'])
    def test_agrees_with_the_limit_at_xi_of_a_tenth(self, distribution):
        step = step_of()
        limit = found(step, start=distribution)
        assert cosine(found(step, xi=0.1, start=distribution), limit).min() > 0.999

    def test_converges_to_the_limit(self):
        step = step_of()
        limit = found(step)
        error = [(found(step, xi=xi) - limit).norm().item() for xi in (1e-1, 1e-2, 1e-3)]
        assert error[0] > 5 * error[1] > 25 * error[2]

    def test_of_the_paper_is_rounding_noise_in_float32(self):
        step = step_of(size=(12, 12), in_channels=64)
        single = step_of(size=(12, 12), in_channels=64, dtype=torch.float32)
        limit = found(step)
        assert cosine(found(single), limit.float()).min() > 0.999
        assert cosine(found(single, xi=0.1), limit.float()).min() > 0.99
        assert cosine(found(single, xi=1e-6), limit.float()).abs().max() < 0.5


class TestDamping:
    """The released code's I-VAT, whose size a number added to the gradient's norm decides."""

    def released(self, step, eps=2.0, xi=1e-6, damping=1e-8):
        """One step from a direction d of norm 1: the gradient with respect to d, of the mean."""
        d = start(step, 1.0).requires_grad_()
        mean = divergence(step, xi * d).sum() / len(step.z)
        (gradient,) = torch.autograd.grad(mean, d)
        return eps * gradient / (norm(gradient) + damping)

    @pytest.mark.parametrize('xi', [1e-6, 1e-3])
    @pytest.mark.parametrize('example', [{}, dict(last_relu=True, batch=2)], ids=str)
    def test_equals_the_released_code(self, example, xi):
        step = step_of(**example)
        expected = self.released(step, xi=xi)
        r = found(step, xi=xi, start='uniform', damping=1e-8)
        torch.testing.assert_close(r, expected, rtol=0, atol=1e-5 * expected.abs().max().item())

    def test_leaves_z_all_but_unperturbed_at_its_xi(self):
        step = step_of(size=(12, 12), in_channels=64, dtype=torch.float32)
        r = found(step, eps=2.0, xi=1e-6, start='uniform', damping=1e-8)
        assert 0 < norm(r).max() < 0.05 * 2

    def test_vanishes_where_the_gradient_is_large(self):
        step = step_of()
        arguments = dict(eps=2.0, xi=0.1, start='uniform')
        torch.testing.assert_close(
            found(step, **arguments, damping=1e-15), found(step, **arguments)
        )

    @pytest.mark.parametrize('arguments', [dict(damping=-1.0, xi=0.1), dict(damping=1e-8)])
    def test_that_makes_no_sense(self, arguments):
        with pytest.raises(ValueError, match='I-VAT: damping is .* xi=.*damping=1e-8, xi=1e-6'):
            IVAT(**arguments)


class TestAdversary:
    """What it is for: altering the prediction the most."""

    @pytest.mark.parametrize('seed', range(3))
    def test_alters_the_prediction_more_than_random_directions(self, seed):
        step = step_of(seed=seed)
        small = 1e-3
        ours = divergence(step, found(step, eps=small))
        torch.manual_seed(seed)
        random = torch.stack(
            [
                divergence(step, small * r / norm(r))
                for r in torch.randn(100, *step.z.shape).double()
            ]
        )
        assert (ours > 3 * random.mean(dim=0)).all()
        assert (ours > random.amax(dim=0)).all()

    @pytest.mark.parametrize('seed', range(3))
    def test_alters_it_more_than_its_own_start(self, seed):
        # One step of the power method never lowers the Rayleigh quotient.
        step, small = step_of(seed=seed), 1e-3
        ours = divergence(step, found(step, eps=small, start='uniform'))
        assert (ours > divergence(step, start(step, small))).all()

    def test_does_more_the_larger_eps(self):
        step = step_of()
        values = torch.stack([divergence(step, found(step, eps=eps)) for eps in (0.1, 0.5, 2.0)])
        assert (values.diff(dim=0) > 0).all()

    def test_spends_nothing_on_padding(self):
        step = step_of(padding=True, stride=2)
        whole_block = ~step.target.valid.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).any(5).any(3)
        assert whole_block.any()
        r = found(step)
        assert (r * whole_block).abs().max() == 0 and (r * ~whole_block).abs().max() > 0

    def test_a_decoder_that_sees_nothing_is_given_nothing(self):
        step = step_of()
        with torch.no_grad():
            for weight in list(step.bank.weights)[1:]:
                weight.zero_()
        assert torch.equal(found(step), torch.zeros_like(step.z))


class TestStart:
    @pytest.mark.parametrize(('channels', 'in_channels'), [(3, 8), (6, 4)])
    def test_normal_start_is_the_projection_of_equation_13(
        self, make_context, channels, in_channels
    ):
        # u = W r with r ~ N(0, (xi / sqrt(dim z))^2 I) has the covariance (xi^2 / dim z) W W^T.
        torch.manual_seed(0)
        weight = torch.randn(channels, in_channels, dtype=torch.float64)
        z = torch.zeros(1, in_channels, 150, 150, dtype=torch.float64)
        perturbation = IVAT(xi=0.7)
        context = make_context(perturbation, z, weight=weight[None])
        u = perturbation._start(context, (weight @ weight.T)[None])
        u = u[0, 0].flatten(1) * z.numel() ** 0.5 / 0.7
        covariance = weight @ weight.T
        scale = covariance.diag().mean()
        assert (u.mean(dim=1) / scale.sqrt()).abs().max() < 0.05
        assert ((torch.cov(u) - covariance) / scale).abs().max() < 0.06

    def test_uniform_start_has_norm_xi(self, make_context):
        z = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
        identity = torch.eye(3, dtype=torch.float64)[None]
        perturbation = IVAT(xi=0.7, start='uniform')
        (u,) = perturbation._start(make_context(perturbation, z, weight=identity), identity)
        torch.testing.assert_close(norm(u), torch.full_like(norm(u), 0.7))

    def test_unknown_start(self):
        with pytest.raises(ValueError, match="I-VAT: start is 'zero', .*normal.*uniform"):
            IVAT(start='zero')


@pytest.mark.parametrize('padding', [False, True])
@pytest.mark.parametrize('last_relu', [False, True])
def test_kl_gradient_of_the_context_equals_autograd(padding, last_relu):
    step = step_of(padding=padding, last_relu=last_relu)
    first, weights, biases = step.bank.decoder(0)
    y = F.conv2d(step.z, first[:, :, None, None]).detach()
    torch.manual_seed(0)
    u = torch.randn_like(y)

    def log_prob(y):
        return subpixel_decode(y, weights, biases, last_relu).log_softmax(dim=1)

    def total(u):
        at_positions = log_prob(y).exp() * (log_prob(y) - log_prob(y + u))
        return (at_positions * step.target.valid).sum()

    point = u.clone().requires_grad_()
    (expected,) = torch.autograd.grad(total(point), point)
    kl_gradient = step.context().kl_gradient
    torch.testing.assert_close(kl_gradient(u[None], False)[0], expected, rtol=1e-10, atol=1e-12)
    _, expected = torch.autograd.functional.hvp(total, torch.zeros_like(u), u)
    torch.testing.assert_close(kl_gradient(u[None], True)[0], expected, rtol=1e-10, atol=1e-12)
