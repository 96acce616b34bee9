"""Small RGB-D pictures around one object, as a camera sees it in some room: the observed half of training pairs.

A patch has the pixels of the native image, not of a network crop, so the sensor's faults have their true size and
the crop at run time is imitated exactly. A handful of scenes of one object is made at once, since rendering many
poses of one mesh together is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import make_T, random_rotation, transform
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.appearance import glossed, motion_kernel, random_appearance, random_lighting, smear
from storm_edge.synthetic.layers import Layer, compose, rendered_layer
from storm_edge.synthetic.object_pool import ObjectPool, PooledObject
from storm_edge.synthetic.objects import SyntheticObject
from storm_edge.synthetic.rooms import Plane, render_planes
from storm_edge.synthetic.sensor import random_sensor

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

PATCH_PX = (64, 96, 128, 160, 224)
"""Sides of a patch [px]; the object's diameter takes about half of it, so that some crops are
finer and some coarser than the native image."""
_PATCH_SHARE = (0.05, 0.15, 0.25, 0.3, 0.25)
_PATCH_DIAMETERS = 2.0
_DISTANCE_M = (0.3, 1.5)
_MIN_VISIBLE = 0.5  # more hidden than this teaches guessing


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One patch and the truth about it."""

    rgb: NDArray[np.uint8]
    """Colour ``(P, P, 3)``."""
    depth_m: Float32
    """Measured z-depth [m] ``(P, P)``, 0 = no reading."""
    K: Float64
    """Intrinsics of the patch [px] ``(3, 3)``."""
    T_cam_obj: Float64
    """True pose [m] ``(4, 4)``."""
    visible_share: float
    """Part of the object's silhouette that nothing hides."""


def observe(
    rng: np.random.Generator,
    pool: ObjectPool,
    target: PooledObject,
    count: int,
    *,
    rotations: Float64 | None = None,
) -> list[Observation]:
    """Make ``count`` scenes with ``target`` in them.

    Args:
        rng: Source of randomness.
        pool: Where clutter, hands and textures come from.
        target: The object in their middle.
        count: Number of patches; they share one size.
        rotations: How the target is turned, ``(count, 3, 3)``; at random if not given.
    """
    side = int(rng.choice(PATCH_PX, p=_PATCH_SHARE))
    d = target.truth.diameter_m
    K, T = np.zeros((count, 3, 3)), np.zeros((count, 4, 4))
    for i in range(count):
        K[i], T[i] = _camera_and_pose(rng, d, side)
        if rotations is not None:
            T[i, :3, :3] = rotations[i]
    lights = [random_lighting(rng) for _ in range(count)]
    objects = _render_layers(target.buffers, T, K, side, lights)
    clutter = []
    for _ in range(2):
        other = pool.pick_beside(d)
        T_other = np.stack([_beside(rng, T[i], d, other.truth.diameter_m) for i in range(count)])
        clutter.append(_render_layers(other.buffers, T_other, K, side, lights))
    T_hand = np.stack([_grasping(rng, T[i], d) for i in range(count)])
    hands = _render_layers(pool.pick_hand(), T_hand, K, side, lights)
    return [
        _observed(
            rng,
            _PatchLayers(
                background=_background(rng, pool, target.truth, T[i], K[i], side, lights[i]),
                target=objects[i],
                clutter=[layers[i] for layers in clutter if rng.random() < 0.5],
                hand=hands[i] if rng.random() < 0.45 else None,
            ),
            light=lights[i],
            K=K[i],
            T_cam_obj=T[i],
        )
        for i in range(count)
    ]


def _camera_and_pose(rng: np.random.Generator, d: float, side: int) -> tuple[Float64, Float64]:
    """Intrinsics of a patch with the object near its middle, and the object's pose."""
    size_px = side / _PATCH_DIAMETERS * rng.uniform(0.8, 1.0)
    fx = rng.uniform(450.0, 700.0)
    z = float(np.clip(fx * d / size_px * rng.uniform(0.7, 1.4), *_DISTANCE_M))
    fx = size_px * z / d
    ray = np.array([rng.uniform(-0.45, 0.45), rng.uniform(-0.35, 0.35), 1.0])
    middle = (side - 1) / 2.0 + rng.uniform(-0.04, 0.04, 2) * side
    K = np.array([[fx, 0.0, middle[0] - fx * ray[0]], [0.0, fx, middle[1] - fx * ray[1]], [0.0, 0.0, 1.0]])
    return K, make_T(random_rotation(rng), z * ray)


def _beside(rng: np.random.Generator, T_cam_obj: Float64, d: float, d_other: float) -> Float64:
    """Pose of an object that nearly touches the target on some side."""
    direction = rng.standard_normal(3) * [1.0, 0.7, 1.0]
    direction /= np.linalg.norm(direction)
    gap = rng.uniform(0.75, 1.3) * (d + d_other) / 2.0
    return make_T(random_rotation(rng), T_cam_obj[:3, 3] + gap * direction)


def _grasping(rng: np.random.Generator, T_cam_obj: Float64, d: float) -> Float64:
    """Pose of a hand whose palm faces the target, rather from the front than from behind."""
    outward = rng.standard_normal(3) - [0.0, 0.0, 0.4]
    outward /= np.linalg.norm(outward)
    x = np.cross(rng.standard_normal(3), outward)
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(outward, x), outward], axis=1)
    return make_T(R, T_cam_obj[:3, 3] + outward * rng.uniform(0.3, 0.6) * d)


def _render_layers(
    buffers: MeshBuffers, T: Float64, K: Float64, side: int, lights: Sequence[Lighting]
) -> list[Layer]:
    result = render(buffers, T, K, side, lighting=lights)
    return [rendered_layer(colour, depth) for colour, depth in zip(result.colour, result.depth, strict=True)]


def _background(
    rng: np.random.Generator,
    pool: ObjectPool,
    truth: SyntheticObject,
    T_cam_obj: Float64,
    K: Float64,
    side: int,
    light: Lighting,
) -> Layer:
    """Mostly a table under the object and a wall behind; here the world is the camera frame."""
    t = T_cam_obj[:3, 3]
    planes = []
    pitch, roll = rng.uniform(0.2, 1.45), rng.normal(0.0, 0.1)
    up = np.array([np.sin(roll), -np.cos(pitch) * np.cos(roll), -np.sin(pitch)])
    up /= np.linalg.norm(up)
    if rng.random() < 0.75:
        sample = transform(T_cam_obj, truth.mesh.vertices[::7]) @ up
        lift = 0.0 if rng.random() < 0.6 else rng.uniform(0.0, 0.15)
        origin = t + up * (float(sample.min()) - float(t @ up) - lift)
        planes.append(_plane(rng, pool, origin, up))
        if rng.random() < 0.3:  # a cloth or a sheet of paper
            aside = np.append(rng.normal(0.0, 0.1, 2), 0.0)
            half = (float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.05, 0.3)))
            planes.append(_plane(rng, pool, origin + up * 0.002 + aside - up * (aside @ up), up, half))
    wall = np.array([rng.normal(0.0, 0.3), rng.normal(0.0, 0.3), -1.0])
    planes.append(_plane(rng, pool, t * (1.0 + rng.uniform(0.2, 2.0) / t[2]), wall / np.linalg.norm(wall)))
    layer = render_planes(planes, np.eye(4), K, (side, side))
    shade = np.float32(light.ambient + light.diffuse * rng.uniform(0.0, 0.8))
    return Layer(colour=np.clip(layer.colour * shade, 0.0, 1.0), depth=layer.depth, measured=layer.measured)


def _plane(
    rng: np.random.Generator,
    pool: ObjectPool,
    origin: Float64,
    normal: Float64,
    half_m: tuple[float, float] = (np.inf, np.inf),
) -> Plane:
    x = np.cross(rng.standard_normal(3), normal)
    x /= np.linalg.norm(x)
    return Plane(
        T_world_plane=make_T(np.stack([x, np.cross(normal, x), normal], axis=1), origin),
        texture=pool.pick_texture(),
        tile_m=float(np.exp(rng.uniform(np.log(0.1), np.log(1.0)))),
        half_m=half_m,
        measurable=bool(rng.random() < 0.9),
    )


@dataclass(frozen=True, kw_only=True)
class _PatchLayers:
    """What there is in front of the camera."""

    background: Layer
    target: Layer
    clutter: list[Layer]
    hand: Layer | None


def _observed(
    rng: np.random.Generator, layers: _PatchLayers, *, light: Lighting, K: Float64, T_cam_obj: Float64
) -> Observation:
    """What the cameras make of the layers; what hides too much of the target is taken away."""
    background, target, clutter, hand = layers.background, layers.target, layers.clutter, layers.hand
    silhouette = np.isfinite(target.depth)
    pixel_count = max(int(silhouette.sum()), 1)
    hands = [] if hand is None else [hand]
    for others, moving_too in ((clutter, hands), (clutter, []), ([], [])):
        scene = compose([background, target, *moving_too, *others])
        visible_share = float((scene.owner == 1).sum()) / pixel_count
        if visible_share >= _MIN_VISIBLE:
            break
    colour = scene.colour
    if rng.random() < 0.35:  # glazed, lacquered or wet
        strength, exponent = float(rng.uniform(0.1, 0.7)), float(np.exp(rng.uniform(np.log(5.0), np.log(60.0))))
        shiny = scene.owner >= 1
        colour = glossed(colour, scene.depth, shiny, float(K[0, 0]), light, strength=strength, exponent=exponent)
    if rng.random() < 0.25:
        moving = (scene.owner >= 1) & (scene.owner <= 1 + len(moving_too))
        length_px = rng.uniform(1.0, 0.07 * len(silhouette))
        kernel = motion_kernel(float(length_px), float(rng.uniform(0.0, np.pi)))
        colour = smear(colour, compose([background, *others]).colour, moving, kernel)
    return Observation(
        rgb=random_appearance(rng).expose(colour, rng),
        depth_m=random_sensor(rng).measure(scene.depth, scene.colour, float(K[0, 0]), rng),
        K=K,
        T_cam_obj=T_cam_obj,
        visible_share=visible_share,
    )
