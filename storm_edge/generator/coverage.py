"""Projection and coverage of draws of a pool: what scenes, shadow maps and crops all begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.generator.raster import (
    FAR_OUT_PX,
    WINDOW_PX,
    Draws,
    cover_draws,
    mark_silhouettes,
    project_draws,
    window_strides,
)
from storm_edge.kernels.device import WpArray, thread_span

NO_LIGHT = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Which triangle each pixel sees, as kernels read it."""

    keys: WpArray
    """``(B, H, W)`` uint64, 0 = nothing."""
    screen: WpArray
    """``(u, v, 1/z, brightness)`` of every vertex of every draw, ``(B * D, V)`` vec4f."""
    draws: Any
    """The `Draws`."""
    silhouette_px: Tensor
    """Pixels of the whole silhouettes of the first draws of each picture, ``(B, N)`` float32."""
    kept: tuple[Tensor, ...]
    """Memory behind ``draws``."""


def cover(
    pool: MeshPool,
    slot: Tensor,
    T_cam_obj: Tensor,
    K: Tensor,
    size_px: tuple[int, int],
    *,
    silhouettes: int = 0,
    light: tuple[float, float, float, float] = NO_LIGHT,
) -> Coverage:
    """Draw ``D`` meshes into each of ``B`` pictures. Enqueues only, on Warp's current stream.

    Args:
        pool: The meshes.
        slot: Slots ``(B, D)`` int32, -1 draws nothing.
        T_cam_obj: Poses [m] ``(B, D, 4, 4)``.
        K: Intrinsics of the pictures [px] ``(B, 3, 3)``.
        size_px: Height and width [px].
        silhouettes: How many of the ``D`` draws have their silhouette counted.
        light: `kernels.shading.Lighting.packed` for the brightness of vertices.
    """
    device, (count, per_image) = pool.warp_device, slot.shape
    kept = (slot.reshape(-1).contiguous(), T_cam_obj.reshape(-1, 4, 4).contiguous(), K.contiguous())
    draws: Any = Draws()
    draws.slot = wp.from_torch(kept[0])
    draws.T_cam_obj = wp.from_torch(kept[1], dtype=wp.mat44f)
    draws.K = wp.from_torch(kept[2], dtype=wp.mat33f)
    draws.per_image, draws.with_silhouette = per_image, silhouettes
    keys = wp.zeros((count, *size_px), dtype=wp.uint64, device=device)
    screen = wp.empty((count * per_image, pool.config.vertices), dtype=wp.vec4f, device=device)
    bounds = wp.full(count * per_image, wp.vec4i(int(FAR_OUT_PX)), dtype=wp.vec4i, device=device)
    span = thread_span(device, pool.config.vertices)
    wp.launch(
        project_draws,
        dim=(count * per_image, -(-pool.config.vertices // span)),
        inputs=[pool.arrays, draws, wp.vec4f(*light), span, screen, bounds],
        device=device,
    )
    span = thread_span(device, pool.config.faces)
    wp.launch(
        cover_draws,
        dim=(count * per_image, -(-pool.config.faces // span)),
        inputs=[pool.arrays, draws, screen, span, keys],
        device=device,
    )
    silhouette_px = torch.zeros((count, silhouettes), device=pool.device)
    if silhouettes:
        silhouette_px = _silhouettes(pool, draws, screen, bounds, (count, silhouettes))
    return Coverage(keys=keys, screen=screen, draws=draws, silhouette_px=silhouette_px, kept=kept)


def _silhouettes(pool: MeshPool, draws: Any, screen: WpArray, bounds: WpArray, shape: tuple[int, int]) -> Tensor:
    """Pixels of the whole silhouettes of the first draws of each picture, ``shape``."""
    device, (count, silhouettes) = pool.warp_device, shape
    windows = torch.zeros((count * silhouettes, WINDOW_PX, WINDOW_PX), dtype=torch.uint8, device=pool.device)
    strides = torch.empty((count, draws.per_image), dtype=torch.int32, device=pool.device)
    span = thread_span(device, pool.config.faces)
    wp.launch(
        mark_silhouettes,
        dim=(len(windows), -(-pool.config.faces // span)),
        inputs=[pool.arrays, draws, screen, bounds, span, wp.from_torch(windows)],
        device=device,
    )
    wp.launch(window_strides, dim=strides.numel(), inputs=[bounds, wp.from_torch(strides.view(-1))], device=device)
    drawn = windows.sum(dim=(1, 2), dtype=torch.int32).view(shape)
    return (drawn * strides[:, :silhouettes].square()).to(torch.float32)
