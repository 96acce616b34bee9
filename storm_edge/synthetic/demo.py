"""The recording that `storm-edge demo` tracks: a mug lifted, turned and hidden by a hand over a laid table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.appearance import Appearance
from storm_edge.synthetic.hands import make_hand
from storm_edge.synthetic.motion import MotionConfig, camera_at, random_motion
from storm_edge.synthetic.objects import make_object
from storm_edge.synthetic.rooms import Plane, random_texture
from storm_edge.synthetic.scene_renderer import RATE_HZ, write_scene
from storm_edge.synthetic.scene_script import MovingMesh, SceneScript
from storm_edge.synthetic.sensor import DepthSensor
from storm_edge.synthetic.splits import OBJECTS_DEV

Float64 = NDArray[np.float64]

FRAME_COUNT = 150
HIDDEN_FRAMES = range(92, 107)
"""Frames in which a board hides the mug completely; in a few before and after it hides part of it."""
_MUG_SEED = OBJECTS_DEV.seed(14)
_MUG_DIAMETER_M = 0.15


def demo_script(seed: int = 5) -> SceneScript:
    """The demo as a stage of `FRAME_COUNT` frames at 30 Hz."""
    rng = np.random.default_rng(seed)
    mug = make_object(
        _MUG_SEED, evaluation=True, family="mug", paint_kind="labels", diameter_m=_MUG_DIAMETER_M, face_count=6000
    )
    floor_m = -float(mug.mesh.vertices[:, 2].min())
    T_mug = _mug_path(rng, floor_m)
    camera = camera_at(np.array([0.0, 0.0, 0.09]), azimuth=-1.1, elevation=0.6, distance_m=0.62)

    hand = make_hand(rng)
    outward = np.array([-0.75, 0.1, 0.6])  # opposite the handle
    outward /= np.linalg.norm(outward)
    x = np.cross([0.0, 0.0, 1.0], outward)
    x /= np.linalg.norm(x)
    away_m = 0.085 + np.interp(np.arange(FRAME_COUNT), [0, 4, 20, 141, 149], [0.3, 0.3, 0.0, 0.0, 0.2])
    place = T_mug[:, :3, 3] + away_m[:, None] * outward
    T_hand = make_T(np.stack([x, np.cross(outward, x), outward], axis=1), place)
    return SceneScript(
        target=MovingMesh(mesh=mug.mesh, T_world_obj=T_mug),
        others=(MovingMesh(mesh=hand, T_world_obj=T_hand), _board(T_mug, camera), *_laid_table()),
        planes=_kitchen(rng),
        T_cam_world=camera[None],
        K=np.array([[590.0, 0.0, 319.5], [0.0, 590.0, 239.5], [0.0, 0.0, 1.0]]),
        light=Lighting(ambient=0.6, diffuse=0.5, to_light=(-0.5, -1.0, -0.6)),
        appearance=Appearance(gain=(1.0, 0.98, 0.93), shading=0.12, blur_px=0.5, noise=0.01, noise_scale_px=1.5),
        sensor=DepthSensor(noise_per_m=0.0015, dropout=0.005),
        frame_count=FRAME_COUNT,
        exposure_share=0.4,
        seed=seed,
    )


def write_demo(path: Path, seed: int = 5) -> None:
    """Render the demo and write it as a BOP scene with its model.

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    write_scene(path, demo_script(seed))


def _mug_path(rng: np.random.Generator, floor_m: float) -> Float64:
    """Stand, be lifted and turned, wander, and be put down elsewhere; ``T_world_obj (F, 4, 4)``."""
    time = np.arange(FRAME_COUNT)
    lift = CubicSpline([0, 20, 45, 75, 115, 140, 149], [0.0, 0.0, 0.1, 0.13, 0.11, 0.0, 0.0])(time)
    lift = np.maximum(lift, 0.0)
    aside = CubicSpline(
        [0, 20, 60, 100, 140, 149], [[0, 0], [0, 0], [-0.05, 0.04], [0.05, 0.0], [0.07, 0.05], [0.07, 0.05]]
    )(time)
    turn = CubicSpline(
        [0, 20, 50, 85, 120, 140, 149],
        [[0, 0, 0.6], [0, 0, 0.6], [0.5, 0.3, 1.4], [-0.6, 0.5, 0.2], [0.2, -0.3, 1.2], [0, 0, 1.5], [0, 0, 1.5]],
    )(time)
    tremor = random_motion(
        rng,
        np.eye(4),
        FRAME_COUNT,
        rate_hz=RATE_HZ,
        config=MotionConfig(speed_m_s=0.02, turn_rad_s=0.05, leash_m=0.01),
    )
    held = np.clip(lift / 0.03, 0.0, 1.0)[:, None]  # what stands on the table does not tremble
    return make_T(exp_so3(turn), np.concatenate([aside, (floor_m + lift)[:, None]], axis=1) + held * tremor[:, :3, 3])


def _board(T_mug: Float64, T_cam_world: Float64) -> MovingMesh:
    """A board that passes between camera and mug and stays in front of it during `HIDDEN_FRAMES`."""
    from storm_edge.synthetic.primitives import box

    vertices, faces = box((0.2, 0.3, 0.01), 0.02)
    colours = np.tile([0.55, 0.36, 0.2], (len(vertices), 1))
    colours *= 0.85 + 0.15 * np.sin(vertices[:, :1] * 90.0)
    R_world_cam = T_cam_world[:3, :3].T
    eye = -R_world_cam @ T_cam_world[:3, 3]
    first, last = HIDDEN_FRAMES.start, HIDDEN_FRAMES.stop - 1
    knots = [0, first - 12, first, last, last + 12, FRAME_COUNT - 1]
    slide = np.interp(np.arange(FRAME_COUNT), knots, [-0.8, -0.5, -0.03, 0.03, 0.5, 0.8])
    middle = eye + 0.6 * (T_mug[:, :3, 3] - eye)
    T = make_T(np.broadcast_to(R_world_cam, (FRAME_COUNT, 3, 3)), middle + slide[:, None] * R_world_cam[:, 0])
    return MovingMesh(mesh=make_mesh(vertices, faces, colours=colours), T_world_obj=T)


def _laid_table() -> list[MovingMesh]:
    """Other things on the table."""
    wanted = (
        ("box", "labels", 0.2, (-0.17, 0.16)),
        ("bottle", "bands", 0.24, (0.2, 0.2)),
        ("bowl", "stripes", 0.16, (-0.22, -0.06)),
        ("can", "labels", 0.1, (0.02, 0.26)),
        ("spray", "bands", 0.22, (0.32, 0.02)),
    )
    actors = []
    for number, (family, paint, size, place) in enumerate(wanted):
        item = make_object(
            _MUG_SEED + 1 + number, evaluation=True, family=family, paint_kind=paint, diameter_m=size, face_count=3000
        )
        T = make_T(exp_so3([0.0, 0.0, float(number)]), [*place, -float(item.mesh.vertices[:, 2].min())])
        actors.append(MovingMesh(mesh=item.mesh, T_world_obj=T[None]))
    return actors


def _kitchen(rng: np.random.Generator) -> tuple[Plane, ...]:
    """A wooden table, a cloth, a floor and two quiet walls."""
    v, u = np.mgrid[0:256, 0:256].astype(np.float32) / np.float32(256.0)
    rings = np.sin(2.0 * np.pi * (6.0 * u + 0.3 * np.sin(2.0 * np.pi * v)))[..., None]
    wood = np.array([0.62, 0.45, 0.3], dtype=np.float32) * (1.0 + 0.08 * rings)
    weave = np.sin(u * 400.0)[..., None] * np.sin(v * 400.0)[..., None]
    cloth = np.array([0.25, 0.34, 0.42], dtype=np.float32) * (1.0 + 0.2 * weave)
    wall = np.broadcast_to(np.array([0.72, 0.71, 0.66], dtype=np.float32), (256, 256, 3)).copy()

    def plane(origin: list[float], R: Float64, texture: NDArray[np.float32], half: tuple[float, float]) -> Plane:
        return Plane(
            T_world_plane=make_T(R, origin),
            texture=np.clip(texture, 0, 1).astype(np.float32),
            tile_m=0.5,
            half_m=half,
        )

    everywhere = (float(np.inf), float(np.inf))
    upright = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return (
        plane([0.0, 0.0, 0.0], np.eye(3), wood, (0.6, 0.45)),
        plane([0.0, 0.02, 0.002], exp_so3([0.0, 0.0, 0.3]), cloth, (0.15, 0.12)),
        plane([0.0, 0.0, -0.75], np.eye(3), random_texture(rng), everywhere),
        plane([0.0, 1.4, 0.0], upright, wall, everywhere),
        plane([-1.6, 0.0, 0.0], exp_so3([0.0, 0.0, np.pi / 2]) @ upright, wall, everywhere),
    )
