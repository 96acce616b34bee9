"""Gauss-Newton steps as kernels take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import warp as wp

from storm_edge.kernels.descent_structs import StepNumbers
from storm_edge.kernels.device import WpArray
from storm_edge.objects.on_device import ViewpointBuffers
from storm_edge.pipeline.refine.config import GeometricConfig, GeometricStep


@dataclass(frozen=True, kw_only=True)
class ScheduledStep:
    """One step of one object."""

    step: GeometricStep
    """Names it."""
    numbers: Any
    """The same as kernels take it, `kernels.descent_structs.StepNumbers`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Steps to be taken one after the other; made once, told apart by identity."""

    steps: tuple[ScheduledStep, ...]
    """The steps."""
    numbers: WpArray
    """Their numbers on the device, at least one."""


def make_schedule(steps: Sequence[GeometricStep], viewpoints: ViewpointBuffers, config: GeometricConfig) -> Schedule:
    """Steps for one object.

    Args:
        steps: The steps; none only judges.
        viewpoints: The object.
        config: Limits that all steps share.
    """
    scheduled = tuple(ScheduledStep(step=step, numbers=step_numbers(step, viewpoints, config)) for step in steps)
    numbers = [item.numbers for item in scheduled] or [StepNumbers()]
    return Schedule(steps=scheduled, numbers=wp.array(numbers, dtype=StepNumbers, device=viewpoints.device))


def step_numbers(step: GeometricStep, viewpoints: ViewpointBuffers, config: GeometricConfig) -> Any:
    """One step as kernels take it, `kernels.descent_structs.StepNumbers`; arguments as `make_schedule`."""
    contrast = viewpoints.tone_deviation
    numbers = StepNumbers()
    numbers.every, numbers.scale_px, numbers.contour_px = step.every, step.scale_px, step.contour_px
    numbers.reach_m, numbers.stride_m = step.reach_m, step.reach_m / config.search_steps
    numbers.depth_deviation = step.depth_deviation
    numbers.uses_texture = int(step.texture_deviation > 0.0 and contrast > config.min_tone_deviation)
    numbers.blur_px = max(0.5 * step.scale_px, 1.0)
    numbers.texture_deviation = step.texture_deviation * contrast
    numbers.tikhonov_rotation = step.tikhonov_rotation
    numbers.tikhonov_translation = step.tikhonov_translation
    return numbers
