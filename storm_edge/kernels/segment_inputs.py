"""What the nano segmenter sees: the image at its working size, the object's views, and where its colours are.

Training (`synthetic.queries`) and run time (`pipeline.segment.segmenter`) both make their inputs here, so they are
the
same. Three kinds, all channels first, float32:

- *image channels* ``(8, 120, 160)`` depend on the frame alone, so that several objects share what comes of them;
- *object channels* ``(5, 60, 80)`` are cheap and say, per pixel, how well its colour fits the object, how large the
  object would be there, and how far it stands out from the table or wall;
- *view channels* ``(16, 8, 32, 32)`` are the object from 16 sides, made once per object.

NumPy and OpenCV: at this size a kernel launch would cost more than the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.errors import MeshError, mismatch
from storm_edge.geometry.se3 import make_T
from storm_edge.geometry.viewsphere import golden_spiral, look_at_origin
from storm_edge.kernels.mesh_buffers import MeshBuffers
from storm_edge.kernels.renderer import render

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
ByteImage = NDArray[np.uint8]

SIZE_PX = (120, 160)
"""Height and width of the image channels [px]."""
MASK_PX = (60, 80)
"""Height and width of object channels and masks [px]."""
IMAGE_CHANNELS = 8
"""RGB, surface normal, log2 of z [m], and whether depth was measured."""
OBJECT_CHANNELS = 5
"""Colour likelihood, the same over that of the scene, chroma likelihood, log2 of the object's apparent size, distance
from the large planes in diameters."""
VIEW_COUNT = 16
VIEW_PX = 32
VIEW_CHANNELS = 8
"""RGB, surface normal, depth behind the object's centre [radii], silhouette."""

_VIEW_DIAMETERS = 3.0  # camera distance of a view: mild perspective
_VIEW_FILL = 0.95  # share of a view that the object's ball spans
_STEP = 0.04  # neighbours whose z differs by more than this share are on two surfaces
_USUAL_PX = 24.0  # apparent diameter in the image channels at which the size channel is 0
_BINS = 16
_CHROMA_BINS = 24
_MOST_SAMPLES = 1500
_PLANE_SHARES = (0.15, 0.2)  # of the pixels with depth that a first and a second large plane must hold
_PLANE_TRIALS = 96
_NO_PLANE = 0.5  # distance from the planes [diameters] where nothing is known
_EXPOSURES = (0.55, 0.75, 1.0, 1.3)
_BALANCES = ((1, 1, 1), (1.12, 1, 0.9), (0.9, 1, 1.12), (0.9, 1.1, 0.95), (1.08, 0.92, 1.05))


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in the working size: scaled alike in both directions, centred, the rest empty.

    Pixel centres are on integers on both sides: ``u_small = (u + 0.5) * scale - 0.5 + left``.
    """

    scale: float
    """Working pixels per image pixel."""
    left: int
    """Empty columns on the left [px]."""
    top: int
    """Empty rows on top [px]."""
    width: int
    """Columns that the image takes [px]."""
    height: int
    """Rows that the image takes [px]."""

    @staticmethod
    def of(size_px: tuple[int, int]) -> Letterbox:
        """The letterbox of images of ``size_px`` (height, width)."""
        scale = min(SIZE_PX[0] / size_px[0], SIZE_PX[1] / size_px[1])
        height, width = max(round(size_px[0] * scale), 1), max(round(size_px[1] * scale), 1)
        return Letterbox(scale, (SIZE_PX[1] - width) // 2, (SIZE_PX[0] - height) // 2, width, height)

    def intrinsics(self, K: Float64) -> Float64:
        """Intrinsics of the working image [px], ``(3, 3)``."""
        s = self.scale
        return np.array(
            [
                [K[0, 0] * s, 0.0, (K[0, 2] + 0.5) * s - 0.5 + self.left],
                [0.0, K[1, 1] * s, (K[1, 2] + 0.5) * s - 0.5 + self.top],
                [0.0, 0.0, 1.0],
            ]
        )

    def shrink_rgb(self, rgb: ByteImage) -> Float32:
        """Colour at the working size, [0, 1] ``(120, 160, 3)``; averaged, 0 outside the image."""
        flag = cv2.INTER_AREA if self.scale < 1.0 else cv2.INTER_LINEAR
        out = np.zeros((*SIZE_PX, 3), dtype=np.float32)
        small = cv2.resize(rgb, (self.width, self.height), interpolation=flag)
        out[self.window] = small * np.float32(1.0 / 255.0)
        return out

    def shrink_depth(self, depth_m: Float32) -> Float32:
        """Depth at the working size [m] ``(120, 160)``: measured values (a local median), no mixtures."""
        calm = cv2.medianBlur(depth_m, 5 if self.scale < 0.35 else 3) if self.scale < 1.0 else depth_m
        rows = np.minimum(((np.arange(self.height) + 0.5) / self.scale).astype(np.int64), len(depth_m) - 1)
        columns = np.minimum(((np.arange(self.width) + 0.5) / self.scale).astype(np.int64), depth_m.shape[1] - 1)
        out = np.zeros(SIZE_PX, dtype=np.float32)
        out[self.window] = calm[np.ix_(rows, columns)]
        return out

    def shrink_mask(self, mask: NDArray[np.bool_]) -> Float32:
        """Share of each mask cell that is marked, ``(60, 80)``."""
        return halved(self.shrink(mask))

    def shrink(self, mask: NDArray[np.bool_] | Float32) -> Float32:
        """Share of each working pixel that is marked, or the mean of a map, ``(120, 160)``."""
        flag = cv2.INTER_AREA if self.scale < 1.0 else cv2.INTER_LINEAR
        out = np.zeros(SIZE_PX, dtype=np.float32)
        out[self.window] = cv2.resize(mask.astype(np.float32), (self.width, self.height), interpolation=flag)
        return out

    def enlarge(self, cells: Float32, size_px: tuple[int, int]) -> Float32:
        """A map over the working size, in pixels or cells of any size, at image size ``(H, W)``, bilinear."""
        share = cells.shape[0] / SIZE_PX[0]  # cells per working pixel
        s = self.scale * share
        A = np.array([[s, 0.0, s * 0.5 - 0.5 + self.left * share], [0.0, s, s * 0.5 - 0.5 + self.top * share]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(cells, A, (size_px[1], size_px[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, dtype=np.float32)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns that the image takes."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True, kw_only=True)
class SmallFrame:
    """A frame at the working size, and its image channels."""

    rgb: Float32
    """Colour in [0, 1] ``(120, 160, 3)``."""
    depth_m: Float32
    """z-depth [m] ``(120, 160)``, 0 = no reading."""
    K: Float64
    """Intrinsics at the working size [px]."""
    channels: Float32
    """Image channels ``(8, 120, 160)``."""
    letterbox: Letterbox
    """Where the image lies in it."""
    rgb_bins: NDArray[np.int64]
    """Which entry of `ColourModel.rgb` each pixel reads ``(120, 160)``."""
    chroma_bins: NDArray[np.int64]
    """Which entry of `ColourModel.chroma` each pixel reads ``(120, 160)``."""
    scene: Float32
    """Density of the picture's own colours where each pixel is, 1 in a picture of all colours ``(120, 160)``."""
    relief_m: Float32
    """Distance from the nearest large plane [m] ``(120, 160)``, negative where unknown."""


def small_frame(rgb: ByteImage, depth_m: Float32, K: Float64) -> SmallFrame:
    """Bring a frame to the working size.

    Args:
        rgb: Colour ``(H, W, 3)``.
        depth_m: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
    """
    box = Letterbox.of(depth_m.shape)
    small, z, K_small = box.shrink_rgb(rgb), box.shrink_depth(depth_m), box.intrinsics(K)
    channels = np.zeros((IMAGE_CHANNELS, *SIZE_PX), dtype=np.float32)
    channels[:3] = small.transpose(2, 0, 1) - np.float32(0.5)
    channels[3:6] = surface_normals(_calmed(z), K_small).transpose(2, 0, 1)
    seen = z > 0.0
    channels[6] = np.where(seen, np.log2(np.clip(z, 0.05, 16.0)), np.float32(0.0))
    channels[7] = seen
    rgb_bins = _rgb_bins(small)
    density = _density(rgb_bins[box.window], (_BINS,) * 3)
    return SmallFrame(
        rgb=small,
        depth_m=z,
        K=K_small,
        channels=channels,
        letterbox=box,
        rgb_bins=rgb_bins,
        chroma_bins=_chroma_bins(small),
        scene=density.reshape(-1)[rgb_bins],
        relief_m=plane_relief(z, K_small),
    )


def plane_relief(z: Float32, K: Float64) -> Float32:
    """Distance from the nearest of up to two large planes (table, wall) [m] ``(H, W)``.

    Args:
        z: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].

    Returns:
        Distances, -1 where there is no reading, and everywhere if no plane is large enough.
    """
    v, u = np.nonzero(z > 0.0)
    out = np.full(z.shape, -1.0, dtype=np.float32)
    if len(v) < 100:
        return out
    depth = z[v, u].astype(np.float64)
    points = np.stack([(u - K[0, 2]) / K[0, 0] * depth, (v - K[1, 2]) / K[1, 1] * depth, depth], axis=1)
    rng = np.random.default_rng(0)
    left = np.ones(len(points), dtype=bool)
    nearest = np.full(len(points), np.inf)
    for least in _PLANE_SHARES:
        if left.sum() < least * len(points):
            break
        normal, offset = _largest_plane(points[left], rng)
        distance = np.abs(points @ normal + offset)
        on_plane = left & (distance < _tolerance_m(points[:, 2]))
        if on_plane.sum() < least * len(points):
            break
        nearest = np.minimum(nearest, distance)
        left &= ~on_plane
    if np.isfinite(nearest[0]):
        out[v, u] = nearest
    return out


def _tolerance_m(z: Float64) -> Float64:
    """How far from a plane a reading at depth z [m] may lie: noise of a stereo camera, and some warp."""
    return np.asarray(0.006 + 0.006 * z * z)


def _largest_plane(points: Float64, rng: np.random.Generator) -> tuple[Float64, float]:
    """Unit normal and offset [m] of the plane that holds most of ``points (N, 3)``: random triples, then a fit."""
    few = points[rng.integers(0, len(points), min(len(points), 800))]
    corner = points[rng.integers(0, len(points), (_PLANE_TRIALS, 3))]
    normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    distance = np.abs(few @ normals.T - np.einsum("ij,ij->i", normals, corner[:, 0]))
    best = int((distance < _tolerance_m(few[:, 2])[:, None]).sum(axis=0).argmax())
    normal, offset = normals[best], -float(normals[best] @ corner[best, 0])
    for _ in range(2):
        on_plane = points[np.abs(points @ normal + offset) < _tolerance_m(points[:, 2])]
        if len(on_plane) < 3:
            break
        centre = on_plane.mean(axis=0)
        normal = np.linalg.eigh(np.cov((on_plane - centre).T))[1][:, 0]
        offset = -float(normal @ centre)
    return normal, offset


def _calmed(z: Float32) -> Float32:
    """Depth averaged over 3x3 pixels of one surface: normals are twice as sensitive to noise as depth is."""
    seen = (z > 0.0).astype(np.float32)
    mean = cv2.blur(z, (3, 3)) / np.maximum(cv2.blur(seen, (3, 3)), np.float32(1e-6))
    return np.where((np.abs(mean - z) < 0.02 * z) & (z > 0.0), mean, z)


def surface_normals(z: Float32, K: Float64) -> Float32:
    """Unit normals towards the camera ``(H, W, 3)``, 0 at depth edges and where a neighbour has no reading.

    Args:
        z: z-depth [m] ``(H, W)``, 0 = no reading.
        K: Intrinsics [px].
    """
    height, width = z.shape
    x = (np.arange(width, dtype=np.float32) - np.float32(K[0, 2])) / np.float32(K[0, 0]) * z
    y = (np.arange(height, dtype=np.float32) - np.float32(K[1, 2]))[:, None] / np.float32(K[1, 1]) * z
    p = np.stack([x, y, z], axis=2)
    along_u = p[1:-1, 2:] - p[1:-1, :-2]
    along_v = p[2:, 1:-1] - p[:-2, 1:-1]
    n = np.cross(along_v, along_u)  # y cross x points to the camera
    n /= np.maximum(np.linalg.norm(n, axis=2, keepdims=True), np.float32(1e-12))
    limit = np.float32(_STEP) * z[1:-1, 1:-1]
    whole = (np.minimum(z[1:-1, 2:], z[1:-1, :-2]) > 0.0) & (np.minimum(z[2:, 1:-1], z[:-2, 1:-1]) > 0.0)
    whole &= (z[1:-1, 1:-1] > 0.0) & (np.abs(along_u[..., 2]) < 2 * limit) & (np.abs(along_v[..., 2]) < 2 * limit)
    out = np.zeros((height, width, 3), dtype=np.float32)
    out[1:-1, 1:-1] = np.where(whole[..., None], n, np.float32(0.0))
    return out


def halved(x: Float32) -> Float32:
    """Mean of every 2x2 block of ``(..., H, W)``."""
    return np.asarray(
        (x[..., 0::2, 0::2] + x[..., 1::2, 0::2] + x[..., 0::2, 1::2] + x[..., 1::2, 1::2]) * np.float32(0.25)
    )


@dataclass(frozen=True, kw_only=True)
class ColourModel:
    """Which colours an object has under any usual light, as log densities over those of a uniform picture."""

    rgb: Float32
    """Density over RGB ``(16, 16, 16)``, 1 for a picture of all colours."""
    chroma: Float32
    """Density over red and green shares ``(24, 24)``, in the same unit."""

    @property
    def own_bits(self) -> float:
        """Mean log2 density of the object's own pixels under usual light."""
        return float((self.rgb * np.log2(1.0 + self.rgb)).sum() / self.rgb.sum())


def colour_fit(frame: SmallFrame, colours: ColourModel, mask: NDArray[np.bool_]) -> float:
    """How well the colours under a mask fit an object: mean log2 density less the object's own [bits].

    Args:
        frame: The image.
        colours: The object's colours.
        mask: At image size ``(H, W)``.

    Returns:
        About 0 for the object, negative for other colours; 0 for a mask without a pixel at the working size.
    """
    marked = frame.letterbox.shrink(mask) > 0.5
    if not marked.any():
        return 0.0
    bits = np.log2(1.0 + colours.rgb.reshape(-1)[frame.rgb_bins[marked]])
    return float(bits.mean()) - colours.own_bits


@dataclass(frozen=True, kw_only=True)
class ObjectViews:
    """An object from 16 sides."""

    channels: Float32
    """View channels ``(16, 8, 32, 32)``."""
    colours: ColourModel
    """Its colours over all views."""


def object_views(mesh: MeshBuffers, diameter_m: float) -> ObjectViews:
    """Render the views of a centred mesh, and collect its colours.

    Raises:
        MeshError: No view shows anything.
    """
    R = look_at_origin(golden_spiral(VIEW_COUNT))
    distance_m = _VIEW_DIAMETERS * diameter_m
    f = _VIEW_FILL * VIEW_PX * _VIEW_DIAMETERS
    c = (VIEW_PX - 1) / 2.0
    K = np.array([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]])
    picture = render(mesh, make_T(R, np.array([0.0, 0.0, distance_m])), K, VIEW_PX)
    seen = picture.mask > 0
    if not seen.any():
        raise MeshError(
            mismatch("reference views", "no pixel of the model", "a surface of some size", "check the model")
        )
    channels = np.zeros((VIEW_COUNT, VIEW_CHANNELS, VIEW_PX, VIEW_PX), dtype=np.float32)
    for i in range(VIEW_COUNT):
        colour = picture.colour[i].transpose(2, 0, 1) - np.float32(0.5)
        channels[i, :3] = colour * seen[i]
        channels[i, 3:6] = surface_normals(picture.depth[i], K).transpose(2, 0, 1)
        channels[i, 6] = (picture.depth[i] - np.float32(distance_m)) * np.float32(2.0 / diameter_m) * seen[i]
    channels[:, 7] = seen
    return ObjectViews(channels=channels, colours=colour_model(picture.colour[seen]))


def colour_model(samples: Float32) -> ColourModel:
    """Densities of an object's colours, widened by what exposure and white balance do to them.

    Args:
        samples: Colours of its visible pixels, RGB in [0, 1] ``(N, 3)``.
    """
    samples = samples[:: max(1, len(samples) // _MOST_SAMPLES)]
    gains = np.array([[e * b for b in balance] for e in _EXPOSURES for balance in _BALANCES], dtype=np.float32)
    lit = np.minimum(samples[None] * gains[:, None], np.float32(1.0)).reshape(-1, 3)
    return ColourModel(
        rgb=_density(_rgb_bins(lit), (_BINS,) * 3), chroma=_density(_chroma_bins(lit), (_CHROMA_BINS,) * 2)
    )


def _rgb_bins(rgb: Float32) -> NDArray[np.int64]:
    bins = np.minimum((rgb * np.float32(_BINS)).astype(np.int64), _BINS - 1)
    return np.asarray((bins[..., 0] * _BINS + bins[..., 1]) * _BINS + bins[..., 2])


def _chroma_bins(rgb: Float32) -> NDArray[np.int64]:
    total = rgb.sum(axis=-1) + np.float32(0.06)  # dark pixels have no chroma: they tend to grey
    share = (rgb[..., :2] + np.float32(0.02)) / total[..., None]
    bins = np.clip((share * np.float32(_CHROMA_BINS)).astype(np.int64), 0, _CHROMA_BINS - 1)
    return np.asarray(bins[..., 0] * _CHROMA_BINS + bins[..., 1])


def _smoothed(histogram: Float64) -> Float32:
    """Binomial blur along every axis, then scaled so that a uniform histogram is 1 everywhere."""
    for axis in range(histogram.ndim):
        padded = np.pad(histogram, [(1, 1) if a == axis else (0, 0) for a in range(histogram.ndim)])
        histogram = 0.5 * histogram + 0.25 * (
            np.take(padded, range(0, histogram.shape[axis]), axis=axis)
            + np.take(padded, range(2, histogram.shape[axis] + 2), axis=axis)
        )
    return np.asarray(histogram * (histogram.size / max(float(histogram.sum()), 1e-9)), dtype=np.float32)


def _density(bins: NDArray[np.int64], shape: tuple[int, ...]) -> Float32:
    counts = np.bincount(bins.reshape(-1), minlength=int(np.prod(shape))).astype(np.float64)
    return _smoothed(counts.reshape(shape))


def object_channels(frame: SmallFrame, colours: ColourModel, diameter_m: float) -> Float32:
    """How well each place fits the object, ``(5, 60, 80)``.

    Args:
        frame: The image.
        colours: The object's colours.
        diameter_m: The object's diameter.
    """
    likely = colours.rgb.reshape(-1)[frame.rgb_bins]
    out = np.zeros((OBJECT_CHANNELS, *SIZE_PX), dtype=np.float32)
    out[0] = np.log2(1.0 + likely) / np.float32(8.0)
    out[1] = np.clip(np.log2((likely + 0.1) / (frame.scene + 0.1)), -8.0, 8.0) / np.float32(4.0)
    out[2] = np.log2(1.0 + colours.chroma.reshape(-1)[frame.chroma_bins]) / np.float32(8.0)
    z = frame.depth_m
    apparent_px = np.float32(diameter_m * frame.K[0, 0]) / np.maximum(z, np.float32(0.05))
    out[3] = np.where(z > 0.0, np.clip(np.log2(apparent_px / _USUAL_PX), -3.0, 3.0), np.float32(0.0))
    relief = np.minimum(frame.relief_m * np.float32(1.0 / diameter_m), np.float32(2.0))
    out[4] = np.where(frame.relief_m >= 0.0, relief, np.float32(_NO_PLANE))
    rows, columns = frame.letterbox.window
    whole = np.zeros_like(out)
    whole[:, rows, columns] = out[:, rows, columns]
    return halved(whole)
