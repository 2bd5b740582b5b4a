"""Let configs name a ``_base_`` of mmseg's model zoo: ``'mmseg::_base_/models/upernet_r50.py'``.

mmengine looks for the zoo in the distribution ``mmsegmentation``, which ``onedl-mmsegmentation``
has replaced; by the name of the module it finds either.
"""

from mmengine.config.utils import MODULE2PACKAGE

MODULE2PACKAGE['mmseg'] = 'mmseg'
