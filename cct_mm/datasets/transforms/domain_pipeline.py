"""What mmseg's inference needs: an image by itself becomes what the network of its domain sees."""

from collections.abc import Mapping, Sequence

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS

from cct_mm.models.active_domain import ActiveDomain

from .load_image import LoadCheckedImage


@TRANSFORMS.register_module()
class DomainPipeline(BaseTransform):
    """Take an image through the pipeline of a domain's evaluation, all but its labels.

    A file is read as in that pipeline: what stood before, such as mmseg's reading, has no effect.
    Images that EXIF data turn are turned, unless the pipeline says otherwise: without a mask there
    is nothing that they might not fit. The sample says which domain it belongs to.

    Args:
        domains: For each domain's name its pipeline, whose first transform reads the image.
        active: The network's, which says the domain, or the name of one.

    Raises:
        ValueError: If the active domain has no pipeline.
    """

    def __init__(
        self, domains: Mapping[str, Sequence[dict]], active: ActiveDomain | str | None
    ) -> None:
        if not isinstance(active, ActiveDomain):
            # From a config that was written to a file.
            name, active = active, ActiveDomain(domains)
            active.default = name
        self.active = active
        self.pipelines = {name: _without_labels(steps) for name, steps in domains.items()}

    def transform(self, results: dict) -> dict:
        """Read the image anew where it comes from a file, transform and pack it."""
        name = self.active.name
        if name not in self.pipelines:
            raise ValueError(
                f'domain {name} is in neither test_dataloader nor val_dataloader, expected it in '
                'one of them, because its pipeline says at which size the network looks at an '
                'image; or write a test_pipeline into the config'
            )
        load, rest = self.pipelines[name]
        packed = rest(load(dict(img_path=path)) if (path := results.get('img_path')) else results)
        packed['data_samples'].set_metainfo(dict(domain=name))
        return packed


def _without_labels(steps: Sequence[dict]) -> tuple[BaseTransform, Compose]:
    load, *rest = steps
    load = TRANSFORMS.build(load)
    if isinstance(load, LoadCheckedImage) and load.reading['orientation'] is None:
        load.reading['orientation'] = 'exif'
    # The image is loaded, so that what is loaded after it are labels.
    return load, Compose([t for t in rest if not _name(t['type']).startswith('Load')])


def _name(kind: str | type) -> str:
    return kind if isinstance(kind, str) else kind.__name__
