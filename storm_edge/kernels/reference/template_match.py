"""Scores of placed templates in NumPy, see `storm_edge.kernels.template_match`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.template_match import NEAR_M

Float32 = NDArray[np.float32]


def score_placement(
    scene: dict[str, NDArray[Any]],
    template: dict[str, NDArray[Any]],
    rules: dict[str, float],
    centre: Float32,
    surface_count: int,
    outline_count: int,
) -> float:
    """The score of one placement.

    Args:
        scene: ``depth_m (H, W)``, ``normals (H, W, 3)``, ``on_plane (H, W)``, ``edges (H, W)``, ``camera (4,)``.
        template: The arrays of one view: ``surface (S, 3)``, ``normals (S, 3)``, ``beside (B, 3)``,
            ``outline (B, 3)``, ``directions (B,)``.
        rules: The fields of `MatchRules`.
        centre: Of the object [m] ``(3,)``.
        surface_count: So many of the first surface points are compared.
        outline_count: And so many of the first points at the outline.
    """
    surface, beside, edges = [], [], []
    for X, normal in zip(template["surface"][:surface_count] + centre, template["normals"], strict=False):
        at, kind = _look(scene, rules, X)
        if kind in ("outside", "hidden"):
            continue
        if kind == "same" and not scene["on_plane"][at]:
            like = float(np.clip(2.0 * scene["normals"][at] @ normal - 1.0, 0.0, 1.0))
            surface.append(1.0 - rules["normal_weight"] + rules["normal_weight"] * like)
        else:
            surface.append(-rules["through_penalty"] if kind == "through" else rules["unread_worth"])
    share = len(surface) / surface_count
    if share < rules["min_seen_share"]:
        return -1.0
    for X in template["beside"][:outline_count] + centre:
        at, kind = _look(scene, rules, X)
        if kind not in ("outside", "hidden"):
            same = rules["plane_worth"] if at and scene["on_plane"][at] else -rules["goes_on_penalty"]
            beside.append({"unread": rules["unread_worth"], "through": 1.0, "same": same}[kind])
    for X, direction in zip(template["outline"][:outline_count] + centre, template["directions"], strict=False):
        at, kind = _look(scene, rules, X)
        if kind not in ("outside", "hidden"):
            edges.append(float((int(scene["edges"][at]) >> int(direction)) & 1))
    total = _mean(surface) + rules["beside_weight"] * _mean(beside) + rules["edge_weight"] * _mean(edges)
    return float(total / (1.0 + rules["beside_weight"] + rules["edge_weight"]) * np.sqrt(share))


def _look(scene: dict[str, NDArray[Any]], rules: dict[str, float], X: Float32) -> tuple[tuple[int, int], str]:
    """The pixel of a point, and what is there: outside, unread, hidden, through or same."""
    fx, fy, cx, cy = scene["camera"]
    z = max(float(X[2]), NEAR_M)
    u, v = X[0] * fx / z + cx + 0.5, X[1] * fy / z + cy + 0.5
    height, width = scene["depth_m"].shape
    if not (0.0 <= u < width and 0.0 <= v < height):
        return (0, 0), "outside"
    at = int(v), int(u)
    measured = float(scene["depth_m"][at])
    if measured <= 0.0:
        return at, "unread"
    gate = rules["gate_m"] + rules["noise_per_m"] * z * z
    if measured - z <= -gate:
        return at, "hidden"
    return at, "through" if measured - z >= gate else "same"


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
