"""What a depth camera's noise allows at a distance: limits of depth that grow where noise exceeds them.

A stereo camera measures disparity, so the deviation of its depth grows with the square of the depth. A limit that is
right for near things calls most readings of a far surface wrong: at 3 m the noise alone is twice as wide. A limit is
therefore never less than ``per_m`` times the square of the depth, and below the depth at which that reaches the limit
it is what it was.
"""

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

wp.set_module_options({"enable_backward": False})


@wp.func
def noise_limit(limit_m: float, per_m: float, z: float) -> float:
    """A limit of depth differences [m] at depth ``z`` [m]; see `depth_limits`."""
    return wp.max(limit_m, per_m * z * z)


def depth_limits(limit_m: float, per_m: float, z_m: ArrayLike) -> NDArray[np.float32]:
    """`noise_limit` in NumPy: the larger of a limit and of what the noise allows, float32 of the shape of ``z_m``.

    Args:
        limit_m: The limit for near things [m].
        per_m: Depth difference that noise may make at 1 m [1/m]; it grows with the square of the depth.
        z_m: Depths [m].
    """
    z = np.asarray(z_m, dtype=np.float32)
    return np.maximum(np.float32(limit_m), np.float32(per_m) * z * z)
