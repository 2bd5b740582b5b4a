"""Loading of images that refuses what would be taken for something else."""

from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from ..reading import Header, check_image_arguments, check_image_header, read_header, read_image
from .files import dataset_named, decode_by_mmcv, read_bytes


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """Load an image as three channels or as ``channels``, and refuse what would be misread.

    Refused are damaged and truncated files, images that EXIF data turn but not their masks, and
    images of more than 8 bits, see :func:`~cct_mm.datasets.reading.read_image`. Gray images,
    palettes and images with an alpha channel become BGR like all others. With another number of
    ``channels``, every image has to have as many, and they stay in the order of the file.

    Required keys: ``img_path``. Added keys: ``img``, ``img_shape``, ``ori_shape``. An optional
    ``dataset_name`` is named in errors.

    Args:
        to_float32: Whether the image becomes float32 instead of uint8. Default: False.
        color_type: ``flag`` of :func:`mmcv.imfrombytes`. With another than ``'color'``, mmcv
            decodes the image after it was checked (``'unchanged'``: whatever it holds), and
            ``orientation``, ``max_value`` and ``strict`` do not apply. Default: ``'color'``.
        imdecode_backend: With another than ``'cv2'``, too, mmcv decodes the image. Default:
            ``'cv2'``, whose pixels :func:`~cct_mm.datasets.reading.read_image` returns.
        backend_args: Arguments of mmengine's file backend. Default: None, local files.
        orientation: ``'stored'`` keeps images that EXIF data turn in the order of their files,
            ``'exif'`` turns them, which suits masks of the turned images; None refuses them.
            Default: None.
        max_value: The value that becomes 255 in images of more than 8 bits, > 0; None refuses
            them. Default: None.
        strict: Whether a damaged JPEG is refused; if not, it is used as the decoder leaves it,
            with a warning. Default: True.
        channels: 1 for gray images such as infrared, 4 for files of four channels, such as red,
            green, blue and near infrared. Where mmcv decodes images
            (``imdecode_backend='tifffile'`` reads TIFFs of any number of channels), the number that
            they have to have, 3 meaning whatever there is. Default: 3.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file or an argument cannot be used.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = 'color',
        imdecode_backend: str = 'cv2',
        backend_args: dict | None = None,
        orientation: str | None = None,
        max_value: float | None = None,
        strict: bool = True,
        channels: int = 3,
    ) -> None:
        super().__init__(
            to_float32=to_float32,
            color_type=color_type,
            imdecode_backend=imdecode_backend,
            backend_args=backend_args,
        )
        self.by_mmcv = (color_type, imdecode_backend) != ('color', 'cv2')
        check_image_arguments(orientation, max_value, 3 if self.by_mmcv else channels)
        self.channels = channels
        self.reading = dict(orientation=orientation, max_value=max_value, strict=strict)
        if self.by_mmcv and (orientation, max_value, strict) != (None, None, True):
            raise ValueError(
                f'orientation, max_value and strict do not apply where mmcv decodes images '
                f'(color_type={color_type!r}, imdecode_backend={imdecode_backend!r}), expected '
                f'none of them; leave color_type and imdecode_backend out'
            )

    def transform(self, results: dict) -> dict:
        """Read ``results['img_path']`` and add the image and its shape."""
        path = results['img_path']
        with dataset_named(results):
            content = read_bytes(path, 'image', self.backend_args)
            if self.by_mmcv:
                image = self._decode_by_mmcv(content, path)
            else:
                image = read_image(content, name=path, channels=self.channels, **self.reading)
        results['img'] = image.astype(np.float32) if self.to_float32 else image  # [H, W, channels]
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def check_header(self, header: Header) -> None:
        """Refuse an image by its header, as :meth:`transform` does.

        Raises:
            ValueError: If it cannot be used.
        """
        reading = self._reading_of(header)
        if reading is not None:
            channels = 3 if self.by_mmcv else self.channels
            check_image_header(header, reading['orientation'], reading['max_value'], channels)

    def size_of(self, header: Header) -> tuple[int, int] | None:
        """Return width and height of an image as loaded; None where its header cannot tell."""
        if header.orientation < 5 or self.reading['orientation'] == 'stored':
            return header.width, header.height
        return None if self.by_mmcv else (header.height, header.width)

    def _reading_of(self, header: Header) -> dict[str, Any] | None:
        """Return how :func:`read_image` reads an image; None for one that mmcv takes as it is."""
        if not self.by_mmcv:
            return self.reading
        as_it_is = self.color_type == 'unchanged' or self.imdecode_backend == 'tifffile'
        if as_it_is and header.format not in ('JPEG', 'MPO'):
            return None
        # Each backend turns images in its own way, so that those with such EXIF data are refused.
        ignored = self.color_type.endswith('_ignore_orientation')
        return {**self.reading, 'orientation': 'stored' if ignored else None}

    def _decode_by_mmcv(self, content: bytes, path: str) -> np.ndarray:
        reading = self._reading_of(read_header(content, name=path))
        if reading is not None:
            read_image(content, name=path, **reading)
        image = decode_by_mmcv(content, 'image', path, self.color_type, self.imdecode_backend)
        found = image.shape[2] if image.ndim == 3 else 1
        if self.channels not in (3, found):
            raise ValueError(
                f'image {path} has {found} channels as {self.imdecode_backend} reads it, expected '
                f'{self.channels}, because of channels={self.channels}; say how many all images of '
                f'the source have: LoadCheckedImage(channels={found})'
            )
        return image
