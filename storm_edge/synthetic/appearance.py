"""What a colour camera and its driver make of the light: exposure, white balance, blur, noise, compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storm_edge.kernels.shading import Lighting
from storm_edge.synthetic.fields import image_field

Float32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """One colour camera with its settings; constant or slowly drifting over a recording."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Exposure times white balance per channel."""
    gamma: float = 1.0
    """Exponent of the tone curve."""
    saturation: float = 1.0
    """0 is grey, 1 as it is."""
    lift: float = 0.0
    """Haze: added everywhere."""
    shading: float = 0.0
    """Strength of soft shadows over the picture."""
    shading_seed: int = 0
    """Where those shadows lie; they stay there from frame to frame."""
    blur_px: float = 0.0
    """Standard deviation of the defocus [px]."""
    noise: float = 0.01
    """Standard deviation of the pixel noise at full brightness."""
    noise_scale_px: float = 1.0
    """Grain of the noise [px]; demosaicing makes it coarser than a pixel."""
    jpeg_quality: int | None = None
    """Compression, 1..100; None for none."""

    def expose(self, colour: Float32, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Turn a clean picture in [0, 1] ``(H, W, 3)`` into what the camera delivers, uint8."""
        size_px = (colour.shape[0], colour.shape[1])
        out: NDArray[Any] = colour * np.asarray(self.gain, dtype=np.float32)
        if self.saturation != 1.0:
            grey = np.asarray(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), dtype=np.float32)[..., None]
            out = np.asarray(grey + (out - grey) * np.float32(self.saturation), dtype=np.float32)
        if self.shading > 0.0:
            field = image_field(np.random.default_rng(self.shading_seed), size_px, max(size_px) / 2.0)
            out = out * np.exp(np.float32(self.shading) * field)[..., None]
        if self.gamma != 1.0:
            out = np.asarray(cv2.pow(np.clip(out, 0.0, 1.0), self.gamma))
        if self.lift > 0.0:
            out = out * np.float32(1.0 - self.lift) + np.float32(self.lift)
        if self.blur_px > 0.2:
            out = cv2.GaussianBlur(out, (0, 0), self.blur_px)
        if self.noise > 0.0:
            # Three channels from one wide field: cheaper than three fields and just as independent.
            grain = image_field(rng, (size_px[0], 3 * size_px[1]), self.noise_scale_px)
            grain = np.stack(np.split(grain, 3, axis=1), axis=2)
            brightness = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
            grain *= np.sqrt(np.clip(brightness, 0.05, 1.0))[..., None]
            out = out + np.float32(self.noise) * grain
        picture: NDArray[np.uint8] = np.round(np.clip(out, 0.0, 1.0) * 255.0).astype(np.uint8)
        if self.jpeg_quality is not None:
            _, code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
            picture = np.ascontiguousarray(
                np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1]
            )
        return picture


def random_appearance(rng: np.random.Generator) -> Appearance:
    """A camera drawn from clean to poor."""
    exposure = np.exp(rng.normal(0.05, 0.22))
    balance = np.exp(rng.normal(0.0, 0.1, 3))
    return Appearance(
        gain=(float(exposure * balance[0]), float(exposure * balance[1]), float(exposure * balance[2])),
        gamma=float(np.exp(rng.normal(0.0, 0.2))),
        saturation=float(rng.uniform(0.5, 1.3)),
        lift=float(rng.choice([0.0, rng.uniform(0.0, 0.15)])),
        shading=float(rng.choice([0.0, rng.uniform(0.0, 0.4)])),
        shading_seed=int(rng.integers(2**31)),
        blur_px=float(rng.choice([0.0, rng.uniform(0.3, 1.3)])),
        noise=float(np.exp(rng.uniform(np.log(0.003), np.log(0.04)))),
        noise_scale_px=float(rng.choice([1.0, 1.5, 2.0])),
        jpeg_quality=int(rng.integers(30, 95)) if rng.random() < 0.4 else None,
    )


def random_lighting(rng: np.random.Generator) -> Lighting:
    """A light from somewhere above or beside the camera."""
    direction = rng.normal(0.0, [1.0, 1.0, 0.6]) + [0.0, -0.7, -0.7]
    diffuse = rng.uniform(0.1, 0.9)
    return Lighting(
        ambient=float(rng.uniform(0.95, 1.1) - 0.6 * diffuse),
        diffuse=float(diffuse),
        to_light=(float(direction[0]), float(direction[1]), float(direction[2])),
    )


def motion_kernel(length_px: float, angle: float) -> Float32:
    """Averaging along a line of ``length_px`` [px] at ``angle`` [rad], square, sum 1."""
    size = 2 * int(np.ceil(max(length_px, 1.0) / 2.0)) + 1
    kernel = np.zeros((size, size), dtype=np.float32)
    # Many points splatted bilinearly, so that short and slanted lines are not ragged.
    for t in ((np.arange(4 * size) + 0.5) / (4 * size) - 0.5) * length_px:
        x, y = t * np.cos(angle) + size // 2, t * np.sin(angle) + size // 2
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for i, j, weight in (
            (y0, x0, (1 - x + x0) * (1 - y + y0)),
            (y0, x0 + 1, (x - x0) * (1 - y + y0)),
            (y0 + 1, x0, (1 - x + x0) * (y - y0)),
            (y0 + 1, x0 + 1, (x - x0) * (y - y0)),
        ):
            if 0 <= i < size and 0 <= j < size:
                kernel[i, j] += weight
    return np.asarray(kernel / kernel.sum())


def smear(colour: Float32, behind: Float32, moving: NDArray[np.bool_], kernel: Float32) -> Float32:
    """Motion blur of the moving part only.

    Args:
        colour: The sharp picture ``(H, W, 3)``.
        behind: The picture without what moves ``(H, W, 3)``.
        moving: Where the moving part is ``(H, W)``.
        kernel: From `motion_kernel`.
    """
    if not moving.any():
        return colour
    reach = len(kernel)
    rows, columns = np.flatnonzero(moving.any(axis=1)), np.flatnonzero(moving.any(axis=0))
    window = (
        slice(max(int(rows[0]) - reach, 0), int(rows[-1]) + reach + 1),
        slice(max(int(columns[0]) - reach, 0), int(columns[-1]) + reach + 1),
    )
    alpha = moving[window].astype(np.float32)[..., None]
    layers = np.concatenate([colour[window] * alpha, alpha], axis=2)
    layers = cv2.filter2D(layers, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    out: Float32 = colour.copy()
    out[window] = layers[..., :3] + (1.0 - layers[..., 3:]) * behind[window]
    return out
