"""Convolutions that PyTorch computes wrongly or slowly on a CPU, in forms that it computes well."""

from torch import nn

from .dilated_depthwise import use_dilated_depthwise
from .strided_pointwise import use_strided_pointwise

__all__ = ['use_cpu_convolutions']


def use_cpu_convolutions(module: nn.Module) -> None:
    """Convert the convolutions of ``module`` that need it, in place; a second call changes nothing.

    Parameters, checkpoints and results stay the same, and a GPU computes what it did before.
    """
    use_dilated_depthwise(module)
    use_strided_pointwise(module)
