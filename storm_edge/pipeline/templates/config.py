"""Tuned numbers of finding by shape: how templates are made, matched and thinned to places."""

from __future__ import annotations

from dataclasses import dataclass, field

from storm_edge.config import Config, tuned


@dataclass(frozen=True, kw_only=True)
class TemplateConfig(Config):
    """What a template keeps of a view of the model. All were set by hand."""

    subdivisions: int = tuned(1, unit="1", low=0, high=4)
    """Icosphere level of the viewing directions: 42 of them, 36 degrees apart; registration closes that gap."""
    inplane_count: int = tuned(12, unit="turns", low=1, high=72)
    """Turns about the line of sight of each direction: 30 degrees apart."""
    least_apart_deg: float = tuned(25.0, unit="deg", low=1.0, high=180.0)
    """Turns of a symmetric object that a symmetry brings nearer are one."""
    size_px: int = tuned(64, unit="px", low=16, high=512)
    """Side of the rendered views."""
    chunk: int = tuned(64, unit="views", low=1, high=10_000)
    """Views rendered at a time."""
    distance_diameters: float = tuned(5.0, unit="diameters", low=1.0, high=100.0)
    """Distance from which they are rendered, as the sparse views."""
    view_diameters: float = tuned(1.1, unit="diameters", low=1.0, high=10.0)
    """Side of a view at that distance."""
    surface_count: int = tuned(40, unit="points", low=4, high=1000)
    """Surface points of a template; every first quarter of them is spread as all are."""
    outline_count: int = tuned(32, unit="points", low=4, high=1000)
    """Points beside its outline."""
    beside_px: float = tuned(2.5, unit="px", low=1.0, high=20.0)
    """How far beside the outline, in the view: 4 % of a diameter, more than a depth camera smears an edge."""
    anchor_count: int = tuned(3, unit="points", low=1, high=20)
    """Points by which a template is put onto the measured surface: its middle, and others far apart, for objects of
    which the image's edge or something in front leaves a part."""
    least_facing: float = tuned(0.4, unit="1", low=0.0, high=1.0)
    """Cosine between a surface and the line of sight from which a point of it may be an anchor: the depth of steep
    surfaces is uncertain."""


@dataclass(frozen=True, kw_only=True)
class MatchConfig(Config):
    """How templates are put onto a frame and compared with it. All were set by hand."""

    max_side_px: int = tuned(320, unit="px", low=40, high=4096)
    """Depth is looked at with at most so many columns or rows: an object of 30 px in 640 has 15 there."""
    smooth_px: int = tuned(5, unit="px", low=1, high=31)
    """Depth is averaged over a square of this side before normals are taken, within one surface."""
    smooth_share: float = tuned(0.02, unit="1", low=0.0, high=1.0)
    """Where the average is off by less than this share of the depth, it is of one surface."""
    steps_per_diameter: float = tuned(9.0, unit="1", low=1.0, high=100.0)
    """Measured points are tried so many times along the object's apparent size."""
    least_size_px: float = tuned(7.0, unit="px", low=1.0, high=1000.0)
    """Where the object would be smaller than this in the thinned image, nothing is tried."""
    max_points: int = tuned(900, unit="points", low=10, high=100_000)
    """Most points that are tried, as many at each octave of distance where there are more."""
    plane_distance_diameters: float = tuned(0.06, unit="diameters", low=0.0, high=5.0)
    """Distance from the large planes from which a point is tried, as for the segmenter's candidates."""
    min_normal_cosine: float = tuned(0.82, unit="1", low=-1.0, high=1.0)
    """A template's anchor is put onto a point where the normals are within 35 degrees: half the gap between two
    templates, and noise."""
    coarse_surface_count: int = tuned(8, unit="points", low=1, high=1000)
    """Surface points that are compared first, ..."""
    coarse_outline_count: int = tuned(8, unit="points", low=1, high=1000)
    """... points at the outline, ..."""
    chunk: int = tuned(60_000, unit="placements", low=100, high=10_000_000)
    """... so many at a time, in some 30 ms, ..."""
    coarse_kept: int = tuned(60_000, unit="placements", low=100, high=10_000_000)
    """... and the best of all are kept, about a fifth where an object is near, ..."""
    turns_per_point: int = tuned(8, unit="placements", low=1, high=10_000)
    """... and how many placements at each measured point are then compared wholly: flat things would take all."""
    shifted_count: int = tuned(400, unit="placements", low=1, high=100_000)
    """How many of those are shifted to where they fit best, ..."""
    coloured_count: int = tuned(2000, unit="placements", low=1, high=100_000)
    """Of so many, the best by shape, the colours are compared, too, ..."""
    shifted_coloured_count: int = tuned(150, unit="placements", low=1, high=100_000)
    """... and so many of the best by both are shifted as well."""
    around_diameters: float = tuned(0.5, unit="diameters", low=0.0, high=5.0)
    """The object's centre is that near to the middle of what the segmenter marks of it; ..."""
    shifted_around_count: int = tuned(60, unit="placements", low=1, high=100_000)
    """... so many of the placements there are shifted as well, ..."""
    shift_diameters: tuple[float, ...] = tuned((0.08, 0.04), unit="diameters", low=0.001, high=1.0)
    """... by these steps one after the other."""
    gate_diameters: float = tuned(0.07, unit="diameters", low=0.0, high=1.0)
    """Depths that differ by less agree: a template is up to 18 degrees off, which moves its rim by a sixth of its
    radius ..."""
    min_gate_m: float = tuned(0.008, unit="m", low=0.0, high=1.0)
    """... but never less than a depth camera's error at a metre."""
    noise_per_m: float = tuned(0.006, unit="1/m", low=0.0, high=1.0)
    """How that error grows with the square of the depth."""
    normal_weight: float = tuned(0.5, unit="1", low=0.0, high=1.0)
    """Share of a surface point's worth that its normal decides."""
    through_penalty: float = tuned(0.7, unit="1", low=0.0, high=10.0)
    """Taken for a surface point that the camera sees through."""
    unread_worth: float = tuned(0.25, unit="1", low=-1.0, high=1.0)
    """What a point without a reading is worth, and one of the surface where a large plane may be what agrees."""
    beside_weight: float = tuned(0.7, unit="1", low=0.0, high=10.0)
    """What the outline counts beside the surface."""
    goes_on_penalty: float = tuned(1.0, unit="1", low=0.0, high=10.0)
    """Taken for a point beside the outline to which the surface goes on, off the planes."""
    plane_worth: float = tuned(0.5, unit="1", low=-1.0, high=1.0)
    """What a point beside the outline on a plane is worth, where the object may stand on it."""
    edge_weight: float = tuned(0.3, unit="1", low=0.0, high=10.0)
    """What edges in the picture along the outline count beside the surface."""
    edge_blur_px: float = tuned(1.0, unit="px", low=0.1, high=20.0)
    """Smoothing of the picture before its edges are taken."""
    min_edge_levels: float = tuned(8.0, unit="grey levels/px", low=0.0, high=255.0)
    """Slope from which there is an edge: above the noise of a camera."""
    edge_spread_px: int = tuned(5, unit="px", low=1, high=31)
    """An edge is looked for in a square of this side."""
    imbalance_weight: float = tuned(0.5, unit="1", low=0.0, high=10.0)
    """Taken, where the colours of a model are compared, for the logarithm of the largest over the
    smallest channel gain between them and the image's. Of 89 objects in dev pictures the best placement in the whole
    image has the right place for 58 % and the right side as well for 34 % with colours, and for 42 and 16 % without;
    fits to either half of them give 0.5 and 0.8, and 0.4 for the pattern."""
    max_imbalance: float = tuned(1.5, unit="1", low=0.0, high=10.0)
    """More counts no more: the model's colours may be wrong."""
    pattern_weight: float = tuned(0.4, unit="1", low=0.0, high=10.0)
    """Given for a correlation of 1 between them, ..."""
    full_contrast: float = tuned(0.2, unit="1", low=0.001, high=1.0)
    """... in proportion less for a template whose colours, in [0, 1], deviate by less than this."""
    contrast_floor: float = tuned(0.001, unit="1", low=0.0, high=1.0)
    """Added to the contrast that the correlation is made of: of none there is no correlation."""
    gain_floor: float = tuned(0.02, unit="1", low=0.0001, high=1.0)
    """Mean product of colours that is added when channel gains are estimated, as in `PoseFeatureConfig`."""
    min_coloured_points: int = tuned(6, unit="points", low=1, high=1000)
    """With fewer surface points seen colours say nothing."""
    colour_chunk: int = tuned(2000, unit="placements", low=100, high=1_000_000)
    """So many placements at a time, in some 10 ms."""
    min_seen_share: float = tuned(0.15, unit="1", low=0.0, high=1.0)
    """Of a template's surface points so many must be in the image and not hidden."""


@dataclass(frozen=True, kw_only=True)
class PlaceConfig(Config):
    """How placements become places. All were set by hand."""

    apart_diameters: float = tuned(0.35, unit="diameters", low=0.0, high=5.0)
    """Placements whose middles are nearer are of one place."""
    max_places: int = tuned(8, unit="places", low=1, high=64)
    """Most places."""
    poses_per_place: int = tuned(12, unit="poses", low=1, high=100)
    """Poses that registration starts from at a place."""
    least_turn_deg: float = tuned(20.0, unit="deg", low=0.0, high=180.0)
    """Those of one place differ by so much, or ..."""
    least_shift_diameters: float = tuned(0.12, unit="diameters", low=0.0, high=5.0)
    """... by so much."""
    min_mask_px: int = tuned(16, unit="px", low=1, high=100_000)
    """Pixels with depth that must be where the model would be: an object of 30 px has hundreds."""
    min_score: float = tuned(0.25, unit="1", low=-10.0, high=10.0)
    """Score from which a placement is one."""


@dataclass(frozen=True, kw_only=True)
class ShapeSearchConfig(Config):
    """Finding by shape."""

    templates: TemplateConfig = field(default_factory=TemplateConfig)
    """How templates are made."""
    match: MatchConfig = field(default_factory=MatchConfig)
    """How they are compared with a frame."""
    match_without_colours: MatchConfig = field(
        default_factory=lambda: MatchConfig(normal_weight=0.8, beside_weight=1.0, edge_weight=0.6, turns_per_point=4)
    )
    """The same where the model has no colours, and shape alone ranks the places. Chosen by 60 dev images, checked on
    80 others: the right place is the first for 40 instead of 31 objects, and among 20 for 73 instead of 68 (no record
    kept)."""
    places: PlaceConfig = field(default_factory=PlaceConfig)
    """What comes of shape alone."""
    places_without_colours: PlaceConfig = field(default_factory=lambda: PlaceConfig(max_places=20))
    """The same where the model has no colours: nothing else proposes places then."""
    places_by_colours: PlaceConfig = field(default_factory=lambda: PlaceConfig(min_score=0.15))
    """What comes of shape and colours: of what the image's edge cuts off little of the shape is seen."""
    places_at_mark: PlaceConfig = field(default_factory=lambda: PlaceConfig(apart_diameters=0.2, max_places=3))
    """The same around the middle of what the segmenter marks: that is known, and what of the object it is, is not."""
