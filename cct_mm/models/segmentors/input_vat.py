"""Virtual adversarial training on the image (Miyato et al., TPAMI 2018; the paper's Table 4)."""

import torch
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from cct_mm.models.cct.perturbations.numbers import Request, StepKey
from cct_mm.models.domain import Domain, evaluating, untouched, without_dropout
from cct_mm.models.losses import kl
from cct_mm.models.losses.average import mean_weight
from cct_mm.models.norm import runs_again
from cct_mm.models.progress import NeedsProgress
from cct_mm.models.transfer import send
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


@MODELS.register_module()
class InputVAT(NeedsProgress, MultiDomainSegmentor):
    r"""Supervised training, plus predictions that the worst small change of an image leaves alone.

    The unsupervised loss is KL(p(x) || p(x + r)), the mean over pixels; p(x) is a target without
    gradient. The direction of r comes from one step of the power method: it is the Hessian at r = 0
    of that divergence, summed over the image, times a random start. As for I-VAT this is the limit
    of a small start, which needs no step size and suffers no cancellation. Its norm over all values
    of an image is eps; padding stays as it is.

    Args:
        eps: Norm of the perturbation of each image, in units of the normalized image, > 0. An
            image of n values changes by :math:`eps / \sqrt n` in root mean square.
        unsupervised_weight: :class:`RampUp` of the divergence.
        **kwargs: As for :class:`MultiDomainSegmentor`.

    Raises:
        ValueError: If ``eps`` is not positive, or the backbone has activation checkpointing.
    """

    needs = Needs(unlabeled=True, sample_keys=True)

    def __init__(
        self,
        *,
        eps: float = 10.0,
        unsupervised_weight: dict = {'final': 1.0},  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if eps <= 0:
            raise ValueError(f'InputVAT: eps is {eps}, expected a norm > 0, e.g. 10')
        if runs_again(self.backbone):
            raise ValueError(
                'InputVAT: the backbone has with_cp=True, expected no activation checkpointing, '
                'because r comes from a gradient of a gradient, which it does not give; set '
                'model.backbone.with_cp=False'
            )
        self.eps = eps
        self.unsupervised_weight = RampUp(**unsupervised_weight)

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + w(t) KL(p(x^u) || p(x^u + r)).

        Each batch is encoded in a pass of its own, also with ``joint_encoding``: batch norm is to
        see the images with r as it has seen them without. In both passes dropout and drop path are
        off: what they change is no change by r.
        """
        self.encode(labeled)
        losses = self.loss_labeled(domain, labeled)
        with torch.no_grad(), without_dropout(self):
            self.encode(unlabeled)
        return losses | self.loss_unlabeled(domain, unlabeled)

    def loss_unlabeled(self, domain: Domain, unlabeled: Batch) -> dict[str, Tensor]:
        """Return w(t) KL(p(x^u) || p(x^u + r)); nothing without unlabeled images."""
        if not len(unlabeled):
            return {}
        target = domain.predict_target(unlabeled.features, unlabeled.size)  # [B, C, H, W]
        perturbed = unlabeled.images + self.adversarial(domain, unlabeled)  # [B, 3, H, W]
        with untouched(self):
            log_prob = self._log_prob(domain, perturbed)
        weight = mean_weight(unlabeled.valid().squeeze(1))  # [B, H, W]
        loss = (kl(target, log_prob) * weight).sum()
        return {'loss_unsupervised': self.unsupervised_weight(self.progress) * loss}

    def adversarial(self, domain: Domain, batch: Batch) -> Tensor:
        """Return r, whose norm is eps for each image, 0 where nothing changes its prediction.

        It is found in evaluation mode: without dropout, with running statistics, so that an image's
        r does not depend on the others', and in float32. Synchronized batch norms and compiled
        encoders cannot be differentiated twice in training mode, nor fused attention in any.

        Shape:
            - output: [B, 3, H, W], float32, without gradient
        """
        valid = batch.valid()  # [B, 1, H, W]
        start = self._start(domain, batch)  # [B, 3, H, W]
        r = torch.zeros_like(start, requires_grad=True)
        float32 = torch.autocast(start.device.type, enabled=False)
        with evaluating(self), float32, sdpa_kernel(SDPBackend.MATH):
            log_prob = self._log_prob(domain, batch.images.float() + r * valid)  # [B, C, H, W]
            divergence = (kl(log_prob.detach().exp(), log_prob) * valid.squeeze(1)).sum()
            (gradient,) = torch.autograd.grad(divergence, r, create_graph=True)
            (direction,) = torch.autograd.grad((gradient * start).sum(), r)
        square = direction.square().sum(dim=(1, 2, 3), keepdim=True)  # [B, 1, 1, 1]
        tiny = torch.finfo(square.dtype).tiny
        return direction * (self.eps * square.clamp(min=tiny).rsqrt())

    def _start(self, domain: Domain, batch: Batch) -> Tensor:
        """Return the random start, by a key of its own for each image, [B, 3, H, W], float32."""
        key = (self.progress.seed, 'InputVAT', domain.name, self.progress.iteration)
        samples = [sample.metainfo['sample_key'] for sample in batch.samples]
        *parts, index = send(batch.images.device, *StepKey.parts(key, samples), [0])
        shape = tuple(batch.images.shape[1:])
        (numbers,) = StepKey(*parts).draw([Request(index, shape, shared=False)])
        return numbers.normal()[0]

    def _log_prob(self, domain: Domain, images: Tensor) -> Tensor:
        """Return log p(images), [B, C, H, W], in float32."""
        features = self.extract_feat(images)
        return domain.logits(features, tuple(images.shape[2:])).float().log_softmax(dim=1)
