"""What may be wrong with the scale of objects that a run never found: `remarks` of `summary.json`, and warnings.

A model of unusual size tells its unit by itself. Others are searched for in one image at other scales; being found at
one of them, and not at its own, names the cause. That costs a search per scale, after the run and only where nothing
was found. A scene of unusual depth is named where that finds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from storm_edge.frame import Frame
from storm_edge.geometry.camera import principal_point_factor
from storm_edge.objects.bundle import ObjectBundle
from storm_edge.pipeline.detect.detector import Detector
from storm_edge.pipeline.inputs.frame_buffers import FrameBuffers
from storm_edge.pipeline.register.config import ScaleConfig
from storm_edge.pipeline.register.scale_cause import likely_cause, plausible_scales, unusual_scale

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MissedObject:
    """An object that a run never found."""

    bundle: ObjectBundle
    """The object."""
    detector: Detector | None = None
    """Searches for it at other scales; None leaves that out."""
    outcome: str = "never found"
    """What became of it, in words."""


def scale_hints(
    missed: Iterable[MissedObject],
    frame: Frame | None,
    config: ScaleConfig,
    *,
    device: str,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[str]:
    """A line per object whose scale may be wrong; each is logged as a warning, too.

    Args:
        missed: The objects.
        frame: An image of the run; None where there was none.
        config: What is plausible.
        device: Warp device name of the detectors.
        is_stopped: Whether no further search is to begin.
    """
    if frame is None or not (frame.depth_m > 0.0).any():
        return []
    distance_m = float(np.median(frame.depth_m[frame.depth_m > 0.0]))
    remarks = []
    for item in missed:
        hint, (low_m, high_m) = None, config.plausible_diameter_m
        if item.detector is not None and low_m <= item.bundle.diameter_m <= high_m:
            hint = _found_scale(item.bundle, item.detector, frame, config, device=device, is_stopped=is_stopped)
        hint = hint or unusual_scale(item.bundle.diameter_m, distance_m, config)
        if hint is not None:
            remarks.append(f"{item.bundle.object_id} was {item.outcome}: {hint}")
            _log.warning("%s", remarks[-1])
    return remarks


def _found_scale(
    bundle: ObjectBundle,
    detector: Detector,
    frame: Frame,
    config: ScaleConfig,
    *,
    device: str,
    is_stopped: Callable[[], bool],
) -> str | None:
    """The plausible scale at which the object is found best, as a line; None where it is found at none."""
    distance_m = float(np.median(frame.depth_m[frame.depth_m > 0.0]))
    buffers = FrameBuffers(*frame.size_px, device)
    best, probability = 1.0, config.hint_probability
    for factor in plausible_scales(bundle.diameter_m, distance_m, config):
        if is_stopped():
            return None
        scaled = replace(frame, depth_m=frame.depth_m * np.float32(1.0 / factor))
        buffers.upload(scaled)
        search = detector.detect(scaled, buffers)
        if search.found is not None and search.presence_probability >= probability:
            best, probability = factor, search.presence_probability
    if best == 1.0:
        return None
    cause = likely_cause(
        best,
        diameter_m=bundle.diameter_m,
        distance_m=distance_m,
        camera_factor=principal_point_factor(frame.K, frame.size_px),
        config=config,
    )
    return f"a model {best:.3g} times as large is found in image {frame.index}; {cause.remedy}"
