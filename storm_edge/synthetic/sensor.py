"""A stereo depth camera's faults: what a RealSense makes of the true depth.

Active stereo measures disparity ``fx * baseline / z``, so its noise grows with z^2, it smooths over its matching
window, it cannot see what only one of its two eyes sees (a shadow on one side of every object), and it fails on
grazing and on dark surfaces (Ahn et al. 2019 and Intel's D400 tuning guide give the magnitudes; two real recordings
were looked at for the rest: lumpy, not white, noise and soft edges). All lengths in the image are native pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.synthetic.fields import image_field

Float32 = NDArray[np.float32]

_GRAZING = 4.0  # tangent of the angle between ray and surface normal at which matching starts to fail
_STEP = 12.0  # beyond this it is a depth edge, not a surface


@dataclass(frozen=True, kw_only=True)
class DepthSensor:
    """One camera with its faults; constant over a recording."""

    noise_per_m: float = 0.002
    """Standard deviation of the depth at 1 m [m]; grows with z^2."""
    noise_scale_px: float = 5.0
    """Distance over which the noise changes [px]: it is lumpy, not white."""
    white_share: float = 0.2
    """Part of the noise that is independent per pixel."""
    bias: float = 0.0
    """Relative error of all depths (calibration)."""
    smoothing_px: float = 1.5
    """Standard deviation of the matching window [px]."""
    smoothed_step: float = 0.01
    """Depth steps up to this share of the depth are smoothed over like a surface: a handle melts into its mug."""
    fattening_px: int = 0
    """How far near things grow over what is behind them [px]; wide matching windows do that."""
    edge_jitter_px: float = 1.0
    """How far outlines are displaced [px]."""
    flying: float = 0.3
    """Share of the blended pixels at depth edges that are reported and not dropped."""
    shadow_baseline_m: float = 0.05
    """Distance between the eyes [m]; its sign is the side the shadow falls on, 0 for none."""
    grazing_holes: bool = True
    """Whether surfaces seen at a grazing angle go missing."""
    dark_level: float = 0.05
    """Surfaces with a luminance below this lose depth in patches."""
    dropout: float = 0.01
    """Share of the image lost in random blobs."""
    step_m: float = 0.001
    """Quantisation of the reported depth [m]."""

    def measure(self, depth: Float32, colour: Float32, fx: float, rng: np.random.Generator) -> Float32:
        """What the sensor reports.

        Args:
            depth: True z-depth [m] ``(H, W)``, 0 where there is nothing to measure.
            colour: What is seen, RGB in [0, 1] ``(H, W, 3)``; dark things are measured badly.
            fx: Focal length [px].
            rng: Source of this frame's noise.
        """
        size_px = (depth.shape[0], depth.shape[1])
        lost = self._lost(depth, colour, fx, rng)
        z = _jittered(_fattened(depth, self.fattening_px), self.edge_jitter_px, rng)
        z = self._smoothed(z, rng)
        lumps = image_field(rng, size_px, self.noise_scale_px)
        white = rng.standard_normal(size_px, dtype=np.float32)
        noise = np.float32(1.0 - self.white_share) * lumps + np.float32(self.white_share) * white
        z = z * np.float32(1.0 + self.bias) + np.float32(self.noise_per_m) * z * z * noise
        z = np.round(z / np.float32(self.step_m)) * np.float32(self.step_m)
        return np.asarray(np.where(lost | (z <= 0.0), np.float32(0.0), z), dtype=np.float32)

    def _smoothed(self, z: Float32, rng: np.random.Generator) -> Float32:
        """Average over the matching window; across a depth edge the blend flies or is dropped."""
        if self.smoothing_px <= 0.0:
            return z
        valid = (z > 0.0).astype(np.float32)
        sigma = self.smoothing_px
        weight = cv2.GaussianBlur(valid, (0, 0), sigma)
        mean = cv2.GaussianBlur(z, (0, 0), sigma) / np.maximum(weight, np.float32(1e-6))
        step = np.abs(mean - z)
        on_surface = step < np.float32(self.smoothed_step) * z
        blended = rng.random(z.shape, dtype=np.float32) < self.flying
        near_edge = np.where(blended, mean, z)
        return np.where(valid > 0.0, np.where(on_surface, mean, near_edge), np.float32(0.0))

    def _lost(self, depth: Float32, colour: Float32, fx: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Pixels without a reading."""
        size_px = (depth.shape[0], depth.shape[1])
        lost = depth <= 0.0
        if self.shadow_baseline_m != 0.0:
            lost |= _shadow(depth, fx * self.shadow_baseline_m)
        patches = image_field(rng, size_px, 6.0)
        if self.grazing_holes:
            gx = cv2.Sobel(depth, cv2.CV_32F, 1, 0, scale=0.125)
            gy = cv2.Sobel(depth, cv2.CV_32F, 0, 1, scale=0.125)
            tangent = np.sqrt(gx * gx + gy * gy) * np.float32(fx) / np.maximum(depth, np.float32(0.05))
            lost |= (tangent > _GRAZING * np.exp2(0.5 * patches)) & (tangent < _STEP)
        if self.dark_level > 0.0:
            lost |= (cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY) < self.dark_level) & (patches > 0.3)
        if self.dropout > 0.0:
            blobs = image_field(rng, size_px, 8.0)
            lost |= blobs > np.quantile(blobs[::4, ::4], 1.0 - self.dropout)
        return lost


def random_sensor(rng: np.random.Generator) -> DepthSensor:
    """A sensor drawn from good to bad; one in eight is perfect but for its quantisation."""
    if rng.random() < 0.125:
        return DepthSensor(
            noise_per_m=0.0003, smoothing_px=0.0, edge_jitter_px=0.0, flying=0.0, shadow_baseline_m=0.0,
            grazing_holes=False, dark_level=0.0, dropout=0.0,
        )  # fmt: skip
    return DepthSensor(
        noise_per_m=float(np.exp(rng.uniform(np.log(0.0008), np.log(0.007)))),
        noise_scale_px=float(rng.uniform(2.0, 9.0)),
        white_share=float(rng.uniform(0.0, 0.5)),
        bias=float(rng.normal(0.0, 0.003)),
        smoothing_px=float(rng.choice([rng.uniform(0.0, 2.5), rng.uniform(2.5, 5.0)], p=[0.7, 0.3])),
        smoothed_step=float(rng.choice([0.01, rng.uniform(0.01, 0.06)])),
        fattening_px=int(rng.choice([0, 1, 2, 3], p=[0.6, 0.2, 0.1, 0.1])),
        edge_jitter_px=float(rng.uniform(0.0, 2.0)),
        flying=float(rng.uniform(0.0, 0.8)),
        shadow_baseline_m=float(rng.choice([-0.05, 0.05, 0.05, 0.0])),
        grazing_holes=bool(rng.random() < 0.7),
        dark_level=float(rng.choice([0.0, rng.uniform(0.0, 0.15)])),
        dropout=float(rng.choice([0.0, rng.uniform(0.0, 0.08)])),
        step_m=0.001,
    )


def _fattened(depth: Float32, reach_px: int) -> Float32:
    """Each pixel's nearest depth within ``reach_px``; what has no depth neither grows nor shrinks."""
    if reach_px <= 0:
        return depth
    window = np.ones((2 * reach_px + 1, 2 * reach_px + 1), dtype=np.uint8)
    nearest = cv2.erode(np.where(depth > 0.0, depth, np.float32(np.inf)), window)
    return np.asarray(np.where(depth > 0.0, nearest, np.float32(0.0)), dtype=np.float32)


def _jittered(depth: Float32, amount_px: float, rng: np.random.Generator) -> Float32:
    """Displace outlines by a smooth random field, keeping every value a measured one (nearest lookup)."""
    if amount_px <= 0.0:
        return depth
    size_px = (depth.shape[0], depth.shape[1])
    v, u = np.mgrid[0 : size_px[0], 0 : size_px[1]].astype(np.float32)
    du = image_field(rng, size_px, 4.0) * np.float32(amount_px)
    dv = image_field(rng, size_px, 4.0) * np.float32(amount_px)
    return np.asarray(cv2.remap(depth, u + du, v + dv, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))


def _shadow(depth: Float32, baseline_px_m: float) -> NDArray[np.bool_]:
    """Pixels that the second eye cannot see because something nearer covers them.

    The second eye sees a pixel at column ``u - disparity``. A pixel is hidden when one to its right lands on
    the same or an earlier column; a running minimum finds them all.
    """
    if baseline_px_m < 0.0:
        return np.asarray(_shadow(depth[:, ::-1], -baseline_px_m)[:, ::-1])
    disparity = np.where(depth > 0.0, baseline_px_m / np.maximum(depth, np.float32(0.05)), np.float32(0.0))
    landing = np.arange(depth.shape[1], dtype=np.float32) - disparity
    # For an eye to the right, nearer things shift left and hide what lies left of them.
    earliest = np.minimum.accumulate(landing[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(depth.shape, dtype=bool)
    hidden[:, :-1] = landing[:, :-1] >= earliest[:, 1:]
    return hidden & (depth > 0.0)
