"""A model of 200 000 triangles: followed to the right poses, and no buffer grows with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from storm_edge.bench.memory import resident_mib
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T, rotation_angle
from storm_edge.live.track_report import TrackState
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.synthetic.objects import make_object
from tests.live.test_frame_gate import moving, pictured, run
from tests.staged import K, Staged


@pytest.mark.slow
def test_two_hundred_thousand_triangles_are_followed(tmp_path: Path) -> None:
    coarse = make_object(11, family="mug", paint_kind="labels", diameter_m=0.15, face_count=3200).mesh
    assert coarse.colours is not None
    attributes = np.concatenate([coarse.vertices, coarse.colours], axis=1)  # colours are carried along
    vertices, faces = trimesh.remesh.subdivide(attributes, coarse.faces)
    for _ in range(2):
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    mesh = make_mesh(vertices[:, :3], faces, colours=vertices[:, 3:].astype(np.float32))
    assert len(mesh.faces) >= 200_000
    write_ply(tmp_path / "mug.ply", mesh)
    before_mib = resident_mib()
    bundle = onboard(tmp_path / "mug.ply", "mm", view_subdivisions=1)
    staged = Staged(bundle, mesh, make_T(exp_so3([2.0, 0.3, -0.2]), [0.03, -0.02, 0.65]))
    poses = moving(staged, 6)
    # Pictures of the whole model, not of what onboarding left of it.
    whole = Staged(bundle, mesh, staged.T_cam_centre)
    frames = [pictured(whole, T, K, (480, 640), index) for index, T in enumerate(poses)]
    tracks, _ = run(staged, frames, poses[0])
    assert {track.state for track in tracks} == {TrackState.TRACKING}
    for track, T in zip(tracks, poses, strict=True):
        assert track.T_cam_obj is not None
        found = track.T_cam_obj @ bundle.T_obj_centre
        assert np.linalg.norm(found[:3, 3] - T[:3, 3]) < 0.002
        assert np.rad2deg(rotation_angle(found[:3, :3], T[:3, :3])) < 2.0
    after_mib = resident_mib()
    if before_mib is not None and after_mib is not None:
        assert after_mib - before_mib < 600.0
