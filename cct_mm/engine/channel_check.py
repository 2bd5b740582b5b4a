"""Check that images, normalization and backbone agree in their number of channels."""

from torch.utils.data import Dataset

from cct_mm.datasets import LoadCheckedImage
from cct_mm.datasets.wrappers import pipelines
from cct_mm.models.input_channels import first_convolution
from cct_mm.models.segmentors import MultiDomainSegmentor


def check_channels(model: MultiDomainSegmentor, dataset: Dataset) -> None:
    """Check that a model is made for the channels of a data set's images.

    PyTorch would stretch a single channel over the three values of a mean without a word.

    Args:
        model: The model.
        dataset: A ``MultiDomainDataset``; images that no :class:`LoadCheckedImage` loads are not
            checked.

    Raises:
        ValueError: If normalization or backbone expect another number.
    """
    for source in getattr(dataset, 'sources', ()):
        for steps in pipelines(source.dataset):
            for loader in steps:
                # With mmcv's decoders, 3 stands for any number.
                if isinstance(loader, LoadCheckedImage) and not (
                    loader.by_mmcv and loader.channels == 3
                ):
                    _check_model(model, loader.channels, source.name)


def _check_model(model: MultiDomainSegmentor, channels: int, name: str) -> None:
    found = f'{name}: its images have {channels} channel(s), as LoadCheckedImage says'
    for key in ('mean', 'std'):
        values = getattr(model.data_preprocessor, key, None)
        if values is not None and len(values) not in (1, channels):
            raise ValueError(
                f'{found}, and model.data_preprocessor.{key} has {len(values)} values, expected '
                'one for each channel'
            )
    conv = first_convolution(model.backbone)
    # Of color images PyTorch says so itself, and a backbone may build its layers in any order.
    if channels != 3 and conv is not None and conv.in_channels != channels:
        raise ValueError(
            f'{found}, and the backbone takes {conv.in_channels}, expected as many; set '
            f'model.backbone.in_channels={channels}'
        )
