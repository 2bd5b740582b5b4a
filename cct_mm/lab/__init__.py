"""The workshop beside the plugin: grids, benchmark, toy scenes, splits, quality of pseudo-labels.

The tools use it; the plugin never imports it. What it needs besides the plugin's packages is the
extra ``lab``.
"""
