"""The notebook runs from top to bottom, here for two iterations and two test images."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
SHORT = """
ITERATIONS = 2
TEST_IMAGES = 2
WORK_DIR = 'work'
"""


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    notebook = nbformat.read(ROOT / 'demo/cct_mm.ipynb', as_version=4)
    assert not any(cell.get('outputs') for cell in notebook.cells), 'clear the outputs'
    parameters = next(cell for cell in notebook.cells if cell.cell_type == 'code')
    assert 'ITERATIONS = ' in parameters.source
    parameters.source = SHORT
    NotebookClient(notebook, timeout=300, resources={'metadata': {'path': tmp_path}}).execute()
    outputs = [out for cell in notebook.cells for out in cell.get('outputs', [])]
    pictures = [out for out in outputs if 'image/png' in out.get('data', {})]
    # Images with labels of two domains, a curve, two test images of each domain.
    assert len(pictures) == 2 + 1 + 4
    printed = ''.join(out.get('text', '') for out in outputs)
    assert 'night/mIoU' in printed
