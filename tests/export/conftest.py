"""What the tests of the export share."""

import pytest
from two_domains import build, network_config


@pytest.fixture
def network():
    """Return config and network of a method and further options."""

    def make(*args, **options):
        cfg = network_config(*args, **options)
        return cfg, build(cfg)

    return make
