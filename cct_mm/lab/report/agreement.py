"""Whether the auxiliary decoders of a trained network name the class that the main head names."""

import torch
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from cct_mm.models.cct import Target
from cct_mm.models.cct.consistency_reference import draw_context
from cct_mm.models.segmentors import CCT
from cct_mm.models.segmentors.batch import Batch


@torch.no_grad()
def same_class(model: CCT, image: Tensor, sample: SegDataSample) -> dict[str, float]:
    """Return the share of an image's pixels where main head and auxiliary decoder agree.

    The perturbations are drawn as in training, keyed by the image.

    Args:
        model: The network, in evaluation mode.
        image: As the dataset loads it, [3, H, W], uint8.
        sample: Its data sample, with a domain.

    Returns:
        dict[str, float]: For each kind of perturbation the mean over its decoders, in percent.
    """
    samples = [SegDataSample(metainfo=sample.metainfo)]
    data = model.data_preprocessor({'inputs': [image], 'data_samples': samples}, training=False)
    domain = model.domain_of(samples)
    bank = domain.auxiliary
    # The decoders make whole strides of pixels.
    height, width = (-side % bank.stride for side in data['inputs'].shape[2:])
    batch = Batch(F.pad(data['inputs'], (0, width, 0, height)), data['data_samples'])
    with model.active(domain):
        batch.features = model.extract_feat(batch.images)
        z = domain.z(batch.features).float()  # [1, D, h, w]
        target = Target(
            prob=domain.predict_target(batch.features, batch.size),
            valid=batch.valid(),
            foreground=domain.foreground,
            key=(0, domain.name, 0),
            samples=[sample.metainfo['img_path']],
        )
        guidance = target.guidance(z.shape[2:])
        main = target.prob.argmax(dim=1)  # [1, H, W]
        shares = []
        for k, perturbation in enumerate(bank.perturbations):
            state = perturbation.draw(draw_context(bank, k, z, target, guidance))
            (perturbed,) = perturbation.perturb(z, state)  # [1, D, h, w] of [1, 1, D, h, w]
            same = bank.decode(k, perturbed).argmax(dim=1) == main
            shares.append(100 * same[target.valid[:, 0]].float().mean())
    means = bank.means_by_kind(torch.stack(shares))
    return {kind: mean.item() for kind, mean in means.items()}
