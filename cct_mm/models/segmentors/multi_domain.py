"""The base of every method: a shared encoder, a main head for each domain, routing, prediction."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from cct_mm.labels import SUPERVISIONS
from cct_mm.models.active_domain import ActiveDomain
from cct_mm.models.batch_preprocessor import instead_of_mmsegs
from cct_mm.models.cpu import use_cpu_convolutions
from cct_mm.models.domain import Domain
from cct_mm.models.dry_forward import EncoderMaps, dry_forward
from cct_mm.models.input_channels import take_color_weights
from cct_mm.models.mmseg_weights import take_weights
from cct_mm.models.norm import NORMS, freeze_statistics, norm_named, use_domain_specific_norms
from cct_mm.models.unknown import SaysWhy

from .batch import Batch, check_sizes, check_supervision, join, select
from .plain_mmseg import ServesMmseg


@dataclass(frozen=True)
class Needs:
    """What a method asks of the training data; ``DomainCheckHook`` compares it before training.

    Args:
        labels_of: Kinds of sources whose labels the method learns from, see
            :data:`~cct_mm.labels.SUPERVISIONS`. Their images are the labeled batch; those of all
            other sources are the unlabeled batch.
        unlabeled: Whether it learns from the unlabeled batch. A method that does not must not get
            one, because its images would be loaded in vain.
        sample_keys: Whether it draws random numbers by the samples' keys, which only the
            ``AlternatingDomainSampler`` gives.
        views: Names of further views of each unlabeled image, which the transform ``AddView`` adds.
    """

    labels_of: tuple[str, ...] = ('labeled',)
    unlabeled: bool = False
    sample_keys: bool = False
    views: tuple[str, ...] = ()


def without_classes(head: dict, owner: str) -> dict:
    """Return the config of a head without ``num_classes``, which follows from each domain.

    Args:
        head: As in mmseg's model zoo.
        owner: Who asks, as an error calls it.

    Raises:
        ValueError: If it is a cascade of heads.
    """
    if not isinstance(head, dict):
        raise ValueError(
            f'{owner}: decode_head is a list of {len(head)} heads, each of which reads the one '
            'before (a CascadeEncoderDecoder), expected one head; take a model of the zoo with '
            'one, or the last of them with what it reads'
        )
    return {key: value for key, value in head.items() if key != 'num_classes'}


class MultiDomainSegmentor(SaysWhy, ServesMmseg, EncoderDecoder):
    """One encoder h and, for each domain, a main head g; a method derives from it.

    It is an mmseg ``EncoderDecoder`` whose decode head is that of the active domain. A method is
    one module that says what it :attr:`needs`, computes its losses in :meth:`loss_of_batches`, and
    adds modules of its own to the domains in :meth:`extend_domain`.

    Args:
        backbone: Config of the backbone, as in mmseg.
        decode_head: Config of the main heads; each domain gets one built from it, with as many
            classes as it has, whatever ``num_classes`` says here.
        domains: For each domain's name ``dict(classes=..., foreground=..., decode_head=...,
            z_index=...)``, see :class:`cct_mm.models.domain.Domain`. A domain's own ``decode_head``
            entries override the common ones; one of another ``type`` takes none of them.
        neck: Config of the neck, e.g. ``PSPNeck``, part of the shared encoder.
        auxiliary_head: As in mmseg: config of a head of deep supervision, or a list of them; each
            domain gets its own. They learn from labeled images alone, and have nothing to do with
            the auxiliary decoders of CCT.
        joint_encoding: Encode several batches in one pass, in which batch norm normalizes them
            together. By default each has a pass of its own, as in the released code.
        norm: How the encoder's batch norms treat domains, one of
            :data:`cct_mm.models.norm.NORMS`.
        frozen_backbone: Train neck and heads alone: the backbone keeps its weights and computes as
            in evaluation. Then its maps can be computed once, see docs/cached.md.
        channels_last: Store weights and maps channels last, which convolutions on CPUs and GPUs
            prefer; results stay the same.
        compile_encoder: Compile the backbone for training by ``torch.compile``: True, or the
            arguments of ``nn.Module.compile``. Results are the same to rounding, and checkpoints
            have the same names; see docs/performance.md.
        default_domain: The domain that is active where nobody says which, see
            :attr:`default_domain`.
        test_cfg: ``dict(mode='whole')`` or a sliding window, as in mmseg.
        data_preprocessor: As in mmseg; a
            :class:`~cct_mm.models.batch_preprocessor.BatchPreprocessor` stands in for mmseg's own.
            Without ``size`` and ``size_divisor`` it pads to multiples of the encoder's strides.
        train_cfg: As in mmseg, where it has no effect either; ``init_model`` of mmseg sets it.
        pretrained: As in mmseg: the backbone's ``pretrained``; better say it in the backbone.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Where there is no domain, a domain contradicts itself or has entries that the
            method does not know, or for an unknown norm or default domain.
    """

    needs = Needs()

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        domains: dict[str, dict],
        neck: dict | None = None,
        auxiliary_head: dict | Sequence[dict] | None = None,
        joint_encoding: bool = False,
        norm: str = 'domain-specific',
        frozen_backbone: bool = False,
        channels_last: bool = True,
        compile_encoder: bool | dict = False,
        default_domain: str | None = None,
        test_cfg: dict = {'mode': 'whole'},  # noqa: B006
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # EncoderDecoder's own constructor would build a single head.
        super(EncoderDecoder, self).__init__(instead_of_mmsegs(data_preprocessor), init_cfg)
        if not domains:
            raise ValueError(
                f'{type(self).__name__}: `domains` is empty, expected at least one entry '
                'name=dict(classes=(...)), see configs/_base_/domains'
            )
        if pretrained is not None:
            backbone = {**backbone, 'pretrained': pretrained}
        self.backbone = MODELS.build(backbone)
        take_color_weights(self.backbone)
        self.neck = MODELS.build(neck) if neck is not None else None
        self._in_channels = backbone.get('in_channels', 3)
        self._maps: EncoderMaps | None = None
        self._pad_to_strides()
        self.domains = ModuleDict()
        further = {}
        common = without_classes(decode_head, type(self).__name__)
        deep = [auxiliary_head] if isinstance(auxiliary_head, dict) else list(auxiliary_head or ())
        deep = [without_classes(head, type(self).__name__) for head in deep]
        for name, config in domains.items():
            head = config.get('decode_head', {})
            # A head of another type has other arguments.
            shared = common if head.get('type', common.get('type')) == common.get('type') else {}
            config = {**config, 'decode_head': {**shared, **head}}
            config.setdefault('auxiliary_head', deep)
            own = {key: config.pop(key) for key in Domain.KEYS if key in config}
            self._check_known(name, config)
            self.domains[name], further[name] = Domain(name, **own), config
        # Forked, so that whatever is drawn later starts as in the supervised baseline.
        with torch.random.fork_rng(devices=[]):
            for name, domain in self.domains.items():
                self.extend_domain(domain, **further[name])
        self.frozen_backbone = frozen_backbone
        if frozen_backbone:
            self.backbone.requires_grad_(False)
        self.joint_encoding = joint_encoding
        self.compile_encoder = compile_encoder
        self.norm = norm_named(norm, type(self).__name__)
        self._active = ActiveDomain(self.domains)
        self._active.default = default_domain
        for part in NORMS[self.norm]:
            if getattr(self, part) is not None:
                use_domain_specific_norms(getattr(self, part), self._active)
        self.train_cfg = train_cfg
        self.test_cfg = ConfigDict(test_cfg)
        # Here and not in a hook: DDP lays its buckets out like the weights that it finds, and mixes
        # gradients up where their format changes later.
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._prepare_memory()

    def _check_known(self, name: str, further: dict) -> None:
        parameters = inspect.signature(self.extend_domain).parameters
        if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return
        known = set(parameters) - {'domain'}
        if unknown := sorted(set(further) - known):
            raise ValueError(
                f'domains.{name}: unknown entries {", ".join(unknown)}, expected some of '
                f'{", ".join([*Domain.KEYS, *sorted(known)])}; see docs/config_keys.md'
            )

    def extend_domain(self, domain: Domain, *, auxiliary: dict | None = None) -> None:
        """Add the method's own modules to a domain; a method overrides it where it has some.

        Args:
            domain: The domain, with its main head. Its entries in ``domains`` that a
                :class:`~cct_mm.models.domain.Domain` does not know are passed as keywords.
            auxiliary: Config of auxiliary decoders, which methods without them leave aside: the
                same domain serves CCT and what it is compared with.
        """

    def encoder_maps(self) -> EncoderMaps:
        """Return shapes of the encoder's maps; the encoder is tried on an empty image, once."""
        if self._maps is None:
            self._maps = dry_forward(self, self._in_channels)
        return self._maps

    def _pad_to_strides(self) -> None:
        """Let a preprocessor that does not know how far to pad, as mmseg's zoo has it, do so."""
        preprocessor = self.data_preprocessor
        if getattr(preprocessor, 'size', 0) is None and preprocessor.size_divisor is None:
            preprocessor.size_divisor = self.encoder_maps().divisor()

    def _prepare_memory(self) -> None:
        use_cpu_convolutions(self)
        self.to(memory_format=self.memory_format)

    def init_weights(self) -> None:
        """Draw or load the weights, the same in either memory format."""
        # Random numbers fill a tensor in the order of its memory.
        self.to(memory_format=torch.contiguous_format)
        super().init_weights()
        self._prepare_memory()

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args
    ) -> None:
        """Load a checkpoint of mmseg's ``EncoderDecoder`` too."""
        take_weights(self, state_dict, prefix, local_metadata)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def train(self, mode: bool = True) -> 'MultiDomainSegmentor':
        """Switch to training; what is frozen stays as it is."""
        super().train(mode)
        # Here too, for the modules that a method has added after this constructor.
        use_cpu_convolutions(self)
        if self.norm == 'frozen':
            freeze_statistics(self.backbone)
        if self.frozen_backbone:
            self.backbone.eval()
        return self

    # The active domain ------------------------------------------------------------------------

    @contextmanager
    def active(self, domain: Domain | str) -> Iterator[Domain]:
        """Let encoder and head serve one domain: ``with model.active('camvid'): ...``.

        Args:
            domain: A domain of this model, or its name.

        Yields:
            The domain.

        Raises:
            ValueError: If the model does not have it.
        """
        domain = self.domain_named(domain if isinstance(domain, str) else domain.name)
        with self._active.scope(domain.name):
            yield domain

    @property
    def default_domain(self) -> str | None:
        """Name of the domain that is active outside of :meth:`active`, or None.

        A model with one domain needs none. Images without a domain in their metainfo belong to it.
        """
        return self._active.default

    @default_domain.setter
    def default_domain(self, name: str | None) -> None:
        self._active.default = name

    @property
    def active_domain(self) -> Domain:
        """The active domain.

        Raises:
            UnknownError: Outside of :meth:`active`, if there are several domains and no default.
        """
        return self.domains[self._active.name]

    @property
    def decode_head(self) -> torch.nn.Module:
        """Main head of the active domain, under mmseg's name."""
        return self.active_domain.decode_head

    @property
    def align_corners(self) -> bool:
        """The active main head's way to resize, under mmseg's name."""
        return self.decode_head.align_corners

    @property
    def num_classes(self) -> int:
        """Number of classes C of the active domain, under mmseg's name."""
        return self.active_domain.num_classes

    @property
    def out_channels(self) -> int:
        """Number of channels of the active domain's logits, under mmseg's name."""
        return self.active_domain.num_classes

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
        """Return a domain by its name; None means the default domain or the only one.

        Raises:
            ValueError: For an unknown name, or None where there are several domains and no default.
        """
        if name is None:
            only = next(iter(self.domains)) if len(self.domains) == 1 else None
            name = self.default_domain or only
        self._active.check(name)
        return self.domains[name]

    # Training ---------------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Return the losses of one iteration, L = L_s + what the method adds, named by domain.

        Args:
            inputs: Images of one domain, labeled and unlabeled, [B, 3, H, W].
            data_samples: Tagged with ``domain`` and ``supervision``.

        Raises:
            ValueError: If they belong to several domains or an unknown one, have several sizes, or
                have no known kind of supervision.
        """
        domain = self.domain_of(data_samples)
        if getattr(self.data_preprocessor, 'size', None) is None:
            check_sizes(data_samples)
        check_supervision(data_samples)
        labeled = select(inputs, data_samples, *self.needs.labels_of)
        others = set(SUPERVISIONS).difference(self.needs.labels_of)
        unlabeled = select(inputs, data_samples, *others)
        with self.active(domain):
            losses = self.loss_of_batches(domain, labeled, unlabeled)
        return add_prefix(losses, domain.name)

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """Return what a method learns from the images of one iteration; a method overrides it.

        The method encodes the batches itself, see :meth:`encode`: it pays for what it uses.

        Args:
            domain: The domain of all images; it is active.
            labeled: Images of the sources in ``needs.labels_of``; may be empty.
            unlabeled: Images of all other sources; may be empty.

        Returns:
            Losses (names with ``loss`` in them are added up) and values for the log.
        """
        raise NotImplementedError(
            f'{type(self).__name__} does not define loss_of_batches(domain, labeled, unlabeled), '
            'which makes a method of a MultiDomainSegmentor; see SupervisedSegmentor'
        )

    def loss_labeled(self, domain: Domain, labeled: Batch) -> dict[str, Tensor]:
        """L_s (Eq. 1 or 4): the loss of the domain's main head by its ``loss_decode``.

        Without labeled images in this iteration there is no such loss.
        """
        if not len(labeled):
            return {}
        return domain.loss(labeled.features, labeled.samples, labeled.size)

    def encode(self, *batches: Batch) -> None:
        """Give each batch its features: z_l = h(x_l), z_u = h(x_u); empty batches stay empty."""
        batches = [batch for batch in batches if len(batch)]
        if not self.joint_encoding or not batches:
            for batch in batches:
                batch.features = self.features(batch)
            return
        features = self.features(join(batches))
        parts = [level.split([len(batch) for batch in batches]) for level in features]
        for batch, *levels in zip(batches, *parts, strict=True):
            batch.features = levels

    def features(self, batch: Batch) -> Sequence[Tensor]:
        """Return h(images), from the backbone's maps where the batch brings them."""
        if not batch.maps:
            return self.extract_feat(batch.images)
        maps = [level.to(memory_format=self.memory_format) for level in batch.maps]
        return maps if self.neck is None else self.neck(maps)

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Return h(inputs), the encoder's maps, [B, D, h, w] each."""
        if self.compile_encoder is False:
            return super().extract_feat(inputs)
        if not self.training:
            # Images of inference have many sizes, each of which would be compiled.
            with torch.compiler.set_stance('force_eager'):
                return super().extract_feat(inputs)
        # Here and not in the constructor, because copies of a module are not compiled.
        if self.backbone._compiled_call_impl is None:
            options = {} if self.compile_encoder is True else self.compile_encoder
            self.backbone.compile(**options)
        return super().extract_feat(inputs)

    def view(self, batch: Batch, name: str) -> Batch:
        """Return the same images in another view, normalized and padded as the first one.

        The views of an image are geometrically aligned: labels and :meth:`Batch.valid` are those of
        the image itself. An empty batch is its own view.

        Args:
            batch: Images whose samples carry the view.
            name: The view's name, as the transform ``AddView`` has given it.

        Raises:
            ValueError: If a sample does not carry such a view.
        """
        if not len(batch):
            return Batch(batch.images, batch.samples)
        for sample in batch.samples:
            if name not in sample.get('views', ()):
                raise ValueError(
                    f'{type(self).__name__}: {sample.metainfo.get("img_path")} of domain '
                    f'{sample.metainfo.get("domain")} carries no view {name!r}; add '
                    f"dict(type='AddView', name={name!r}, transforms=[...]) to the end of the "
                    f'pipeline of its {sample.metainfo["supervision"]} source'
                )
        data = dict(
            inputs=[sample.views.get(name) for sample in batch.samples],
            data_samples=[SegDataSample(metainfo=sample.metainfo) for sample in batch.samples],
        )
        return Batch(self.data_preprocessor(data, training=True)['inputs'], batch.samples)

    def after_step(self) -> None:
        """Do what a method does after each optimizer step; ``TrainingProgressHook`` calls it."""

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up the losses as mmengine does; what is logged is the mean over all ranks."""
        total, logged = super().parse_losses(losses)
        if get_world_size() > 1:
            values = torch.stack([value.detach().float() for value in logged.values()])
            all_reduce(values, op='mean')
            logged = dict(zip(logged, values, strict=True))
        return total, logged

    # Inference --------------------------------------------------------------------------------

    @property
    def predictor(self) -> 'MultiDomainSegmentor':
        """The network that predicts; a method with a teacher overrides it."""
        return self

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment images, each by the main head of its domain (from its metainfo).

        Args:
            inputs: [B, 3, H, W].
            data_samples: Tagged with ``domain``; an image without a tag belongs to the default
                domain or the only one.
        """
        names = [s.metainfo.get('domain') for s in data_samples] if data_samples else [None]
        if len(set(names)) == 1:
            with self.active(self.domain_named(names[0])):
                return super().predict(inputs, data_samples)
        results = [
            self.predict(inputs[i : i + 1], [sample]) for i, sample in enumerate(data_samples)
        ]
        return [result for (result,) in results]

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return the logits of the images' domain at the input's size, [B, C, H, W]."""
        name = batch_img_metas[0].get('domain')
        with self.active(self.active_domain if name is None else name) as domain:
            return domain.logits(self.extract_feat(inputs), tuple(inputs.shape[2:]))

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        domain = self.domain_of(data_samples) if data_samples else self.active_domain
        return self.encode_decode(inputs, [dict(domain=domain.name)])
