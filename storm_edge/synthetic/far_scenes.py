"""Recordings of a small thing far away: the same table, object and neighbour from half a metre to three metres.

Only the distance differs between the recordings of one number, so that what gets lost on the way is the distance's
work: fewer pixels, and a depth camera whose noise grows with its square.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.motion import MotionConfig, camera_at, random_motion
from storm_edge.synthetic.objects import SyntheticObject, make_object
from storm_edge.synthetic.primitives import box
from storm_edge.synthetic.rooms import Plane, random_texture
from storm_edge.synthetic.scene_renderer import RATE_HZ
from storm_edge.synthetic.scene_script import MovingMesh, SceneScript
from storm_edge.synthetic.scenes import evaluation_appearance, evaluation_sensor
from storm_edge.synthetic.splits import FAR_DEV, objects_of_scene

Float64 = NDArray[np.float64]

DISTANCES_M = (0.5, 1.0, 1.5, 2.0, 3.0)
"""From camera to object."""
FOCAL_PX = 600.0
"""Of a usual camera with 640 columns: at 3 m a thing of 150 mm is 30 px wide."""
WANTED = (
    ("mug", "labels", 0.15),
    ("mug", "plain", 0.15),
    ("box", "labels", 0.2),
    ("bottle", "bands", 0.22),
    ("can", "plain", 0.13),
    ("spray", "bands", 0.2),
    ("bowl", "stripes", 0.16),
)
"""Shape, paint and diameter [m] of the objects, by number; more begin again with other seeds."""
_AWAY = make_T(np.eye(3), [0.0, 0.0, -100.0])  # below the floor and out of every picture


class FarKind(str, Enum):
    """What happens in a recording."""

    STILL = "still"
    """Nothing moves."""
    MOVING = "moving"
    """A hand that is not seen moves the object over the table."""
    PASSED = "passed"
    """A board passes in front of the object, and hides it completely for a third of the time."""
    ABSENT = "absent"
    """The object is not there; its neighbour and the other things are."""


@dataclass(frozen=True, kw_only=True)
class FarScene:
    """A recording, and the poses of what else one might take for the object."""

    script: SceneScript
    """What is to be rendered; its target is the object."""
    item: SyntheticObject
    """The object."""
    T_cam_neighbour: Float64
    """A thing of the same size beside it in the first frame [m] ``(4, 4)``."""


def far_scene(number: int, distance_m: float, kind: FarKind, *, frame_count: int = 30) -> FarScene:
    """The recording of a number, always the same one.

    Args:
        number: Which object and room, from 0.
        distance_m: From camera to object.
        kind: What happens.
        frame_count: Its length.
    """
    seed = FAR_DEV.seed(number)
    first = objects_of_scene(seed).start
    family, paint, diameter_m = WANTED[number % len(WANTED)]
    item = make_object(first, evaluation=True, family=family, paint_kind=paint, diameter_m=diameter_m)
    rng = np.random.default_rng([seed, 17])
    T_rest = _standing(item, (0.0, 0.0), float(rng.uniform(0.0, 2.0 * np.pi)))
    camera = camera_at(T_rest[:3, 3], float(rng.uniform(-1.5, -0.9)), float(rng.uniform(0.3, 0.6)), distance_m)
    neighbour, *clutter = _beside(rng, first + 500, item, camera)
    planes, light = _room(rng), Lighting(ambient=0.6, diffuse=0.5, to_light=(-0.5, -1.0, -0.6))
    appearance, sensor = evaluation_appearance(rng), evaluation_sensor(rng)
    T_target = {FarKind.ABSENT: _AWAY[None], FarKind.MOVING: _carried(rng, T_rest, frame_count)}.get(
        kind, T_rest[None]
    )
    passing = (_board(item, T_rest, camera, frame_count),) if kind is FarKind.PASSED else ()
    script = SceneScript(
        target=MovingMesh(mesh=item.mesh, T_world_obj=T_target),
        axes=item.axes,
        others=(neighbour, *clutter, *passing),
        planes=planes,
        T_cam_world=camera[None],
        K=np.array([[FOCAL_PX, 0.0, 319.5], [0.0, FOCAL_PX, 239.5], [0.0, 0.0, 1.0]]),
        light=light,
        appearance=appearance,
        sensor=sensor,
        frame_count=frame_count,
        seed=seed,
    )
    return FarScene(script=script, item=item, T_cam_neighbour=camera @ neighbour.at(0))


def _standing(item: SyntheticObject, place: tuple[float, float], turn: float) -> Float64:
    """Upright on the table at a place [m], turned [rad]; ``T_world_obj (4, 4)``."""
    return make_T(exp_so3([0.0, 0.0, turn]), [*place, -float(item.mesh.vertices[:, 2].min())])


def _beside(rng: np.random.Generator, seed: int, item: SyntheticObject, T_cam_world: Float64) -> list[MovingMesh]:
    """A neighbour of the same size, and three other things farther off; none in front of the object."""
    aside, ahead = T_cam_world[0, :2], T_cam_world[2, :2]
    ahead = ahead / np.linalg.norm(ahead)
    found: list[MovingMesh] = []
    for offset, size in (((1.3, 0.0), 1.0), ((-1.6, 0.4), 1.2), ((-0.4, 2.0), 0.8), ((2.4, 1.2), 1.4)):
        thing = make_object(seed + len(found), evaluation=True, diameter_m=item.diameter_m * size, face_count=2000)
        place = item.diameter_m * (offset[0] * aside + offset[1] * ahead)
        T = _standing(thing, (float(place[0]), float(place[1])), float(rng.uniform(0.0, 2.0 * np.pi)))
        found.append(MovingMesh(mesh=thing.mesh, T_world_obj=T[None]))
    return found


def _carried(rng: np.random.Generator, T_rest: Float64, frame_count: int) -> Float64:
    """A path a hand's breadth above the table; ``T_world_obj (F, 4, 4)``."""
    T: Float64 = T_rest.copy()
    T[2, 3] += 0.08
    return random_motion(rng, T, frame_count, rate_hz=RATE_HZ, config=MotionConfig())


def _board(item: SyntheticObject, T_rest: Float64, T_cam_world: Float64, frame_count: int) -> MovingMesh:
    """A board that slides in, hides the object during the middle third, and slides out."""
    near = 0.7  # place on the ray, as a share of the object's distance
    radius_m = near * 0.5 * item.diameter_m
    vertices, faces = box((4.0 * radius_m, 5.0 * radius_m, 0.01), 0.01)
    mesh = make_mesh(vertices, faces, colours=np.tile([0.5, 0.42, 0.3], (len(vertices), 1)))
    R_world_cam = T_cam_world[:3, :3].T
    eye = -R_world_cam @ T_cam_world[:3, 3]
    knots = [0.0, 0.15, 0.33, 0.67, 0.85, 1.0]
    slide = np.interp(np.linspace(0.0, 1.0, frame_count), knots, [-8.0, -3.5, -0.9, 0.9, 3.5, 8.0]) * radius_m
    place = eye + near * (T_rest[:3, 3] - eye) + slide[:, None] * R_world_cam[:, 0]
    return MovingMesh(mesh=mesh, T_world_obj=make_T(np.broadcast_to(R_world_cam, (frame_count, 3, 3)), place))


def _room(rng: np.random.Generator) -> tuple[Plane, ...]:
    """A table, a floor, and two walls behind them as seen from the camera's side."""
    upright = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    everywhere = (float(np.inf), float(np.inf))

    def plane(origin: list[float], R: Float64, half: tuple[float, float]) -> Plane:
        return Plane(T_world_plane=make_T(R, origin), texture=random_texture(rng), tile_m=0.5, half_m=half)

    return (
        plane([0.0, 0.0, 0.0], np.eye(3), (0.8, 0.6)),
        plane([0.0, 0.0, -0.75], np.eye(3), everywhere),
        plane([0.0, 1.4, 0.0], upright, everywhere),
        plane([-1.8, 0.0, 0.0], exp_so3([0.0, 0.0, np.pi / 2]) @ upright, everywhere),
    )
