"""What each pixel of the scenes sees, before any light: a point of an object, or of a plane of the room."""

import warp as wp

from storm_edge.generator.raster import Draws, PoolArrays, face_of, inverse_depth_of, place_of
from storm_edge.kernels.raster import edge

# fuse_fp as in `kernels.raster`, so that weights are those the pixel was won with.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

FAR_M = 8.0
"""Planes farther than this are not drawn [m]."""
CONTACT_M = 0.0005
"""A plane must be nearer than an object by this to hide it [m]: what rests on it touches it."""


@wp.struct
class Room:
    """Planes, ``P`` per scene; see `storm_edge.generator.room`."""

    T_plane_cam: wp.array2d(dtype=wp.mat44f)
    half_m: wp.array2d(dtype=wp.vec2f)
    tile_m: wp.array2d(dtype=wp.float32)
    texture: wp.array2d(dtype=wp.int32)
    measurable: wp.array2d(dtype=wp.int32)
    textures: wp.array4d(dtype=wp.uint8)


@wp.struct
class Point:
    """A lit or unlit point of a surface."""

    p: wp.vec3f
    normal: wp.vec3f
    colour: wp.vec3f
    gloss: wp.vec2f
    place: int
    measurable: int


@wp.func
def object_point(
    key: wp.uint64,
    image: int,
    ray: wp.vec3f,
    uv: wp.vec2f,
    pool: PoolArrays,
    draws: Draws,
    screen: wp.array2d(dtype=wp.vec4f),
) -> Point:
    """The surface of the object that won a pixel, its normal towards the camera."""
    place = place_of(key)
    d = image * draws.per_image + place
    slot = draws.slot[d]
    face = pool.faces[slot, face_of(key)]
    a = screen[d, face[0]]
    b = screen[d, face[1]]
    c = screen[d, face[2]]
    wa = edge(b, c, uv[0], uv[1]) * a[2]
    wb = edge(c, a, uv[0], uv[1]) * b[2]
    wc = edge(a, b, uv[0], uv[1]) * c[2]
    inverse_sum = 1.0 / (wa + wb + wc)
    wa = wa * inverse_sum
    wb = wb * inverse_sum
    wc = wc * inverse_sum
    n = pool.normals[slot, face[0]] * wa + pool.normals[slot, face[1]] * wb + pool.normals[slot, face[2]] * wc
    n = wp.normalize(wp.transform_vector(draws.T_cam_obj[d], n))
    out = Point()
    out.p = ray * (1.0 / inverse_depth_of(key))
    out.normal = wp.where(wp.dot(n, ray) > 0.0, -n, n)
    out.colour = (
        pool.colours[slot, face[0]] * wa + pool.colours[slot, face[1]] * wb + pool.colours[slot, face[2]] * wc
    )
    out.gloss = pool.gloss[slot]
    out.place = place
    out.measurable = 1
    return out


@wp.func
def texel(textures: wp.array4d(dtype=wp.uint8), t: int, row: int, column: int) -> wp.vec3f:
    """One texel as floats 0..255."""
    return wp.vec3f(
        float(textures[t, row, column, 0]), float(textures[t, row, column, 1]), float(textures[t, row, column, 2])
    )


@wp.func
def texture_colour(textures: wp.array4d(dtype=wp.uint8), t: int, s: float, r: float) -> wp.vec3f:
    """Bilinear and repeated; ``s`` and ``r`` count texels."""
    side = textures.shape[1]
    s0 = wp.floor(s)
    r0 = wp.floor(r)
    fs = s - s0
    fr = r - r0
    column = ((int(s0) % side) + side) % side
    row = ((int(r0) % side) + side) % side
    next_column = wp.where(column + 1 == side, 0, column + 1)
    next_row = wp.where(row + 1 == side, 0, row + 1)
    upper = texel(textures, t, row, column) * (1.0 - fs) + texel(textures, t, row, next_column) * fs
    below = texel(textures, t, next_row, column) * (1.0 - fs) + texel(textures, t, next_row, next_column) * fs
    return (upper * (1.0 - fr) + below * fr) * wp.static(1.0 / 255.0)


@wp.func
def room_point(image: int, ray: wp.vec3f, nearest_m: float, room: Room) -> Point:
    """The nearest plane that lies before ``nearest_m``; ``place`` -2 where there is none."""
    best = float(nearest_m)
    hit = int(-1)
    s = float(0.0)
    r = float(0.0)
    for k in range(room.texture.shape[1]):
        if room.texture[image, k] >= 0:
            T = room.T_plane_cam[image, k]
            slope = T[2, 0] * ray[0] + T[2, 1] * ray[1] + T[2, 2] * ray[2]
            z = wp.where(wp.abs(slope) > 1.0e-6, -T[2, 3] / slope, -1.0)
            if z > 0.05 and z < best:
                x = T[0, 3] + z * (T[0, 0] * ray[0] + T[0, 1] * ray[1] + T[0, 2] * ray[2])
                y = T[1, 3] + z * (T[1, 0] * ray[0] + T[1, 1] * ray[1] + T[1, 2] * ray[2])
                half = room.half_m[image, k]
                if wp.abs(x) <= half[0] and wp.abs(y) <= half[1]:
                    best = z
                    hit = k
                    s = x
                    r = y
    out = Point()
    out.place = -2
    if hit >= 0:
        T = room.T_plane_cam[image, hit]
        n = wp.vec3f(T[2, 0], T[2, 1], T[2, 2])
        texels = float(room.textures.shape[1]) / room.tile_m[image, hit]
        out.p = ray * best
        out.normal = wp.where(wp.dot(n, ray) > 0.0, -n, n)
        out.colour = texture_colour(room.textures, room.texture[image, hit], s * texels, r * texels)
        out.place = -1
        out.measurable = room.measurable[image, hit]
    return out
