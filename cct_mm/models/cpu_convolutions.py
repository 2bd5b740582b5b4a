"""Convolutions that PyTorch gets wrong or slow on a CPU, in forms that it gets right and fast."""

from torch import nn

from .dilated_depthwise import use_dilated_depthwise
from .strided_pointwise import use_strided_pointwise


def use_cpu_convolutions(module: nn.Module) -> None:
    """Convert the convolutions of ``module`` that need it; those that are converted stay so.

    Parameters, checkpoints and results stay as they are, and so does all that a GPU computes.
    """
    use_dilated_depthwise(module)
    use_strided_pointwise(module)
