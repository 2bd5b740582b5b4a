"""Why CCT gains what it gains: docs/gain.md asks, ``tools/analyze_gain.py`` measures.

- ``measure``: one batch.
- ``analysis``: checkpoints of a run, over batches of its training data.
- ``tables`` and ``figure``: what is written.
- ``true_foreground``: a CCT for configs, whose guided perturbations know the truth.
"""
