"""What the two cameras are like: ranges that each scene's cameras are drawn from, and the recordings behind them.

Shares are of the scenes, ``(x, y)`` are both ends of a range. Lengths in images are pixels of images 640 wide; other
images scale them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ColourCameraConfig:
    """A colour camera and its driver.

    Looked at for it: 118 frames of the 11 recordings in the development data. Their mean brightness is 0.37 to 0.53
    (automatic exposure), 0 to 18 % of the pixels are blown out, up to 5 % are darker than 0.05; mean red, green and
    blue are 0.92 to 1.15, 0.93 to 1.11 and 0.90 to 1.06 of the mean; the noise of flat patches is 0.001 to 0.010
    and correlates by 0.04 to 0.57 from pixel to pixel; blur by motion reaches 40 pixels.
    """

    motion_share: float = 0.35
    """Pictures with blur by motion."""
    motion_px: Range = (3.0, 40.0)
    """Its length, drawn in the logarithm [px of 640]."""
    object_motion_share: float = 0.4
    """Share of them in which one object moves, not the camera."""
    defocus_share: float = 0.6
    """Pictures that are out of focus, or by a poor lens."""
    defocus_px: Range = (0.5, 2.6)
    """Standard deviation of that blur [px of 640]."""
    metered_share: float = 0.85
    """Pictures whose exposure follows their brightness; the others keep the light as it is."""
    metered_level: Range = (0.36, 0.6)
    """Mean brightness of a metered picture."""
    metering: float = 0.75
    """How far exposure follows: 1 reaches the level, 0 keeps the light."""
    exposure_stops: float = 0.5
    """Standard deviation of the exposure of the others [stops]: from dark to blown out."""
    gain_limits: Range = (0.4, 2.5)
    """Least and greatest gain of any exposure."""
    temperature: float = 0.09
    """Standard deviation of the white balance from cold to warm, in the logarithm of red against blue, halved."""
    tint: Range = (-0.06, 0.11)
    """White balance from magenta to green, in the logarithm of green."""
    gamma: float = 0.22
    """Standard deviation of the tone curve's exponent, in the logarithm."""
    contrast: Range = (-0.3, 0.6)
    """Blend with an S-shaped curve; negative flattens."""
    saturation: Range = (0.55, 1.3)
    """0 is grey, 1 as it is."""
    haze_share: float = 0.4
    """Pictures with stray light."""
    haze: Range = (0.0, 0.14)
    """Light that is added everywhere."""
    vignetting: Range = (0.0, 0.35)
    """How much darker the corners are."""
    read_noise: Range = (0.001, 0.008)
    """Standard deviation of the noise in the dark, drawn in the logarithm."""
    shot_noise: Range = (0.002, 0.024)
    """Standard deviation of the noise that grows with the root of brightness, at white, drawn in the logarithm."""
    coarse_noise: Range = (0.4, 1.0)
    """Part of the noise with a grain of two pixels and of any colour, as a denoiser leaves it; the rest is grey."""
    sharpening_share: float = 0.4
    """Pictures that the driver sharpened, with halos at edges."""
    sharpening: Range = (0.2, 1.2)
    """How much of what a blur takes away is added."""
    jpeg_share: float = 0.45
    """Pictures that were compressed."""
    jpeg_quality: Range = (30.0, 95.0)
    """Quality, 1..100."""

    def __post_init__(self) -> None:
        _check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class DepthKindsConfig:
    """What sets the kinds of depth cameras apart.

    Measured in the development data, as the root mean square distance from a plane of windows of 7x7 pixels at 320
    pixels wide, the lower quartile over windows (flat ones), with the correlation from pixel to pixel:

    * Stereo: 0.46 mm at 0.6 m, 0.7 at 1 m, correlation 0.5 to 0.7 (ycb_*); 0.9 mm at 0.6 m, 2.3 at 1 m, 6.8 at 1.6 m,
      0.7 (cup); 0.5 mm at 0.8 m, 1.1 at 1.4 m, 0.4 to 0.5 (mustard); 0.7 mm at 0.6 m, 1.2 at 0.8 m, 9 at 2.6 m, 0.6
      (pillar_a): 0.6 to 2.3 mm at 1 m, growing with z^2.
    * Structured light (basket): 0.6 mm at 0.4 m, 1.3 at 1 m, 0.5, in visible steps.
    * Time of flight (mustard_pole): 0.41 mm at 0.6 m, 0.57 at 1 m, 0.94 at 1.6 m, 0.3 to 0.6: it grows with z.

    Edges: stereo's shadow is 8 to 14 px wide on one side (0.05 m between the eyes) and outlines of near things
    reach 0 to 5 px over what is behind; time of flight drops about 13 px on both sides. 0.1 to 3.7 px per edge have
    a depth between the two surfaces.
    """

    noise_m: Range = (0.0006, 0.003)
    """Stereo: standard deviation of the depth at 1 m, drawn in the logarithm [m]; grows with z^2."""
    white_share: Range = (0.0, 0.5)
    """Stereo: part of the noise that is independent per pixel; the rest has a grain of two pixels."""
    lump_strength: Range = (0.2, 1.5)
    """Stereo: lumps over the noise above."""
    lump_px: Range = (6.0, 24.0)
    """Stereo: size of the lumps, drawn in the logarithm [px of 640]."""
    disparity_share: float = 0.25
    """Stereo: cameras with visible steps of the disparity, as structured light has."""
    disparity_step_m: Range = (0.0005, 0.004)
    """Stereo: depth at 1 m that one such step is [m]."""
    window_px: Range = (0.5, 4.0)
    """Stereo: standard deviation of the matching window, drawn in the logarithm [px of 640]."""
    smoothed_step: Range = (0.005, 0.04)
    """Stereo: depth steps up to this share of the depth are smoothed over like a surface, drawn in the logarithm."""
    flying: Range = (0.0, 0.8)
    """Stereo: share of the blended pixels at depth edges that are reported."""
    fattening_px: Range = (-3.0, 5.0)
    """Stereo: how far near things grow over what is behind them [px of 640]; not at all where negative."""
    jitter_px: Range = (0.0, 3.0)
    """Stereo: how far outlines are displaced [px of 640]."""
    baseline_m: Range = (0.015, 0.075)
    """Stereo: distance between the eyes [m], on either side."""
    shadow_share: float = 0.85
    """Stereo: cameras that show the shadow of the second eye; the others fill it in with what is behind."""
    grazing_cosine: Range = (0.05, 0.3)
    """Surfaces whose normal is this far off the view go missing; in 70 % of the cameras."""
    dark_level: Range = (-0.1, 0.15)
    """Surfaces with a luminance below this lose depth in patches; none where negative."""
    bright_level: Range = (0.85, 1.6)
    """So do surfaces above this: highlights, and white plastic near the projector (0.2 of it in pillar_a)."""
    flight_noise_m: Range = (0.0003, 0.002)
    """Time of flight: standard deviation at 1 m on a bright surface, drawn in the logarithm [m]; grows with z."""
    flight_bias_m: Range = (0.0, 0.006)
    """Time of flight: how much too far light by detours makes things [m]; 1 to 3 mm on white plastic."""
    flight_edge_px: Range = (-4.0, 6.5)
    """Time of flight: width lost on each side of depth edges [px of 640]; none where negative."""
    flight_flying: Range = (0.0, 1.0)
    """Time of flight: share of pixels at an edge that fly between both surfaces."""
    lidar_cell_px: Range = (2.5, 10.0)
    """LiDAR: size of what it resolves [px of 640]; 256 columns are 2.5, its few points are coarser."""
    lidar_wave: Range = (0.001, 0.01)
    """LiDAR: standard deviation of its smooth relative error, drawn in the logarithm."""
    lidar_wave_px: Range = (30.0, 120.0)
    """LiDAR: size of its waves [px of 640]."""

    def __post_init__(self) -> None:
        _check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class DepthCameraConfig:
    """A depth camera.

    Looked at for it: 74 depth images of the 11 recordings in the development data, 640 pixels wide. 4 to 52 % of the
    pixels have no reading, 0.5 to 20 % of those on the object. Depth covers the colour image but for a border of 0 to
    8 % of the width, often slanted. Readings end at 1.6 m in one, and go beyond 6 m in two. Figures of one kind of
    camera are in `DepthKindsConfig`.
    """

    kinds: DepthKindsConfig = field(default_factory=DepthKindsConfig)
    """What the kinds of cameras do."""
    kind_shares: tuple[float, float, float] = (0.55, 0.18, 0.12)
    """Stereo, time of flight and LiDAR; the rest is perfect but for its steps."""
    shift_share: float = 0.5
    """Cameras whose depth does not lie on the colour exactly."""
    shift_px: Range = (0.3, 6.0)
    """How far it lies off, drawn in the logarithm [px of 640]; more than 2 is a bad calibration."""
    parallax_share: float = 0.5
    """Part of that shift, at most, that falls with distance as from another centre of projection."""
    parallax_from_m: float = 0.6
    """Distance at which a parallax counts in full [m]."""
    border_share: float = 0.35
    """Cameras whose depth ends before the colour does."""
    border: Range = (-0.06, 0.08)
    """Width of each side's border over the image's width; none where negative."""
    slant: float = 0.02
    """Standard deviation of a border's slope."""
    range_share: float = 0.3
    """Cameras that see no further than a limit."""
    range_m: Range = (1.5, 4.0)
    """That limit [m]; the least one too, see `near_m`."""
    near_m: Range = (0.05, 0.18)
    """Nearer than this is no reading [m]."""
    dropout_share: float = 0.2
    """Cameras that lose blobs anywhere."""
    dropout: Range = (0.0, 0.04)
    """Share of the image that they lose."""
    dropout_px: Range = (12.0, 60.0)
    """Size of the blobs, drawn in the logarithm [px of 640]."""
    scale_bias: float = 0.004
    """Standard deviation of the relative error of all depths; 0.5 to 1 % in one recording."""
    steps_m: Range = (0.0002, 0.002)
    """Steps of the reported depth [m], drawn in the logarithm, in half of the cameras; 1 mm in the others."""

    def __post_init__(self) -> None:
        _check_ranges(self)
        if min(self.kind_shares) < 0.0 or sum(self.kind_shares) > 1.0 + 1e-6:
            raise ValueError(f"kind_shares {self.kind_shares} must be shares of the scenes, together at most 1")


def _check_ranges(config: object) -> None:
    """Refuse ranges the wrong way round.

    Raises:
        ValueError: A range's lower end is above its upper one.
    """
    for entry in fields(config):  # type: ignore[arg-type]
        value = getattr(config, entry.name)
        if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
            raise ValueError(f"{entry.name} {value} must have its lower end first")
