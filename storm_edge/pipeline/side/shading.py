"""Colours of a model against those of an image that light and camera changed: what gain and shading do not explain.

A light from a side makes a face brighter by the cosine between its direction and the face's (Lambert), by the same
share in every channel. So the first two orders of the light, an even part and one from a side (Basri and Jacobs,
"Lambertian reflectance and linear subspaces", 2003), are fitted to each pose beside a gain per channel. What they
leave tells another colour: a shaded green face is no grey one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.side.config import SideEvidenceConfig

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


def rendered_normals(model_m: Float32, K: Float32) -> Float32:
    """Which way rendered surfaces face, from how their depth changes: unit vectors ``(N, 3, S, S)``.

    The ray through a pixel counts as parallel to the others: a tenth of a radian is nothing to a shading.

    Args:
        model_m: Depth of N poses [m] ``(N, S, S)``, 0 where the model is not.
        K: Intrinsics of the window [px] ``(3, 3)``.
    """
    count, height, width = model_m.shape
    normals = np.ones((count, 3, height, width), dtype=np.float32)
    depth = np.maximum(model_m, np.float32(1e-6))
    rows, columns = np.full((2, count, height + 1, width + 1), np.float32(np.inf))  # no neighbour beyond the window
    np.subtract(model_m[:, :-1], model_m[:, 1:], out=rows[:, 1:-1, :-1])
    np.subtract(model_m[:, :, :-1], model_m[:, :, 1:], out=columns[:, :-1, 1:-1])
    for channel, before, after in (
        (0, columns[:, :-1, :-1], columns[:, :-1, 1:]),
        (1, rows[:, :-1, :-1], rows[:, 1:, :-1]),
    ):
        # Of both neighbours the one that is on the same surface.
        step = np.where(np.abs(before) < np.abs(after), before, after)
        step *= K[channel, channel]
        np.divide(step, depth, out=normals[:, channel])
    across, along = normals[:, 0], normals[:, 1]
    normals /= np.sqrt(across * across + along * along + np.float32(1.0))[:, None]
    return normals


@dataclass(frozen=True, kw_only=True)
class FittedColours:
    """Colours of a window and of a model at N poses, after gain and shading, at the P pixels where a pose counts."""

    seen: Float32
    """Of the image in [0, 1] ``(3, P)``."""
    model: Float32
    """Of the model ``(N, 3, P)``."""
    distance: Float32
    """Root mean square over the channels of their difference ``(N, P)``; 0 where the pose does not count."""
    counted: Float32
    """1 at the pixels of each pose that count, else 0 ``(N, P)``."""
    where: Bool
    """Which pixels of the window these are ``(S, S)``."""

    def in_window(self, values: Float32) -> Float32:
        """Values of the pixels ``(..., P)`` where they are in the window, 0 elsewhere ``(..., S, S)``."""
        window = np.zeros((*values.shape[:-1], *self.where.shape), dtype=np.float32)
        window[..., self.where] = values
        return window


def fitted_colours(
    seen: Float32, model: Float32, normals: Float32, where: Bool, config: SideEvidenceConfig
) -> FittedColours:
    """The model's colours with the gain and shading by which they are nearest to the image.

    Args:
        seen: Colours of the window in [0, 1] ``(S, S, 3)``.
        model: Colours of the model at N poses in [0, 1] ``(N, S, S, 3)``.
        normals: Of its surface ``(N, 3, S, S)``.
        where: Pixels of each pose that count ``(N, S, S)``.
        config: Limits of gain and shading.
    """
    counted_anywhere = where.any(axis=0)
    # Channels first, so that sums over pixels are matrix products.
    s = np.ascontiguousarray(seen[counted_anywhere].T)
    lit = np.ascontiguousarray(model[:, counted_anywhere].transpose(0, 2, 1))
    n = np.ascontiguousarray(normals[:, :, counted_anywhere])
    counted = where[:, counted_anywhere].astype(np.float32)
    weight, left, gained = counted, counted, lit
    for is_last in (False, False, True):  # fixed: each fit without what fitted badly before, and with its shading
        gained = _gains(s, lit, weight, config) * lit
        difference = s - gained
        left = np.sqrt((difference * difference).mean(axis=1))
        if not is_last:
            weight = counted / (1.0 + (left / np.float32(config.colour_deviation)) ** 2)
            lit = lit * _shading(gained, difference, n, weight, config)[:, None]
    where_any = np.asarray(counted_anywhere)
    return FittedColours(seen=s, model=gained, distance=left * counted, counted=counted, where=where_any)


def colour_distances(
    seen: Float32, model: Float32, normals: Float32, where: Bool, config: SideEvidenceConfig
) -> Float32:
    """Root mean square over the channels of what gain and shading leave, ``(N, S, S)``; 0 where no pose counts.

    Args:
        seen: As for `fitted_colours`; so are the others.
        model: See there.
        normals: See there.
        where: See there.
        config: See there.
    """
    fitted = fitted_colours(seen, model, normals, where, config)
    return fitted.in_window(fitted.distance)


def _gains(s: Float32, lit: Float32, weight: Float32, config: SideEvidenceConfig) -> Float32:
    """The gain per channel ``(N, 3, 1)`` by which colours ``lit (N, 3, P)`` are nearest to those of the image."""
    square, product = (np.matmul(x, weight[:, :, None]) for x in (lit * lit, lit * s))
    ridge = np.float32(config.gain_ridge) * np.maximum(weight.sum(axis=1), 1.0)[:, None, None]
    return np.asarray(np.clip((product + ridge) / (square + ridge), *config.gains), dtype=np.float32)


def _shading(gained: Float32, left: Float32, n: Float32, weight: Float32, config: SideEvidenceConfig) -> Float32:
    """By what a light from a side changes the brightness, on average by nothing, ``(N, P)``."""
    total = np.maximum(weight.sum(axis=1), 1e-6)[:, None, None]
    centred = n - np.matmul(n, weight[:, :, None]) / total
    power = (gained * gained).sum(axis=1) * weight
    known = np.matmul(centred * power[:, None], centred.transpose(0, 2, 1)).astype(np.float64)
    known += np.eye(3) * (config.shading_ridge * np.maximum(power.sum(axis=1), 1e-6))[:, None, None]
    wanted = np.matmul(centred, ((gained * left).sum(axis=1) * weight)[:, :, None]).astype(np.float64)
    light = np.linalg.solve(known, wanted)[:, :, 0].astype(np.float32)
    return np.asarray(np.clip(1.0 + np.matmul(light[:, None], centred)[:, 0], *config.shadings))
