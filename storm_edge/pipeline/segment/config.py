"""Tuned numbers of segmentation: how an image becomes candidate masks of an object."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from storm_edge.choices import Framing
from storm_edge.config import Config, tuned


class Source(str, Enum):
    """Where the map of probabilities comes from."""

    NETWORK = "network"
    """The bundle's segmenter."""
    COLOUR = "colour"
    """Colour statistics of the model, apparent size and distance from the large planes; needs no network."""


@dataclass(frozen=True, kw_only=True)
class ColourMapConfig(Config):
    """The map of probabilities from colours and depth alone. All were set by hand."""

    contrast_weight: float = tuned(4.0, unit="bits", low=0.0, high=100.0)
    """Weight of the object channel that compares the object's colours with the scene's."""
    chroma_weight: float = tuned(2.0, unit="bits", low=0.0, high=100.0)
    """Weight of the object channel of chroma."""
    smooth_px: int = tuned(3, unit="px", low=1, high=31)
    """Both are averaged over a square of this side, in cells: one noisy pixel says little."""
    even_bits: float = tuned(1.0, unit="bits", low=-100.0, high=100.0)
    """Weighted sum of both at which a place off the planes has a probability of one half."""
    slope: float = tuned(1.5, unit="1/bit", low=0.0, high=100.0)
    """Logit per bit."""
    plane_distance_diameters: float = tuned(0.08, unit="diameters", low=0.001, high=10.0)
    """Distance from the large planes from which a place does not count as part of one."""
    plane_penalty: float = tuned(4.0, unit="logit", low=0.0, high=30.0)
    """Taken from the logit of a place on a large plane."""


@dataclass(frozen=True, kw_only=True)
class FullSomConfig(Config):
    """How images are framed for STORM's SOM, and what counts as found in its answer."""

    framing: Framing = tuned(Framing.LETTERBOX, unit="")
    """How images are brought to a square."""
    views: Literal["plain", "upstream"] = tuned("plain", unit="")
    """How an object's reference views are rendered: about the centre, by one lamp on the camera; or about the mean of
    the model's vertices by upstream's lamps, for objects that were onboarded for it."""
    min_marked_share: float = tuned(0.0005, unit="1", low=0.0, high=1.0)
    """Least part of the image that is marked."""
    min_peak_probability: float = tuned(0.6, unit="1", low=0.0, high=1.0)
    """Least probability of the most probable pixel."""


@dataclass(frozen=True, kw_only=True)
class LearnedColourConfig(Config):
    """How colours that tracking learned change the map of probabilities."""

    max_log_odds: float = tuned(3.0, unit="logit", low=0.0, high=30.0, record="colours")
    """The log odds of a pixel's colour count no more than this, so that no colour decides by itself."""
    smooth_px: int = tuned(5, unit="px", low=1, high=101, record="colours")
    """Log odds are averaged over a square of this side: single pixels say little."""
    min_probability: float = tuned(0.01, unit="1", low=0.000001, high=0.5)
    """The map is limited to this and one minus this before the log odds are added."""


@dataclass(frozen=True, kw_only=True)
class ProposalConfig(Config):
    """How a map of probabilities becomes candidates: mean-shift seeds in 3D, and the pixels around each."""

    mask_threshold: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """Probability from which a pixel belongs to a candidate."""
    max_candidates: int = tuned(4, unit="candidates", low=1, high=64, record="search")
    """Most candidates that are returned."""
    min_score: float = tuned(0.02, unit="1", low=0.0, high=1.0)
    """Candidates with a lower score are dropped; without any the object is not found."""
    seed_radius_diameters: float = tuned(0.55, unit="diameters", low=0.1, high=5.0)
    """Radius of the sphere around a seed that a candidate must fit in; also the kernel of mean shift."""
    seeds_per_candidate: int = tuned(2, unit="seeds", low=1, high=16)
    """Seeds that are tried for every candidate wanted: some make no candidate."""
    min_seed_points: int = tuned(4, unit="points", low=1, high=1000)
    """With fewer points left no further seed is placed."""
    max_start_points: int = tuned(150, unit="points", low=1, high=100_000)
    """About so many points are tried as the start of a seed."""
    mean_shift_iterations: int = tuned(4, unit="iterations", low=0, high=100)
    """Steps of mean shift from there."""
    min_depth_share: float = tuned(0.3, unit="1", low=0.001, high=1.0)
    """The near side of a seed's sphere is taken to be no nearer than this share of the seed's depth, when the window
    around it is cut out of the image."""
    min_mask_px: int = tuned(4, unit="px", low=1, high=10_000)
    """Smaller masks are no candidates."""
    min_plane_distance_diameters: float = tuned(0.06, unit="diameters", low=0.0, high=5.0)
    """Distance from the large planes from which a place stands out."""
    expected_fill: float = tuned(0.12, unit="1", low=0.001, high=1.0)
    """Share of its apparent square, diameter by diameter, from which an object's mask counts as large enough."""


@dataclass(frozen=True, kw_only=True)
class MarkWeights(Config):
    """The logit of the overlap that a mark promises: a regression on its features.

    Fitted to 10 474 marks of development images and recordings, those of objects that are not there with an overlap
    of 0. By weights that were fitted to other scenes the first mark's overlap is 0.70 in images and 0.75 in
    recordings, and marks that promise 0.2 to 0.4 come to 0.26, those from 0.6 on to 0.74, from 0.8 on to 0.88.
    """

    inside: float = tuned(0.25, unit="1", low=-100.0, high=100.0, record="fit_marks")
    """Weight of the mean logit of the probability in its cells."""
    caught: float = tuned(2.53, unit="logit", low=-100.0, high=100.0, record="fit_marks")
    """Weight of its share of the sphere's probable surface."""
    share: float = tuned(0.85, unit="1", low=-100.0, high=100.0, record="fit_marks")
    """Weight of the logarithm of its share of the image's probable surface, the probability squared."""
    colour: float = tuned(0.29, unit="logit/bit", low=-100.0, high=100.0, record="fit_marks")
    """Weight of the log2 density of its colours, less what the object itself has."""
    chroma: float = tuned(0.22, unit="logit/bit", low=-100.0, high=100.0, record="fit_marks")
    """Weight of the log2 density of its chroma."""
    peak: float = tuned(0.22, unit="1", low=-100.0, high=100.0, record="fit_marks")
    """Weight of the largest logit in its sphere."""
    constant: float = tuned(-4.17, unit="logit", low=-100.0, high=100.0, record="fit_marks")
    """Logit where all is 0."""


@dataclass(frozen=True, kw_only=True)
class MarkConfig(Config):
    """How a coarse map becomes marks (`pipeline.segment.marks`)."""

    thresholds: tuple[float, ...] = tuned(
        (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03), unit="1", low=0.0, high=1.0, record="fit_marks"
    )
    """Probabilities above which cells belong to a mark, each tried, from high to low."""
    seed_thresholds: tuple[float, ...] = tuned((0.5, 0.3, 0.15, 0.07, 0.03), unit="1", low=0.0, high=1.0)
    """Probabilities above which cells draw spheres, from high to low."""
    seeds_per_threshold: int = tuned(2, unit="seeds", low=1, high=16)
    """Spheres that are placed by each of them, ..."""
    max_seeds: int = tuned(6, unit="seeds", low=1, high=64)
    """... and by all together: half a millisecond each."""
    apart_radii: float = tuned(0.55, unit="radii", low=0.0, high=10.0)
    """Centres nearer to each other than this are one."""
    max_points: int = tuned(600, unit="cells", low=10, high=10_000)
    """About so many cells draw a sphere."""
    max_start_points: int = tuned(40, unit="cells", low=1, high=10_000)
    """About so many of them are tried as its start."""
    mean_shift_iterations: int = tuned(4, unit="iterations", low=0, high=100)
    """Steps of mean shift from there."""
    min_seed_cells: int = tuned(1, unit="cells", low=1, high=1000)
    """With fewer cells left no further sphere is placed."""
    min_cells: int = tuned(1, unit="cells", low=1, high=1000)
    """Marks of fewer cells are none."""
    min_probability: float = tuned(0.002, unit="1", low=0.000001, high=0.5)
    """Probabilities are limited to this and one minus this before they become logits."""
    least_share: float = tuned(0.01, unit="1", low=0.000001, high=1.0)
    """Added to a share before its logarithm is taken."""
    weights: MarkWeights = field(default_factory=MarkWeights)
    """What tells the overlap."""
    near_best: float = tuned(0.95, unit="1", low=0.0, high=1.0)
    """Of a sphere's marks that promise this share of what the best does, the one of the highest threshold is taken:
    what lies beside the object misleads a registration more than what is left out. The mug of `cup`, whose sides
    look alike, is registered backwards from the best mask and rightly from this one."""
    min_overlap: float = tuned(0.08, unit="1", low=0.0, high=1.0)
    """Marks that promise less are dropped; without any the object is not found."""
    least_of_best: float = tuned(0.25, unit="1", low=0.0, high=1.0)
    """Marks that promise less than this share of what the best does are dropped, too: each one kept is registered.
    Of 590 objects in dev images and recordings 4 have their only right mark among those."""
    max_repeated: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """Share of a mark's cells in a better one from which it repeats that."""


@dataclass(frozen=True, kw_only=True)
class TilingConfig(Config):
    """Tiled inference: overlapping parts of the image, each segmented at the working size.

    On 100 pictures of clutter that nothing was tuned on, the best mask's overlap with the truth rose from 0.62 to
    0.74 by it. Tiles a third as wide as the image brought less.
    """

    zoom: int = tuned(2, unit="1", low=1, high=16, record="search")
    """How much larger things appear in a tile."""
    tiles_along: int = tuned(3, unit="tiles", low=1, high=32, record="search")
    """Tiles along either side of the image; with a zoom of 2 three of them overlap by half."""


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig(Config):
    """Which surfaces may be an object or the rest of it (`pipeline.segment.surfaces`). All were set by hand."""

    min_mask_px: int = tuned(120, unit="px", low=1, high=1_000_000)
    """Smaller surfaces are not tried."""
    step_share: float = tuned(0.012, unit="1", low=0.0, high=1.0)
    """One surface ends where the depth of two neighbours differs by more than this share of it, ..."""
    step_diameters: float = tuned(0.02, unit="diameters", low=0.0, high=1.0)
    """... and by more than this."""
    max_reach_diameters: float = tuned(0.7, unit="diameters", low=0.1, high=10.0)
    """What lies farther from a surface's middle is not of the object; ..."""
    min_near_share: float = tuned(0.9, unit="1", low=0.0, high=1.0)
    """... and nothing of the surface is, unless so much of it is nearer."""
    min_colour_fit: float = tuned(-0.3, unit="bits", low=-100.0, high=100.0)
    """Mean log2 density of its colours, less what the object itself has, from which it is tried, ..."""
    min_colour_fit_at_edge: float = tuned(-1.5, unit="bits", low=-100.0, high=100.0)
    """... and where the image's edge cuts it off: it may show little of the object's colours."""
    edge_px: int = tuned(3, unit="px", low=0, high=100)
    """A surface that comes so near to the edge is cut off by it: depth cameras read nothing in the last columns."""
    promised_overlap: float = tuned(0.2, unit="1", low=0.0, high=1.0)
    """The score of such a candidate: below `DetectConfig.grown_above_score`, so that one mask of it is registered and
    one side scored."""


@dataclass(frozen=True, kw_only=True)
class SharpenConfig(Config):
    """When SAM2's mask takes the place of a candidate's, and how SAM2 is prompted. All were set by hand."""

    enabled: bool = tuned(False, unit="")
    """Whether SAM2 is asked at all; without it candidates keep their masks."""
    padding: float = tuned(0.1, unit="1", low=0.0, high=10.0)
    """Added to the box on each side, of its longer side."""
    min_iou: float = tuned(0.6, unit="1", low=0.0, high=1.0)
    """Least intersection over union of answer and rough mask."""
    min_expected_iou: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """Least quality that SAM2 itself expects of its answer."""


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(Config):
    """How an image becomes candidate masks of an object."""

    source: Source = tuned(Source.NETWORK, unit="")
    """Where the map of probabilities comes from."""
    colour_map: ColourMapConfig = field(default_factory=ColourMapConfig)
    """The map from colours and depth alone."""
    full_som: FullSomConfig = field(default_factory=FullSomConfig)
    """The map by STORM's SOM."""
    learned_colours: LearnedColourConfig = field(default_factory=LearnedColourConfig)
    """What colours that tracking learned do to the map."""
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    """From the map to candidates."""
    marks: MarkConfig = field(default_factory=MarkConfig)
    """The same for the coarse map of the nano segmenter."""
    tiling: TilingConfig = field(default_factory=TilingConfig)
    """Parts of the image, where the working size shows too little."""
    surfaces: SurfaceConfig = field(default_factory=SurfaceConfig)
    """Surfaces between steps in depth."""
    sharpen: SharpenConfig = field(default_factory=SharpenConfig)
    """When SAM2's masks take the place of candidates' masks."""
