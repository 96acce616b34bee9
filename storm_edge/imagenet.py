"""How images are normalised for networks whose backbone was trained on ImageNet: DINOv2 and SAM2."""

from __future__ import annotations

import numpy as np

IMAGENET_MEAN = np.array((0.485, 0.456, 0.406), dtype=np.float32)
"""Subtracted from RGB in [0, 1], shape ``(3,)``."""
IMAGENET_STD = np.array((0.229, 0.224, 0.225), dtype=np.float32)
"""What the difference is divided by, shape ``(3,)``."""
