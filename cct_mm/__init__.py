"""Cross-Consistency Training for several domains, as a plugin of MMSegmentation.

Importing it registers everything, and ``custom_imports = dict(imports=['cct_mm'])`` in a config
imports it. It also lets other configs build on those that come with it, as in
``_base_ = 'cct_mm::cct/cct_toy.py'``.
"""

import sys

from .version import __version__

__all__ = ['__version__']

# `python -m cct_mm` only lists and starts commands, for which nobody should wait; Python names it
# so while it looks for the module.
if not (sys.argv[:1] == ['-m'] and 'cct_mm' in sys.orig_argv):
    from .quiet import quiet_imports

    with quiet_imports():
        import mmseg.datasets
        import mmseg.models  # noqa: F401

    from . import datasets, engine, evaluation, models, registry

    __all__ += ['datasets', 'engine', 'evaluation', 'models', 'registry']
