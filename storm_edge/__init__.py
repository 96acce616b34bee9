"""STORM-Edge: segment, register and track an object in 6D from one 3D model, on the edge.

Importing this package needs no GPU, no torch and no TensorRT.
"""

__version__ = "0.2.0"
