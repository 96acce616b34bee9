"""Tuned numbers of the pose refinement: Gauss-Newton steps and their presets, limits, appearance, and the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storm_edge.config import Config, tuned

DEPTH_NOISE_PER_M = 0.005
"""What is allowed for noise of the depth beside any limit in metres, times the square of the depth [1/m]: 2.5
standard deviations of a stereo camera with 2 mm at 1 m. Within 1.2 m the limits themselves are larger."""


@dataclass(frozen=True, kw_only=True)
class GeometricStep(Config):
    """What one Gauss-Newton step measures, and how far it reaches."""

    scale_px: int = tuned(unit="px", low=1, high=64)
    """Image pixels per line segment, of which a line sees 9.5 to either side; the texture is smoothed alike."""
    contour_px: float = tuned(unit="px", low=0.01)
    """Standard deviation of the contour on a line with perfect colours."""
    reach_m: float = tuned(unit="m", low=0.0001, high=1.0)
    """Farthest measured point that may belong to a model point."""
    depth_deviation: float = tuned(unit="1", low=1e-5)
    """Standard deviation of the plane distance, as a fraction of the depth."""
    texture_deviation: float = tuned(unit="1", low=0.0)
    """Standard deviation of the tone at a surface point over that of all tones; 0 leaves the texture term out."""
    every: int = tuned(1, unit="points", low=1, high=200)
    """Use each ``every``-th line and point."""
    tikhonov_rotation: float = tuned(100.0, unit="1/rad^2", low=0.0)
    """Resistance of the step to rotation."""
    tikhonov_translation: float = tuned(3000.0, unit="1/m^2", low=0.0)
    """Resistance of the step to translation."""

    @classmethod
    def presets(cls) -> Mapping[str, Config]:
        """The steps that schedules are made of."""
        return {"rough": ROUGH, "coarse": COARSE, "medium": MEDIUM, "fine": FINE, "finest": FINEST}


ROUGH = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03, texture_deviation=0.0, every=2)
"""Preset: half of the points, as far as `COARSE`."""
COARSE = GeometricStep(scale_px=6, contour_px=15.0, reach_m=0.05, depth_deviation=0.03, texture_deviation=0.0)
"""Preset: the largest reach."""
MEDIUM = GeometricStep(scale_px=4, contour_px=5.0, reach_m=0.02, depth_deviation=0.02, texture_deviation=1.5)
"""Preset: texture counts from here on."""
FINE = GeometricStep(scale_px=2, contour_px=3.5, reach_m=0.01, depth_deviation=0.01, texture_deviation=2.0)
"""Preset: near the pose."""
FINEST = GeometricStep(scale_px=1, contour_px=1.5, reach_m=0.01, depth_deviation=0.01, texture_deviation=2.0)
"""Preset: the contour to single pixels."""


@dataclass(frozen=True, kw_only=True)
class AppearanceConfig(Config):
    """From which pixels the colours of object and surroundings are learned."""

    gap_px: float = tuned(1.0, unit="px", low=0.0, high=50.0)
    """Pixels next to the contour from which no background colour is learned."""
    line_px: float = tuned(20.0, unit="px", low=1.0, high=500.0)
    """Pixels of background learned per contour line."""
    mask_margin_share: float = tuned(0.15, unit="1", low=0.0, high=10.0)
    """Background learned around a mask, as a share of the mask's longer side."""
    min_mask_margin_px: int = tuned(8, unit="px", low=1, high=1000)
    """But at least so much."""
    agreement_m: float = tuned(0.010, unit="m", low=0.0001, high=1.0)
    """A surface point's colour is believed when the reading is this near to it."""


@dataclass(frozen=True, kw_only=True)
class GeometricConfig(Config):
    """Schedules and limits of the geometric refinement."""

    first_start_bonus: float = tuned(0.05, unit="1", low=0.0, high=1.0)
    """How much lower the residual of another start must be to begin there and not at the first."""
    small: tuple[GeometricStep, ...] = (FINE, FINE, FINEST, FINEST)
    """Steps from the first start while it agrees with the image nearly as well as the baseline."""
    narrow: tuple[GeometricStep, ...] = (COARSE, MEDIUM, MEDIUM, FINE, FINE, FINEST, FINEST)
    """Steps from the first start otherwise, or when the small ones end worse than the baseline."""
    spread: tuple[GeometricStep, ...] = (ROUGH, ROUGH, ROUGH)
    """Wide search: steps from every start and from the first start turned about each axis of the object."""
    gather: tuple[GeometricStep, ...] = (MEDIUM, MEDIUM, MEDIUM, FINE)
    """Wide search: steps of the ``gather_count`` best of them."""
    finish: tuple[GeometricStep, ...] = (MEDIUM, FINE, FINE, FINEST, FINEST)
    """Wide search: steps of the best."""
    gather_count: int = tuned(3, unit="poses", low=1, high=32)
    """Poses that go on after the first stage of the wide search."""
    turn_deg: float = tuned(25.0, unit="deg", low=0.0, high=180.0)
    """Turn of the additional starts of the wide search."""
    probe_every: int = tuned(3, unit="frames", low=0, high=10_000)
    """Frames between two tries of turned poses; 0 never tries. After three all axes had their turn."""
    probe_deg: float = tuned(40.0, unit="deg", low=0.0, high=180.0)
    """Turn of these tries, both ways about one axis of the object."""
    probe_gain: float = tuned(0.04, unit="1", low=0.0, high=1.0)
    """Fall of the residual by which such a try replaces the track."""
    small_margin: float = tuned(0.03, unit="1", low=0.0, high=1.0)
    """Rise of the residual over the baseline that still ends the search after the small steps."""
    narrow_margin: float = tuned(0.08, unit="1", low=0.0, high=1.0)
    """Rise of the residual over the baseline that still ends the search after the narrow steps."""
    wide_pause: int = tuned(8, unit="frames", low=0, high=10_000)
    """Frames to wait after a wide search that found nothing better, unless the fit grows worse still."""
    trust_margin: float = tuned(0.12, unit="1", low=0.0, high=1.0)
    """Rise of the residual over the baseline up to which a pose is trusted."""
    trust_below: float = tuned(0.45, unit="1", low=0.0, high=1.0)
    """Residual up to which a pose is trusted, whatever the baseline."""
    tolerance: float = tuned(0.05, unit="1", low=-1.0, high=1.0)
    """How much a refined pose may raise the residual of its start and still be accepted: the residual's own noise."""
    polish: tuple[GeometricStep, ...] = (COARSE, COARSE, MEDIUM, MEDIUM, FINE, FINEST)
    """Steps of `GeometricRefiner.refine_batch`, stretched to the iterations asked for."""
    batch: int = tuned(32, unit="poses", low=1, high=1024)
    """Most poses that descend together, where the caller does not say."""
    search_steps: int = tuned(3, unit="readings", low=1, high=100)
    """Readings tried on either side of a projected point within the reach of a step."""
    occlusion_m: float = tuned(0.03, unit="m", low=0.001, high=1.0)
    """A reading this far in front of a point hides it."""
    gate_m: float = tuned(0.010, unit="m", low=0.0001, high=1.0)
    """Plane distance that counts as wholly wrong in the residual."""
    depth_noise_per_m: float = tuned(DEPTH_NOISE_PER_M, unit="1/m", low=0.0, high=0.1, record="far")
    """No depth limit of it (reaches, ``occlusion_m``, ``gate_m``, ``agreement_m``) is less than this times the square
    of the depth: what noise makes there."""
    min_tone_deviation: float = tuned(0.02, unit="1", low=0.0, high=1.0)
    """Standard deviation of an object's tones up to which it is plain and its texture term is left out."""
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    """From which pixels colours are learned."""
    learning_rate: float = tuned(0.2, unit="1", low=0.0, high=1.0)
    """Share of the newest frame in the colour statistics."""
    baseline_rates: tuple[float, float] = tuned((0.3, 0.03), unit="1", low=0.0, high=1.0)
    """Share of the newest residual in the baseline, when it is lower and when it is higher: what a track once
    reached is not soon forgotten."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Config):
    """How rendered poses are judged against the image."""

    size_px: int = tuned(64, unit="px", low=8, high=1024)
    """Side of the rendered crops."""
    crop_ratio: float = tuned(1.2, unit="diameters", low=0.1, high=10.0)
    """Side of the crop at the object's distance."""
    depth_gate: float = tuned(0.06, unit="diameters", low=0.0, high=1.0)
    """Depth differences up to this count as the same surface."""
    min_depth_gate_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """But never less than a depth camera's own error, ..."""
    depth_noise_per_m: float = tuned(DEPTH_NOISE_PER_M, unit="1/m", low=0.0, high=0.1, record="far")
    """... which is this times the square of the depth where that is more."""
    colour_weight: float = tuned(0.15, unit="1", low=0.0, high=10.0)
    """Weight of the colour correlation beside the visible agreement."""
