"""Further views of an image, geometrically aligned with it, for methods that compare views."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class AddView(BaseTransform):
    """Add another view of the packed image: other colors, the same geometry.

    It comes after ``PackSegInputs``, so that a view shows what the image shows, pixel by pixel, and
    labels and padding are the same for both. Random numbers come from the generators that all
    transforms use; they are drawn after the image is complete, which stays as it is without views.

    Required keys: ``inputs`` (uint8, [3, H, W]) and ``data_samples``. Added field:
    ``data_samples.views``, a ``PixelData`` with one image per name (uint8, [3, H, W]).

    Args:
        name: What methods call the view; an identifier.
        transforms: Configs of photometric transforms, such as ``PhotoMetricDistortion``.

    Raises:
        ValueError: If the name is no identifier, the sample is not packed or has such a view
            already, or a transform changes the size of the image.

    Example:
        >>> pipeline = [
        ...     dict(type='LoadCheckedImage'),
        ...     dict(type='RandomFlip', prob=0.5),
        ...     dict(type='PackSegInputs'),
        ...     dict(type='AddView', name='gray', transforms=[dict(type='RGB2Gray')]),
        ... ]
    """

    def __init__(self, name: str, transforms: Sequence[dict]) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"AddView: name is {name!r}, expected an identifier such as 'strong'")
        self.name = name
        self.transforms = Compose([TRANSFORMS.build(transform) for transform in transforms])

    def transform(self, results: dict) -> dict:
        """Add the view.

        Args:
            results: A packed sample, see the class.

        Returns:
            The same dictionary.
        """
        image, sample = results.get('inputs'), results.get('data_samples')
        if not isinstance(image, torch.Tensor) or sample is None:
            raise ValueError(
                f'AddView {self.name!r}: the sample has {sorted(results)}, expected a packed one '
                "with inputs and data_samples; put it after dict(type='PackSegInputs')"
            )
        if image.dtype != torch.uint8:
            raise ValueError(
                f'AddView {self.name!r}: {sample.get("img_path")} has {image.dtype} values, '
                'expected torch.uint8, which a view has, too; load images as 8 bits (max_value of '
                'LoadCheckedImage), or make strong views on the device, strong=dict(views=1)'
            )
        views = sample.get('views', PixelData())
        if self.name in views:
            raise ValueError(
                f'AddView: {sample.get("img_path")} has a view {self.name!r} already, expected '
                'another name'
            )
        size = tuple(image.shape[1:])
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy()).copy()  # [H, W, 3]
        view = dict(img=pixels, img_shape=size, ori_shape=size, img_path=sample.get('img_path'))
        pixels = self.transforms(view)['img']
        if pixels.shape != (*size, image.shape[0]):
            raise ValueError(
                f'AddView {self.name!r}: its transforms make {pixels.shape[:2]} of an image of '
                f'{size}, expected the same size, because a view is aligned with its image; put '
                "what changes the geometry before dict(type='PackSegInputs')"
            )
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        setattr(views, self.name, torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
        sample.views = views
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name={self.name!r}, transforms={self.transforms})'
