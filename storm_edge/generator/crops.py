"""Network crops of many poses at once, equal to those of the run time (`docs/reference-networks.md` 5.4 to 5.7).

What a network observes is cut out of a `SceneBatch`, what it compares with is drawn from the pool at the pose in
question. Both use our crop rule, `kernels.reference.crop_window.plain_windows`, and come as ``(n, 6, S, S)``.
"""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from storm_edge.generator.contract import SceneBatch
from storm_edge.generator.coverage import cover
from storm_edge.generator.crop_kernels import Views, write_observed_crops, write_rendered_crops
from storm_edge.generator.device_stream import on_torch_stream
from storm_edge.generator.mesh_pool import MeshPool
from storm_edge.kernels.device import require_device, thread_span
from storm_edge.kernels.shading import Lighting

CROP_RATIO = 1.2
"""Side of the crop window in object diameters."""
SIZE_PX = 80
"""Side of the networks' crops [px]."""
_CHUNK = {"cpu": 32, "cuda": 2048}  # crops drawn at a time: what the caches of a CPU hold
_HEADLIGHT = Lighting().packed()


def windows_of(T_cam_obj: Tensor, K: Tensor, diameter_m: Tensor, size_px: int = SIZE_PX) -> tuple[Tensor, Tensor]:
    """Crop windows and the intrinsics to draw them with, in float64 inside as at run time.

    Args:
        T_cam_obj: Poses [m] with z > 0, ``(n, 4, 4)``.
        K: Intrinsics of each one's picture [px], ``(n, 3, 3)``.
        diameter_m: Diameters of the objects [m], ``(n,)``.
        size_px: Side of the crop [px].

    Returns:
        ``(su, tu, sv, tv)`` as in `kernels.crop`, ``(n, 4)`` float32, and ``K_crop (n, 3, 3)`` float32.
    """
    t, k = T_cam_obj[:, :3, 3].double(), K.double()
    fx, skew, cx, fy, cy = k[:, 0, 0], k[:, 0, 1], k[:, 0, 2], k[:, 1, 1], k[:, 1, 2]
    u = (fx * t[:, 0] + skew * t[:, 1]) / t[:, 2] + cx
    v = fy * t[:, 1] / t[:, 2] + cy
    rho = 0.5 * CROP_RATIO * diameter_m.double() * torch.maximum(torch.maximum(fx, fy), skew.abs()) / t[:, 2]
    scale = 2.0 * rho / size_px
    ou, ov = u - rho + 0.5 * scale, v - rho + 0.5 * scale
    K_crop = torch.zeros_like(k)
    K_crop[:, 0, 0], K_crop[:, 0, 1], K_crop[:, 0, 2] = fx / scale, skew / scale, (cx - ou) / scale
    K_crop[:, 1, 1], K_crop[:, 1, 2], K_crop[:, 2, 2] = fy / scale, (cy - ov) / scale, 1.0
    return torch.stack([scale, ou, scale, ov], dim=-1).float(), K_crop.float()


def observed_crops(
    scenes: SceneBatch, image: Tensor, windows: Tensor, T_cam_obj: Tensor, radius_m: Tensor, size_px: int = SIZE_PX
) -> Tensor:
    """What the network observes at each pose, ``(n, 6, S, S)``.

    Args:
        scenes: The pictures.
        image: Picture of each crop, ``(n,)``.
        windows: Of `windows_of`, ``(n, 4)``.
        T_cam_obj: Poses that points are relative to [m], ``(n, 4, 4)``.
        radius_m: Half the diameters [m], ``(n,)``.
        size_px: Side of the crop [px].
    """
    device = require_device(str(scenes.rgb.device))
    out = torch.empty((len(image), 6, size_px, size_px), device=scenes.rgb.device)
    K, image, poses = scenes.truth.K.contiguous(), image.to(torch.int32), T_cam_obj.contiguous()
    span = thread_span(device, size_px)
    with on_torch_stream(device):
        views: Any = Views()
        views.rgb, views.depth_m = wp.from_torch(scenes.rgb), wp.from_torch(scenes.depth_m)
        views.K, views.image = wp.from_torch(K, dtype=wp.mat33f), wp.from_torch(image)
        wp.launch(
            write_observed_crops,
            dim=(len(image), size_px, -(-size_px // span)),
            inputs=[
                views,
                wp.from_torch(windows, dtype=wp.vec4f),
                wp.from_torch(poses, dtype=wp.mat44f),
                wp.from_torch(radius_m),
                span,
                wp.from_torch(out),
            ],
            device=device,
        )
    return out


def rendered_crops(
    pool: MeshPool, slot: Tensor, T_cam_obj: Tensor, K_crop: Tensor, radius_m: Tensor, size_px: int = SIZE_PX
) -> Tensor:
    """The model at each pose, lit by a lamp on the camera, ``(n, 6, S, S)``.

    Args:
        pool: The meshes.
        slot: Objects ``(n,)``.
        T_cam_obj: Poses [m] ``(n, 4, 4)``.
        K_crop: Of `windows_of`, ``(n, 3, 3)``.
        radius_m: Half the diameters [m], ``(n,)``.
        size_px: Side of the crop [px].
    """
    out = torch.empty((len(slot), 6, size_px, size_px), device=pool.device)
    device, span = pool.warp_device, thread_span(pool.warp_device, size_px)
    chunk = _CHUNK["cpu" if device.is_cpu else "cuda"]
    slot = slot.to(torch.int32)
    with on_torch_stream(device):
        for start in range(0, len(slot), chunk):
            part = slice(start, start + chunk)
            drawn = cover(
                pool, slot[part, None], T_cam_obj[part, None], K_crop[part], (size_px, size_px), light=_HEADLIGHT
            )
            wp.launch(
                write_rendered_crops,
                dim=(len(slot[part]), size_px, -(-size_px // span)),
                inputs=[
                    drawn.keys,
                    drawn.screen,
                    pool.arrays,
                    drawn.draws,
                    wp.from_torch(radius_m[part]),
                    span,
                    wp.from_torch(out[part]),
                ],
                device=device,
            )
    return out
