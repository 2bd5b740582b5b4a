"""The base segmentor: a shared encoder and one main head a domain. It knows no method."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.config import ConfigDict
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import ModuleDict
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX, SUPERVISIONS
from cct_mm.models.cpu_convolutions import use_cpu_convolutions
from cct_mm.models.domain import Domain
from cct_mm.models.norm import NORMS, activate, freeze_statistics, use_domain_norms


@dataclass
class Batch:
    """Images of one iteration that a loss treats alike.

    Args:
        images: [B, 3, H, W], normalised and padded.
        samples: Their data samples, which hold labels (if any) and meta information.
        features: h(images), the encoder's maps, [B, D, h, w] each.
    """

    images: Tensor
    samples: list[SegDataSample]
    features: Sequence[Tensor] = ()

    def __len__(self) -> int:
        """Return B."""
        return len(self.samples)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, padding included."""
        return tuple(self.images.shape[2:])

    def valid(self) -> Tensor:
        """Return where the images are, and where only padding or filling: [B, 1, H, W], bool.

        Padding is the preprocessor's, filling that of a transform such as RandomRotate, see
        :mod:`cct_mm.datasets.filling`.
        """
        valid = torch.ones(len(self), 1, *self.size, dtype=torch.bool, device=self.images.device)
        for mask, sample in zip(valid, self.samples, strict=True):
            height, width = sample.metainfo['img_shape'][:2]
            mask[:, height:] = False
            mask[:, :, width:] = False
            if 'filled' in sample:
                filled = sample.filled.data
                mask[:, : filled.shape[1], : filled.shape[2]] &= ~filled
        return valid

    def pseudo_labels(self) -> Tensor | None:
        """Return y_p of weakly labeled images, 255 where there is none: [B, H, W], int64.

        None where no image is weakly labeled.
        """
        if not any(sample.metainfo['supervision'] == 'weak' for sample in self.samples):
            return None
        labels = self.images.new_full((len(self), *self.size), IGNORE_INDEX, dtype=torch.int64)
        for own, sample in zip(labels, self.samples, strict=True):
            if sample.metainfo['supervision'] == 'weak':
                if 'gt_sem_seg' not in sample:
                    raise ValueError(
                        f'{sample.metainfo["domain"]}, weak source: '
                        f'{sample.metainfo.get("img_path")} comes without pseudo-labels, expected '
                        'a label map; make them with tools/gen_pseudo_labels.py, and load them in '
                        'its pipeline with LoadCheckedAnnotations'
                    )
                own.copy_(sample.gt_sem_seg.data.squeeze(0))
        return labels


@MODELS.register_module()
class MultiDomainSegmentor(EncoderDecoder):
    """Supervised training of one encoder and one main head a domain (the baseline of the paper).

    It is an mmseg ``EncoderDecoder`` whose decode head is that of the domain a batch belongs to.
    Methods derive from it and add a loss on the unlabeled images: :meth:`loss_unlabeled`.

    Args:
        backbone: Config of the backbone, as in mmseg.
        decode_head: Config of the main heads, without classes; one head a domain is built from it.
        domains: For each domain's name ``dict(classes=..., foreground=..., decode_head=...,
            z_index=...)``, see :class:`cct_mm.models.domain.Domain`. A domain's own ``decode_head``
            entries override the common ones.
        neck: Config of the neck, e.g. ``PSPNeck``, part of the shared encoder.
        joint_encoding: Encode labeled and unlabeled images in one pass, in which batch norm
            normalises them together. By default each has a pass of its own, as in the released
            code.
        norm: How the encoder's batch norms treat domains, one of
            :data:`cct_mm.models.norm.NORMS`.
        discriminator: Config of a :class:`~cct_mm.models.adversarial.DomainDiscriminator`, which
            adds L_adv (Eq. 12), or None.
        channels_last: Store weights and maps channels last, which convolutions on CPUs and GPUs
            prefer; results stay the same.
        test_cfg: ``dict(mode='whole')`` or a sliding window, as in mmseg.
        data_preprocessor: As in mmseg.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Where there is no domain, a domain contradicts itself, or for an unknown norm.
    """

    learns_labels_of: tuple[str, ...] = ('labeled',)
    """Sources whose images :meth:`loss_labeled` gets; :meth:`loss_unlabeled` gets the others'."""

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        domains: dict[str, dict],
        neck: dict | None = None,
        joint_encoding: bool = False,
        norm: str = 'per-domain',
        discriminator: dict | None = None,
        channels_last: bool = True,
        test_cfg: dict = {'mode': 'whole'},  # noqa: B006
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # EncoderDecoder's own constructor would build a single head.
        super(EncoderDecoder, self).__init__(data_preprocessor, init_cfg)
        if not domains:
            raise ValueError(
                f'{type(self).__name__}: `domains` is empty, expected at least one entry '
                'name=dict(classes=(...)), see configs/_base_/domains'
            )
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck is not None else None
        self.domains = ModuleDict(
            {
                name: Domain(
                    name,
                    **{**domain, 'decode_head': {**decode_head, **domain.get('decode_head', {})}},
                )
                for name, domain in domains.items()
            }
        )
        self.joint_encoding = joint_encoding
        if norm not in NORMS:
            raise ValueError(
                f'{type(self).__name__}: norm is {norm!r}, expected one of {", ".join(NORMS)}'
            )
        self.norm = norm
        for part in NORMS[norm]:
            if getattr(self, part) is not None:
                use_domain_norms(getattr(self, part), self.domains)
        self.discriminator = None
        if discriminator is not None:
            # Forked, so that whatever is drawn later starts as without it.
            with torch.random.fork_rng(devices=[]):
                config = {'type': 'DomainDiscriminator', **discriminator}
                self.discriminator = MODELS.build({**config, 'domains': list(self.domains)})
        use_cpu_convolutions(self)
        # Here and not in a hook: DDP lays its buckets out like the weights that it finds, and mixes
        # gradients up where their format changes later.
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        self.train_cfg = None
        self.test_cfg = ConfigDict(test_cfg)
        self._set_active(next(iter(self.domains.values())))

    def init_weights(self) -> None:
        """Draw or load the weights, the same in either memory format."""
        # Random numbers fill a tensor in the order of its memory.
        self.to(memory_format=torch.contiguous_format)
        super().init_weights()
        self.to(memory_format=self.memory_format)

    def _set_active(self, domain: Domain) -> None:
        """Show the encoder and mmseg's inference code the domain they work for."""
        activate(self, domain.name)
        object.__setattr__(self, 'decode_head', domain.decode_head)
        self.align_corners = domain.decode_head.align_corners
        self.num_classes = domain.num_classes
        self.out_channels = domain.num_classes

    def train(self, mode: bool = True) -> 'MultiDomainSegmentor':
        """Switch to training; frozen statistics stay as they are."""
        super().train(mode)
        # Here too, for what a derived class has added since.
        use_cpu_convolutions(self)
        if self.norm == 'frozen':
            freeze_statistics(self.backbone)
        return self

    # Training ---------------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Return the losses of one iteration, L = L_s + what the method adds, named by domain.

        Args:
            inputs: Images of one domain, labeled and unlabeled, [B, 3, H, W].
            data_samples: Tagged with ``domain`` and ``supervision``.
        """
        domain = self.domain_of(data_samples)
        if getattr(self.data_preprocessor, 'size', None) is None:
            check_sizes(data_samples)
        check_supervision(data_samples)
        labeled = select(inputs, data_samples, *self.learns_labels_of)
        others = set(SUPERVISIONS).difference(self.learns_labels_of)
        unlabeled = select(inputs, data_samples, *others)
        self._set_active(domain)
        self.encode(labeled, unlabeled)
        losses = {}
        if len(labeled):
            losses.update(self.loss_labeled(domain, labeled))
        if len(unlabeled):
            losses.update(self.loss_unlabeled(domain, unlabeled))
        if self.discriminator is not None:
            losses.update(self.loss_adversarial(domain, labeled, unlabeled))
        return add_prefix(losses, domain.name)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up the losses as mmengine does; what is logged is the mean over all ranks."""
        total, logged = super().parse_losses(losses)
        if get_world_size() > 1:
            values = torch.stack([value.detach().float() for value in logged.values()])
            all_reduce(values, op='mean')
            logged = dict(zip(logged, values, strict=True))
        return total, logged

    def encode(self, *batches: Batch) -> None:
        """Give each batch its features: z_l = h(x_l), z_u = h(x_u)."""
        batches = [batch for batch in batches if len(batch)]
        if not self.joint_encoding:
            for batch in batches:
                batch.features = self.extract_feat(batch.images)
            return
        features = self.extract_feat(torch.cat([batch.images for batch in batches]))
        parts = [level.split([len(batch) for batch in batches]) for level in features]
        for batch, *levels in zip(batches, *parts, strict=True):
            batch.features = levels

    def loss_labeled(self, domain: Domain, labeled: Batch) -> dict[str, Tensor]:
        """L_s (Eq. 1 or 4): the loss of the domain's main head, by its ``loss_decode``."""
        return domain.loss(labeled.features, labeled.samples, labeled.size)

    def loss_unlabeled(self, domain: Domain, unlabeled: Batch) -> dict[str, Tensor]:
        """Return what a method learns from unlabeled and weakly labeled images.

        Supervised training learns nothing.
        """
        raise ValueError(
            f'{type(self).__name__} got {len(unlabeled)} unlabeled or weakly labeled images of '
            f'domain {domain.name}, expected none: it has no unsupervised loss. Set '
            'unlabeled_per_batch=0 and weak_per_batch=0 in the sampler (and batch_size to '
            'labeled_per_batch), or use a method such as CCT'
        )

    def loss_adversarial(self, domain: Domain, *batches: Batch) -> dict[str, Tensor]:
        """L_adv (Eq. 11): on all features of the iteration, through the gradient reversal."""
        batches = [batch for batch in batches if len(batch)]
        z = torch.cat([domain.z(batch.features) for batch in batches])
        valid = torch.cat([batch.valid() for batch in batches])
        return self.discriminator.loss(domain.name, z, valid)

    def domain_of(self, data_samples: Sequence[SegDataSample]) -> Domain:
        """Return the one domain that all samples belong to.

        Raises:
            ValueError: If they belong to several, or to one that the model does not have.
        """
        names = {sample.metainfo.get('domain') for sample in data_samples}
        if len(names) > 1:
            raise ValueError(
                f'a batch holds images of domains {sorted(map(str, names))}, expected one domain: '
                "train_dataloader's batch_size must be the sum of the counts _per_batch of its "
                'AlternatingDomainSampler'
            )
        return self.domain_named(names.pop())

    def domain_named(self, name: str | None) -> Domain:
        """Return a domain by its name; None means the only one.

        Raises:
            ValueError: For an unknown name, or None where there are several domains.
        """
        if name is None and len(self.domains) == 1:
            return next(iter(self.domains.values()))
        if name not in self.domains:
            raise ValueError(
                f'domain {name!r} is not in this model, expected one of {list(self.domains)}'
            )
        return self.domains[name]

    # Inference --------------------------------------------------------------------------------

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment images, each by the main head of its domain (from its metainfo).

        Args:
            inputs: [B, 3, H, W].
            data_samples: Tagged with ``domain``; the tag may be absent in a model of one domain.
        """
        names = [s.metainfo.get('domain') for s in data_samples] if data_samples else [None]
        if len(set(names)) == 1:
            self._set_active(self.domain_named(names[0]))
            return super().predict(inputs, data_samples)
        results = [
            self.predict(inputs[i : i + 1], [sample]) for i, sample in enumerate(data_samples)
        ]
        return [result for (result,) in results]

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return the logits of the active domain at the input's size, [B, C, H, W]."""
        domain = self.domain_named(batch_img_metas[0].get('domain'))
        self._set_active(domain)
        return domain.logits(self.extract_feat(inputs), tuple(inputs.shape[2:]))

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        domain = self.domain_of(data_samples) if data_samples else self.domain_named(None)
        self._set_active(domain)
        return domain.logits(self.extract_feat(inputs), tuple(inputs.shape[2:]))


def select(inputs: Tensor, data_samples: list[SegDataSample], *supervisions: str) -> Batch:
    """Return the images with these kinds of supervision."""
    chosen = [i for i, s in enumerate(data_samples) if s.metainfo['supervision'] in supervisions]
    return Batch(inputs[chosen], [data_samples[i] for i in chosen])


def check_supervision(data_samples: Sequence[SegDataSample]) -> None:
    """Check that every sample says whether it is labeled.

    Raises:
        ValueError: If one does not, or says something else.
    """
    found = {sample.metainfo.get('supervision') for sample in data_samples}
    if unknown := found - set(SUPERVISIONS):
        raise ValueError(
            f'a sample has supervision {unknown.pop()!r} in its metainfo, expected one of '
            f'{", ".join(SUPERVISIONS)}; train on a MultiDomainDataset, which tags its samples'
        )


def check_sizes(data_samples: Sequence[SegDataSample]) -> None:
    """Check that all images of a batch have one size.

    mmseg would pad the smaller ones; it is more often a forgotten Resize or crop. Where the
    preprocessor has a ``size`` to pad to, padding is meant, and this is not called.

    Raises:
        ValueError: If they differ.
    """
    sizes = {tuple(sample.metainfo['img_shape'][:2]): sample for sample in data_samples}
    if len(sizes) > 1:
        found = ', '.join(
            f'{height}x{width} ({sample.metainfo.get("img_path", "no path")})'
            for (height, width), sample in sizes.items()
        )
        raise ValueError(
            f'a batch holds images of sizes {found}, expected one size for all labeled and '
            'unlabeled images of a domain: give the pipelines of both sources the same Resize '
            'or crop'
        )
