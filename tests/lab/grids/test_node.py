import json
import os
import subprocess
import sys

import pytest

from cct_mm.lab.grids import node
from cct_mm.lab.grids.node import describe_cpu, describe_hardware
from cct_mm.lab.grids.record import describe_machine


def test_it_becomes_the_command_and_ends_with_its_code(tmp_path):
    file, code = tmp_path / 'machine.json', 'import os, sys; sys.exit(os.getpid() == int(input()))'
    process = subprocess.Popen(
        [sys.executable, node.__file__, str(file), sys.executable, '-c', code],
        stdin=subprocess.PIPE,
    )
    process.communicate(str(process.pid).encode())
    assert process.returncode == 1
    assert json.loads(file.read_text())['cpu'] == describe_machine()['cpu']


def test_a_node_has_its_name_in_the_cluster(monkeypatch):
    monkeypatch.setenv('SLURMD_NODENAME', 'gpu-07')
    assert describe_hardware()['host'] == 'gpu-07'


def test_cores_are_those_that_the_process_may_use():
    assert describe_cpu()['cores'] == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ('chosen', 'found'), [(None, 'all of them'), ('2,3', '--id=2'), ('', None)]
)
def test_the_gpu_is_the_first_that_may_be_used(tmp_path, monkeypatch, chosen, found):
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\necho "${3:-all of them}"\necho another\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    if chosen is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', chosen)
    assert describe_hardware()['gpu'] == found


def test_a_machine_without_gpus_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert describe_hardware()['gpu'] is None
