"""Cluttered images: a table full of objects, some of them look-alikes of each other, and the truth about them.

`make_clutter` renders one from a pool of objects; `evaluation_clutter` makes those that a search is judged on.
`queries` makes training batches of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storm_edge.frame import Frame
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.appearance import motion_kernel, random_appearance, random_lighting, smear
from storm_edge.synthetic.layers import Layer, compose, render_layer
from storm_edge.synthetic.motion import camera_at
from storm_edge.synthetic.object_pool import ObjectPool, PooledObject
from storm_edge.synthetic.rooms import Plane, render_planes
from storm_edge.synthetic.scenes import evaluation_appearance, evaluation_sensor, resting_pose
from storm_edge.synthetic.sensor import random_sensor
from storm_edge.synthetic.splits import objects_of_search

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Batch = dict[str, Float32]

_FX = (0.7, 1.15)  # focal length over image width
_APPARENT = (0.085, 0.36)  # apparent diameter of the first object over image width
_DISTANCE_M = (0.25, 1.8)


@dataclass(frozen=True, kw_only=True)
class ClutterConfig:
    """What a cluttered picture is like."""

    object_count: tuple[int, int] = (2, 8)
    """Fewest and most objects."""
    twin_share: float = 0.3
    """Share of pictures with a look-alike: one object's shape in other colours or another size."""
    hand_share: float = 0.3
    """Share of pictures with a hand at one of the objects."""
    usual_cameras: bool = False
    """A usual colour and depth camera, as evaluation has it, instead of anything from clean to poor."""


@dataclass(frozen=True, kw_only=True)
class Clutter:
    """A picture, and the truth about what is in it."""

    frame: Frame
    """What the cameras deliver."""
    things: tuple[PooledObject, ...]
    """The objects; those out of sight are among them."""
    T_cam_obj: Float64
    """Their poses [m] ``(N, 4, 4)``."""
    masks_visib: NDArray[np.bool_]
    """What can be seen of each ``(N, H, W)``."""
    visible_share: Float64
    """Visible part of each silhouette within the picture ``(N,)``, 0 out of sight."""


def make_clutter(
    rng: np.random.Generator, pool: ObjectPool, size_px: tuple[int, int], config: ClutterConfig
) -> Clutter:
    """Render a table with objects of ``pool``.

    Args:
        rng: Source of randomness.
        pool: Where objects, hands and textures come from.
        size_px: Height and width of the picture [px].
        config: What it is like.
    """
    things = _choose(rng, pool, config)
    d = things[0].truth.diameter_m
    width = size_px[1]
    fx = width * rng.uniform(*_FX)
    apparent_px = width * np.exp(rng.uniform(*np.log(_APPARENT)))
    distance_m = float(np.clip(fx * d / apparent_px, *_DISTANCE_M))
    middle = (np.array(size_px[::-1]) - 1) / 2.0 + rng.normal(0.0, 0.01 * width, 2)
    K = np.array([[fx, 0.0, middle[0]], [0.0, fx, middle[1]], [0.0, 0.0, 1.0]])
    T_world = _spread(rng, things)
    aim = T_world[:, :3, 3].mean(axis=0) + rng.normal(0.0, 0.35 * d, 3) * [1.0, 1.0, 0.3]
    T_cam_world = camera_at(
        aim, rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.25, 1.45), distance_m, roll=rng.normal(0.0, 0.15)
    )
    T_cam_obj = T_cam_world @ T_world

    light = random_lighting(rng)
    layers: list[Layer] = [_room(rng, pool, _View(T_cam_world, K, size_px, light), distance_m, d)]
    shown: list[int] = []  # number of the object that a layer shows, -1 for a hand
    for number, thing in enumerate(things):
        _add(layers, shown, number, render_layer(
            thing.buffers, thing.truth.mesh.vertices, T_cam_obj[number], K, size_px, light
        ))  # fmt: skip
    if rng.random() < config.hand_share:
        held = int(rng.integers(len(things)))
        hand = pool.pick_hand()
        T_hand = _reaching(rng, T_cam_obj[held], things[held].truth.diameter_m)
        _add(layers, shown, -1, render_layer(hand, hand.vertices.numpy(), T_hand, K, size_px, light))

    scene = compose(layers)
    masks = np.zeros((len(things), *size_px), dtype=bool)
    share = np.zeros(len(things))
    for index, number in enumerate(shown, start=1):
        if number >= 0:
            masks[number] = scene.owner == index
            share[number] = masks[number].sum() / max(int(np.isfinite(layers[index].depth).sum()), 1)
    return Clutter(
        frame=_frame(rng, scene.colour, scene.depth, K, config),
        things=tuple(things),
        T_cam_obj=T_cam_obj,
        masks_visib=masks,
        visible_share=share,
    )


def evaluation_clutter(
    count: int, seed: int = 0, *, size_px: tuple[int, int] = (480, 640)
) -> Iterator[tuple[Clutter, list[PooledObject]]]:
    """Pictures of 5 to 8 objects that training never sees, by usual cameras; each with objects that are absent."""
    config = ClutterConfig(object_count=(5, 8), usual_cameras=True)
    for index in range(count):
        rng = np.random.default_rng([seed + index, 991])
        pool = ObjectPool(rng, size=12, seeds=objects_of_search(seed + index))
        clutter = make_clutter(rng, pool, size_px, config)
        there = {thing.truth.seed for thing in clutter.things}
        yield clutter, [item for item in pool.objects if item.truth.seed not in there]


def recoloured(rng: np.random.Generator, item: PooledObject) -> PooledObject | None:
    """The same shape with its colour channels exchanged; None for grey objects, where one sees no difference."""
    mesh = item.truth.mesh
    order = [[1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]][int(rng.integers(5))]
    colours = mesh.colours[:, order]
    if np.abs(colours - mesh.colours).sum(axis=1).mean() < 0.35:
        return None
    twin = make_mesh(mesh.vertices, mesh.faces, colours=colours, normals=mesh.normals)
    truth = replace(item.truth, seed=-1 - max(item.truth.seed, 0), mesh=twin)
    return PooledObject(truth=truth, buffers=MeshBuffers.from_mesh(twin))


def _resized(rng: np.random.Generator, item: PooledObject) -> PooledObject:
    """The same shape and paint at clearly another size."""
    factor = float(np.exp(rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.7)))
    mesh = item.truth.mesh
    twin = make_mesh(mesh.vertices * np.float32(factor), mesh.faces, colours=mesh.colours, normals=mesh.normals)
    truth = replace(
        item.truth, seed=-1 - max(item.truth.seed, 0), mesh=twin, diameter_m=item.truth.diameter_m * factor
    )
    return PooledObject(truth=truth, buffers=MeshBuffers.from_mesh(twin))


def _choose(rng: np.random.Generator, pool: ObjectPool, config: ClutterConfig) -> list[PooledObject]:
    """Different objects of comparable sizes, and perhaps a twin of the first."""
    count = int(rng.integers(config.object_count[0], config.object_count[1] + 1))
    things = [pool.pick()]
    twin = None
    if rng.random() < config.twin_share:
        twin = recoloured(rng, things[0]) if rng.random() < 0.7 else _resized(rng, things[0])
    if twin is not None:
        things.append(twin)
    seen = {things[0].truth.seed}
    for _ in range(8 * count):
        if len(things) >= count:
            break
        item = pool.pick_beside(things[0].truth.diameter_m * float(np.exp(rng.normal(0.0, 0.4))))
        if item.truth.seed not in seen:
            seen.add(item.truth.seed)
            things.append(item)
    return things


def _spread(rng: np.random.Generator, things: list[PooledObject]) -> Float64:
    """Poses on the table, close together but hardly into each other; a few are held above it. ``(N, 4, 4)``."""
    poses = np.stack([resting_pose(rng, thing.truth) for thing in things])
    radius = np.array([thing.truth.diameter_m / 2.0 for thing in things])
    tight = rng.uniform(0.65, 1.1)
    placed: list[int] = []
    for i in range(len(things)):
        reach = 0.0
        for _ in range(60):
            where = rng.uniform(-1.0, 1.0, 2) * reach
            gap = [
                float(np.hypot(*(where - poses[j, :2, 3]))) - tight * (radius[i] + radius[j]) * 0.8 for j in placed
            ]
            if not gap or min(gap) > 0.0:
                break
            reach += 0.12 * float(radius.max())
        poses[i, :2, 3] = where
        if rng.random() < 0.15:
            poses[i, 2, 3] += rng.uniform(0.2, 1.2) * 2.0 * radius[i]
            poses[i, :3, :3] = exp_so3(rng.normal(0.0, 0.5, 3)) @ poses[i, :3, :3]
        placed.append(i)
    return poses


class _View(NamedTuple):
    """Where the camera is, and the light."""

    T_cam_world: Float64
    K: Float64
    size_px: tuple[int, int]
    light: Lighting


def _room(
    rng: np.random.Generator,
    pool: ObjectPool,
    view: _View,
    distance_m: float,
    diameter_m: float,
) -> Layer:
    """A table, mostly; a cloth or sheet on it; and a wall behind."""

    def plane(origin: Float64, normal: Float64, half_m: tuple[float, float] = (np.inf, np.inf)) -> Plane:
        x = np.cross(rng.standard_normal(3), normal)
        x /= np.linalg.norm(x)
        return Plane(
            T_world_plane=make_T(np.stack([x, np.cross(normal, x), normal], axis=1), origin),
            texture=pool.pick_texture(),
            tile_m=float(np.exp(rng.uniform(np.log(0.1), np.log(1.0)))),
            half_m=half_m,
            measurable=bool(rng.random() < 0.93),
        )

    up = np.array([0.0, 0.0, 1.0])
    planes = []
    if rng.random() < 0.9:
        wide = np.inf if rng.random() < 0.6 else float(rng.uniform(1.5, 6.0)) * diameter_m
        planes.append(plane(np.zeros(3), up, (wide, wide)))
        if rng.random() < 0.35:
            half = (float(rng.uniform(0.4, 2.0)) * diameter_m, float(rng.uniform(0.4, 2.0)) * diameter_m)
            planes.append(plane(np.append(rng.normal(0.0, diameter_m, 2), 0.002), up, half))
    toward = -view.T_cam_world[2, :3] * [1.0, 1.0, 0.2] + rng.normal(0.0, 0.2, 3)
    toward /= np.linalg.norm(toward)
    planes.append(plane(-toward * distance_m * rng.uniform(0.4, 2.0), toward))
    layer = render_planes(planes, view.T_cam_world, view.K, view.size_px)
    shade = np.float32(view.light.ambient + view.light.diffuse * rng.uniform(0.0, 0.8))
    return Layer(colour=np.clip(layer.colour * shade, 0.0, 1.0), depth=layer.depth, measured=layer.measured)


def _reaching(rng: np.random.Generator, T_cam_obj: Float64, diameter_m: float) -> Float64:
    """Pose of a hand whose palm faces an object, rather from the front than from behind."""
    outward = rng.standard_normal(3) - [0.0, 0.0, 0.3]
    outward /= np.linalg.norm(outward)
    x = np.cross(rng.standard_normal(3), outward)
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(outward, x), outward], axis=1)
    return make_T(R, T_cam_obj[:3, 3] + outward * rng.uniform(0.35, 0.65) * diameter_m)


def _add(layers: list[Layer], shown: list[int], number: int, layer: Layer | None) -> None:
    if layer is not None:
        layers.append(layer)
        shown.append(number)


def _frame(rng: np.random.Generator, colour: Float32, depth: Float32, K: Float64, config: ClutterConfig) -> Frame:
    """What the cameras make of the scene; now and then the picture is blurred by motion."""
    usual = config.usual_cameras
    appearance = evaluation_appearance(rng) if usual else random_appearance(rng)
    sensor = evaluation_sensor(rng) if usual else random_sensor(rng)
    sharp = colour
    if not usual and rng.random() < 0.2:
        kernel = motion_kernel(float(rng.uniform(1.0, 0.03 * colour.shape[1])), float(rng.uniform(0.0, np.pi)))
        colour = smear(colour, colour, np.ones(depth.shape, dtype=bool), kernel)
    return Frame(
        rgb=appearance.expose(colour, rng),
        depth_m=sensor.measure(depth, sharp, float(K[0, 0]), rng),
        K=K,
        index=0,
    )
