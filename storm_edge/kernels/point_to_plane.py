"""Depth modality: sparse model points against measured depth, point to plane (ICG, Stoiber et al., CVPR 2022).

For every surface point of the hypothesis' view the measured point nearest in space is searched in a window around its
projection. The row is the distance along the model's normal, whitened by a deviation that grows with depth. Depth
images are read as they come: 0 and NaN are no reading. Called by `pipeline.refine.launches`.
"""

import warp as wp

from storm_edge.kernels.depth_noise import noise_limit
from storm_edge.kernels.descent_structs import PoseBuffers, StepNumbers, SurfaceModel
from storm_edge.kernels.gauss_newton import NEAR_M, rotation_of, translation_of
from storm_edge.kernels.image_descriptor import RgbdImage

wp.set_module_options({"enable_backward": False})


@wp.func
def write_row(rows: wp.array3d(dtype=wp.float32), n: int, p: int, J_w: wp.vec3, J_v: wp.vec3, r: float, valid: float):
    """Store one row in the layout of `kernels.gauss_newton`."""
    rows[n, p, 0] = J_w[0]
    rows[n, p, 1] = J_w[1]
    rows[n, p, 2] = J_w[2]
    rows[n, p, 3] = J_v[0]
    rows[n, p, 4] = J_v[1]
    rows[n, p, 5] = J_v[2]
    rows[n, p, 6] = r
    rows[n, p, 7] = valid


@wp.func
def point_to_plane_row(
    n: int, row: int, image: RgbdImage, surface: SurfaceModel, step: StepNumbers, buffers: PoseBuffers
):
    """The row of one surface point; those of this term come first.

    Args:
        n: Hypothesis.
        row: Which of the points used.
        image: The image; only its depth is read.
        surface: The object's surface.
        step: The step.
        buffers: The poses; ``rows`` is written.
    """
    p = row * step.every
    zero = wp.vec3(0.0, 0.0, 0.0)
    write_row(buffers.rows, n, row, zero, zero, 0.0, 0.0)
    T = buffers.poses[n]
    R = rotation_of(T)
    arm = R * surface.points[buffers.views[n], p]
    X = arm + translation_of(T)
    # Noise is along the ray: aside the window stays as narrow as it is for near things.
    reach_m = noise_limit(step.reach_m, surface.noise_per_m, X[2])
    if not X[2] > reach_m + NEAR_M:
        return
    cam = buffers.camera[0]
    inv_z = 1.0 / X[2]
    u = X[0] * inv_z * cam[0] + cam[2]
    v = X[1] * inv_z * cam[1] + cam[3]
    ui = int(wp.floor(u + 0.5))
    vi = int(wp.floor(v + 0.5))
    depth = image.depth
    height = depth.shape[0]
    width = depth.shape[1]
    if ui < 0 or vi < 0 or ui >= width or vi >= height:
        return
    here = depth[vi, ui]
    if here > 0.0 and here < X[2] - reach_m:
        return
    stride = wp.max(int(step.stride_m * inv_z * cam[0]), 1)
    steps = int(step.reach_m * inv_z * cam[0]) / stride
    inv_fx = 1.0 / cam[0]
    inv_fy = 1.0 / cam[1]
    best = reach_m * reach_m
    P = zero
    # The window's part inside the image, on the stride's grid around the projection.
    for a in range(-wp.min(steps, vi / stride), wp.min(steps, (height - 1 - vi) / stride) + 1):
        y = vi + a * stride
        ray_y = (float(y) - cam[3]) * inv_fy
        for b in range(-wp.min(steps, ui / stride), wp.min(steps, (width - 1 - ui) / stride) + 1):
            x = ui + b * stride
            z = depth[y, x]
            # False for NaN and for 0 as well: a model point is farther away than it reaches.
            if wp.abs(z - X[2]) < reach_m:
                Q = wp.vec3((float(x) - cam[2]) * inv_fx * z, ray_y * z, z)
                d = wp.length_sq(Q - X)
                if d < best:
                    best = d
                    P = Q
    if P[2] == 0.0:
        return
    normal = R * surface.normals[buffers.views[n], p]
    weight = 1.0 / (step.depth_deviation * X[2])
    r = wp.dot(normal, X - P)
    write_row(buffers.rows, n, row, wp.cross(arm, normal) * weight, normal * weight, r * weight, 1.0)


@wp.kernel
def point_to_plane_rows_kernel(image: RgbdImage, surface: SurfaceModel, step: StepNumbers, buffers: PoseBuffers):
    """`point_to_plane_row`, one thread per hypothesis and surface point used."""
    n, row = wp.tid()
    point_to_plane_row(n, row, image, surface, step, buffers)
