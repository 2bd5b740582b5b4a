"""The cluster assumption (Section 3.1, Supplement D): are distances high on label boundaries?

``distances.py`` says how far positions are from their neighbors and which are on a boundary,
``scores.py`` how much higher distances are there, and ``analysis.py`` goes through the images of a
domain for ``tools/analyze_cluster_assumption.py``; ``pictures.py`` draws them as Figs. 2 and 7 do.
"""

from .analysis import Settings, analyze, table
from .distances import neighbor_distances, on_boundary
from .scores import Scores

__all__ = ['Scores', 'Settings', 'analyze', 'neighbor_distances', 'on_boundary', 'table']
