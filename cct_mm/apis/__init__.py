"""Use a trained network from Python: load it, and predict on images, folders and videos.

``model.py`` loads a network, ``inputs.py`` finds images and frames, ``pipeline.py`` brings them to
what the network sees, ``tta.py`` says at which scales, ``predictor.py`` predicts
by one domain and ``inference.py`` image after image, ``prediction.py`` is what comes out, and
``results.py`` writes it for ``tools/predict.py``.
"""

from .inference import predict
from .model import init_model
from .prediction import Prediction
from .tta import TABLE_9_SCALES

__all__ = ['TABLE_9_SCALES', 'Prediction', 'init_model', 'predict']
