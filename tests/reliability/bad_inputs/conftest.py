"""A lab for each case."""

import pytest
from bad_inputs import Lab


@pytest.fixture
def lab(shared, tmp_path_factory):
    # Not tmp_path, whose name tells the case: words of it would be found in every message.
    return Lab(tmp_path_factory.mktemp('lab') / 'it', shared.server, shared)
