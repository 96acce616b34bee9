"""Recordings that a tracker must get lost in: an object that is moved while it is hidden.

In a `RecoverySequence` a board passes between the camera and the hand-held target and hides it completely for 10 to
40 frames; behind it the target goes on to another place and another side, so that where it was last seen is no longer
where it is. The rest of the script is that of `scenes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from storm_edge.geometry.mesh import make_mesh, vertex_normals
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.synthetic.motion import MotionConfig, random_motion
from storm_edge.synthetic.primitives import box
from storm_edge.synthetic.scene_renderer import RATE_HZ, SceneRenderer
from storm_edge.synthetic.scene_script import MovingMesh, SceneScript
from storm_edge.synthetic.scenes import evaluation_scene
from storm_edge.synthetic.textures import paint

Float64 = NDArray[np.float64]

HIDDEN_COUNTS = (10, 40)
"""Shortest and longest full occlusion [frames]."""
_LEAD = 30  # frames before anything happens: time to find and settle
_TAIL = 45  # frames after the board has gone: time to recover in
_ALWAYS_VISIBLE = 0.6  # of the silhouette, while the board is away
_LEAST_WAY_M = 0.04  # from where the target was last seen to where it reappears
_TRIES = 50  # with the usual lifts and moves; then with small ones, for a near camera; then without clutter as well
_NEAR_REACH = 0.4
_BOARD_MARGIN = 1.25  # half width of the board over the target's radius, as the camera sees them


@dataclass(frozen=True, kw_only=True)
class RecoverySequence:
    """A recording with one full occlusion."""

    script: SceneScript
    """What is to be rendered."""
    hidden: range
    """Frames in which nothing of the target is visible."""
    visible_share: Float64
    """Visible part of the target's silhouette in each frame, 0 to 1, ``(F,)``."""


def recovery_sequence(seed: int) -> RecoverySequence:
    """The recording of a seed, always the same one; the seed names the object as in `evaluation_scene`."""
    still = evaluation_scene(seed, unique_pose=True)
    for attempt in range(3 * _TRIES):
        reach = 1.0 if attempt < _TRIES else _NEAR_REACH
        script = still if attempt < 2 * _TRIES else replace(still, others=())
        found = _hidden_once(np.random.default_rng([seed, attempt, 3]), script, reach)
        if found is not None:
            return found
    raise RuntimeError(f"recovery sequence {seed}: no path keeps the target inside the picture and behind the board")


def _hidden_once(rng: np.random.Generator, still: SceneScript, reach: float) -> RecoverySequence | None:
    """A try at a sequence; None when the target stays, leaves the picture, or is hidden by anything else too.

    ``reach`` scales how far the target is lifted and moved.
    """
    wanted = int(rng.integers(HIDDEN_COUNTS[0], HIDDEN_COUNTS[1] + 1))
    ramp = int(rng.integers(6, 13))  # frames in which the board's edge crosses the target
    first = _LEAD + ramp
    frame_count = first + wanted + ramp + _TAIL
    T = random_motion(rng, _lifted(rng, still, reach), frame_count, rate_hz=RATE_HZ, config=MotionConfig())
    T = _moved_on(rng, T, still.T_cam_world[0], first, first + wanted, reach)
    target = replace(still.target, T_world_obj=T)
    board = _board(rng, target, still.T_cam_world[0], first=first, hidden=wanted, ramp=ramp)
    script = replace(still, target=target, others=(*still.others, board), frame_count=frame_count)
    renderer = SceneRenderer(script)
    way_m = float(np.linalg.norm(T[first + wanted, :3, 3] - T[first - 1, :3, 3]))
    if way_m < _LEAST_WAY_M or not all(renderer.in_sight(i) for i in range(frame_count)):
        return None
    if renderer.visible_share(0) < _ALWAYS_VISIBLE:  # the cheap part of what is asked below
        return None
    share = np.array([renderer.visible_share(i) for i in range(frame_count)])
    hidden = np.flatnonzero(share == 0.0)
    clear = np.r_[share[: first - ramp], share[first + wanted + ramp :]]
    if not HIDDEN_COUNTS[0] <= len(hidden) <= HIDDEN_COUNTS[1] or np.ptp(hidden) >= len(hidden):
        return None
    if clear.min() < _ALWAYS_VISIBLE:
        return None
    return RecoverySequence(script=script, hidden=range(hidden[0], hidden[-1] + 1), visible_share=share)


def _lifted(rng: np.random.Generator, still: SceneScript, reach: float) -> Float64:
    """The target's resting pose, raised from the table as if a hand held it."""
    T: Float64 = still.target.at(0).copy()
    T[2, 3] += reach * rng.uniform(0.05, 0.2)
    return T


def _moved_on(
    rng: np.random.Generator, T: Float64, T_cam_world: Float64, start: int, stop: int, reach: float
) -> Float64:
    """The path ``T (F, 4, 4)`` with a further move of 5 to 15 cm and a turn of 20 to 100 degrees from start to stop.

    The move is across the view, where it changes the picture, and scaled by ``reach``; the turn is about any axis.
    """
    share = PchipInterpolator([0, start, stop, len(T)], [0.0, 0.0, 1.0, 1.0])(np.arange(len(T)))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    aside = np.cos(angle) * T_cam_world[0, :3] + np.sin(angle) * T_cam_world[1, :3]
    axis = rng.standard_normal(3)
    turn = np.deg2rad(rng.uniform(20.0, 100.0)) * axis / np.linalg.norm(axis)
    moved: Float64 = T.copy()
    moved[:, :3, :3] = exp_so3(share[:, None] * turn) @ T[:, :3, :3]
    moved[:, :3, 3] += share[:, None] * reach * rng.uniform(0.05, 0.15) * aside
    return moved


def _board(
    rng: np.random.Generator, target: MovingMesh, T_cam_world: Float64, *, first: int, hidden: int, ramp: int
) -> MovingMesh:
    """A painted board on the way between camera and target: in during ``ramp`` frames, there for ``hidden``, out."""
    near = rng.uniform(0.4, 0.7)  # place on the ray, as a share of the target's distance
    radius_m = near * float(np.linalg.norm(target.mesh.vertices, axis=1).max())
    half_m = _BOARD_MARGIN * radius_m
    size_m = (2.0 * half_m, 2.0 * half_m * rng.uniform(1.0, 1.8), float(rng.uniform(0.004, 0.03)))
    vertices, faces = box(size_m, 0.01)
    normals = vertex_normals(vertices.astype(np.float32), faces.astype(np.int32))
    mesh = make_mesh(vertices, faces, colours=paint(rng, vertices, normals)[0], normals=normals)

    count = len(target.T_world_obj)
    slack, beside = half_m - radius_m, half_m + radius_m
    knots = [0, first - ramp - 1, first - ramp, first, first + hidden - 1, first + hidden + ramp - 1, count - 1]
    # Far aside, then touching the silhouette, then covering it, and out on the other side.
    places = [-3.0, -2.0, -beside, -0.9 * slack, 0.9 * slack, beside, beside + 3.0]
    slide = np.interp(np.arange(count), knots, places)
    R_world_cam = T_cam_world[:3, :3].T
    eye = -R_world_cam @ T_cam_world[:3, 3]
    R = R_world_cam @ exp_so3([0.0, 0.0, rng.uniform(0.0, 2.0 * np.pi)])
    on_the_ray = eye + near * (target.T_world_obj[:, :3, 3] - eye)
    place = on_the_ray + slide[:, None] * R[:, 0]
    return MovingMesh(mesh=mesh, T_world_obj=make_T(np.broadcast_to(R, (count, 3, 3)), place))
