"""Scenes whose depth, normals and masks are known by formula: a wall, and a box or a ball before it."""

from __future__ import annotations

import torch
from torch import Tensor

from storm_edge.generator.contract import RenderedScenes, SceneTruth


def wall_and_box(
    count: int, *, size_px: tuple[int, int] = (120, 160), wall_m: float = 1.0, box_m: float = 0.7
) -> RenderedScenes:
    """A frontal wall, and before it a flat box that takes the middle third both ways; object 0 is the box."""
    height, width = size_px
    box = torch.zeros(size_px, dtype=torch.bool)
    box[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
    depth = torch.where(box, box_m, wall_m).to(torch.float32)
    normal = torch.zeros(3, *size_px)
    normal[2] = -1.0
    colour = torch.where(box, torch.tensor([0.8, 0.3, 0.1])[:, None, None], 0.5)
    return _scenes(count, colour, depth, normal, torch.where(box, 0, -1))


def wall_and_ball(count: int, *, size_px: tuple[int, int] = (120, 160), wall_m: float = 1.0) -> RenderedScenes:
    """A frontal wall, and before it a ball of 0.1 m radius at 0.7 m; object 0 is the ball."""
    height, width = size_px
    K = _intrinsics(size_px)
    x = (torch.arange(width) - K[0, 2]) / K[0, 0]
    y = ((torch.arange(height) - K[1, 2]) / K[1, 1])[:, None]
    ray = torch.stack([x.expand(size_px), y.expand(size_px), torch.ones(size_px)])
    centre, radius = torch.tensor([0.0, 0.0, 0.7]), 0.1
    # |s ray - centre| = radius, the nearer root.
    a, b = ray.square().sum(0), (ray * centre[:, None, None]).sum(0)
    root = b.square() - a * (centre.square().sum() - radius**2)
    ball = root > 0.0
    s = (b - root.clamp_min(0.0).sqrt()) / a
    depth = torch.where(ball, s, wall_m)
    normal = torch.where(
        ball, (s * ray - centre[:, None, None]) / radius, torch.tensor([0.0, 0.0, -1.0])[:, None, None]
    )
    colour = torch.where(ball, torch.tensor([0.2, 0.4, 0.9])[:, None, None], 0.5)
    return _scenes(count, colour, depth, normal, torch.where(ball, 0, -1))


def _intrinsics(size_px: tuple[int, int]) -> Tensor:
    height, width = size_px
    return torch.tensor([[width, 0.0, (width - 1) / 2], [0.0, width, (height - 1) / 2], [0.0, 0.0, 1.0]])


def _scenes(count: int, colour: Tensor, depth: Tensor, normal: Tensor, instance: Tensor) -> RenderedScenes:
    size_px = (depth.shape[0], depth.shape[1])
    T = torch.eye(4)
    T[2, 3] = 0.7
    truth = SceneTruth(
        K=_intrinsics(size_px).expand(count, 3, 3).clone(),
        T_cam_obj=T.expand(count, 2, 4, 4).clone(),
        slot=torch.tensor([0, -1]).expand(count, 2).clone(),
        instance=instance.expand(count, *size_px).clone(),
        visible_share=torch.tensor([1.0, 0.0]).expand(count, 2).clone(),
        silhouette_px=torch.tensor([float((instance == 0).sum()), 0.0]).expand(count, 2).clone(),
    )
    return RenderedScenes(
        truth=truth,
        colour=colour.expand(count, 3, *size_px).clone(),
        depth_m=depth.expand(count, *size_px).clone(),
        normal=normal.expand(count, 3, *size_px).clone(),
        measurable=torch.ones(count, *size_px, dtype=torch.bool),
    )
