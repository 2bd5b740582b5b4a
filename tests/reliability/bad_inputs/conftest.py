"""A lab for each case, and the server that starts its tools."""

import pytest
from bad_inputs import Lab, Shared
from fork_server import ForkServer


@pytest.fixture(scope='session')
def shared(tmp_path_factory):
    with ForkServer() as server:
        yield Shared(tmp_path_factory.mktemp('shared'), server)


@pytest.fixture
def lab(shared, tmp_path_factory):
    # Not tmp_path, whose name tells the case: words of it would be found in every message.
    return Lab(tmp_path_factory.mktemp('lab') / 'it', shared.server, shared)
