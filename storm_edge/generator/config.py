"""What the generator's pictures are like: one frozen dataclass per part, ranges with their unit and why.

A pair is a range drawn evenly, or evenly in the logarithm where it says so. Shares are of scenes unless said
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storm_edge.choices import LengthUnit
from storm_edge.generator.camera_config import ColourCameraConfig, DepthCameraConfig

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """Meshes on the device."""

    objects: int = 192
    """Slots with objects."""
    props: int = 32
    """Slots with hands, grippers and poles, which hide objects and are never looked for."""
    furniture: int = 16
    """Slots with what stands behind the objects."""
    vertices: int = 6144
    """Vertices that a slot has room for."""
    faces: int = 8192
    """Triangles that a slot has room for."""
    face_count: tuple[int, int] = (1500, 5000)
    """Wanted triangles of an object; onboarded meshes have up to 10,000, and half of them look the same at 250 px."""
    items_per_object: float = 96.0
    """Items of training after which one object is exchanged."""
    most_renewed: int = 4
    """Most objects exchanged after a batch: making one takes a CPU 15 ms, which a GPU would wait for."""
    odd_share: float = 0.45
    """Part of the objects that are plain white, glossy, thin, flat, round or marked: what real scenes have and
    painted families rarely do."""
    folder: Path | None = None
    """Folder of a user's models that are drawn as well."""
    folder_unit: LengthUnit = LengthUnit.MM
    """Their unit of length."""
    folder_share: float = 0.3
    """Part of the objects that are drawn from the folder."""


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """Cameras, and which objects stand where."""

    sizes_px: tuple[tuple[int, int], ...] = ((240, 320), (240, 320), (240, 320), (180, 320))
    """Height and width of pictures [px], drawn evenly per batch: half of what cameras deliver."""
    places: int = 8
    """Places for objects, ``N``."""
    object_count: tuple[int, int] = (5, 8)
    """Fewest and most objects of a crowded scene."""
    close_up_share: float = 0.35
    """Scenes of one or two objects, near, mostly held."""
    apparent_share: Range = (0.1, 0.36)
    """Diameter of the first object over the picture's width in crowded scenes, log-even: 30 to 115 of 320 px."""
    close_apparent_share: Range = (0.18, 0.78)
    """The same in close-ups: 58 to 250 of 320 px."""
    focal_share: Range = (0.6, 1.3)
    """Focal length over the picture's width: 80 to 42 degrees of view."""
    odd_pixels_share: float = 0.25
    """Cameras whose pixels are not square (one real recording has fy / fx = 1.3)."""
    odd_pixels: Range = (0.75, 1.35)
    """fy / fx of those."""
    distance_m: Range = (0.25, 3.0)
    """Camera to the first object [m]."""
    elevation_rad: Range = (0.12, 1.5)
    """Camera above the table, from the side to straight from above [rad]."""
    roll_rad: float = 0.15
    """Standard deviation of the camera's roll [rad]; one camera in ten has any."""
    gap_diameters: float = 0.3
    """Largest gap between neighbours over the first object's diameter; most are far smaller, and some touch."""
    held_share: float = 0.2
    """Part of the objects of crowded scenes that are in the air."""
    close_held_share: float = 0.7
    """The same in close-ups."""
    grasp_share: float = 0.6
    """Part of the scenes with a held first object in which something holds it."""
    occluder_share: float = 0.25
    """Scenes with a hand, gripper or pole in front of something."""
    furniture_share: float = 0.7
    """Part of the places for furniture that are taken."""


@dataclass(frozen=True, kw_only=True)
class RoomConfig:
    """Planes around the objects."""

    surfaces: int = 40
    """Textures of tables, floors, walls and cloths on the device."""
    scenery: int = 24
    """Textures of what stands in rooms."""
    furnished_share: float = 0.6
    """Walls with the picture of a room on them."""
    scenery_m: Range = (0.7, 3.0)
    """Side of such a picture [m], log-even."""
    table_share: float = 0.92
    """Scenes with a table or floor under the objects."""
    cloth_share: float = 0.35
    """Scenes with a cloth or a sheet on it."""
    tile_m: Range = (0.1, 1.0)
    """Side of one repetition of a texture [m], log-even."""
    measurable_share: float = 0.94
    """Planes that depth cameras see; the others are glass or screens."""


@dataclass(frozen=True, kw_only=True)
class LightConfig:
    """Lights and shadows."""

    brightness: Range = (0.85, 1.3)
    """All light on a surface that faces the main light, as a share of white."""
    key_share: Range = (0.05, 0.75)
    """Part of it that the main light gives; the rest comes from everywhere. Rooms are lit softly, lamps are not."""
    fill_share: Range = (0.0, 0.3)
    """A second light without a shadow, as a share of the first."""
    tint: float = 0.06
    """Standard deviation of a light's colour, per channel."""
    shadow_px: int = 160
    """Side of a shadow map [px]."""
    shadow_share: float = 0.7
    """Scenes whose main light casts shadows; the others are lit softly."""


@dataclass(frozen=True, kw_only=True)
class RefinePairConfig:
    """Pairs for RefineNet."""

    targets: int = 4
    """Objects of a scene that pairs are made of."""
    poses: int = 6
    """Wrong poses of each."""
    least_visible: float = 0.4
    """Objects hidden more than this teach guessing."""
    least_px: float = 250.0
    """Pixels of a silhouette below which there is nothing to learn; a disc of 18 px has them."""


@dataclass(frozen=True, kw_only=True)
class ScoreSetConfig:
    """Sets of hypotheses for ScoreNet."""

    targets: int = 4
    """Objects of a scene that sets are made of."""
    hypotheses: int = 12
    """Poses of a set."""
    least_visible: float = 0.4
    """Objects hidden more than this teach guessing."""
    least_px: float = 250.0
    """Pixels of a silhouette below which there is nothing to learn."""
    lookalike_share: float = 0.3
    """Hypotheses where another object is seen, see `generator.lookalikes`."""
    twin_share: float = 0.2
    """Hypotheses of a model in other colours, see there."""


@dataclass(frozen=True, kw_only=True)
class SegmentQueryConfig:
    """Pictures for the segmenter, and what it is asked for in them."""

    targets: int = 3
    """Objects looked for in each picture."""
    counts_as: int = 4
    """Items that a picture counts as when objects of the pool are exchanged."""
    views: int = 8
    """Views of each given to the network, drawn from the 16."""
    least_visible: float = 0.35
    """An object hidden more than this is neither there nor absent."""
    least_cells: float = 8.0
    """Nor is one that covers fewer mask cells; a disc of 13 px of 320 has them."""
    absent_share: float = 0.25
    """Part of the objects asked for that are not there."""
    absent_kinds: tuple[float, float, float, float] = (0.3, 0.25, 0.15, 0.12)
    """Of them: any other; another of like colour; one that is there with its colours exchanged; one that is there of
    another size. The rest are other shapes in the colour of one that is there."""
    least_exchange: float = 0.35
    """Sum of differences of the mean colour from which exchanged colours are others."""
    resize: Range = (0.35, 0.7)
    """Logarithm of the factor between both sizes, up or down."""
    grey_share: float = 0.18
    """Objects, there or not, whose model has no colour."""
    usual_grey_share: float = 0.6
    """Part of them in the middle grey that a model without colours gets; the others are darker or lighter."""
    faded_share: float = 0.25
    """Objects, there or not, whose model has other colours than the thing: paler, darker, of another tint."""
    fade_saturation: Range = (0.3, 1.3)
    """Their saturation."""
    fade_gain: float = 0.25
    """Standard deviation of the logarithm of their brightness."""
    fade_tint: float = 0.08
    """The same for each channel."""


@dataclass(frozen=True, kw_only=True)
class VerifyGroupConfig:
    """Groups of crops for the verifier."""

    targets: int = 5
    """Objects of a series of pictures that groups are made of."""
    object_count: tuple[int, int] = (5, 8)
    """Fewest and most objects of a crowded scene."""
    close_up_share: float = 0.1
    """Series of one or two objects, near."""
    apparent_share: Range = (0.12, 0.34)
    """Diameter of the first object over the picture's width, log-even: crops are of 80 px."""
    gap_diameters: float = 0.8
    """Widest gap between neighbours over the first object's diameter; wider than usual, so that
    most are seen well in most pictures."""
    least_visible: float = 0.4
    """Pictures that hide an object more than this are not used for it."""
    least_px: float = 250.0
    """Pixels of a silhouette below which an object has none."""
    spread_deg: Range = (5.0, 40.0)
    """How far pictures from about one side are turned at most from their middle, drawn for each object."""
    turn_deg: Range = (70.0, 180.0)
    """How far the picture from another side is turned."""
    own_axis_share: float = 0.6
    """Part of these turns that are about one of the object's own axes."""
    least_turn_deg: float = 60.0
    """Turns that a symmetry brings below this show the same side."""
    bad_kinds: tuple[float, float, float, float] = (0.4, 0.08, 0.24, 0.16)
    """Of the bad crops: another side; rolled in the picture; beside the place; another object. The rest show
    nothing in particular."""
    jitter: float = 0.02
    """Standard deviation of where a crop is cut at the right place [diameters]."""
    group_roll_share: float = 0.25
    """Groups all of whose crops are rolled alike."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """All of it."""

    pool: PoolConfig = field(default_factory=PoolConfig)
    """Meshes."""
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    """Cameras and objects."""
    room: RoomConfig = field(default_factory=RoomConfig)
    """Planes."""
    light: LightConfig = field(default_factory=LightConfig)
    """Lights."""
    segment: SegmentQueryConfig = field(default_factory=SegmentQueryConfig)
    """Pictures for the segmenter."""
    verify: VerifyGroupConfig = field(default_factory=VerifyGroupConfig)
    """Groups for the verifier."""
    colour: ColourCameraConfig = field(default_factory=ColourCameraConfig)
    """Colour cameras."""
    depth: DepthCameraConfig = field(default_factory=DepthCameraConfig)
    """Depth cameras."""
    refine: RefinePairConfig = field(default_factory=RefinePairConfig)
    """Pairs for RefineNet."""
    score: ScoreSetConfig = field(default_factory=ScoreSetConfig)
    """Sets for ScoreNet."""
