"""The likely cause of a wrong scale: a model or a depth in another unit, or intrinsics of another resolution.

How many times larger the scene is than the model does not tell which of them is wrong: both look the same to a camera
but for the distance. What is implausible by itself, a mug of 15 mm or a scene at 60 mm, decides where it can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storm_edge.pipeline.register.config import ScaleConfig

Float64 = NDArray[np.float64]

_SCALES = {
    0.001: "millimetres read as metres: --unit mm",
    0.01: "centimetres read as metres",
    1 / 25.4: "millimetres read as inches",
    0.1: "millimetres read as centimetres",
    0.5: "diameters taken for radii",
    2.0: "radii taken for diameters",
    10.0: "centimetres read as millimetres",
    25.4: "inches read as millimetres",
    100.0: "metres read as centimetres",
    1000.0: "metres read as millimetres: --unit m",
}  # fixed: by what a model is multiplied that was read in a wrong unit, and how that comes about

_HALVES = (0.5, 2.0)  # fixed: those that are no unit
_DEPTH_SCALES = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)  # fixed: depth images count in decimal parts of a metre


@dataclass(frozen=True, kw_only=True)
class ScaleCause:
    """What is most likely wrong."""

    remedy: str
    """What to do, as an imperative."""
    is_camera: bool
    """Whether it is the intrinsics."""


def likely_cause(
    factor: float, *, diameter_m: float, distance_m: float, camera_factor: float | None, config: ScaleConfig
) -> ScaleCause:
    """What would make the model fit.

    Args:
        factor: How many times larger the object is in the scene than in the model.
        diameter_m: Diameter of the model [m].
        distance_m: Its distance in the scene [m].
        camera_factor: By what `K` must be multiplied for its principal point to lie in the image's middle
            (`geometry.camera.principal_point_factor`); None where it lies there.
        config: What is plausible.
    """
    scale = min(_SCALES, key=lambda known: abs(math.log(factor / known)))
    if abs(math.log(factor / scale)) > math.log(config.same_scale):
        return ScaleCause(
            remedy="check the mask, the model's --unit, depth_scale and K of scene_camera.json", is_camera=False
        )
    if camera_factor is not None and scale == camera_factor:
        other = "half" if camera_factor > 1.0 else "twice"
        return ScaleCause(
            remedy=f"multiply K by {camera_factor:g} (but its last row): it is of an image of {other} the size",
            is_camera=True,
        )
    model = f"multiply the model by {_number(scale)} ({_SCALES[scale]})"
    depth = f"multiply the depth by {_number(1.0 / scale)} (depth_scale in scene_camera.json)"
    low_m, high_m = config.plausible_diameter_m
    near_m, far_m = config.plausible_distance_m
    is_model = not low_m <= diameter_m <= high_m and low_m <= diameter_m * scale <= high_m
    is_depth = not near_m <= distance_m <= far_m and near_m <= distance_m / scale <= far_m
    if is_model and not is_depth:
        return ScaleCause(remedy=model, is_camera=False)
    if is_depth and not is_model:
        return ScaleCause(remedy=depth, is_camera=False)
    camera = f", or multiply fx and fy of K by {_number(scale)}" if scale in _HALVES else ""
    return ScaleCause(remedy=f"{model}, or {depth}{camera}", is_camera=False)


def plausible_scales(diameter_m: float, distance_m: float, config: ScaleConfig) -> list[float]:
    """Factors of the model that make sense beside its own size, the nearest to 1 first.

    Args:
        diameter_m: Diameter of the model [m].
        distance_m: Median depth of the scene [m].
        config: What is plausible.
    """
    low_m, high_m = config.plausible_diameter_m
    near_m, far_m = config.plausible_distance_m
    fitting = [
        scale for scale in _SCALES if low_m <= diameter_m * scale <= high_m or near_m <= distance_m / scale <= far_m
    ]
    return sorted(fitting, key=lambda scale: abs(math.log(scale)))


def unusual_scale(diameter_m: float, distance_m: float, config: ScaleConfig) -> str | None:
    """What may be wrong with the scale where an object was never found: a guess by usual sizes alone.

    Args:
        diameter_m: Diameter of the model [m].
        distance_m: Median depth of the scene [m].
        config: What is plausible.

    Returns:
        A line for people; None where model and scene have usual sizes.
    """
    low_m, high_m = config.plausible_diameter_m
    if not low_m <= diameter_m <= high_m:
        units = [(scale, how) for scale, how in _SCALES.items() if scale not in _HALVES]
        fitting = [(scale, how) for scale, how in units if low_m <= diameter_m * scale <= high_m]
        names = " or ".join(f"{_number(scale)} ({how})" for scale, how in fitting)
        remedy = f"its size would be usual multiplied by {names}" if names else "check its unit"
        which = "small" if diameter_m < low_m else "large"
        return f"its model is {diameter_m:.3g} m across, which is unusually {which}; {remedy}"
    near_m, far_m = config.plausible_distance_m
    if not near_m <= distance_m <= far_m:
        fitting_depth = [power for power in _DEPTH_SCALES if near_m <= distance_m * power <= far_m]
        names = " or ".join(_number(power) for power in fitting_depth)
        remedy = f"multiply depth_scale in scene_camera.json by {names}" if names else "check depth_scale"
        which = "nearer" if distance_m < near_m else "farther"
        return (
            f"the median depth of the scene is {distance_m:.3g} m, {which} than depth cameras usually see; {remedy}"
        )
    return None


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000.0 else f"{value:.0f}"
