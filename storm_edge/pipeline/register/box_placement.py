"""Where FoundationPose puts all of its hypotheses: the middle of the mask's box, at its median depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MaskError, mismatch
from storm_edge.geometry.pixels import marked_pixels
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.depth import MIN_DEPTH_M, UPSTREAM_FILTER
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers

Float64 = NDArray[np.float64]


def box_translation(
    depth_m: NDArray[np.floating], mask: NDArray[np.bool_], K: Float64, *, min_depth_px: int
) -> Float64:
    """The place ``(3,)`` [m] of all hypotheses (FoundationPose's `guess_translation` and what `register` asks of it).

    Args:
        depth_m: Depth after upstream's filter, which fills holes [m], ``(H, W)``.
        mask: Object pixels ``(H, W)``.
        K: Intrinsics [px], ``(3, 3)``.
        min_depth_px: Fewest mask pixels with depth that can place an object.

    Raises:
        MaskError: There are fewer. Upstream then answers with a pose of no rotation, and does not track it.
    """
    rows, columns = marked_pixels(mask)
    valid = mask & (depth_m >= MIN_DEPTH_M)
    count = int(np.count_nonzero(valid))
    if count < min_depth_px:
        got, expected = f"{count} pixels with depth after upstream's filter", f"at least {min_depth_px}"
        raise MaskError(mismatch("mask", got, expected, "register in another frame, or take another schedule"))
    middle = np.array([0.5 * (columns.min() + columns.max()), 0.5 * (rows.min() + rows.max()), 1.0])
    return np.asarray(np.linalg.inv(K) @ middle * float(np.median(depth_m[valid])))


def box_poses(frame: FrameBuffers, mask: NDArray[np.bool_], rotations: Float64, *, min_depth_px: int) -> Float64:
    """A pose per rotation, all at one place, ``(G, 4, 4)``.

    Args:
        frame: The image, uploaded.
        mask: Object pixels ``(H, W)``.
        rotations: ``R_cam_obj (G, 3, 3)``.
        min_depth_px: See `box_translation`, which says what is raised, too.
    """
    depth_m = frame.filtered_depth(UPSTREAM_FILTER).numpy()
    return make_T(rotations, box_translation(depth_m, mask, frame.K, min_depth_px=min_depth_px))
