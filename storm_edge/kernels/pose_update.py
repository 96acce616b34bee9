"""Apply RefineNet's answer to a batch of poses (reference-networks 5.7).

``t_new = t + trans * diameter / 2`` and ``R_new = Exp(tanh(rot) * 20 deg)^T R``: the turn is about the object's
centre, in camera axes, and by the *negated* vector (upstream's transpose). `reference.pose_update` is the same in
NumPy and has the inverse that training needs.
"""

import warp as wp

from storm_edge.kernels.device import WpArray

wp.set_module_options({"enable_backward": False})

ROT_NORMALIZER_RAD = 0.3490658503988659
"""Largest turn per component and step: 20 degrees."""

_TAYLOR_BELOW = wp.constant(1.0e-2)  # rad; there the series' first left-out term is 1e-11, below float32


@wp.kernel
def update_kernel(
    T_in: wp.array(dtype=wp.mat44f),
    trans: wp.array(dtype=wp.vec3f),
    rot: wp.array(dtype=wp.vec3f),
    radius_m: float,
    T_out: wp.array(dtype=wp.mat44f),
):
    """One pose per thread; ``T_out`` may be ``T_in``."""
    n = wp.tid()
    T = T_in[n]
    r = rot[n]
    limit = wp.static(ROT_NORMALIZER_RAD)
    # The negated vector: Exp(-w) is Exp(w) transposed.
    w = wp.vec3f(-wp.tanh(r[0]) * limit, -wp.tanh(r[1]) * limit, -wp.tanh(r[2]) * limit)
    squared = wp.dot(w, w)
    angle = wp.sqrt(squared)
    a = float(1.0)
    b = float(0.5)
    if angle < _TAYLOR_BELOW:
        a = 1.0 - squared / 6.0
        b = 0.5 - squared / 24.0
    else:
        a = wp.sin(angle) / angle
        b = (1.0 - wp.cos(angle)) / squared
    W = wp.skew(w)
    E = wp.identity(n=3, dtype=wp.float32) + a * W + b * (W * W)
    R = E * wp.mat33f(T[0, 0], T[0, 1], T[0, 2], T[1, 0], T[1, 1], T[1, 2], T[2, 0], T[2, 1], T[2, 2])
    d = trans[n] * radius_m
    T_out[n] = wp.mat44f(
        R[0, 0], R[0, 1], R[0, 2], T[0, 3] + d[0],
        R[1, 0], R[1, 1], R[1, 2], T[1, 3] + d[1],
        R[2, 0], R[2, 1], R[2, 2], T[2, 3] + d[2],
        0.0, 0.0, 0.0, 1.0,
    )  # fmt: skip


def update_poses(
    T_in: WpArray, trans: WpArray, rot: WpArray, *, diameter_m: float, T_out: WpArray, count: int
) -> None:
    """Update the first ``count`` poses. Enqueues only.

    Args:
        T_in: Poses [m], mat44f.
        trans: RefineNet's ``trans`` in half diameters, vec3f.
        rot: RefineNet's ``rot`` before tanh, vec3f.
        diameter_m: Diameter of the object [m].
        T_out: Updated poses, mat44f; may be ``T_in``.
        count: Poses to update.
    """
    wp.launch(
        update_kernel, dim=count, inputs=[T_in, trans, rot, diameter_m / 2.0], outputs=[T_out], device=T_in.device
    )
