"""Scores of templates put onto a frame: is depth where the model would be, and does it end at its outline?

A thread per placement. Points that something in front hides, and those outside the image, do not count. Called by
`pipeline.templates.matching`; `kernels.reference.template_match` is the same in NumPy.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

NEAR_M = 0.001
"""Points nearer to the camera than this are taken to be this far."""


@wp.struct
class MatchScene:
    """A frame."""

    depth_m: wp.array2d(dtype=wp.float32)
    """z-depth [m], 0 = no reading."""
    normals: wp.array2d(dtype=wp.vec3)
    """Unit normals towards the camera, 0 where there is none."""
    on_plane: wp.array2d(dtype=wp.uint8)
    """1 on a large plane."""
    edges: wp.array2d(dtype=wp.uint8)
    """Bit k is set near an edge of direction k."""
    camera: wp.vec4
    """fx, fy, cx, cy [px]."""


@wp.struct
class MatchTemplates:
    """Templates: V views of S surface points and B points at the outline, relative to the object's centre [m]."""

    surface: wp.array2d(dtype=wp.vec3)
    """``(V, S)``."""
    normals: wp.array2d(dtype=wp.vec3)
    """``(V, S)``."""
    beside: wp.array2d(dtype=wp.vec3)
    """Beside the outline ``(V, B)``."""
    outline: wp.array2d(dtype=wp.vec3)
    """On it ``(V, B)``."""
    directions: wp.array2d(dtype=wp.uint8)
    """Bin of the direction across it ``(V, B)``."""


@wp.struct
class MatchRules:
    """What a point is worth."""

    gate_m: float
    """Difference in depth that is none [m]; ``noise_per_m`` times the square of the depth is added."""
    noise_per_m: float
    normal_weight: float
    """Share of a surface point's worth that its normal decides."""
    through_penalty: float
    """For a surface point that the camera sees through."""
    unread_worth: float
    """Of a point without a reading."""
    beside_weight: float
    """Of the points beside the outline, where the surface points have 1."""
    goes_on_penalty: float
    """For a point beside the outline at the same depth, off the planes."""
    plane_worth: float
    """Of such a point on a plane."""
    edge_weight: float
    """Of edges along the outline."""
    min_seen_share: float
    """Of the surface points that must be in the image and not hidden; the score is -1 with fewer."""


@wp.func
def pixel_of(scene: MatchScene, X: wp.vec3) -> wp.vec2i:
    """Row and column of a point, -1 outside the image."""
    z = wp.max(X[2], NEAR_M)
    u = X[0] * scene.camera[0] / z + scene.camera[2] + 0.5
    v = X[1] * scene.camera[1] / z + scene.camera[3] + 0.5
    if u < 0.0 or v < 0.0 or u >= float(scene.depth_m.shape[1]) or v >= float(scene.depth_m.shape[0]):
        return wp.vec2i(-1, -1)
    return wp.vec2i(int(v), int(u))


@wp.func
def gate_at(rules: MatchRules, X: wp.vec3) -> float:
    """Difference in depth that is none [m]."""
    z = wp.max(X[2], NEAR_M)
    return rules.gate_m + rules.noise_per_m * z * z


@wp.func
def surface_worth(scene: MatchScene, rules: MatchRules, X: wp.vec3, normal: wp.vec3) -> wp.vec2:
    """Worth of a surface point, and whether it counts."""
    at = pixel_of(scene, X)
    if at[0] < 0:
        return wp.vec2(0.0, 0.0)
    z = scene.depth_m[at[0], at[1]]
    if z <= 0.0:
        return wp.vec2(rules.unread_worth, 1.0)
    apart = z - wp.max(X[2], NEAR_M)
    gate = gate_at(rules, X)
    if apart <= -gate:
        return wp.vec2(0.0, 0.0)
    if apart >= gate:
        return wp.vec2(-rules.through_penalty, 1.0)
    if scene.on_plane[at[0], at[1]] > wp.uint8(0):
        return wp.vec2(rules.unread_worth, 1.0)  # it may be the plane that agrees
    like = wp.clamp(2.0 * wp.dot(scene.normals[at[0], at[1]], normal) - 1.0, 0.0, 1.0)
    return wp.vec2(1.0 - rules.normal_weight + rules.normal_weight * like, 1.0)


@wp.func
def beside_worth(scene: MatchScene, rules: MatchRules, X: wp.vec3) -> wp.vec2:
    """Worth of a point beside the outline, and whether it counts."""
    at = pixel_of(scene, X)
    if at[0] < 0:
        return wp.vec2(0.0, 0.0)
    z = scene.depth_m[at[0], at[1]]
    if z <= 0.0:
        return wp.vec2(rules.unread_worth, 1.0)
    apart = z - wp.max(X[2], NEAR_M)
    gate = gate_at(rules, X)
    if apart <= -gate:
        return wp.vec2(0.0, 0.0)
    if apart >= gate:
        return wp.vec2(1.0, 1.0)
    if scene.on_plane[at[0], at[1]] > wp.uint8(0):
        return wp.vec2(rules.plane_worth, 1.0)
    return wp.vec2(-rules.goes_on_penalty, 1.0)


@wp.func
def edge_worth(scene: MatchScene, rules: MatchRules, X: wp.vec3, direction: wp.uint8) -> wp.vec2:
    """Whether an edge of the picture runs along the outline at a point of it, and whether that counts."""
    at = pixel_of(scene, X)
    if at[0] < 0:
        return wp.vec2(0.0, 0.0)
    z = scene.depth_m[at[0], at[1]]
    if z > 0.0 and z - wp.max(X[2], NEAR_M) <= -gate_at(rules, X):
        return wp.vec2(0.0, 0.0)
    return wp.vec2(float((int(scene.edges[at[0], at[1]]) >> int(direction)) & 1), 1.0)


@wp.kernel
def score_placements(
    first: int,
    scene: MatchScene,
    templates: MatchTemplates,
    rules: MatchRules,
    views: wp.array(dtype=wp.int32),
    centres: wp.array(dtype=wp.vec3),
    surface_count: int,
    outline_count: int,
    scores: wp.array(dtype=wp.float32),
):
    """Scores of placements, at most 1.

    Args:
        first: The first of the placements.
        scene: The frame.
        templates: Of the object.
        rules: What points are worth.
        views: Which template each placement has ``(M,)``.
        centres: Where the object's centre is in the camera's frame [m] ``(M,)``.
        surface_count: So many of the first surface points are compared.
        outline_count: And so many of the first points at the outline.
        scores: Written ``(M,)``.
    """
    m = first + wp.tid()
    view = views[m]
    c = centres[m]
    surface = wp.vec2(0.0, 0.0)
    for i in range(surface_count):
        surface += surface_worth(scene, rules, templates.surface[view, i] + c, templates.normals[view, i])
    share = surface[1] / float(surface_count)
    if share < rules.min_seen_share:
        scores[m] = -1.0
        return
    beside = wp.vec2(0.0, 0.0)
    edges = wp.vec2(0.0, 0.0)
    for j in range(outline_count):
        beside += beside_worth(scene, rules, templates.beside[view, j] + c)
        edges += edge_worth(scene, rules, templates.outline[view, j] + c, templates.directions[view, j])
    total = surface[0] / wp.max(surface[1], 1.0)
    total += rules.beside_weight * beside[0] / wp.max(beside[1], 1.0)
    total += rules.edge_weight * edges[0] / wp.max(edges[1], 1.0)
    # What is seen little of may fit by luck.
    scores[m] = total / (1.0 + rules.beside_weight + rules.edge_weight) * wp.sqrt(share)
