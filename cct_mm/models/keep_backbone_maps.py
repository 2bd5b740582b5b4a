"""A neck that also hands on what it was given, so that z can be a map of the backbone."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class KeepBackboneMaps(BaseModule):
    """The backbone's maps, then those of a neck.

    CCT perturbs the map that ``z_index`` of a domain names. With this neck it can be one before the
    neck, while the main head goes on reading the neck's last map (``in_index=-1``)::

        neck=dict(type='KeepBackboneMaps', neck=dict(type='JPU', ...)),
        domains=dict(NAME=dict(z_index=2)),  # the third of the backbone's maps

    L_u then trains the backbone up to that map, and not the neck.

    Args:
        neck: Config of the neck.
        init_cfg: As in mmengine.

    Shape:
        - inputs: the backbone's maps, [B, D, h, w] each
        - output: the same, then the neck's
    """

    def __init__(self, neck: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.neck = MODELS.build(neck)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return all maps, the neck's last."""
        return (*inputs, *self.neck(inputs))
