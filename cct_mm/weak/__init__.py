"""From image-level labels to pseudo-labels (paper, Section 3.3).

``images.py`` reads the images, ``networks.py`` loads the network, ``cam.py`` shows where a
classifier sees a class, ``pseudo_labels.py`` decides on labels by thresholds, ``crf.py`` refines
them, ``writer.py`` puts them on disk, and ``generate.py`` does all of it for a dataset, with
processes for the CRF beside the network. ``label_images.py`` is what the command does.
"""
