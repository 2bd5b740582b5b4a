"""What all tests share."""

import os

import pytest


@pytest.fixture(scope='session', autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep what is found out about files out of the user's home, also in tools that tests start."""
    before = os.environ.get('CCT_MM_CACHE')
    os.environ['CCT_MM_CACHE'] = str(tmp_path_factory.mktemp('cache'))
    yield
    if before is None:
        del os.environ['CCT_MM_CACHE']
    else:
        os.environ['CCT_MM_CACHE'] = before
