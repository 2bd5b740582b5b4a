"""Cross-Consistency Training for several domains, as a plugin of MMSegmentation.

Importing it registers everything: ``custom_imports = dict(imports=['cct_mm'])`` in a config.
"""

from . import datasets, engine, evaluation, models
from .version import __version__

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models']
