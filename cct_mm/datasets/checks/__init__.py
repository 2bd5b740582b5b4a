"""What is checked in the data before training.

Two users share these checks: ``DataCheckHook`` before each training, from headers and label counts
alone, and ``tools/check_data.py``, which loads every file (``samples`` and ``report``).
"""
