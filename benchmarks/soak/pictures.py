"""Files of the rendered pictures: all that the camera process, which must start fast, needs of the stage."""

from __future__ import annotations

DEPTH_UNIT_M = 1e-3
RGB, DEPTH, K = "rgb.npy", "depth.npy", "K.npy"
