"""Measure what Cross-Consistency Training costs in time, memory and launches.

The command is ``tools/benchmark.py``, its options are in ``arguments``; docs/performance.md says
how things are measured.

- what: ``cases``; planned by ``step`` (with ``variants``), ``decoders``, ``scale`` and ``targets``
  (with ``plain``, the yardstick), from ``config`` and ``inputs``
- how: ``measure``, by ``timing``, ``memory`` and ``counts`` (``calls``, ``gpu_counts``); ``loader``
- then: ``report`` makes tables, ``goals`` says what is met and missed
"""
