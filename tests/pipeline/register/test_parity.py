"""A registration under the schedule ``parity`` against FoundationPose's formulas (`tests.upstream_reference`).

The networks are tiny and their answers known: RefineNet moves a pose by the mean difference of the points of its two
pictures, ScoreNet ranks by their mean squared difference. So every number between image and pose shows in the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from scipy.special import logit

from storm_edge.choices import Schedule
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.engines.manifest import write_manifest
from storm_edge.errors import ObjectBundleError
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import make_mesh
from storm_edge.geometry.se3 import exp_so3, make_T
from storm_edge.kernels.renderer import render
from storm_edge.live.config import StormConfig
from storm_edge.live.schedules import with_schedule
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.objects.ply import write_ply
from storm_edge.pipeline.inputs.config import PARITY, UPSTREAM_SCORE
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.inputs.network_inputs import PairInputs
from storm_edge.pipeline.register.registrar import Registrar
from tests import upstream_reference as upstream
from tests.engines.tiny import Shape, refine, save

SIZE_PX = 40
IMAGE_PX = (96, 128)
HALF_M = np.array([0.04, 0.03, 0.06])
DIAMETER_M = float(2.0 * np.linalg.norm(HALF_M))
K = np.array([[150.0, 0.0, 62.3], [0.0, 145.0, 49.1], [0.0, 0.0, 1.0]])
T_TRUE = make_T(exp_so3([0.7, -0.4, 0.2]), [0.03, -0.01, 0.5])
ROTATIONS = 6


def squared_score(folder: Path) -> None:
    shape: Shape = ["n", 6, SIZE_PX, SIZE_PX]
    save(
        folder / "score_features.onnx",
        [
            helper.make_node("Sub", ["rendered", "observed"], ["difference"]),
            helper.make_node("Mul", ["difference", "difference"], ["squared"]),
            helper.make_node("ReduceMean", ["squared"], ["features"], axes=[2, 3], keepdims=0),
        ],
        {"rendered": shape, "observed": shape},
        {"features": ["n", 6]},
    )
    save(
        folder / "score_attention.onnx",
        [helper.make_node("MatMul", ["features", "weights"], ["score"])],
        {"features": ["n", 6]},
        {"score": ["n"]},
        weights=np.float32([0.0, 0.0, 0.0, -1.0, -1.0, -1.0]),
    )


@dataclass(frozen=True)
class Scene:
    bundle: ObjectBundle
    networks: NetworkBundle
    frame: Frame
    mask: np.ndarray


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    import trimesh

    folder = tmp_path_factory.mktemp("parity")
    box = trimesh.creation.box(2.0 * HALF_M)
    mesh = make_mesh(np.asarray(box.vertices), np.asarray(box.faces))
    write_ply(folder / "box.ply", mesh)
    bundle = onboard(folder / "box.ply", "mm", view_subdivisions=1, as_upstream=True)
    assert bundle.upstream is not None
    few = replace(bundle.upstream, rotation_grid=bundle.upstream.rotation_grid[:: 252 // ROTATIONS][:ROTATIONS])
    refine(folder / "refine.onnx", size_px=SIZE_PX)
    squared_score(folder)
    files = {name: f"{name}.onnx" for name in ("refine", "score_features", "score_attention")}
    write_manifest(folder, name="tiny", size_px=SIZE_PX, preset="parity", networks=files, tier="full")
    picture = render(mesh, T_TRUE, K, IMAGE_PX)
    seen = picture.mask[0] > 0
    rng = np.random.default_rng(0)
    depth_m = np.where(seen, picture.depth[0], np.float32(0.58)) + rng.normal(0.0, 3e-4, IMAGE_PX)
    depth_m[rng.random(IMAGE_PX) < 0.05] = 0.0
    rgb = np.where(seen[..., None], np.uint8(180), np.uint8(60)).repeat(3, axis=-1)
    frame = Frame(rgb=np.ascontiguousarray(rgb), depth_m=depth_m.astype(np.float32), K=K, index=0)
    return Scene(replace(bundle, upstream=few), NetworkBundle.load(folder), frame, seen)


def pair(scene: Scene, depth_m: np.ndarray, T: np.ndarray, *, score: bool) -> tuple[np.ndarray, np.ndarray]:
    shown = {"diameter_m": DIAMETER_M, "size": SIZE_PX, "score": score}
    rendered = upstream.rendered_box(HALF_M, T, K, **shown)
    return rendered, upstream.observed(scene.frame.rgb, depth_m, K, T[:3, 3], **shown)[3:]


def reference(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Poses after five iterations, and their logits."""
    depth_m = upstream.filtered_depth(scene.frame.depth_m)
    assert scene.bundle.upstream is not None
    start = upstream.guessed_translation(depth_m, scene.mask, K)
    poses, logits = [], []
    for R in scene.bundle.upstream.rotation_grid:
        T = make_T(R, start)
        for _ in range(5):
            rendered, observed = pair(scene, depth_m, T, score=False)
            T = upstream.updated(
                T, (observed - rendered).mean(axis=(1, 2)), (observed + rendered).mean(axis=(1, 2)), DIAMETER_M
            )
        rendered, observed = pair(scene, depth_m, T, score=True)
        poses.append(T)
        logits.append(-((rendered - observed) ** 2).mean(axis=(1, 2)).sum())
    return np.stack(poses), np.array(logits)


def test_a_registration_has_upstreams_numbers(scene: Scene) -> None:
    """All hypotheses and their logits; the largest differences seen were 4e-8 m, 2e-7 in a rotation.

    Points that take upstream's detour make another logit, so the last comparison would fail without it.
    """
    config = with_schedule(StormConfig(), Schedule.PARITY)
    registrar = Registrar(ObjectOnDevice(scene.bundle, as_upstream=True), scene.networks, config=config.register)
    buffers = FrameBuffers(*IMAGE_PX)
    buffers.upload(scene.frame)
    found = registrar.register(buffers, scene.mask)
    poses, logits = reference(scene)
    order = [int(np.abs(poses - T).max(axis=(1, 2)).argmin()) for T in found.ranked]
    assert sorted(order) == list(range(ROTATIONS))
    np.testing.assert_allclose(found.ranked, poses[order], atol=1e-5)
    np.testing.assert_array_equal(found.T_cam_centre, found.ranked[0])
    assert np.diff(logits[order]).max() < 1e-6
    below = logits[order] - logits.max()
    np.testing.assert_allclose(logit(found.ranked_scores / 2.0), below, atol=1e-5)


def test_scorenets_points_take_a_detour(scene: Scene) -> None:
    """By which they are other points than RefineNet's rule would give, in a fifth of all pixels or more."""
    depth_m = scene.frame.depth_m
    shown = {"diameter_m": DIAMETER_M, "size": SIZE_PX, "score": True}
    detour = upstream.observed(scene.frame.rgb, depth_m, K, T_TRUE[:3, 3], **shown)[3:]
    item = ObjectOnDevice(scene.bundle, as_upstream=True)
    buffers = FrameBuffers(*IMAGE_PX)
    buffers.upload(scene.frame)
    found = []
    for rule in (PARITY.score, UPSTREAM_SCORE):
        preset = replace(PARITY, score=rule, depth_filter=None)
        pairs = PairInputs(
            item.network_mesh, diameter_m=DIAMETER_M, preset=preset, network="score", batch=1, size_px=SIZE_PX
        )
        pairs.fill(buffers, T_TRUE[None])
        found.append(pairs.observed.numpy()[0, 3:].copy())
    np.testing.assert_allclose(found[1], detour, atol=1e-5)
    assert (np.abs(found[0] - detour).max(axis=0) > 1e-3).mean() > 0.2


def test_an_object_that_was_not_onboarded_for_it_is_refused(scene: Scene) -> None:
    with pytest.raises(ObjectBundleError, match=r"no model as upstream loads it.*onboard it again with --parity"):
        ObjectOnDevice(replace(scene.bundle, upstream=None), as_upstream=True)
