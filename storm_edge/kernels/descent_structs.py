"""What the kernels of a descent share: the object, the poses and their buffers, a step, an update of colours.

Each is a struct that is made once beside its arrays, so that a kernel takes a handful of arguments and a recorded
launch finds them again. Made by `pipeline.refine`; read by `point_to_plane`, `region`, `photometric`, `evidence` and
`fused.descent`.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class ContourModel:
    """Contour of one object in V sparse views of P points each, what is known of colours beside it, and limits."""

    points: wp.array2d(dtype=wp.vec3)
    """Contour points [m], centre frame, ``(V, P)``."""
    normals: wp.array2d(dtype=wp.vec3)
    """Outward contour normals, unit, perpendicular to the viewing direction, ``(V, P)``."""
    distances: wp.array2d(dtype=wp.vec2)
    """Unbroken foreground inwards and background outwards along the normal [m], ``(V, P)``."""
    log_odds: wp.array(dtype=wp.float32)
    """Log of foreground over background probability per colour bin, ``(BIN_COUNT,)``."""
    variance_floor: float
    """`kernels.contour_region.ideal_variance` [segments^2]."""
    occlusion_m: float
    """A reading this far in front of a line hides it [m]."""
    noise_per_m: float
    """What depth noise allows beyond, see `kernels.depth_noise` [1/m]."""


@wp.struct
class SurfaceModel:
    """Surface of one object in the same views, what is known of its light, and limits."""

    points: wp.array2d(dtype=wp.vec3)
    """Surface points [m], centre frame, ``(V, P)``."""
    normals: wp.array2d(dtype=wp.vec3)
    """Their outward unit normals, ``(V, P)``."""
    tones: wp.array2d(dtype=wp.float32)
    """Their colour along ``axis``, ``(V, P)``."""
    exposure: wp.array(dtype=wp.vec2)
    """Gain and bias of the image over the model, ``(1,)``."""
    axis: wp.vec3
    """Direction in RGB in which the object's colours differ most, unit."""
    occlusion_m: float
    """A reading this far in front of a point hides it [m]."""
    gate_m: float
    """Plane distance at which a point counts as wholly wrong [m]."""
    agreement_m: float
    """Points whose reading is farther than this from the model say nothing of colours [m]."""
    noise_per_m: float
    """What depth noise allows beyond each of these, see `kernels.depth_noise` [1/m]."""


@wp.struct
class SparseObject:
    """One object. Functions that run per point take one half of it: what they are given is copied each time."""

    directions: wp.array(dtype=wp.vec3)
    """Unit directions from the object's centre to the camera, ``(V,)``."""
    contour: ContourModel
    """Its contour."""
    surface: SurfaceModel
    """Its surface."""


@wp.struct
class PoseBuffers:
    """N poses of the object and the rows that they leave."""

    camera: wp.array(dtype=wp.vec4)
    """``(fx, fy, cx, cy)`` [px], ``(1,)``."""
    poses: wp.array(dtype=wp.mat44)
    """``T_cam_centre``, ``(N,)``."""
    views: wp.array(dtype=wp.int32)
    """View of the object that each pose uses, ``(N,)``."""
    rows: wp.array3d(dtype=wp.float32)
    """Gauss-Newton rows of all terms, ``(N, 3 P, 8)``."""


@wp.struct
class PoseResults:
    """What comes of N poses; see `pipeline.refine.descent_buffers`."""

    sums: wp.array3d(dtype=wp.float32)
    """Normal matrices of the last step, ``(N, 8, 8)``."""
    evidence: wp.array2d(dtype=wp.float32)
    """Sums of `kernels.evidence`, ``(N, SUM_COUNT)``."""
    terms: wp.array2d(dtype=wp.float64)
    """Its terms, ``(N, TERM_COUNT)``."""


@wp.struct
class StepNumbers:
    """A Gauss-Newton step; see `pipeline.refine.config.GeometricStep`."""

    every: int
    """Use each ``every``-th line and point."""
    scale_px: int
    """Pixels per line segment."""
    contour_px: float
    """Standard deviation of the contour on a line with perfect colours [px]."""
    reach_m: float
    """Farthest measured point that may belong to a model point, and how far in front a reading hides it [m]."""
    stride_m: float
    """Spacing of the search within the reach [m]; never finer than one pixel."""
    depth_deviation: float
    """Standard deviation of the plane distance, as a fraction of the depth."""
    uses_texture: int
    """Whether there are rows of the texture."""
    blur_px: float
    """Distance of the four samples around a projection that smooth the image and give its slope [px]."""
    texture_deviation: float
    """Standard deviation of the tone; residuals beyond two of it count less and less (Cauchy)."""
    tikhonov_rotation: float
    """Resistance to rotation [1/rad^2]."""
    tikhonov_translation: float
    """Resistance to translation [1/m^2]."""


@wp.struct
class ColourUpdate:
    """Where colours are counted, and from which pixels."""

    counts: wp.array2d(dtype=wp.float32)
    """Foreground and background counts, all 0 before and after, ``(2, BIN_COUNT + 1)``; the last is the total."""
    histograms: wp.array2d(dtype=wp.float32)
    """Foreground and background probability per bin, ``(2, BIN_COUNT)``."""
    gap_px: float
    """Pixels left out next to the contour, where colours mix."""
    line_px: float
    """Pixels of background used at most on a line."""
