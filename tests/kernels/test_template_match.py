"""Scores of placed templates: the kernel against its reference, and points by hand."""

from __future__ import annotations

import numpy as np
import pytest
import warp as wp

from storm_edge.kernels import template_match as tm
from storm_edge.kernels.reference.template_match import score_placement

RULES = {
    "gate_m": 0.01, "noise_per_m": 0.006, "normal_weight": 0.5, "through_penalty": 0.7, "unread_worth": 0.25,
    "beside_weight": 0.7, "goes_on_penalty": 1.0, "plane_worth": 0.5, "edge_weight": 0.3, "min_seen_share": 0.3,
}  # fmt: skip
# float32 means of at most 40 points against float64; worst seen 4e-7 on an x86-64 CPU.
ABSOLUTE = 5e-6


def scores(scene: dict, templates: dict, view: np.ndarray, centre: np.ndarray) -> np.ndarray:
    frame, views, rules = tm.MatchScene(), tm.MatchTemplates(), tm.MatchRules()
    kinds = {"depth_m": wp.float32, "normals": wp.vec3, "on_plane": wp.uint8, "edges": wp.uint8}
    for name, kind in kinds.items():
        setattr(frame, name, wp.array(scene[name], dtype=kind, device="cpu"))
    frame.camera = wp.vec4(*(float(value) for value in scene["camera"]))
    for name, array in templates.items():
        kind = wp.uint8 if name == "directions" else wp.vec3
        setattr(views, name, wp.array(array, dtype=kind, device="cpu"))
    for name, value in RULES.items():
        setattr(rules, name, value)
    out = wp.zeros(len(view), dtype=wp.float32, device="cpu")
    counts = templates["surface"].shape[1], templates["beside"].shape[1]
    places = wp.array(view, dtype=wp.int32, device="cpu"), wp.array(centre, dtype=wp.vec3, device="cpu")
    wp.launch(
        tm.score_placements, dim=len(view), inputs=[0, frame, views, rules, *places, *counts, out], device="cpu"
    )
    return out.numpy()


def anything(rng: np.random.Generator) -> tuple[dict, dict]:
    """A scene with steps, holes and planes, and templates of random points."""
    depth = rng.choice([0.0, 0.45, 0.5, 0.52, 0.8], (40, 60)).astype(np.float32)
    normals = rng.normal(size=(40, 60, 3))
    scene = {
        "depth_m": depth,
        "normals": (normals / np.linalg.norm(normals, axis=2, keepdims=True)).astype(np.float32),
        "on_plane": rng.integers(0, 2, (40, 60)).astype(np.uint8),
        "edges": rng.integers(0, 256, (40, 60)).astype(np.uint8),
        "camera": np.array([60.0, 55.0, 29.5, 19.5], dtype=np.float32),
    }
    points = {
        name: rng.uniform(-0.1, 0.1, (5, 20, 3)).astype(np.float32) for name in ("surface", "beside", "outline")
    }
    facing = rng.normal(size=(5, 20, 3))
    facing = (facing / np.linalg.norm(facing, axis=2, keepdims=True)).astype(np.float32)
    return scene, {**points, "normals": facing, "directions": rng.integers(0, 8, (5, 20)).astype(np.uint8)}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_kernel_is_its_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene, templates = anything(rng)
    view = rng.integers(0, 5, 200).astype(np.int32)
    centre = rng.uniform([-0.3, -0.2, 0.3], [0.3, 0.2, 0.7], (200, 3)).astype(np.float32)
    said = scores(scene, templates, view, centre)
    expected = [
        score_placement(scene, {name: array[v] for name, array in templates.items()}, RULES, c, 20, 20)
        for v, c in zip(view, centre, strict=True)
    ]
    assert (said == -1.0).any()
    assert (said > 0.0).any()
    np.testing.assert_allclose(said, expected, atol=ABSOLUTE)


@pytest.mark.parametrize(
    ("around", "on_plane", "beside"),
    [(0.9, 0, 1.0), (0.5, 0, -1.0), (0.5, 1, 0.5), (0.0, 0, 0.25)],
    ids=["ends", "goes on", "stands on a plane", "no reading"],
)
def test_what_is_beside_the_outline_counts(around: float, on_plane: int, beside: float) -> None:
    """A square of 11 px at 0.5 m that faces the camera: all its surface agrees, no edge is in the picture."""
    depth = np.full((40, 40), around, dtype=np.float32)
    depth[15:26, 15:26] = 0.5
    plane = np.full((40, 40), on_plane, dtype=np.uint8)
    plane[15:26, 15:26] = 0
    normals = np.zeros((40, 40, 3), dtype=np.float32)
    normals[..., 2] = -1.0
    scene = {
        "depth_m": depth,
        "normals": normals,
        "on_plane": plane,
        "edges": np.zeros((40, 40), dtype=np.uint8),
        "camera": np.array([100.0, 100.0, 20.0, 20.0], dtype=np.float32),
    }
    at = np.array([[[0.02, 0.0, 0.0], [-0.02, 0.01, 0.0]]], dtype=np.float32)
    templates = {
        "surface": at,
        "normals": np.array([[[0.0, 0.0, -1.0]] * 2], dtype=np.float32),
        "beside": 2.0 * at,
        "outline": at,
        "directions": np.zeros((1, 2), dtype=np.uint8),
    }
    said = scores(scene, templates, np.zeros(1, np.int32), np.array([[0.0, 0.0, 0.5]], dtype=np.float32))
    assert said[0] == pytest.approx((1.0 + 0.7 * beside) / 2.0, abs=1e-5)
