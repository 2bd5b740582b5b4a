"""From image-level labels to pseudo-labels (paper, Section 3.3).

``cam.py`` shows where a classifier sees a class, ``pseudo_labels.py`` decides on labels by
thresholds, ``crf.py`` refines them, ``writer.py`` puts them on disk, ``generate.py`` does all of it
for a dataset, with processes for the CRF beside the network, and ``quality.py`` compares the result
with true masks.
"""
