"""PyTorch modules as scikit-learn classifiers, with an accuracy you can trust.

Names are loaded on first use, so that ``import sktorch_acc.metrics`` does not import torch. They are listed in
``__init__.pyi``.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
