"""Classification by image-level labels (paper, Section 3.3), which pretrains the encoder."""

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from cct_mm.labels import SUPERVISIONS
from cct_mm.models.adversarial import WithDiscriminator
from cct_mm.models.classification_head import ClassificationHead, image_level_targets
from cct_mm.models.domain import Domain

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


@MODELS.register_module()
class ImageClassifier(WithDiscriminator, MultiDomainSegmentor):
    """The encoder h of a segmentor with a classification branch g_c for each domain.

    It is trained on images with image-level labels by binary cross-entropy over the classes
    without background. Its checkpoint initializes a segmentor with the same encoder
    (``load_from``), and its class activation maps become pseudo-labels
    (``tools/gen_pseudo_labels.py``).

    Args:
        **kwargs: As for :class:`MultiDomainSegmentor`, with a ``ClassificationHead`` as head.

    Raises:
        TypeError: For another kind of head.
    """

    # Image-level labels come from any source, be it by a file or by masks.
    needs = Needs(labels_of=SUPERVISIONS)

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        for domain in self.domains.values():
            if not isinstance(domain.decode_head, ClassificationHead):
                raise TypeError(
                    f'ImageClassifier: the head of domain {domain.name} is a '
                    f'{type(domain.decode_head).__name__}, expected a ClassificationHead: '
                    "decode_head=dict(_delete_=True, type='ClassificationHead', in_channels=...)"
                )

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """Binary cross-entropy of g_c(h(x)), the mean over images and classes but background.

        L_adv is added where the model has a discriminator.
        """
        self.encode(labeled)
        scores = self.scores(domain, labeled)
        targets = image_level_targets(labeled.samples, domain.num_classes, scores.device)
        classes = domain.image_level_classes
        loss = F.binary_cross_entropy_with_logits(scores[:, classes], targets[:, classes])
        return {'loss_image_level': loss} | self.loss_adversarial(domain, labeled)

    def scores(self, domain: Domain, batch: Batch) -> Tensor:
        """Return g_c(h(x)) before the sigmoid, [B, C]."""
        head = domain.decode_head
        return head.pool(head(batch.features), batch.valid()).float()

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Classify images, each by the branch of its domain.

        Returns:
            The samples with ``image_scores``, the probability of each class, [C].
        """
        for image, sample in zip(inputs, data_samples, strict=True):
            batch = Batch(image[None], [sample])
            with self.active(self.domain_named(sample.metainfo.get('domain'))) as domain:
                self.encode(batch)
                sample.image_scores = self.scores(domain, batch)[0].sigmoid()
        return data_samples

    @torch.no_grad()
    def class_activation_maps(self, domain: str | None, images: Tensor) -> Tensor:
        """Return the class activation maps of preprocessed images.

        Args:
            domain: Its name; None means the only one.
            images: As the data preprocessor gives them.

        Shape:
            - images: [B, 3, H, W]
            - output: [B, C, h, w], >= 0, at the encoder's stride
        """
        with self.active(self.domain_named(domain)) as found:
            features = self.extract_feat(images)
            return found.decode_head.class_activation_maps(features).float()
