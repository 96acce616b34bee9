"""STORM-Edge: segment, register and track an object in 6D from one 3D model, on the edge.

Importing this package needs no GPU, no torch and no TensorRT.
"""

import os

# ONNX Runtime from 1.32 on sends usage data and keeps a device identifier and a database in the user's cache folder.
# It reads this when it is first imported; whoever wants it sets 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"
