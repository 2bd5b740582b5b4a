"""Export of one domain for use without this package: mmseg, ONNX, ``torch.export``."""

from .folder import Export, export_domain
from .plain import plain_model

__all__ = ['Export', 'export_domain', 'plain_model']
