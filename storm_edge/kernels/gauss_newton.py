"""One Gauss-Newton step for many pose hypotheses at once: sum the rows, solve 6x6, move the pose, pick the next view.

Every modality writes *rows*: a whitened residual ``r`` and its derivative ``J`` with respect to the step ``(w, v)``,
where the pose moves as ``R <- Exp(w) R``, ``t <- t + v``: camera axes, rotation about the object's centre, so that
the two regularisers mean what they say. A row is ``[J_w (3), J_v (3), r, valid]``; rows that are not valid are zero.

The step minimises ``sum (r + J x)^2 + tikhonov_w |w|^2 + tikhonov_v |v|^2``. No modality is known here.
Called by `pipeline.refine.launches`.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

ROW_LENGTH = 8
"""Floats per row: six derivatives, the residual, the flag."""
NEAR_M = wp.constant(0.02)
"""Points nearer to the camera than this are not looked at [m]."""

mat66f = wp.types.matrix(shape=(6, 6), dtype=wp.float32)
vec6f = wp.types.vector(length=6, dtype=wp.float32)
vec8f = wp.types.vector(length=ROW_LENGTH, dtype=wp.float32)


@wp.func
def sum_rows(
    n: int,
    a: int,
    rows: wp.array3d(dtype=wp.float32),
    row_count: int,
    sums: wp.array3d(dtype=wp.float32),
):
    """Row ``a`` of ``[J r valid]^T [J r valid]`` of hypothesis ``n``, in a fixed order on every device."""
    total = vec8f()
    for p in range(row_count):
        factor = rows[n, p, a]
        for b in range(wp.static(ROW_LENGTH)):
            total[b] += factor * rows[n, p, b]
    for b in range(wp.static(ROW_LENGTH)):
        sums[n, a, b] = total[b]


@wp.func
def sum_all_rows(
    n: int,
    rows: wp.array3d(dtype=wp.float32),
    row_count: int,
    sums: wp.array3d(dtype=wp.float32),
):
    """`sum_rows` for the whole matrix in one thread: read as vectors, and half of it at a time, all stays in a CPU's
    registers. The numbers are the same."""
    vectors = wp.array(ptr=rows.ptr, shape=(rows.shape[0], rows.shape[1]), dtype=vec8f)
    for half in range(2):
        a = half * 4
        total_0 = vec8f()
        total_1 = vec8f()
        total_2 = vec8f()
        total_3 = vec8f()
        for p in range(row_count):
            row = vectors[n, p]
            total_0 += row[a] * row
            total_1 += row[a + 1] * row
            total_2 += row[a + 2] * row
            total_3 += row[a + 3] * row
        for b in range(wp.static(ROW_LENGTH)):
            sums[n, a, b] = total_0[b]
            sums[n, a + 1, b] = total_1[b]
            sums[n, a + 2, b] = total_2[b]
            sums[n, a + 3, b] = total_3[b]


@wp.kernel
def sum_rows_kernel(
    rows: wp.array3d(dtype=wp.float32),
    row_count: int,
    sums: wp.array3d(dtype=wp.float32),
):
    """`sum_rows`, one thread per hypothesis and row of the matrix."""
    n, a = wp.tid()
    sum_rows(n, a, rows, row_count, sums)


@wp.func
def solve_spd(A: mat66f, b: vec6f):
    """Solve ``A x = b`` for symmetric positive definite ``A`` by Cholesky; zeros if ``A`` is not."""
    L = mat66f()
    x = vec6f()
    for i in range(6):
        for j in range(i + 1):
            s = A[i, j]
            for k in range(j):
                s -= L[i, k] * L[j, k]
            if i == j:
                if not s > 0.0:
                    return vec6f()
                L[i, i] = wp.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    for i in range(6):
        s = b[i]
        for k in range(i):
            s -= L[i, k] * x[k]
        x[i] = s / L[i, i]
    for back in range(6):
        i = 5 - back
        s = x[i]
        for k in range(i + 1, 6):
            s -= L[k, i] * x[k]
        x[i] = s / L[i, i]
    return x


@wp.func
def exp_so3(w: wp.vec3) -> wp.mat33:
    """Rodrigues, with the Taylor series below 1e-4 rad where float32 would lose the quotient."""
    angle = wp.length(w)
    a = float(1.0)
    b = float(0.5)
    if angle > 1.0e-4:
        a = wp.sin(angle) / angle
        half = wp.sin(0.5 * angle) / angle
        b = 2.0 * half * half
    W = wp.skew(w)
    return wp.identity(n=3, dtype=wp.float32) + a * W + b * (W * W)


@wp.func
def rotation_of(T: wp.mat44) -> wp.mat33:
    """Upper left 3x3 of a rigid motion."""
    return wp.mat33(T[0, 0], T[0, 1], T[0, 2], T[1, 0], T[1, 1], T[1, 2], T[2, 0], T[2, 1], T[2, 2])


@wp.func
def translation_of(T: wp.mat44) -> wp.vec3:
    """Last column of a rigid motion."""
    return wp.vec3(T[0, 3], T[1, 3], T[2, 3])


@wp.func
def closest_view(T: wp.mat44, directions: wp.array(dtype=wp.vec3)) -> int:
    """Index of the stored viewing direction nearest to the one under which the camera sees the object."""
    seen_from = -(wp.transpose(rotation_of(T)) * translation_of(T))
    best = wp.int32(0)
    best_dot = float(-1.0e30)
    for k in range(directions.shape[0]):
        d = wp.dot(directions[k], seen_from)
        if d > best_dot:
            best_dot = d
            best = k
    return best


@wp.kernel
def camera_kernel(K: wp.array(dtype=wp.mat33d), camera: wp.array(dtype=wp.vec4)):
    """``(fx, fy, cx, cy)`` [px] of the intrinsics ``K (1,)``, for those who keep them on the device."""
    k = K[0]
    camera[0] = wp.vec4(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))


@wp.kernel
def find_views_kernel(
    poses: wp.array(dtype=wp.mat44),
    directions: wp.array(dtype=wp.vec3),
    views: wp.array(dtype=wp.int32),
):
    """Stored view of every hypothesis, before the first step."""
    n = wp.tid()
    views[n] = closest_view(poses[n], directions)


@wp.func
def take_step(
    n: int,
    sums: wp.array3d(dtype=wp.float32),
    tikhonov_rotation: float,
    tikhonov_translation: float,
    directions: wp.array(dtype=wp.vec3),
    poses: wp.array(dtype=wp.mat44),
    views: wp.array(dtype=wp.int32),
):
    """Solve the regularised normal equations of hypothesis ``n``, move its pose, and choose its next view.

    ``tikhonov_rotation`` is in 1/rad^2, ``tikhonov_translation`` in 1/m^2.
    """
    A = mat66f()
    b = vec6f()
    for i in range(6):
        for j in range(6):
            A[i, j] = sums[n, i, j]
    for i in range(3):
        A[i, i] += tikhonov_rotation
        A[i + 3, i + 3] += tikhonov_translation
    for i in range(6):
        b[i] = -sums[n, i, 6]
    x = solve_spd(A, b)
    T = poses[n]
    R = exp_so3(wp.vec3(x[0], x[1], x[2])) * rotation_of(T)
    # One Gram-Schmidt pass keeps R a rotation in float32 however many steps and frames follow each other.
    r0 = wp.normalize(wp.vec3(R[0, 0], R[0, 1], R[0, 2]))
    r1 = wp.vec3(R[1, 0], R[1, 1], R[1, 2])
    r1 = wp.normalize(r1 - wp.dot(r0, r1) * r0)
    r2 = wp.cross(r0, r1)
    t = translation_of(T) + wp.vec3(x[3], x[4], x[5])
    T_new = wp.mat44(
        r0[0], r0[1], r0[2], t[0],
        r1[0], r1[1], r1[2], t[1],
        r2[0], r2[1], r2[2], t[2],
        0.0, 0.0, 0.0, 1.0,
    )  # fmt: skip
    poses[n] = T_new
    views[n] = closest_view(T_new, directions)


@wp.kernel
def step_kernel(
    sums: wp.array3d(dtype=wp.float32),
    tikhonov_rotation: float,
    tikhonov_translation: float,
    directions: wp.array(dtype=wp.vec3),
    poses: wp.array(dtype=wp.mat44),
    views: wp.array(dtype=wp.int32),
):
    """`take_step`, one thread per hypothesis."""
    n = wp.tid()
    take_step(n, sums, tikhonov_rotation, tikhonov_translation, directions, poses, views)
