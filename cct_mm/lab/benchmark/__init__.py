"""Measure what Cross-Consistency Training costs in time and memory; see ``tools/benchmark.py``.

``step``, ``decoders`` and ``scale`` plan ``cases``, which ``measure`` measures (``timing``,
``memory``); ``loader`` times the loader. ``report`` turns the figures into tables.
"""
