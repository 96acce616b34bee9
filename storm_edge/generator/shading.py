"""What each pixel of the scenes looks like: its point of `storm_edge.generator.surface_points` under two lights.

A surface of colour ``c`` and normal ``n`` sends ``c (ambient (0.75 + 0.25 n.up) + shadow key max(n.l, 0) + fill
max(n.m, 0))``, and highlights by Blinn's halfway vector where the slot has gloss. The main light stands somewhere, so
that it grows weaker with the square of the distance; its shadows are looked up in the keys of the same rasteriser as
seen from there. The fill light is far away. Nothing is clipped: exposure is the camera's.
"""

import warp as wp

from storm_edge.generator.raster import Draws, PoolArrays, inverse_depth_of
from storm_edge.generator.surface_points import CONTACT_M, FAR_M, Point, Room, object_point, room_point

wp.set_module_options({"enable_backward": False, "fuse_fp": False})

BRIGHTEST_KEY = 2.0
"""Most that a surface near the main light gets of it."""


@wp.struct
class Light:
    """Lights in camera axes; see `storm_edge.generator.light`."""

    ambient: wp.array(dtype=wp.vec3f)
    up: wp.array(dtype=wp.vec3f)
    key: wp.array(dtype=wp.vec3f)
    key_at_m: wp.array(dtype=wp.vec3f)
    key_distance_m: wp.array(dtype=wp.float32)
    fill: wp.array(dtype=wp.vec3f)
    to_fill: wp.array(dtype=wp.vec3f)
    T_light_cam: wp.array(dtype=wp.mat44f)
    shadow_f: wp.array(dtype=wp.float32)
    shadow: wp.array3d(dtype=wp.uint64)


@wp.struct
class Pictures:
    """What `shade_scenes` writes."""

    colour: wp.array4d(dtype=wp.float32)
    depth_m: wp.array3d(dtype=wp.float32)
    normal: wp.array4d(dtype=wp.float32)
    instance: wp.array3d(dtype=wp.int64)
    measurable: wp.array3d(dtype=wp.bool)
    visible_px: wp.array2d(dtype=wp.int32)
    span: int


@wp.func
def lit_share(image: int, point: Point, light: Light) -> float:
    """Part of the main light that reaches a point: four neighbours in the shadow map, weighted bilinearly."""
    f = light.shadow_f[image]
    if f == 0.0:
        return 1.0
    side = light.shadow.shape[1]
    texel_m = light.key_distance_m[image] / f
    # The point moved out along its normal by two texels, so that a surface does not shade itself.
    q = wp.transform_point(light.T_light_cam[image], point.p + point.normal * (2.0 * texel_m))
    if q[2] <= 0.0:
        return 1.0
    middle = 0.5 * float(side - 1)
    u = f * q[0] / q[2] + middle
    v = f * q[1] / q[2] + middle
    if not (u >= 0.0 and v >= 0.0 and u < float(side - 1) and v < float(side - 1)):
        return 1.0
    column = int(u)
    row = int(v)
    fu = u - float(column)
    fv = v - float(row)
    limit = 1.0 / q[2] * 1.002
    a = wp.where(inverse_depth_of(light.shadow[image, row, column]) > limit, 0.0, 1.0)
    b = wp.where(inverse_depth_of(light.shadow[image, row, column + 1]) > limit, 0.0, 1.0)
    c = wp.where(inverse_depth_of(light.shadow[image, row + 1, column]) > limit, 0.0, 1.0)
    d = wp.where(inverse_depth_of(light.shadow[image, row + 1, column + 1]) > limit, 0.0, 1.0)
    return (a * (1.0 - fu) + b * fu) * (1.0 - fv) + (c * (1.0 - fu) + d * fu) * fv


@wp.func
def lit_colour(image: int, point: Point, light: Light) -> wp.vec3f:
    """What a surface sends to the camera."""
    way = light.key_at_m[image] - point.p
    squared = wp.dot(way, way)
    to_key = way * (1.0 / wp.sqrt(wp.max(squared, 1.0e-6)))
    distance_m = light.key_distance_m[image]
    cosine = wp.dot(point.normal, to_key)
    strength = float(0.0)
    if cosine > 0.0:
        near = wp.min(distance_m * distance_m / wp.max(squared, 1.0e-6), wp.static(BRIGHTEST_KEY))
        strength = near * lit_share(image, point, light)
    fill_cosine = wp.max(wp.dot(point.normal, light.to_fill[image]), 0.0)
    around = 0.75 + 0.25 * wp.dot(point.normal, light.up[image])
    arriving = light.ambient[image] * around + light.key[image] * (strength * wp.max(cosine, 0.0))
    arriving = arriving + light.fill[image] * fill_cosine
    out = wp.cw_mul(point.colour, arriving)
    if point.gloss[0] > 0.0:
        to_camera = -wp.normalize(point.p)
        halfway = wp.max(wp.dot(wp.normalize(to_key + to_camera), point.normal), 0.0)
        out = out + light.key[image] * (strength * point.gloss[0] * wp.pow(halfway, point.gloss[1]))
        halfway = wp.max(wp.dot(wp.normalize(light.to_fill[image] + to_camera), point.normal), 0.0)
        out = out + light.fill[image] * (point.gloss[0] * wp.pow(halfway, point.gloss[1]))
    return out


@wp.kernel
def shade_scenes(
    keys: wp.array3d(dtype=wp.uint64),
    screen: wp.array2d(dtype=wp.vec4f),
    pool: PoolArrays,
    draws: Draws,
    room: Room,
    light: Light,
    pictures: Pictures,
):
    """Everything of every pixel; one thread per row and ``pictures.span`` columns."""
    image, row, chunk = wp.tid()
    K = draws.K[image]
    y = (float(row) - K[1, 2]) / K[1, 1]
    for column in range(chunk * pictures.span, wp.min((chunk + 1) * pictures.span, keys.shape[2])):
        x = (float(column) - K[0, 2]) / K[0, 0]
        ray = wp.vec3f(x, y, 1.0)
        key = keys[image, row, column]
        point = Point()
        point.place = -2
        nearest_m = float(wp.static(FAR_M))
        if key != wp.uint64(0):
            uv = wp.vec2f(float(column), float(row))
            point = object_point(key, image, ray, uv, pool, draws, screen)
            nearest_m = point.p[2] - wp.static(CONTACT_M)
        behind = room_point(image, ray, nearest_m, room)
        if behind.place == -1:
            point = behind
        colour = light.ambient[image] * 0.4
        if point.place != -2:
            colour = lit_colour(image, point, light)
        is_object = point.place >= 0 and point.place < draws.with_silhouette
        if is_object:
            wp.atomic_add(pictures.visible_px, image, point.place, 1)
        for k in range(3):
            pictures.colour[image, k, row, column] = colour[k]
            pictures.normal[image, k, row, column] = point.normal[k]
        pictures.depth_m[image, row, column] = point.p[2]
        pictures.instance[image, row, column] = wp.where(is_object, wp.int64(point.place), wp.int64(-1))
        pictures.measurable[image, row, column] = point.measurable != 0
