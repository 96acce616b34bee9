"""Our rasteriser beside nvdiffrast on the same GPU: 252 poses at 160x160, 5 000 and 50 000 triangles.

    pip install torch nvdiffrast        (nvdiffrast's licence is for research only; nothing of ours needs it)
    python -m benchmarks run nvdiffrast [--device cuda]

Both make colour and depth of the same meshes at the same poses; depth has to agree before times are taken.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
import warp as wp
from rich.console import Console
from rich.table import Table

from benchmarks.ball import DISTANCE_M, RADIUS_M, K, ball, poses
from benchmarks.registry import Outcome, RecordOptions, case
from benchmarks.timing import measure
from storm_edge.errors import BackendError, mismatch
from storm_edge.geometry.camera import crop_K
from storm_edge.geometry.mesh import Mesh
from storm_edge.kernels.device import Device, require_device
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import Renderer

COUNT, SIZE_PX = 252, 160
NEAR_M, FAR_M = 0.01, 10.0
_DEPTH_M = 1e-4  # by which two rasterisers may differ within a triangle of this ball


def crop_intrinsics() -> np.ndarray:
    """Intrinsics of the crop that the networks see, ``(3, 3)``."""
    side = 2.0 * 1.2 * RADIUS_M * K[0, 0] / DISTANCE_M
    scale = side / SIZE_PX
    return np.asarray(crop_K(K, [scale, scale], K[:2, 2] - side / 2 + scale / 2))


def projection(K_crop: np.ndarray) -> np.ndarray:
    """Camera to OpenGL clip space ``(4, 4)``; pixel centres of ``K_crop`` are at whole numbers, rows go down."""
    fx, fy, cx, cy = K_crop[0, 0], K_crop[1, 1], K_crop[0, 2] + 0.5, K_crop[1, 2] + 0.5
    n, f, size = NEAR_M, FAR_M, SIZE_PX
    return np.array(
        [
            [2.0 * fx / size, 0.0, 2.0 * cx / size - 1.0, 0.0],
            [0.0, -2.0 * fy / size, 1.0 - 2.0 * cy / size, 0.0],
            [0.0, 0.0, (f + n) / (f - n), -2.0 * f * n / (f - n)],
            [0.0, 0.0, 1.0, 0.0],
        ]
    )


class Theirs:
    """nvdiffrast on one mesh: clip-space vertices, rasterised, colour and depth interpolated."""

    def __init__(self, mesh: Mesh, T_cam_obj: np.ndarray, K_crop: np.ndarray, device: str) -> None:
        import nvdiffrast.torch as dr  # type: ignore[import-not-found]
        import torch

        self._dr, self._torch = dr, torch
        self._context = dr.RasterizeCudaContext(device=device)

        def upload(array: np.ndarray, dtype: Any = torch.float32) -> Any:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        homogeneous = np.concatenate([mesh.vertices, np.ones((len(mesh.vertices), 1))], axis=1)
        self._vertices = upload(homogeneous)
        self._T, self._P = upload(T_cam_obj), upload(projection(K_crop))
        self._faces = upload(mesh.faces, torch.int32)
        self._colours = upload(mesh.colours)[None]

    def render(self) -> tuple[Any, Any]:
        """Colour ``(N, S, S, 3)`` and depth [m] ``(N, S, S)``; waits for the device."""
        camera = self._vertices @ self._T.transpose(1, 2)  # (N, V, 4)
        clip = camera @ self._P.T
        found, _ = self._dr.rasterize(self._context, clip, self._faces, resolution=[SIZE_PX, SIZE_PX])
        attributes = self._torch.cat([self._colours.expand(len(camera), -1, -1), camera[..., 2:3]], dim=2)
        out, _ = self._dr.interpolate(attributes.contiguous(), found, self._faces)
        out = out.flip(1)  # its first row is the lowest
        self._torch.cuda.synchronize()
        return out[..., :3], out[..., 3]


class Ours:
    """Our rasteriser on one mesh."""

    def __init__(self, mesh: Mesh, T_cam_obj: np.ndarray, K_crop: np.ndarray, device: Device) -> None:
        self._T = wp.array(T_cam_obj.astype(np.float32), dtype=wp.mat44f, device=device)
        K_each = np.tile(K_crop.astype(np.float32), (COUNT, 1, 1))
        self._K = wp.array(K_each, dtype=wp.mat33f, device=device)
        self.renderer = Renderer(MeshBuffers.from_mesh(mesh, device), batch=COUNT, size_px=SIZE_PX)

    def render(self) -> None:
        """Colour, depth, points and mask into the renderer's buffers; waits for the device."""
        self.renderer.launch(self._T, self._K)
        wp.synchronize_device(self.renderer.mesh.device)


def compare(triangles: int, device: Device) -> dict[str, Any]:
    """Both on one mesh."""
    mesh, T, K_crop = ball(triangles), poses(COUNT), crop_intrinsics()
    ours, theirs = Ours(mesh, T, K_crop, device), Theirs(mesh, T, K_crop, str(device.alias))
    ours.render()
    depth, wanted = ours.renderer.depth.numpy(), theirs.render()[1].cpu().numpy()
    both = (depth > 0.0) & (wanted > 0.0)
    alone = float(((depth > 0.0) != (wanted > 0.0)).mean())
    apart_m = float(np.quantile(np.abs(depth - wanted)[both], 0.999))
    assert alone < 1e-3, f"{alone:.2%} of the pixels are seen by one only"
    assert apart_m < _DEPTH_M, f"depths are {apart_m * 1e3:.3f} mm apart"
    times = {"ours": measure(ours.render), "theirs": measure(theirs.render)}
    ratio = times["theirs"].wall_ms["p50"] / times["ours"].wall_ms["p50"]
    return {
        "triangles": triangles,
        "seen_by_one_only": alone,
        "depth_apart_m_p999": apart_m,
        **{name: asdict(timing) for name, timing in times.items()},
        "theirs_over_ours": round(ratio, 3),
    }


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(RecordOptions):
    """Where it runs."""

    device: Annotated[str, typer.Option(help="cuda or cuda:<i>.")] = "cuda"


@case(record="nvdiffrast-*", timing=True)
def nvdiffrast(options: DeviceOptions) -> Outcome:
    """Render the same poses with both rasterisers."""
    device = require_device(options.device)
    try:
        import nvdiffrast.torch  # noqa: F401
    except ImportError as error:
        raise BackendError(
            mismatch("nvdiffrast", error, "an installed package", "pip install torch nvdiffrast")
        ) from error
    rows = [compare(triangles, device) for triangles in (5_000, 50_000)]
    table = Table("triangles", "ours p50 [ms]", "nvdiffrast p50 [ms]", "theirs / ours")
    for row in rows:
        times = [f"{row[name]['wall_ms']['p50']:.2f}" for name in ("ours", "theirs")]
        table.add_row(str(row["triangles"]), *times, str(row["theirs_over_ours"]))
    Console().print(table)
    results = {"poses": COUNT, "size_px": SIZE_PX, "gpu": device.name, "rows": rows}
    return Outcome(summary=results, record="nvdiffrast-" + device.name.lower().replace(" ", "-"))
