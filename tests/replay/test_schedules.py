"""What each schedule launches on a recording, with a full bundle of tiny networks: an orange ball before a wall.

RefineNet of that bundle leaves poses where they are, so the object is a ball: any rotation is right.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storm_edge.bop.labels import GroundTruth
from storm_edge.bop.scene import BopScene
from storm_edge.bop.writer import BopWriter
from storm_edge.choices import Schedule, TrackerKind
from storm_edge.config.values import with_settings
from storm_edge.engines.bundle import NetworkBundle
from storm_edge.frame import Frame
from storm_edge.geometry.mesh import Mesh, make_mesh
from storm_edge.geometry.se3 import make_T
from storm_edge.kernels.renderer import render
from storm_edge.live.config import StormConfig
from storm_edge.live.factory import make_segmenter
from storm_edge.live.schedules import with_schedule
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.objects.on_device import ObjectOnDevice
from storm_edge.objects.onboard import onboard
from storm_edge.replay.estimate_scene import Estimator, estimate_scene
from storm_edge.replay.mask_sources import SegmenterMasks
from storm_edge.replay.track_scene import TrackSceneOptions, track_scene
from tests.full_tier import ORANGE, SIZE_PX, K, write_full_bundle

FRAMES = 4
HYPOTHESES = 6
SOM = ("som_reference", "som_query", "som_head")
SAM2 = ("sam2_encoder", "sam2_decoder")
TOM = ("tom_encode", "tom_compare")
SCORE = ("score_features", "score_attention")
POSE = ("refine", *SCORE)


def ball_mesh() -> Mesh:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.07)
    corners = np.asarray(ball.vertices)[ball.faces.reshape(-1)]
    colours = np.tile(np.float32(ORANGE), (len(corners), 1))
    return make_mesh(corners, np.arange(len(corners)).reshape(-1, 3), colours=colours)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ball") / "000001"
    mesh = ball_mesh()
    with BopWriter(path) as writer:
        for index in range(FRAMES):
            T = make_T(np.eye(3), [0.03 + 0.002 * index, 0.01, 0.55])
            picture = render(mesh, T, K, SIZE_PX)
            seen = picture.mask[0] > 0
            rgb = np.where(seen[..., None], picture.colour[0] * 255.0, 127.0).astype(np.uint8)
            depth_m = np.where(seen, picture.depth[0], np.float32(1.0))
            frame = Frame(rgb=rgb, depth_m=depth_m, K=K, index=index)
            writer.add(frame, [GroundTruth(object_id=1, T_cam_obj=T)], masks=[seen], masks_visib=[seen])
        writer.add_model(1, mesh)
    return path


@pytest.fixture(scope="module")
def ball(recording: Path) -> ObjectBundle:
    made = onboard(recording / "models" / "obj_000001.ply", "mm", view_subdivisions=1, as_upstream=True)
    assert made.upstream is not None
    few = made.rotation_grid[:: len(made.rotation_grid) // HYPOTHESES][:HYPOTHESES]
    return replace(made, rotation_grid=few, upstream=replace(made.upstream, rotation_grid=few))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> NetworkBundle:
    return NetworkBundle.load(write_full_bundle(tmp_path_factory.mktemp("full"), pose=True, preset="parity"))


def launched(
    recording: Path,
    ball: ObjectBundle,
    networks: NetworkBundle,
    out: Path,
    schedule: Schedule,
    tracker: TrackerKind = TrackerKind.STEPWISE,
) -> dict[str, int]:
    settings = [f"session.tracker={tracker.value}", "session.verify_every=1"]
    name = schedule.value
    if schedule is Schedule.PARITY:  # the tiny SOM knows an object by its colour, which upstream's lamps bleach
        settings, name = [*settings, "segment.full_som.views=plain"], f"{name}, changed"
    config = with_settings(with_schedule(StormConfig(), schedule), settings)
    options = TrackSceneOptions(config=config, sam2=True, pictures=False)
    run = track_scene(BopScene(recording), [ball], networks, out, options)
    assert run.summary["pose_count"] == FRAMES
    engines = json.loads((out / "summary.json").read_text())["engines"]
    assert engines["schedule"] == name
    assert set(engines["launches"]) == {*SOM, *SAM2, *TOM, *POSE}
    assert all(engines["launches"][name] == 0 for name in engines["idle"])
    counts: dict[str, int] = engines["launches"]
    assert all(counts[name] > 0 for name in (*SOM, *SAM2, *TOM))
    return counts


@pytest.mark.parametrize(
    ("schedule", "iterations"), [("foundationpose", 5), ("foundationpose-pruned", 2), ("parity", 5)]
)
def test_upstreams_schedules_launch_every_engine(
    recording: Path, ball: ObjectBundle, networks: NetworkBundle, tmp_path: Path, schedule: str, iterations: int
) -> None:
    """One search, all hypotheses in one chunk; then so many iterations in every further frame."""
    counts = launched(recording, ball, networks, tmp_path / "out", Schedule(schedule))
    registered = counts["score_attention"]
    assert registered >= 1
    assert counts["score_features"] == registered
    followed = counts["refine"] - 5 * registered
    assert followed >= iterations * (FRAMES - 1)
    assert followed % iterations == 0


def test_hybrid_asks_both_in_registrations_and_refinenet_in_every_frame(
    recording: Path, ball: ObjectBundle, networks: NetworkBundle, tmp_path: Path
) -> None:
    counts = launched(recording, ball, networks, tmp_path / "out", Schedule.HYBRID)
    assert counts["score_attention"] >= 1
    assert counts["refine"] >= counts["score_attention"] + 2 * (FRAMES - 1)


@pytest.mark.parametrize("schedule", ["geometry", "geometry-first"])
def test_geometry_moves_and_ranks_alone(
    recording: Path, ball: ObjectBundle, networks: NetworkBundle, tmp_path: Path, schedule: str
) -> None:
    """Of the second one RefineNet is asked in doubt, which a ball in plain sight leaves none of."""
    counts = launched(recording, ball, networks, tmp_path / "out", Schedule(schedule))
    assert [counts[name] for name in POSE] == [0, 0, 0]


def test_the_batched_tracker_leaves_poses_to_the_network(
    recording: Path, ball: ObjectBundle, networks: NetworkBundle, tmp_path: Path
) -> None:
    counts = launched(
        recording, ball, networks, tmp_path / "out", Schedule.FOUNDATIONPOSE, tracker=TrackerKind.BATCHED
    )
    assert counts["refine"] >= 5 * counts["score_attention"] + 5 * (FRAMES - 1)


@pytest.mark.parametrize("schedule", [Schedule.HYBRID, Schedule.FOUNDATIONPOSE, Schedule.FOUNDATIONPOSE_PRUNED])
def test_estimates_launch_every_network_but_the_verifier(
    recording: Path, ball: ObjectBundle, networks: NetworkBundle, tmp_path: Path, schedule: Schedule
) -> None:
    config = with_schedule(StormConfig(), schedule)
    scene = BopScene(recording)
    segmenter = make_segmenter(networks, config=config.segment, sam2=True)
    assert segmenter is not None
    run = estimate_scene(
        scene,
        [ball],
        Estimator(networks, config),
        SegmenterMasks(segmenter, {ball.object_id: segmenter.encode_object(ObjectOnDevice(ball))}),
        tmp_path / "out",
        journal=tmp_path / "journal.jsonl",
        every=FRAMES,
    )
    launches = run.summary["engines"]["launches"]
    assert run.summary["engines"]["schedule"] == schedule.value
    assert run.summary["pose_count"] == 1
    assert [name for name in (*SOM[1:], *SAM2, *POSE) if not launches[name]] == []
    chunks = -(-HYPOTHESES // config.register.chunk)
    if schedule is Schedule.FOUNDATIONPOSE:
        assert launches["refine"] == 5 * chunks
    assert [launches[name] for name in TOM] == [0, 0]


@pytest.mark.parametrize(
    ("schedule", "refined", "scored"),
    [
        ("geometry", 0, 0),
        ("geometry-first", 0, 0),
        ("hybrid", 1, 1),
        ("foundationpose", 5, 1),
        ("foundationpose-pruned", 5, 1),
        ("parity", 5, 1),
    ],
)
def test_an_estimate_launches_what_its_schedule_asks(
    recording: Path, ball: ObjectBundle, networks: NetworkBundle, schedule: str, refined: int, scored: int
) -> None:
    """Of one mask; all hypotheses fit in one chunk."""
    scene, before = BopScene(recording), networks.launch_counts.by_network()
    estimator = Estimator(networks, with_schedule(StormConfig(), Schedule(schedule)))
    T = estimator.estimate(scene.frame(0), ball, scene.mask_visib(0))
    assert T is not None
    np.testing.assert_allclose(T[:3, 3], [0.03, 0.01, 0.55], atol=0.075)
    counts = networks.launches_since(before)
    assert [counts[name] for name in POSE] == [refined, scored, scored]
