"""The workshop beside the plugin: new domains, grids, reports, analyses, benchmarks and more.

The tools use it; the plugin never imports it. What it needs besides the plugin's packages is the
extra ``lab``.
"""
