"""The scopes in which a config's ``_base_`` is read: ``'cct_mm::...'``, ``'mmseg::...'``.

What this package registers is in mmseg's registries, so that configs need no prefix; these are
their children, which find it there. mmengine imports this module by its name.
"""

from mmengine.config import utils as config_utils
from mmengine.registry import Registry
from mmseg import registry as mmseg_registries

# mmengine has a fixed list of the packages that may bring configs along. It looks for mmseg in the
# distribution mmsegmentation, which onedl-mmsegmentation replaces; by the module's name it finds
# either.
config_utils.MODULE2PACKAGE.update(cct_mm='cct_mm', mmseg='mmseg')

# A registry imports its own locations alone before it asks its parent.
REGISTRIES = {
    name: Registry(
        parent.name, scope='cct_mm', parent=parent, locations=[*parent._locations, 'cct_mm']
    )
    for name, parent in vars(mmseg_registries).items()
    if isinstance(parent, Registry)
}
"""mmseg's name of each registry -> its child."""
