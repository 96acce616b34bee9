"""Scripts of the evaluation sets: one object on or above a table, things around it, a hand, usual cameras.

`evaluation_scenes` and `evaluation_sequences` make them of objects that training never sees; `splits` says which
seeds are for what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.se3 import exp_so3, make_T, random_rotation
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.appearance import Appearance
from storm_edge.synthetic.hands import make_hand
from storm_edge.synthetic.motion import MotionConfig, camera_at, orbiting_camera, random_motion
from storm_edge.synthetic.objects import SyntheticObject, make_object
from storm_edge.synthetic.rooms import Plane, random_texture
from storm_edge.synthetic.scene_renderer import RATE_HZ, SceneRenderer
from storm_edge.synthetic.scene_script import MovingMesh, SceneScript
from storm_edge.synthetic.sensor import DepthSensor
from storm_edge.synthetic.splits import SCENES_DEV, SEQUENCES_DEV, objects_of_scene

Float64 = NDArray[np.float64]
BoolImage = NDArray[np.bool_]

_OCCLUDER_STEPS = (1.0, 1.08, 1.16, 1.25, 1.35, 1.5, 1.7, 2.0, 2.5, 3.5)


def evaluation_scenes(count: int, seed: int = SCENES_DEV.first) -> Iterator[SceneScript]:
    """Single pictures, each of another object, at most 30 % of it hidden."""
    return (evaluation_scene(seed + index) for index in range(count))


def evaluation_sequences(count: int, frames: int = 60, seed: int = SEQUENCES_DEV.first) -> Iterator[SceneScript]:
    """Recordings of ``frames`` frames, each of another painted object, at most 30 % of it hidden at any time.

    Only painted objects, because a plain one may have many right poses and ADD knows one.
    """
    return (evaluation_scene(seed + index, frame_count=frames, unique_pose=True) for index in range(count))


def evaluation_scene(
    seed: int, *, frame_count: int = 1, max_occlusion: float = 0.3, unique_pose: bool = False
) -> SceneScript:
    """A stage with an object that training never sees, always the same one for a seed.

    Args:
        seed: Any number from 0; it does not collide with training seeds.
        frame_count: 1 for a single picture; otherwise a hand moves the object, or the camera goes around it.
        max_occlusion: Largest hidden part of the silhouette in any frame.
        unique_pose: Take only painted objects, whose pose colour settles.
    """
    object_seed = objects_of_scene(seed).start
    target = make_object(object_seed, evaluation=True)
    while unique_pose and not target.pose_is_unique:
        object_seed += 1
        target = make_object(object_seed, evaluation=True)
    for attempt in range(20):
        script = _crowded(_bare_script(np.random.default_rng([seed, attempt]), target, frame_count), max_occlusion)
        if script is not None:
            return replace(script, seed=seed)
    raise RuntimeError(f"evaluation scene {seed}: no view keeps the object inside the picture")


def _bare_script(rng: np.random.Generator, target: SyntheticObject, frame_count: int) -> SceneScript:
    """Target, room and cameras, and all that might stand or reach into the way in `others`, a hand last."""
    K, distance_m = _evaluation_camera(rng, target.diameter_m)
    T_rest = resting_pose(rng, target)
    held = bool(rng.random() < 0.5)
    if held:
        T_rest[2, 3] += rng.uniform(0.03, 0.2)
    T_target = T_rest[None]
    if frame_count > 1 and held:
        T_target = random_motion(rng, T_rest, frame_count, rate_hz=RATE_HZ, config=MotionConfig())
    if frame_count > 1 and not held:
        T_cam_world = orbiting_camera(
            rng, T_rest[:3, 3], distance_m, frame_count, rate_hz=RATE_HZ, config=MotionConfig()
        )
    else:
        aim = T_rest[:3, 3] + rng.normal(0.0, 0.03, 3)
        azimuth, elevation = float(rng.uniform(0.0, 2.0 * np.pi)), float(rng.uniform(0.35, 1.2))
        T_cam_world = camera_at(aim, azimuth, elevation, distance_m)[None]
    clutter = [_clutter(rng, target.seed + 500 + i, target, T_rest) for i in range(int(rng.integers(2, 6)))]
    return SceneScript(
        target=MovingMesh(mesh=target.mesh, T_world_obj=T_target),
        axes=target.axes,
        others=(*clutter, _occluder(rng, target, T_target, T_cam_world[0])),
        planes=random_room(rng),
        T_cam_world=T_cam_world,
        K=K,
        light=Lighting(ambient=0.6, diffuse=float(rng.uniform(0.3, 0.7)), to_light=_light_from_above(rng)),
        appearance=evaluation_appearance(rng),
        sensor=evaluation_sensor(rng),
        frame_count=frame_count,
        exposure_share=float(rng.uniform(0.1, 0.5)),
    )


def _crowded(script: SceneScript, max_occlusion: float) -> SceneScript | None:
    """The stage with as much in the way as is allowed; None when the target leaves the picture.

    What hides too much is pushed away from the target step by step, and left out as a last resort.
    """
    *clutter, hand = script.others
    up, ahead = (
        np.array([0.0, 0.0, 1.0]),
        script.T_cam_world[0, 2, :3],
    )  # clutter stays on the table, the hand in front
    for hands, things in (([hand], clutter), ([], clutter), ([], [])):
        for step in _OCCLUDER_STEPS if things else (1.0,):
            others = [_pushed(thing, script.target, step, up) for thing in things]
            others += [_pushed(thing, script.target, step, ahead) for thing in hands]
            pushed = replace(script, others=tuple(others))
            renderer = SceneRenderer(pushed)
            if not all(renderer.in_sight(i) for i in range(script.frame_count)):
                return None
            if all(renderer.visible_share(i) >= 1.0 - max_occlusion for i in range(script.frame_count)):
                return pushed
    return None


def resting_pose(rng: np.random.Generator, item: SyntheticObject) -> Float64:
    """Pose on the table (z = 0): upright and turned, or thrown there; ``T_world_obj (4, 4)``."""
    R = exp_so3([0.0, 0.0, rng.uniform(0.0, 2.0 * np.pi)])
    if rng.random() < 0.5:
        R = random_rotation(rng)
    lowest = float((item.mesh.vertices.astype(np.float64) @ R.T)[:, 2].min())
    return make_T(R, [0.0, 0.0, -lowest])


def random_room(rng: np.random.Generator) -> tuple[Plane, ...]:
    """Table at z = 0, perhaps a cloth on it, floor and two walls."""

    def plane(origin: Sequence[float], x: Sequence[float], y: Sequence[float], half: tuple[float, float]) -> Plane:
        R = np.stack([x, y, np.cross(x, y)], axis=1)
        tile_m = float(np.exp(rng.uniform(np.log(0.15), np.log(0.8))))
        return Plane(T_world_plane=make_T(R, origin), texture=random_texture(rng), tile_m=tile_m, half_m=half)

    far = float(rng.uniform(1.0, 2.5))
    wide = (float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.4, 0.9)))
    planes = [
        plane([0.0, 0.0, 0.0], [1, 0, 0], [0, 1, 0], wide),
        plane([0.0, 0.0, -0.75], [1, 0, 0], [0, 1, 0], (np.inf, np.inf)),
    ]
    if rng.random() < 0.4:
        half = (float(rng.uniform(0.1, 0.25)), float(rng.uniform(0.1, 0.25)))
        planes.append(plane([*rng.normal(0.0, 0.05, 2), 0.002], [1, 0, 0], [0, 1, 0], half))
    for angle in rng.uniform(0.0, np.pi / 2) + np.arange(4) * np.pi / 2:
        outward = np.array([np.cos(angle), np.sin(angle), 0.0])
        side = np.array([-outward[1], outward[0], 0.0])
        planes.append(plane([*(far * outward[:2]), 0.0], side.tolist(), [0, 0, 1], (np.inf, np.inf)))
    return tuple(planes)


def evaluation_sensor(rng: np.random.Generator) -> DepthSensor:
    """A usual stereo depth camera, its settings varied a little around the defaults."""
    return DepthSensor(
        noise_per_m=float(rng.uniform(0.001, 0.003)),
        noise_scale_px=float(rng.uniform(3.0, 7.0)),
        bias=float(rng.normal(0.0, 0.001)),
        smoothing_px=float(rng.uniform(0.5, 2.0)),
        edge_jitter_px=float(rng.uniform(0.3, 1.2)),
        dropout=float(rng.uniform(0.0, 0.02)),
    )


def evaluation_appearance(rng: np.random.Generator) -> Appearance:
    """A usual colour camera indoors."""
    exposure, balance = rng.uniform(0.75, 1.15), np.exp(rng.normal(0.0, 0.06, 3))
    return Appearance(
        gain=(float(exposure * balance[0]), float(exposure * balance[1]), float(exposure * balance[2])),
        gamma=float(rng.uniform(0.85, 1.15)),
        saturation=float(rng.uniform(0.75, 1.1)),
        shading=float(rng.uniform(0.0, 0.2)),
        shading_seed=int(rng.integers(2**31)),
        blur_px=float(rng.uniform(0.3, 0.8)),
        noise=float(rng.uniform(0.005, 0.02)),
        noise_scale_px=1.5,
    )


def _evaluation_camera(rng: np.random.Generator, diameter_m: float) -> tuple[Float64, float]:
    """Intrinsics of a 640x480 camera and a distance at which the object spans 70 to 180 px."""
    fx = rng.uniform(520.0, 640.0)
    K = np.array([[fx, 0.0, rng.normal(319.5, 5.0)], [0.0, fx, rng.normal(239.5, 5.0)], [0.0, 0.0, 1.0]])
    return K, float(np.clip(fx * diameter_m / rng.uniform(70.0, 180.0), 0.4, 1.2))


def _light_from_above(rng: np.random.Generator) -> tuple[float, float, float]:
    x, y, z = rng.normal(0.0, 0.6), -1.0, rng.uniform(-1.5, -0.2)
    return float(x), float(y), float(z)


def _clutter(rng: np.random.Generator, seed: int, target: SyntheticObject, T_world_target: Float64) -> MovingMesh:
    """Something standing on the table beside the target."""
    item = make_object(
        seed, evaluation=True, diameter_m=float(target.diameter_m * rng.uniform(0.5, 1.5)), face_count=2000
    )
    T = resting_pose(rng, item)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    gap = (target.diameter_m + item.diameter_m) / 2.0 * rng.uniform(0.9, 2.0)
    T[:2, 3] += T_world_target[:2, 3] + gap * np.array([np.cos(angle), np.sin(angle)])
    return MovingMesh(mesh=item.mesh, T_world_obj=T[None])


def _occluder(
    rng: np.random.Generator, target: SyntheticObject, T_target: Float64, T_cam_world: Float64
) -> MovingMesh:
    """A hand in front of the target's edge, going where it goes."""
    ahead = T_cam_world[2, :3]
    aside = np.cross(rng.standard_normal(3), ahead)
    aside /= np.linalg.norm(aside)
    outward = aside - rng.uniform(0.3, 1.0) * ahead  # the palm faces the target from the front and the side
    outward /= np.linalg.norm(outward)
    x = np.cross(rng.standard_normal(3), outward)
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(outward, x), outward], axis=1)
    offset = aside * (0.03 + target.diameter_m * rng.uniform(0.15, 0.3)) - ahead * (0.02 + 0.4 * target.diameter_m)
    return MovingMesh(mesh=make_hand(rng), T_world_obj=make_T(R, T_target[:, :3, 3] + offset))


def _pushed(actor: MovingMesh, target: MovingMesh, factor: float, fixed: Float64) -> MovingMesh:
    """The actor at ``factor`` times its distance from the target, not counting what is along ``fixed``."""
    away = actor.at(0)[:3, 3] - target.at(0)[:3, 3]
    away = away - fixed * float(away @ fixed)
    T = actor.T_world_obj.copy()
    T[:, :3, 3] += (factor - 1.0) * away
    return MovingMesh(mesh=actor.mesh, T_world_obj=T)
