"""What all tests share."""

import os
import subprocess
import sys
import textwrap

import pytest

JOIN = """
import os, sys
import torch
from torch import distributed

torch.set_num_threads(1)
rank, meet = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group('gloo', init_method=f'file://{meet}', rank=rank, world_size=2)
"""


@pytest.fixture
def on_two_processes(tmp_path):
    """Run a script on two processes that gloo joins; it knows its ``rank``.

    Returns what each has printed to its error stream; the script must end well on both.
    """

    def run(script):
        path = tmp_path / 'script.py'
        path.write_text(JOIN + textwrap.dedent(script))
        command = [sys.executable, str(path)]
        environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
        processes = [
            subprocess.Popen(
                [*command, str(rank), str(tmp_path / 'meet')],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            errors = [process.communicate(timeout=120)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0, 0], '\n'.join(
            error[-2000:] for error in errors
        )
        return errors

    return run


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
