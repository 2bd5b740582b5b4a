"""Every command and program of docs/export.md, with a network of no size."""

import os
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest
from doc_pages import ROOT, blocks, commands
from two_domains import write_network

PAGE = 'docs/export.md'
TRAINED = ['configs/multi_domain/cct_toy.py', 'work_dirs/cct_toy/iter_400.pth']


@pytest.mark.slow
def test_everything_on_the_page_runs(tmp_path):
    pytest.importorskip('onnxscript', reason='the extra export is not installed')
    pytest.importorskip('onnxruntime', reason='the extra export is not installed')
    write_network(tmp_path)
    cv2.imwrite(str(tmp_path / 'photo.jpg'), np.full((50, 70, 3), 90, np.uint8))
    found = [line for line in commands(PAGE) if line.startswith('python')]
    assert len(found) == 1
    for line in found:
        for path, tiny in zip(TRAINED, ('network.py', 'network.pth'), strict=True):
            assert path in line
            line = line.replace(path, str(tmp_path / tiny))
        _, *arguments = shlex.split(line.replace('--out ', f'--out {tmp_path}/'))
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)
    programs = blocks(PAGE, 'python')
    assert len(programs) == 3
    for program in programs:
        subprocess.run([sys.executable, '-c', program], cwd=tmp_path, check=True)
    assert cv2.imread(str(tmp_path / 'labels.png')).shape == (50, 70, 3)
    assert os.listdir(tmp_path / 'drawn/vis') == ['photo.jpg']


def test_the_named_config_is_there():
    assert (ROOT / TRAINED[0]).is_file()
