"""Pictures at the segmenter's working size, and its inputs from them; `kernels.segment_inputs` in torch, in batches.

A test holds both together. What may differ: where a colour lies on the border of two bins, and planes that are about
equally large.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from storm_edge.generator.contract import SceneBatch
from storm_edge.generator.image_fields import halved
from storm_edge.generator.segment_colours import chroma_bins, densities, rgb_bins
from storm_edge.generator.segment_planes import plane_distances
from storm_edge.kernels.segment_inputs import contract, small_frame, surface_normals
from storm_edge.kernels.segment_inputs import object_channels as reference
from storm_edge.kernels.segment_inputs.colour_model import RGB_BINS
from storm_edge.kernels.segment_inputs.letterbox import Letterbox


@dataclass(frozen=True, kw_only=True)
class SmallFrames:
    """Pictures at the working size; fields as in `kernels.segment_inputs.small_frame.SmallFrame`."""

    channels: Tensor
    """Image channels ``(B, 8, 120, 160)``."""
    depth_m: Tensor
    """z-depth [m] ``(B, 120, 160)``, 0 = no reading."""
    fx: Tensor
    """Focal length at the working size [px], ``(B,)``."""
    rgb_bins: Tensor
    """``(B, 120, 160)`` int64."""
    chroma_bins: Tensor
    """``(B, 120, 160)`` int64."""
    scene_density: Tensor
    """``(B, 120, 160)``."""
    plane_distance_m: Tensor
    """``(B, 120, 160)``, negative where unknown."""
    inside: Tensor
    """1 where the picture is, 0 in the borders of the letterbox, ``(120, 160)``."""


def small_frames(scenes: SceneBatch) -> SmallFrames:
    """Bring pictures to the working size."""
    box = Letterbox.of((scenes.depth_m.shape[1], scenes.depth_m.shape[2]))
    # Averages of bytes are rounded to bytes, halves upwards.
    rgb = shrunk(scenes.rgb, box).mul_(255.0).add_(0.5 + 1e-3).floor_().div_(255.0)
    rgb, z = _framed(rgb, box), _framed(_shrunk_depth(scenes.depth_m, box), box)
    K = _small_intrinsics(scenes.truth.K, box)
    seen = z > 0.0
    limited = z.clamp(*small_frame.DEPTH_RANGE_M).log2_()
    inside = torch.zeros(contract.SIZE_PX, device=z.device)
    inside[box.window] = 1.0
    channels = torch.cat(
        [
            # Outside the picture is black, less the middle grey, as at run time.
            rgb - 0.5,
            normals_of(_smoothed(z), K),
            torch.where(seen, limited, 0.0)[:, None],
            seen[:, None].to(torch.float32),
        ],
        dim=1,
    )
    bins = rgb_bins(rgb)
    rows, columns = box.window
    density = densities(bins[:, rows, columns].flatten(1), None, (RGB_BINS,) * 3)
    return SmallFrames(
        channels=channels,
        depth_m=z,
        fx=K[:, 0, 0],
        rgb_bins=bins,
        chroma_bins=chroma_bins(rgb),
        scene_density=density.gather(1, bins.flatten(1)).reshape(bins.shape),
        plane_distance_m=plane_distances(z, K),
        inside=inside,
    )


def object_channels(frames: SmallFrames, rgb: Tensor, chroma: Tensor, diameter_m: Tensor) -> Tensor:
    """How well each place fits each of ``T`` objects per picture, ``(B, T, 5, 60, 80)``.

    Args:
        frames: The pictures.
        rgb: The objects' colour densities ``(B, T, 4096)``.
        chroma: The same over shares ``(B, T, 576)``.
        diameter_m: Their diameters ``(B, T)``.
    """
    b, t = diameter_m.shape
    size = contract.SIZE_PX
    likely = rgb.gather(2, frames.rgb_bins.flatten(1)[:, None].expand(-1, t, -1)).reshape(b, t, *size)
    by_share = chroma.gather(2, frames.chroma_bins.flatten(1)[:, None].expand(-1, t, -1)).reshape(b, t, *size)
    d, z = diameter_m[:, :, None, None], frames.depth_m[:, None]
    out = torch.empty((b, t, contract.OBJECT_CHANNELS, *size), device=z.device)
    torch.log2(likely + 1.0, out=out[:, :, 0]).div_(reference.BITS_SCALE)
    floor, limit = reference.CONTRAST_FLOOR, reference.CONTRAST_LIMIT
    contrast = torch.log2(likely.add_(floor).div_(frames.scene_density[:, None] + floor), out=out[:, :, 1])
    contrast.clamp_(-limit, limit).div_(reference.CONTRAST_SCALE)
    torch.log2(by_share.add_(1.0), out=out[:, :, 2]).div_(reference.BITS_SCALE)
    # The logarithm of a quotient: that of each object, less that of each place.
    apparent_px = (d * frames.fx[:, None, None, None] / reference.EVEN_DIAMETER_PX).log2_()
    torch.sub(apparent_px, z.clamp_min(reference.MIN_DEPTH_M).log2_(), out=out[:, :, 3])
    out[:, :, 3].clamp_(-reference.SIZE_LIMIT, reference.SIZE_LIMIT).mul_(z > 0.0)
    off = frames.plane_distance_m[:, None]
    torch.mul(off, 1.0 / d, out=out[:, :, 4]).clamp_(max=reference.MAX_PLANE_DISTANCE)
    out[:, :, 4].masked_fill_(off < 0.0, reference.UNKNOWN_PLANE_DISTANCE)
    return halved(out.mul_(frames.inside))


def shrunk_masks(masks: Tensor) -> Tensor:
    """Share of each mask cell that is marked, ``(..., 60, 80)``, of masks ``(..., H, W)`` in [0, 1]."""
    box = Letterbox.of((masks.shape[-2], masks.shape[-1]))
    return halved(_framed(shrunk(masks, box), box))


def shrunk(x: Tensor, box: Letterbox) -> Tensor:
    """Mean of what each working pixel covers, ``(..., height, width)`` of the letterbox's window."""
    height, width = x.shape[-2:]
    if (height, width) == (2 * box.height, 2 * box.width):
        return halved(x)
    rows, columns = _cover(height, box.height, x.device), _cover(width, box.width, x.device)
    return rows @ x @ columns.T


def _cover(count: int, small: int, device: torch.device) -> Tensor:
    """How much each of ``small`` cells takes of each of ``count`` pixels, ``(small, count)``; linearly enlarged."""
    ratio = count / small
    pixel = torch.arange(count, device=device, dtype=torch.float32)
    cell = torch.arange(small, device=device, dtype=torch.float32)[:, None]
    if ratio < 1.0:
        at = ((cell + 0.5) * ratio - 0.5).clamp(0.0, count - 1.0)
        return (1.0 - (at - pixel).abs()).clamp_min_(0.0)
    shared = torch.minimum((cell + 1.0) * ratio, pixel + 1.0) - torch.maximum(cell * ratio, pixel)
    return shared.clamp_min_(0.0) / ratio


def _framed(x: Tensor, box: Letterbox) -> Tensor:
    """The letterbox's window in the working size, the rest 0."""
    right, bottom = contract.SIZE_PX[1] - box.left - box.width, contract.SIZE_PX[0] - box.top - box.height
    return F.pad(x, (box.left, right, box.top, bottom))


def _small_intrinsics(K: Tensor, box: Letterbox) -> Tensor:
    """Intrinsics at the working size [px], ``(B, 3, 3)``."""
    out = torch.zeros_like(K)
    out[:, 0, 0], out[:, 1, 1], out[:, 2, 2] = K[:, 0, 0] * box.scale, K[:, 1, 1] * box.scale, 1.0
    out[:, 0, 2] = (K[:, 0, 2] + 0.5) * box.scale - 0.5 + box.left
    out[:, 1, 2] = (K[:, 1, 2] + 0.5) * box.scale - 0.5 + box.top
    return out


def _shrunk_depth(z: Tensor, box: Letterbox) -> Tensor:
    """Depth of the letterbox's window [m] ``(B, height, width)``: medians of the readings around one pixel each."""
    rows, columns = (
        ((torch.arange(small, device=z.device, dtype=torch.float64) + 0.5) / box.scale).long().clamp_(max=count - 1)
        for small, count in ((box.height, z.shape[1]), (box.width, z.shape[2]))
    )
    if box.scale >= 1.0:
        return z[:, rows][:, :, columns]
    reach = 2 if box.scale < 0.35 else 1  # as `Letterbox.shrink_depth`
    around = range(-reach, reach + 1)
    windows = [
        z.index_select(1, (rows + dv).clamp(0, z.shape[1] - 1)).index_select(
            2, (columns + du).clamp(0, z.shape[2] - 1)
        )
        for dv in around
        for du in around
    ]
    return _median9(windows) if reach == 1 else torch.stack(windows).median(0).values


def _median9(x: list[Tensor]) -> Tensor:
    """Median of nine tensors, each place by itself (Paeth, Graphics Gems I: 19 exchanges)."""
    for i, j in (
        (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
        (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
    ):  # fmt: skip
        x[i], x[j] = torch.minimum(x[i], x[j]), torch.maximum(x[i], x[j])
    return x[4]


def _smoothed(z: Tensor) -> Tensor:
    """Depth averaged over 3x3 pixels of one surface."""
    both = F.pad(torch.stack([z, (z > 0.0).to(torch.float32)], dim=1), (1, 1, 1, 1), mode="reflect")
    rows = both[:, :, 2:] + both[:, :, 1:-1] + both[:, :, :-2]
    total, count = (rows[..., 2:] + rows[..., 1:-1] + rows[..., :-2]).unbind(1)
    mean = total / count.clamp_min(1e-5)
    return torch.where(((mean - z).abs() < small_frame.SMOOTHING_SHARE * z) & (z > 0.0), mean, z)


def normals_of(z: Tensor, K: Tensor) -> Tensor:
    """Unit normals towards the camera ``(B, 3, H, W)``, 0 at depth edges and where a neighbour has no reading."""
    height, width = z.shape[-2:]
    u = torch.arange(width, device=z.device, dtype=torch.float32)
    v = torch.arange(height, device=z.device, dtype=torch.float32)[:, None]
    x = (u - K[:, 0, 2, None, None]) / K[:, 0, 0, None, None] * z
    y = (v - K[:, 1, 2, None, None]) / K[:, 1, 1, None, None] * z
    p = torch.stack([x, y, z], dim=1)
    along_u = p[:, :, 1:-1, 2:] - p[:, :, 1:-1, :-2]
    along_v = p[:, :, 2:, 1:-1] - p[:, :, :-2, 1:-1]
    (vx, vy, vz), (ux, uy, uz) = along_v.unbind(1), along_u.unbind(1)
    n = torch.stack([vy * uz - vz * uy, vz * ux - vx * uz, vx * uy - vy * ux], dim=1)
    n.mul_(n.square().sum(1, keepdim=True).clamp_min_(1e-24).rsqrt_())
    middle, seen = z[:, 1:-1, 1:-1], z > 0.0
    limit = 2.0 * surface_normals.EDGE_SHARE * middle
    whole = seen[:, 1:-1, 1:-1] & seen[:, 1:-1, 2:] & seen[:, 1:-1, :-2] & seen[:, 2:, 1:-1] & seen[:, :-2, 1:-1]
    whole &= (along_u[:, 2].abs() < limit) & (along_v[:, 2].abs() < limit)
    return F.pad(n * whole[:, None], (1, 1, 1, 1))
