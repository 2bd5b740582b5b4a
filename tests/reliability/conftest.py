"""What all tests of reliability share: a server that starts tools, and a tiny data set."""

import pytest
from bad_inputs import Shared
from fork_server import ForkServer


@pytest.fixture(scope='session')
def shared(tmp_path_factory):
    with ForkServer() as server:
        yield Shared(tmp_path_factory.mktemp('shared'), server)
