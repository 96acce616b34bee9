"""Network inputs cut out of a patch, on the CPU: what RefineNet, ScoreNet and the verifier are trained on.

The same crop windows and normalised points as at run time (`docs/reference-networks.md` sections 5.4 to 5.7), by
OpenCV, which is many times faster than `kernels.reference.crop` and rounds colours to uint8; a test holds both
together. The bits are part of what a seed means, so a change here voids the networks' training records.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.synthetic.patches import Observation

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_MIN_Z_M = 0.001
_XYZ_LIMIT = 2.0


def crop(scene: Observation, window: Float64, size_px: int) -> tuple[Float32, Float32]:
    """Colour (bilinear) and points (nearest pixel) of a patch in a crop window.

    Args:
        scene: The patch.
        window: ``(su, tu, sv, tv)`` as in `kernels.crop`.
        size_px: Side of the crop [px].

    Returns:
        RGB in [0, 1] and camera-frame points [m], both ``(S, S, 3)``, 0 outside the patch or without a reading.
    """
    su, tu, sv, tv = window
    A = np.array([[su, 0.0, tu], [0.0, sv, tv]])
    rgb = cv2.warpAffine(scene.rgb, A, (size_px, size_px), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    side = len(scene.depth_m)
    # The crop is axis-aligned, so the nearest pixels are the same columns in every row.
    columns = np.rint(su * np.arange(size_px) + tu).astype(np.int64)
    rows = np.rint(sv * np.arange(size_px) + tv).astype(np.int64)
    z = scene.depth_m[np.ix_(np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1))]
    z[(rows < 0) | (rows >= side)] = 0.0
    z[:, (columns < 0) | (columns >= side)] = 0.0
    K = scene.K
    xyz = np.empty((size_px, size_px, 3), dtype=np.float32)
    np.multiply(z, ((columns - K[0, 2]) / K[0, 0]).astype(np.float32), out=xyz[..., 0])
    np.multiply(z, ((rows - K[1, 2]) / K[1, 1]).astype(np.float32)[:, None], out=xyz[..., 1])
    xyz[..., 2] = z
    return np.asarray(rgb * np.float32(1.0 / 255.0), dtype=np.float32), xyz


def network_input(colour: Float32, xyz: Float32, t: Float64, radius_m: float) -> Float32:
    """Channels first and xyz relative to the pose (reference-networks 5.4), shape ``(6, S, S)``.

    Args:
        colour: RGB in [0, 1] ``(S, S, 3)``.
        xyz: Camera-frame points [m] ``(S, S, 3)``, z = 0 where there is none.
        t: Translation of the current pose [m] ``(3,)``.
        radius_m: Half the object's diameter [m].
    """
    out = np.empty((6, *colour.shape[:2]), dtype=np.float32)
    write_network_input(out, colour, xyz, t, radius_m)
    return out


def write_network_input(out: Float32, colour: Float32, xyz: Float32, t: Float64, radius_m: float) -> None:
    """`network_input` into ``out (6, S, S)``."""
    out[:3] = colour.transpose(2, 0, 1)
    valid = xyz[..., 2] >= _MIN_Z_M
    for k in range(3):
        relative = (xyz[..., k] - np.float32(t[k])) * np.float32(1.0 / radius_m)
        out[3 + k] = np.where(valid & (np.abs(relative) < _XYZ_LIMIT), relative, np.float32(0.0))
